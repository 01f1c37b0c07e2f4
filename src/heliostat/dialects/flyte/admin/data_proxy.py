"""DataProxyService: where clients upload their code and files to, and what they read of a run by its ``flyte://`` name.

An upload goes to ``<root>/uploads/<workspace>/<project>/<domain>/<folder>/<file>``. The folder is the content's MD5, so that
equal content has one place, or what the client wants to group files by.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flyteidl.admin import node_execution_pb2 as node_executions
from flyteidl.admin import task_execution_pb2 as task_executions
from flyteidl.core import identifier_pb2 as identifiers
from flyteidl.core import literals_pb2 as literals
from flyteidl.service import dataproxy_pb2 as dataproxy
from google.protobuf.message import DecodeError

from heliostat.domain.errors import Forbidden
from heliostat.domain.ids import WorkspaceId
from heliostat.domain.records import Role
from heliostat.services import Caller, Services

from ..errors import ALREADY_EXISTS, NOT_FOUND, FlyteError, invalid
from ..executions.layout import DECK, Layout
from ..names import key
from ..places import Places
from . import permits
from .permits import Permit
from .references import LONGEST, check_name
from .transfers import UPLOAD

LIFETIME = timedelta(hours=1)
LONGEST_LIFETIME = timedelta(hours=24)
LONGEST_SEGMENT = 200
MD5_BYTES = 16
LARGEST_VALUES = 16 << 20
"""Bytes of values in an answer. Clients take messages of 20 MiB."""
_UNSAFE = re.compile(r"[^\w.()+@=,~ -]")
_URI = re.compile(r"flyte://v1/([^/]+)/([^/]+)/([^/]+)/([^/]+)(?:/([0-9]{1,4}))?/([iod])(?:/([^/]+))?")

Calls = Mapping[str, tuple[Any, Callable[[Caller, Any], Awaitable[Any]]]]
"""Methods of AdminService for executions by name: class of the request, and what answers it. flyteidl has no types."""


@dataclass(frozen=True)
class Wanted:
    """What a ``flyte://`` name is of."""

    node: identifiers.NodeExecutionIdentifier
    attempt: int | None
    """None = the node as a whole."""
    kind: str
    """``i`` inputs, ``o`` outputs, ``d`` deck."""
    variable: str
    """One of them; empty = all."""


