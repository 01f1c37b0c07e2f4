"""Secrets of workspaces, and which values the attempts of jobs were given.

A value is a row of its own. Which one an attempt gets is written down before Ray hears of it and never changes, so that
the attempt can be handed over again after a crash, and so that its logs can be masked for as long as they are collected.
A value that was replaced or removed therefore stays, as sealed as before, until the last job that was given it is
forgotten; one that was given to nobody goes at once.
"""

from __future__ import annotations

import builtins
import secrets as randomness
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from ..domain.ids import JobId, PrincipalId, WorkspaceId
from ..domain.secrets import GivenSecret, SecretName, WorkspaceSecret
from .schema import secret_uses, secrets
from .shared import Shared
from .statements import AnyRow, batches, changed

_S = secrets.c
_U = secret_uses.c
_CURRENT = _S.replaced_at.is_(None)
_UNUSED = ~select(_U.secret).where(_U.secret == _S.id).exists()
_SHOWN = select(_S.workspace, _S.group, _S.key, _S.version, _S.modified_at, _S.modifier, _S.modifier_name)


class Secrets:
    """The repository of secrets."""

    def __init__(self, connection: Connection, shared: Shared) -> None:
        self._connection = connection
        self._shared = shared

    def set(self, secret: WorkspaceSecret, value: str) -> None:
        """Make it, or replace the value of the one that has this name."""
        about = {
            "modified_at": secret.modified_at,
            "modifier": secret.modifier,
            "modifier_name": secret.modifier_name,
        }
        present = self._current(secret.workspace, [secret.name]).get(secret.name)
        if present is not None and self._value(present) == value:
            self._connection.execute(update(secrets).where(_S.id == present.id).values(about))
            return
        if present is not None:
            self._retire(present.id, secret.modified_at)
        id = randomness.token_hex(16)
        name = secret.name
        sealed = self._shared.sealer.seal(value, _purpose(id, secret.workspace, name))
        names = {"group": name.group, "key": name.key, "version": name.version}
        row = {"id": id, "workspace": secret.workspace, **names, **about, "value": sealed}
        self._connection.execute(insert(secrets).values(row))

    def list(self, workspace: WorkspaceId, group: str | None = None) -> builtins.list[WorkspaceSecret]:
        """Those there are, by name, without their values."""
        query = _SHOWN.where(_S.workspace == workspace, _CURRENT).order_by(_S.group, _S.key, _S.version)
        if group is not None:
            query = query.where(_S.group == group)
        return [_shown(row) for row in self._connection.execute(query)]

    def count(self, workspace: WorkspaceId) -> int:
        query = select(func.count()).select_from(secrets).where(_S.workspace == workspace, _CURRENT)
        return self._connection.execute(query).scalar_one()

    def has(self, workspace: WorkspaceId, name: SecretName) -> bool:
        return name in self._current(workspace, [name])

    def values(self, workspace: WorkspaceId, names: Collection[SecretName]) -> dict[SecretName, str]:
        """The present values of those that exist."""
        return {name: self._value(row) for name, row in self._current(workspace, names).items()}

    def remove(self, workspace: WorkspaceId, name: SecretName, now: datetime) -> bool:
        """False when there is none of that name."""
        present = self._current(workspace, [name]).get(name)
        if present is not None:
            self._retire(present.id, now)
        return present is not None

    # --- what jobs were given ---------------------------------------------------------------------------------------

    def give(
        self, workspace: WorkspaceId, job: JobId, attempt: int, names: Sequence[SecretName]
    ) -> Sequence[GivenSecret | None]:
        """The values for an attempt, in the order of ``names``: those that it was given before, else the present ones,
        which are noted as given. None for each that does not exist; then nothing is noted."""
        known = self._given(_U.job == job, _U.attempt == attempt)
        if known:
            return known
        present = self._current(workspace, names)
        found = [present.get(name) for name in names]
        if all(row is not None for row in found):
            uses = [
                {"job": job, "attempt": attempt, "position": position, "secret": row.id}
                for position, row in enumerate(found)
                if row is not None
            ]
            if uses:
                self._connection.execute(insert(secret_uses), uses)
        return [None if row is None else GivenSecret(_name(row), self._value(row)) for row in found]

    def given(self, jobs: Collection[JobId]) -> builtins.list[GivenSecret]:
        """All values that any attempt of these jobs was given, each once."""
        found: dict[GivenSecret, None] = {}
        for some in batches(jobs, 500):
            found |= dict.fromkeys(self._given(_U.job.in_(some)))
        return [*found]

    def forget_unused(self) -> int:
        """Remove replaced values that no job was given; how many."""
        rows = self._connection.execute(
            delete(secrets).where(_S.replaced_at.is_not(None), _UNUSED), execution_options={"preserve_rowcount": True}
        )
        return rows.rowcount

    def _given(self, *where: Any) -> builtins.list[GivenSecret]:  # conditions
        query = select(secrets).join(secret_uses, _U.secret == _S.id).where(*where).order_by(_U.position)
        return [GivenSecret(_name(row), self._value(row)) for row in self._connection.execute(query)]

    def _retire(self, id: str, now: datetime) -> None:
        if not changed(self._connection, delete(secrets).where(_S.id == id, _UNUSED)):
            self._connection.execute(update(secrets).where(_S.id == id).values(replaced_at=now))

    def _current(self, workspace: WorkspaceId, names: Collection[SecretName]) -> dict[SecretName, AnyRow]:
        found: dict[SecretName, AnyRow] = {}
        for some in batches(dict.fromkeys(names), 100):
            those = or_(
                *(and_(_S.group == name.group, _S.key == name.key, _S.version == name.version) for name in some)
            )
            query = select(secrets).where(_S.workspace == workspace, _CURRENT, those)
            found |= {_name(row): row for row in self._connection.execute(query)}
        return found

    def _value(self, row: AnyRow) -> str:
        return self._shared.sealer.open(row.value, _purpose(row.id, row.workspace, _name(row)))


def _purpose(id: str, workspace: WorkspaceId, name: SecretName) -> str:
    """Whose it is, and of what name: a value that was moved to another does not open."""
    return f"secret:{id}:{workspace}:{name}"


def _name(row: AnyRow) -> SecretName:
    return SecretName(row.group, row.key, row.version)


def _shown(row: AnyRow) -> WorkspaceSecret:
    return WorkspaceSecret(
        WorkspaceId(row.workspace), _name(row), row.modified_at, PrincipalId(row.modifier), row.modifier_name
    )
