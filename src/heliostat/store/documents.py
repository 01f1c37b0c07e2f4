"""Documents of dialects in the database: sealed bytes with a name, listed by group or in the order of their keys."""

from __future__ import annotations

import builtins
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, delete, or_, select, update

from ..domain.documents import Document, ref
from ..domain.errors import Conflict, InvalidRequest
from ..domain.ids import JobId, WorkspaceId
from .schema import documents
from .shared import Shared
from .statements import AnyRow, Values, changed, insert_new

_D = documents.c
_GET = select(documents).where(
    _D.kind == bindparam("kind"), _D.workspace == bindparam("workspace"), _D.key == bindparam("key")
)
_FIND = select(documents).where(_D.kind == bindparam("kind"), _D.key == bindparam("key")).limit(1)
_OPEN = select(_D.kind, _D.workspace, _D.key).where(_D.open.is_(True), _D.kind.in_(bindparam("kinds", expanding=True)))
_OF_JOB = select(_D.kind, _D.workspace, _D.key).where(_D.open.is_(True), _D.job == bindparam("job"))
_SAVE = update(documents).where(
    _D.kind == bindparam("_kind"),
    _D.workspace == bindparam("_workspace"),
    _D.key == bindparam("_key"),
    _D.version == bindparam("_version"),
)


class Documents:
    """The repository of documents."""

    def __init__(self, connection: Connection, shared: Shared) -> None:
        self._connection = connection
        self._shared = shared

    def add(self, document: Document) -> bool:
        """False when there is one with this kind, workspace and key, which stays as it is."""
        names = {"kind": document.kind, "workspace": document.workspace, "key": document.key}
        values = {"creator": document.creator, "created_at": document.created_at, "parent": document.parent}
        return insert_new(self._connection, documents, {**names, **values, **self._changing(document)})

    def get(self, kind: str, workspace: WorkspaceId, key: str) -> Document | None:
        row = self._connection.execute(_GET, {"kind": kind, "workspace": workspace, "key": key}).first()
        return None if row is None else self._document(row)

    def find(self, kind: str, key: str) -> Document | None:
        """In any workspace."""
        row = self._connection.execute(_FIND, {"kind": kind, "key": key}).first()
        return None if row is None else self._document(row)

    def page(
        self, workspace: WorkspaceId, kind: str, group: str, *, limit: int, before: str | None = None
    ) -> builtins.list[Document]:
        """Of a group, newest first, following on the key ``before``. Raises InvalidRequest when that is not there."""
        query = select(documents).where(_D.workspace == workspace, _D.kind == kind, _D.group == group)
        if before is not None:
            known = select(_D.created_at).where(_D.workspace == workspace, _D.kind == kind, _D.key == before)
            last = self._connection.execute(known).first()
            if last is None:
                raise InvalidRequest("continues after something that does not exist", path="before")
            at = last.created_at
            query = query.where(or_(_D.created_at < at, and_(_D.created_at == at, _D.key < before)))
        query = query.order_by(_D.created_at.desc(), _D.key.desc()).limit(limit)
        return [self._document(row) for row in self._connection.execute(query)]

    def scan(
        self, workspace: WorkspaceId, kind: str, prefix: str, *, limit: int, after: str | None = None
    ) -> builtins.list[Document]:
        """Those whose keys begin with ``prefix``, in the order of the keys, following on ``after``."""
        query = select(documents).where(_D.workspace == workspace, _D.kind == kind, _D.key >= prefix)
        query = query.where(_D.key < prefix + "\U0010ffff")
        if after is not None:
            query = query.where(_D.key > after)
        return [self._document(row) for row in self._connection.execute(query.order_by(_D.key).limit(limit))]

    def save(self, document: Document) -> Document:
        """Write it over the version that it was made from. Raises Conflict when that is another now."""
        names = {"_kind": document.kind, "_workspace": document.workspace, "_key": document.key}
        newer = replace(document, version=document.version + 1)
        values = {**names, "_version": document.version, **self._changing(newer)}
        if not changed(self._connection, _SAVE, values):
            raise Conflict(f"{document.key} was changed by another meanwhile; try again")
        return newer

    def remove(self, kind: str, workspace: WorkspaceId, key: str) -> bool:
        """Whether it was there."""
        statement = delete(documents).where(_D.kind == kind, _D.workspace == workspace, _D.key == key)
        return changed(self._connection, statement)

    def open(self, kinds: Collection[str]) -> builtins.list[str]:
        """Refs of those of these kinds that an attendant has something to do for."""
        return [_ref(row) for row in self._connection.execute(_OPEN, {"kinds": list(kinds)})]

    def of_job(self, job: JobId) -> builtins.list[str]:
        """Refs of the open ones for which a job's news are news."""
        return [_ref(row) for row in self._connection.execute(_OF_JOB, {"job": job})]

    def expired(self, now: datetime, *, limit: int) -> builtins.list[Document]:
        """Those that may go."""
        query = select(documents).where(_D.expires_at <= now, _D.open.is_(False)).order_by(_D.expires_at).limit(limit)
        return [self._document(row) for row in self._connection.execute(query)]

    def _changing(self, document: Document) -> Values:
        return {
            "group": document.group,
            "open": document.open,
            "job": document.job,
            "modified_at": document.modified_at,
            "version": document.version,
            "expires_at": document.expires_at,
            "body": self._shared.sealer.seal(document.body, _purpose(document.ref)),
        }

    def _document(self, row: AnyRow) -> Document:
        return Document(
            kind=row.kind,
            workspace=row.workspace,
            key=row.key,
            body=self._shared.sealer.open_bytes(row.body, _purpose(_ref(row))),
            creator=row.creator,
            created_at=row.created_at,
            modified_at=row.modified_at,
            version=row.version,
            group=row.group,
            parent=row.parent,
            open=row.open,
            job=row.job,
            expires_at=row.expires_at,
        )


def _ref(row: AnyRow) -> str:
    return ref(row.kind, row.workspace, row.key)


def _purpose(name: str) -> str:
    return f"document:{name}"
