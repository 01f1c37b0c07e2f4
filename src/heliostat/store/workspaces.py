"""Workspaces in the database."""

from __future__ import annotations

import builtins
from collections.abc import Collection

import orjson
from sqlalchemy import Connection, and_, exists, or_, select, update

from ..domain.errors import AlreadyExists, InvalidRequest, NotFound
from ..domain.ids import WorkspaceId
from ..domain.records import Workspace
from .codec import dump
from .schema import workspaces
from .statements import AnyRow, Values, changed, contains, insert_new

_W = workspaces.c


class Workspaces:
    """The repository of workspaces. Names are unique in the installation."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, workspace: Workspace) -> None:
        """Raises AlreadyExists when the name is taken."""
        if not insert_new(self._connection, workspaces, {"id": workspace.id, **_values(workspace)}):
            raise AlreadyExists("workspace", workspace.name)

    def get(self, id: WorkspaceId) -> Workspace | None:
        row = self._connection.execute(select(workspaces).where(_W.id == id)).first()
        return None if row is None else _workspace(row)

    def by_name(self, name: str) -> Workspace | None:
        row = self._connection.execute(select(workspaces).where(_W.name == name)).first()
        return None if row is None else _workspace(row)

    def by_number(self, number: int) -> Workspace | None:
        """``number`` may be any: callers take it from what users write."""
        if not 0 <= number < 10**12:
            return None
        row = self._connection.execute(select(workspaces).where(_W.number == number)).first()
        return None if row is None else _workspace(row)

    def list(
        self,
        *,
        limit: int,
        after: WorkspaceId | None = None,
        name_contains: str | None = None,
        among: Collection[WorkspaceId] | None = None,
    ) -> builtins.list[Workspace]:
        """Newest first, following on ``after`` of an earlier page; ``among`` keeps to those that a caller may see."""
        query = select(workspaces).order_by(_W.created_at.desc(), _W.id.desc()).limit(limit)
        if after is not None:
            last = self._connection.execute(select(_W.created_at).where(_W.id == after)).first()
            if last is None:
                raise InvalidRequest("continues after a workspace that does not exist", path="after")
            query = query.where(
                or_(_W.created_at < last.created_at, and_(_W.created_at == last.created_at, _W.id < after))
            )
        if name_contains:
            query = query.where(contains(_W.name, name_contains))
        if among is not None:
            query = query.where(_W.id.in_(among))
        return [_workspace(row) for row in self._connection.execute(query)]

    def save(self, workspace: Workspace) -> None:
        """Replaces all fields but the id. Raises AlreadyExists when the name is taken, NotFound when there is none."""
        other = workspaces.alias()
        taken = exists().where(other.c.name == workspace.name, other.c.id != workspace.id)
        statement = update(workspaces).where(_W.id == workspace.id, ~taken).values(_values(workspace))
        if changed(self._connection, statement):
            return
        if self.get(workspace.id) is None:
            raise NotFound("workspace", workspace.id)
        raise AlreadyExists("workspace", workspace.name)


def _values(workspace: Workspace) -> Values:
    return {
        "name": workspace.name,
        "created_at": workspace.created_at,
        "creator": workspace.creator,
        "tags": dump(dict(workspace.tags)),
        "number": workspace.number,
    }


def _workspace(row: AnyRow) -> Workspace:
    return Workspace(row.id, row.name, row.created_at, row.creator, orjson.loads(row.tags), row.number)