class DataProxyCalls:
    """Methods raise FlyteError and HeliostatError."""

    def __init__(self, services: Services, places: Places, key: bytes, executions: Calls) -> None:
        self._services = services
        self._places = places
        self._key = key
        self._executions = executions

    async def create_upload_location(
        self, caller: Caller, request: dataproxy.CreateUploadLocationRequest
    ) -> dataproxy.CreateUploadLocationResponse:
        check_name(request.project, "project", LONGEST["project"])
        check_name(request.domain, "domain", LONGEST["domain"])
        workspace = (await self._places.workspace(caller, request.project, request.domain)).id
        if not caller.may(workspace, Role.EDITOR):
            raise Forbidden("upload files", caller.principal.name, Role.EDITOR)
        if len(request.content_md5) not in (0, MD5_BYTES):
            raise invalid("content_md5", f"must be the {MD5_BYTES} bytes of an MD5, or be left out")
        md5 = request.content_md5.hex()
        folder = _segment(request.filename_root, "filename_root") or md5 or secrets.token_hex(10)
        file = _segment(request.filename, "filename") or secrets.token_hex(10)
        name = key(request.project, request.domain, folder, file) if request.filename_root and md5 else ""
        await self._check_content(caller, workspace, name, md5)
        own = (str(workspace), _segment(request.project, "project"), _segment(request.domain, "domain"), folder, file)
        url = f"{self._services.data.root}/uploads/{'/'.join(own)}"
        permit = self._permit(caller, workspace, permits.PUT, url, _lifetime(request), md5, name)
        # Tasks take a file of this machine by its path alone: what begins with file:// is no file to flytekit's FlyteFile.
        native_url = url.removeprefix("file://")
        answer = dataproxy.CreateUploadLocationResponse(
            signed_url=self._signed_url("upload", permit), native_url=native_url
        )
        answer.expires_at.FromDatetime(permit.expires_at)
        return answer

    async def get_data(self, caller: Caller, request: dataproxy.GetDataRequest) -> dataproxy.GetDataResponse:
        wanted = _wanted(request.flyte_url)
        if wanted.kind == "d":
            return dataproxy.GetDataResponse(pre_signed_urls=await self._deck(caller, wanted))
        found = await self._literals(caller, wanted)
        if not wanted.variable:
            return dataproxy.GetDataResponse(literal_map=found)
        if wanted.variable not in found.literals:
            raise FlyteError(NOT_FOUND, f"there is no {wanted.variable!r} in {request.flyte_url}")
        return dataproxy.GetDataResponse(literal=found.literals[wanted.variable])

    async def create_download_link(
        self, caller: Caller, request: dataproxy.CreateDownloadLinkRequest
    ) -> dataproxy.CreateDownloadLinkResponse:
        if request.artifact_type != dataproxy.ARTIFACT_TYPE_DECK:
            raise invalid("artifact_type", "must be ARTIFACT_TYPE_DECK")
        wanted = Wanted(request.node_execution_id, None, "d", "")
        signed = await self._deck(caller, wanted, _lifetime(request))
        return dataproxy.CreateDownloadLinkResponse(pre_signed_urls=signed)

    async def _check_content(self, caller: Caller, workspace: WorkspaceId, name: str, md5: str) -> None:
        """Raises ALREADY_EXISTS when another content was put there: somebody relies on it."""
        known = await self._services.documents.get(caller, workspace, UPLOAD, name) if name else None
        if known is not None and known.body != md5.encode():
            raise FlyteError(
                ALREADY_EXISTS, "there is another file of that name already; use another filename_root", "filename"
            )

    def _permit(
        self,
        caller: Caller,
        workspace: WorkspaceId,
        verb: str,
        url: str,
        lifetime: timedelta,
        md5: str = "",
        name: str = "",
    ) -> Permit:
        ends: datetime = (self._services.clock.now() + lifetime).replace(microsecond=0)
        return Permit(verb, workspace, caller.principal.id, url, md5, name, ends)

    def _signed_url(self, path: str, permit: Permit) -> str:
        return f"{self._services.installation.gateway_url}/flyte/{path}/{permits.issue(permit, self._key)}"

    async def _literals(self, caller: Caller, wanted: Wanted) -> literals.LiteralMap:
        if wanted.attempt is None:
            request = node_executions.NodeExecutionGetDataRequest(id=wanted.node)
            found = await self._call("GetNodeExecutionData", caller, request)
        else:
            attempt = await self._attempt(caller, wanted)
            request = task_executions.TaskExecutionGetDataRequest(id=attempt.id)
            found = await self._call("GetTaskExecutionData", caller, request)
        values, blob = (found.full_inputs, found.inputs) if wanted.kind == "i" else (found.full_outputs, found.outputs)
        if not values.literals and blob.bytes:
            # Large ones are only told of by their URL there, since those answers are asked for again and again.
            return await self._read(blob.url)
        return values

    async def _read(self, url: str) -> literals.LiteralMap:
        data = await self._services.data.read(url, LARGEST_VALUES)
        try:
            return literals.LiteralMap.FromString(data or b"")
        except DecodeError as error:
            raise FlyteError(NOT_FOUND, "there are no values that can be read") from error

    async def _deck(self, caller: Caller, wanted: Wanted, lifetime: timedelta = LIFETIME) -> dataproxy.PreSignedURLs:
        """A link to the page that the task wrote beside its outputs."""
        attempt = await self._attempt(caller, wanted)
        run = wanted.node.execution_id
        workspace = (await self._places.workspace(caller, run.project, run.domain)).id
        layout = Layout.of(self._services.data.root, workspace, run.project, run.domain, run.name)
        url = f"{layout.prefix(wanted.node.node_id, attempt.id.retry_attempt)}/{DECK}"
        if await self._services.data.size(url) is None:
            raise FlyteError(NOT_FOUND, "the task wrote no deck")
        permit = self._permit(caller, workspace, permits.GET, url, lifetime)
        answer = dataproxy.PreSignedURLs(signed_url=[self._signed_url("data", permit)])
        answer.expires_at.FromDatetime(permit.expires_at)
        return answer

    async def _attempt(self, caller: Caller, wanted: Wanted) -> task_executions.TaskExecution:
        """The one that is asked for, else the last."""
        request = task_executions.TaskExecutionListRequest(node_execution_id=wanted.node, limit=100)
        found = (await self._call("ListTaskExecutions", caller, request)).task_executions
        fitting = [row for row in found if wanted.attempt in (None, row.id.retry_attempt)]
        if not fitting:
            raise FlyteError(NOT_FOUND, f"the node {wanted.node.node_id!r} has no such attempt")
        return max(fitting, key=lambda row: row.id.retry_attempt)

    async def _call(self, method: str, caller: Caller, request: Any) -> Any:
        return await self._executions[method][1](caller, request)


def _wanted(text: str) -> Wanted:
    """What a ``flyte://v1/project/domain/execution/node[/attempt]/{i,o,d}[/variable]`` is of. Raises FlyteError."""
    shown = _URI.fullmatch(text)
    if shown is None:
        raise invalid("flyte_url", "must be flyte://v1/project/domain/execution/node[/attempt]/i, .../o or .../d")
    project, domain, name, node, attempt, kind, variable = shown.groups()
    run = identifiers.WorkflowExecutionIdentifier(project=project, domain=domain, name=name)
    id = identifiers.NodeExecutionIdentifier(node_id=node, execution_id=run)
    return Wanted(id, None if attempt is None else int(attempt), kind, variable or "")


def _segment(text: str, path: str) -> str:
    """A part of a path for a name of the client's. Raises FlyteError."""
    if len(text.encode()) > LONGEST_SEGMENT:
        raise invalid(path, f"has more than {LONGEST_SEGMENT} bytes")
    if text in (".", ".."):
        raise invalid(path, "must be a name")
    return _UNSAFE.sub("_", text)


def _lifetime(request: dataproxy.CreateUploadLocationRequest) -> timedelta:
    """How long a permit is good: what was asked for, within bounds. Raises FlyteError."""
    if not request.HasField("expires_in"):
        return LIFETIME
    seconds = request.expires_in.seconds
    if not 0 < seconds <= LONGEST_LIFETIME.total_seconds():
        raise invalid("expires_in", "must be between one second and 24 hours")
    return timedelta(seconds=seconds)
