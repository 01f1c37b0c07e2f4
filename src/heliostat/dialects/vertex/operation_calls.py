"""What the methods of ``google.longrunning.Operations`` do (Vertex contract, section 1.7).

An operation is addressed below its resource or directly below a location. It can be read when its resource is gone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from heliostat.domain.errors import InvalidRequest, NotFound
from heliostat.domain.ids import ClusterId, OperationId
from heliostat.domain.operations import Operation
from heliostat.domain.records import Workspace
from heliostat.services import Caller, OperationView, Services

from .call import Call, Json
from .errors import VertexError, invalid, not_found
from .holding import Holds, Looker
from .names import OperationName, Parent, ResourceName, parse_operation, parse_owner_of_operations
from .paging import Page, next_token, read_page
from .translate.context import Context
from .translate.operations import write_operation
from .wire import Version
from .wire.times import read_span

DIALECT = "vertex"
SCAN = 500
"""Rows read at once for a page."""
_FILTER = re.compile(r"\s*done\s*[=:]\s*(true|false)\s*", re.IGNORECASE)


def label(version: Version, location: str, resource: str) -> Mapping[str, str]:
    """What an operation remembers of the call that began it."""
    return {"dialect": DIALECT, "version": version, "location": location, "resource": resource}


class OperationCalls:
    """The methods of one server. All raise HeliostatError or, for a malformed name, InvalidName."""

    def __init__(self, services: Services, context: Context, holds: Holds) -> None:
        self._services = services
        self._context = context
        self._holds = holds

    async def get(self, call: Call, request: Json) -> Json:
        workspace, view = await self._find(call, request)
        return write_operation(view, workspace.number, self._context)

    async def list(self, call: Call, request: Json) -> Json:
        """A page of the operations of a resource or of all of the project, newest first.

        The filters are ``done=true`` and ``done=false``.
        """
        owner = parse_owner_of_operations(request.get("name", "").removesuffix("/operations"))
        workspace = await self._services.directory.project(call.caller, owner.project)
        text: str = request.get("filter", "")
        page = read_page(request, f"{workspace.id}/{getattr(owner, 'resource', '')}/operations/{text}")
        rows = await self._rows(call, workspace, owner, _read_filter(text), page)
        answer: Json = {}
        if rows:
            answer["operations"] = [write_operation(row, workspace.number, self._context) for row in rows[: page.size]]
        if len(rows) > page.size:
            answer["nextPageToken"] = next_token(page, rows[page.size - 1].operation.id)
        return answer

    async def wait(self, call: Call, request: Json) -> Json:
        """The operation when it is done, or as it is after the request's ``timeout``."""
        workspace, view = await self._find(call, request)

        async def show(caller: Caller) -> Json:
            seen = await self._services.operations.get(caller, workspace.id, view.operation.id)
            return write_operation(seen, workspace.number, self._context)

        shown = write_operation(view, workspace.number, self._context)
        looker = Looker(call, show, shown, lambda seen: None)
        seconds = call.seconds
        if "timeout" in request:
            whole, nanoseconds = read_span(request["timeout"])
            asked = max(0.0, whole + nanoseconds / 1e9)
            seconds = asked if seconds is None else min(asked, seconds)
        return await self._holds.hold(view.operation.cluster, shown, looker.look, _goes_on, seconds, call.beat)

    async def cancel(self, call: Call, request: Json) -> Json:
        workspace, view = await self._find(call, request)
        await self._services.operations.cancel(call.caller, workspace.id, view.operation.id)
        return {}

    async def delete(self, call: Call, request: Json) -> Json:
        workspace, view = await self._find(call, request)
        await self._services.operations.forget(call.caller, workspace.id, view.operation.id)
        return {}

    async def _find(self, call: Call, request: Json) -> tuple[Workspace, OperationView]:
        """The operation of a name. One that belongs to another resource than the name says is not found."""
        name = parse_operation(request.get("name", ""))
        workspace = await self._services.directory.project(call.caller, name.project)
        try:
            view = await self._services.operations.get(call.caller, workspace.id, OperationId(name.operation))
        except NotFound as error:
            raise _no_operation(workspace, name) from error
        if not _is_of(view.operation, name.resource):
            raise _no_operation(workspace, name)
        return workspace, view

    async def _rows(
        self, call: Call, workspace: Workspace, owner: Parent | ResourceName, open: bool | None, page: Page
    ) -> Sequence[OperationView]:
        """One more than the page holds, if there are so many."""
        resource = owner.resource if isinstance(owner, ResourceName) else None
        cluster = None if resource is None else await self._cluster(call, workspace, resource)
        before = None if page.after is None else OperationId(page.after)
        found: list[OperationView] = []
        while True:
            try:
                rows = await self._services.operations.list(
                    call.caller, workspace.id, limit=SCAN, cluster=cluster, before=before, open=open
                )
            except InvalidRequest as error:
                raise invalid("pageToken", "continues after an operation that is gone; begin again") from error
            found += [row for row in rows if _is_of(row.operation, resource)]
            if len(found) > page.size or len(rows) < SCAN:
                break
            before = rows[-1].operation.id
        if resource is not None and cluster is None and not found and page.after is None:
            name = ResourceName(str(workspace.number), owner.location, resource)
            raise not_found("PersistentResource", str(name))
        return found[: page.size + 1]

    async def _cluster(self, call: Call, workspace: Workspace, resource: str) -> ClusterId | None:
        """None when it is gone: its operations are then found by what they remember."""
        try:
            return await self._services.clusters.resolve(call.caller, workspace.id, resource)
        except NotFound:
            return None


def _is_of(operation: Operation, resource: str | None) -> bool:
    """Whether it is one of this dialect, and of a resource if one is named: by its name or by its cluster's id."""
    if operation.label.get("dialect") != DIALECT:
        return False
    return resource is None or resource in (operation.label.get("resource"), operation.cluster)


def _goes_on(operation: Json) -> bool:
    return not operation.get("done", False)


def _read_filter(text: str) -> bool | None:
    """Whether open ones are asked for; None for all."""
    if not text.strip():
        return None
    match = _FILTER.fullmatch(text)
    if match is None:
        raise invalid("filter", "must be done=true, done=false or empty")
    return match[1].lower() == "false"


def _no_operation(workspace: Workspace, name: OperationName) -> VertexError:
    shown = OperationName(str(workspace.number), name.location, name.operation, name.resource)
    return not_found("Operation", str(shown))
