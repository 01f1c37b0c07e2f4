"""Principals and their roles in the database."""

from __future__ import annotations

import builtins
from collections.abc import Iterable

from sqlalchemy import Connection, delete, select

from ..domain.errors import AlreadyExists
from ..domain.ids import PrincipalId, WorkspaceId
from ..domain.records import Principal, Role
from .schema import principals, roles
from .statements import AnyRow, AnySelect, insert_new, upsert

_P = principals.c
_R = roles.c
_WITH_ROLES = select(_P.id, _P.name, _P.admin, _R.workspace, _R.role).select_from(
    principals.outerjoin(roles, _R.principal == _P.id)
)


class Principals:
    """The repository of principals."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, principal: Principal) -> None:
        """With its roles. Raises AlreadyExists when the name is taken."""
        values = {"id": principal.id, "name": principal.name, "admin": principal.admin}
        if not insert_new(self._connection, principals, values):
            raise AlreadyExists("principal", principal.name)
        for workspace, role in principal.roles.items():
            self.grant(principal.id, workspace, role)

    def get(self, id: PrincipalId) -> Principal | None:
        return next(iter(self._read(_WITH_ROLES.where(_P.id == id))), None)

    def by_name(self, name: str) -> Principal | None:
        return next(iter(self._read(_WITH_ROLES.where(_P.name == name))), None)

    def grant(self, principal: PrincipalId, workspace: WorkspaceId, role: Role | None) -> None:
        """Sets the role in the workspace; None takes it away. Both must exist."""
        if role is None:
            self._connection.execute(delete(roles).where(_R.principal == principal, _R.workspace == workspace))
            return
        statement = upsert(roles, self._connection.dialect.name)
        self._connection.execute(statement, {"principal": principal, "workspace": workspace, "role": role})

    def list(self) -> builtins.list[Principal]:
        """All, by name."""
        return self._read(_WITH_ROLES.order_by(_P.name))

    def _read(self, query: AnySelect) -> builtins.list[Principal]:
        grouped: dict[PrincipalId, builtins.list[AnyRow]] = {}
        for row in self._connection.execute(query):
            grouped.setdefault(row.id, []).append(row)
        return [
            Principal(id, rows[0].name, rows[0].admin, read_roles((row.workspace, row.role) for row in rows))
            for id, rows in grouped.items()
        ]


def read_roles(pairs: Iterable[tuple[str | None, str | None]]) -> dict[WorkspaceId, Role]:
    """Roles by workspace, from an outer join's columns (both None when there are none)."""
    return {
        WorkspaceId(workspace): Role(role) for workspace, role in pairs if workspace is not None and role is not None
    }
