"""Secrets of a workspace: set, listed by name, removed. No use case gives a value back; jobs are given them by the control
loop. Whoever may run code may set them and see their names, since a job of theirs can read any of them."""

from __future__ import annotations

import builtins
from collections.abc import Collection

import structlog

from heliostat.domain.errors import NotFound, QuotaExceeded
from heliostat.domain.ids import JobId, WorkspaceId
from heliostat.domain.masking import declared_values, hidden
from heliostat.domain.records import Role
from heliostat.domain.secret import Secret
from heliostat.domain.secrets import MAX_IN_WORKSPACE, SecretName, WorkspaceSecret, check_name, check_value
from heliostat.store import Store, Transaction

from .caller import Caller, authorise
from .seams import Clock

log = structlog.get_logger()


class SecretService:
    """The use cases on secrets. Every method may raise NotFound (workspace), Forbidden and InvalidRequest."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def set(self, caller: Caller, workspace: WorkspaceId, name: SecretName, value: Secret) -> WorkspaceSecret:
        """Make it or replace its value; repeatable. Attempts that were handed to Ray before keep what they were given.

        Raises QuotaExceeded when the workspace has too many.
        """
        principal = caller.principal
        made = WorkspaceSecret(workspace, name, self._clock.now(), principal.id, principal.name)

        def work(tx: Transaction) -> None:
            authorise(tx, caller, workspace, Role.EDITOR, "set secrets")
            check_name(name)
            check_value(value.reveal())
            if tx.secrets.count(workspace) >= MAX_IN_WORKSPACE and not tx.secrets.has(workspace, name):
                raise QuotaExceeded(f"a workspace has at most {MAX_IN_WORKSPACE} secrets; delete those no job needs")
            tx.secrets.set(made, value.reveal())

        await self._store.write(work)
        log.info("secret set", workspace=workspace, secret=str(name), principal=principal.name)
        return made

    async def list(
        self, caller: Caller, workspace: WorkspaceId, group: str | None = None
    ) -> builtins.list[WorkspaceSecret]:
        """By name, without their values; of one group, or all."""

        def work(tx: Transaction) -> builtins.list[WorkspaceSecret]:
            authorise(tx, caller, workspace, Role.EDITOR, "list secrets")
            return tx.secrets.list(workspace, group)

        return await self._store.read(work)

    async def hidden(self, job: JobId, text: str, known: Collection[str] = ()) -> str:
        """A text that a job wrote, without the values that it was given of its workspace's secrets, and without ``known``."""
        given = await self._store.read(lambda tx: tx.secrets.given([job]))
        return hidden(text, declared_values(secret.value for secret in given) | frozenset(known))

    async def delete(self, caller: Caller, workspace: WorkspaceId, name: SecretName) -> None:
        """Attempts that begin afterwards and ask for it fail. Raises NotFound (secret)."""

        def work(tx: Transaction) -> None:
            authorise(tx, caller, workspace, Role.EDITOR, "delete secrets")
            if not tx.secrets.remove(workspace, name, self._clock.now()):
                raise NotFound("secret", str(name))

        await self._store.write(work)
        log.info("secret deleted", workspace=workspace, secret=str(name), principal=caller.principal.name)
