"""Which uploaded packages there are, and when each was last used, so that old ones can go."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from ..domain.ids import WorkspaceId
from .schema import packages
from .statements import changed, insert_new

_P = packages.c


class Packages:
    """The repository of packages. A package belongs to one workspace, whoever else has uploaded the same."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, workspace: WorkspaceId, sha256: str, size: int, now: datetime) -> None:
        """Or note its use, if it is there already."""
        values = {"workspace": workspace, "sha256": sha256, "size": size, "created_at": now, "used_at": now}
        if not insert_new(self._connection, packages, values):
            self.used(workspace, sha256, now)

    def used(self, workspace: WorkspaceId, sha256: str, now: datetime) -> bool:
        """Note a use; False when there is no such package."""
        statement = update(packages).where(_P.workspace == workspace, _P.sha256 == sha256).values(used_at=now)
        return changed(self._connection, statement)

    def size(self, workspace: WorkspaceId, sha256: str) -> int | None:
        """Bytes; None when there is no such package."""
        query = select(_P.size).where(_P.workspace == workspace, _P.sha256 == sha256)
        return self._connection.execute(query).scalar()

    def unused_since(self, time: datetime, *, limit: int) -> list[tuple[WorkspaceId, str]]:
        query = select(_P.workspace, _P.sha256).where(_P.used_at < time).order_by(_P.used_at).limit(limit)
        return [(WorkspaceId(row[0]), row[1]) for row in self._connection.execute(query)]

    def unused(self, workspace: WorkspaceId, sha256: str, since: datetime) -> bool:
        """Whether this one is there and was not used since."""
        query = select(_P.size).where(_P.workspace == workspace, _P.sha256 == sha256, _P.used_at < since)
        return self._connection.execute(query).first() is not None

    def remove(self, workspace: WorkspaceId, sha256: str) -> None:
        self._connection.execute(delete(packages).where(_P.workspace == workspace, _P.sha256 == sha256))
