"""Where tasks, workflows and launch plans are kept: as documents, each version once and for good.

Beside the document of a version stand two small ones: of its name, for lists of names, and of the version among all of its
project and domain. They are written first, so that a version that is there is listed; one that is not yet there while its small
ones are is passed over.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from flyteidl.core import identifier_pb2 as identifiers
from google.protobuf.message import Message

from heliostat.domain.documents import Document, NewDocument
from heliostat.domain.errors import InvalidRequest
from heliostat.domain.ids import WorkspaceId
from heliostat.services import Caller, Services

from ..errors import ALREADY_EXISTS, FlyteError, invalid
from ..names import key, parts
from ..places import Places
from .listing import LARGEST_PAGE, Filter, fits
from .references import KINDS, Reference, missing

DOCUMENTS = {
    identifiers.TASK: "flyte.task",
    identifiers.WORKFLOW: "flyte.workflow",
    identifiers.LAUNCH_PLAN: "flyte.launch-plan",
}
"""Kinds of documents by kind of resource."""
NAME = ".name"
VERSION = ".version"
LARGEST = 8 << 20
"""Bytes of a version. Clients take messages of 20 MiB, and a workflow comes back with its tasks."""
_CHUNK = 50
"""Of small documents, at once."""
_LARGE_CHUNK = 10
"""Of versions themselves."""
M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Named:
    """Of what versions are listed: of a name, or of all in a project and domain when it is empty."""

    project: str
    domain: str
    name: str = ""

    @property
    def group(self) -> str:
        return key(*(part for part in (self.project, self.domain, self.name) if part))


class Entities:
    """Methods raise FlyteError and HeliostatError."""

    def __init__(self, services: Services, places: Places) -> None:
        self._documents = services.documents
        self._places = places

    async def workspace(self, caller: Caller, project: str, domain: str) -> WorkspaceId:
        return (await self._places.workspace(caller, project, domain, "id")).id

    async def add(self, caller: Caller, kind: int, id: Reference, body: Message) -> None:
        """Keep a version. Raises ALREADY_EXISTS for an equal one, and INVALID_ARGUMENT for another one of that name."""
        data = body.SerializeToString(deterministic=True)
        if len(data) > LARGEST:
            raise invalid("spec", f"has more than {LARGEST >> 20} MiB; put large values where the tasks can read them")
        workspace = await self.workspace(caller, id.project, id.domain)
        document, everywhere = DOCUMENTS[kind], key(id.project, id.domain)
        name = NewDocument(document + NAME, workspace, id.group, b"", group=everywhere)
        version = NewDocument(document + VERSION, workspace, id.key, b"", group=everywhere)
        for wish in (name, version, NewDocument(document, workspace, id.key, data, group=id.group)):
            stored, fresh = await self._documents.add(caller, wish)
        if fresh:
            return
        if stored.body == data:
            raise FlyteError(ALREADY_EXISTS, f"identical {KINDS[kind]} already exists with id {id}")
        raise invalid(
            "id.version",
            f"{KINDS[kind]} with different structure already exists with id {id}; register it with another version",
        )

    async def find(self, caller: Caller, kind: int, id: Reference) -> Document | None:
        workspace = await self.workspace(caller, id.project, id.domain)
        return await self._documents.get(caller, workspace, DOCUMENTS[kind], id.key)

    async def get(self, caller: Caller, kind: int, id: Reference, into: type[M]) -> tuple[M, Document]:
        """What was kept. Raises NOT_FOUND."""
        found = await self.find(caller, kind, id)
        if found is None:
            raise missing(id, kind)
        return into.FromString(found.body), found

    async def versions(
        self, caller: Caller, kind: int, named: Named, filters: Collection[Filter], limit: int, token: str
    ) -> tuple[Sequence[tuple[Reference, Document]], str]:
        """Those that fit, newest first, and the token of the next page (empty when there is none)."""
        workspace = await self.workspace(caller, named.project, named.domain)
        found: list[tuple[Reference, Document]] = []
        size, before = 0, token or None
        while True:
            chunk = min(_LARGE_CHUNK, limit - len(found)) if named.name else _CHUNK
            rows = await self._page(caller, workspace, kind, named, chunk, before)
            for row in rows:
                before = row.key
                id = Reference(*parts(row.key))
                if not fits(id, filters):
                    continue
                document = row if named.name else await self._documents.get(caller, workspace, DOCUMENTS[kind], row.key)
                if document is None:
                    continue
                found.append((id, document))
                size += len(document.body)
                if len(found) == limit or size >= LARGEST_PAGE:
                    return found, row.key
            if len(rows) < chunk:
                return found, ""

    async def names(
        self, caller: Caller, kind: int, named: Named, filters: Collection[Filter], limit: int, token: str
    ) -> tuple[Sequence[str], str]:
        """Names of which there are versions, and the token of the next page."""
        workspace = await self.workspace(caller, named.project, named.domain)
        found: list[str] = []
        after = token or None
        while True:
            rows = await self._documents.scan(
                caller, workspace, DOCUMENTS[kind] + NAME, f"{named.group}/", limit=_CHUNK, after=after
            )
            for row in rows:
                after = row.key
                name = parts(row.key)[2]
                if fits(Reference(named.project, named.domain, name, ""), filters):
                    found.append(name)
                if len(found) == limit:
                    return found, row.key
            if len(rows) < _CHUNK:
                return found, ""

    async def _page(
        self, caller: Caller, workspace: WorkspaceId, kind: int, named: Named, limit: int, before: str | None
    ) -> Sequence[Document]:
        document = DOCUMENTS[kind] if named.name else DOCUMENTS[kind] + VERSION
        try:
            return await self._documents.page(caller, workspace, document, named.group, limit=limit, before=before)
        except InvalidRequest as error:
            raise invalid("token", "is not one that a list of this server gave") from error
