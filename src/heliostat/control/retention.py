"""What has ended stays for a while and then goes: jobs, their logs, uploaded code, events, usage.

What is in the storage goes before the row that knows of it, so that after a crash the row is still there and the next sweep
removes both. Several servers may sweep at once: removing what is gone is no error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog

from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import JobId, WorkspaceId
from heliostat.domain.jobs import PACKAGE, Job, LogFile
from heliostat.services.packages import package_key
from heliostat.services.seams import Clock
from heliostat.storage import Storage
from heliostat.store import Store, Transaction

log = structlog.get_logger()
BATCH = 200
"""Rows of one transaction: others wait for it."""
REFUSALS = 3
"""Keys that the storage may refuse to remove before a sweep takes it to be down."""
Package = tuple[WorkspaceId, str]
T = TypeVar("T")
_FOR_EVER = datetime(1970, 1, 2, tzinfo=UTC)
"""Nothing is older, but for what was made as old as can be because it was deleted."""


@dataclass(frozen=True)
class RetentionSettings:
    """How long things stay; None = for ever."""

    jobs: timedelta | None = timedelta(days=90)
    """A job's record with its events and all its logs, from its end."""
    logs: timedelta | None = timedelta(days=30)
    """Log files, from their last change."""
    packages: timedelta | None = timedelta(days=30)
    """Uploaded code, from its last use."""
    events: timedelta | None = timedelta(days=90)
    operations: timedelta | None = timedelta(days=30)
    """From their end."""
    usage: timedelta | None = timedelta(days=400)
    """Hours of the ledger: long enough to compare a month with the same one a year before."""
    first: timedelta = timedelta(minutes=1)
    """From the start of a server to its first sweep."""
    every: timedelta = timedelta(hours=1)


class Retention:
    """Made once per server."""

    def __init__(
        self,
        store: Store,
        storage: Storage,
        clock: Clock,
        settings: RetentionSettings = RetentionSettings(),
        expired_documents: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self._expired_documents = expired_documents
        """Removes those, which say by themselves when they may go; says how many."""
        self._store = store
        self._storage = storage
        self._clock = clock
        self._settings = settings

    async def run(self) -> None:
        """Sweep now and then, until cancelled."""
        await asyncio.sleep(self._settings.first.total_seconds())
        while True:
            try:
                await self.sweep_once()
            except Unavailable as error:
                log.warning("not all that is old could be removed", cause=error.message)
            except Exception:  # the boundary: whatever is wrong with a single row must not end the server
                log.exception("sweep failed")
            await asyncio.sleep(self._settings.every.total_seconds())

    async def sweep_once(self) -> None:
        """Remove all that is old by now. Raises Unavailable when some of it had to stay, after the rest is gone."""
        parts: tuple[tuple[str, timedelta | None, Callable[[datetime], Awaitable[int]]], ...] = (
            ("jobs", self._settings.jobs, self._jobs),
            ("log files", self._settings.logs, self._logs),
            ("packages", self._settings.packages, self._packages),
            ("events", self._settings.events, self._events),
            ("operations", self._settings.operations, self._operations),
            ("usage", self._settings.usage, self._usage),
        )
        removed: dict[str, int] = {}
        failure: Unavailable | None = None
        now = self._clock.now()
        for name, age, sweep in parts:
            try:
                removed[name.replace(" ", "_")] = await sweep(_FOR_EVER if age is None else now - age)
            except Unavailable as error:
                failure = failure or error
        if self._expired_documents is not None:
            removed["documents"] = await self._expired_documents()
        if any(removed.values()):
            log.info("old things removed", **removed)
        if failure is not None:
            raise failure

    async def _jobs(self, before: datetime) -> int:
        """Settled jobs, each with all that is left of it."""

        async def keys(job: JobId) -> list[str]:
            return [file.key for file in await self._store.read(lambda tx: tx.log_files.of(job))]

        def forget(job: JobId, tx: Transaction) -> None:
            tx.log_files.remove(tx.log_files.of(job))
            tx.events.remove_of_job(job)
            tx.jobs.remove(job)

        gone = await self._remove(lambda limit, tx: tx.jobs.ended_before(before, limit=limit), keys, forget)
        await self._store.write(lambda tx: tx.secrets.forget_unused())
        return gone

    async def _logs(self, before: datetime) -> int:
        async def keys(file: LogFile) -> list[str]:
            return [file.key]

        def find(limit: int, tx: Transaction) -> list[LogFile]:
            return tx.log_files.modified_before(before, limit=limit)

        return await self._remove(find, keys, lambda file, tx: tx.log_files.remove([file]))

    async def _packages(self, before: datetime) -> int:
        """A package that is claimed while its bytes go is gone for that job, which says so, and is uploaded anew for the
        next: its row goes in any case."""

        async def keys(package: Package) -> list[str] | None:
            claimed = await self._store.write(lambda tx: _claimed(tx, package, before, self._clock.now()))
            return None if claimed else [package_key(*package)]

        def find(limit: int, tx: Transaction) -> list[Package]:
            return tx.packages.unused_since(before, limit=limit)

        return await self._remove(find, keys, lambda package, tx: tx.packages.remove(*package))

    async def _events(self, before: datetime) -> int:
        count = 0
        while removed := await self._store.write(lambda tx: tx.events.remove_before(before, limit=BATCH)):
            count += removed
        return count

    async def _operations(self, before: datetime) -> int:
        count = 0
        while removed := await self._store.write(lambda tx: tx.operations.remove_before(before, limit=BATCH)):
            count += removed
        return count

    async def _usage(self, before: datetime) -> int:
        count = 0
        for workspace in await self._store.read(lambda tx: tx.ledger.workspaces_before(before)):
            forget = partial(_forget_usage, workspace, before)
            while removed := await self._store.write(forget):
                count += removed
        return count

    async def _remove(
        self,
        find: Callable[[int, Transaction], list[T]],
        keys: Callable[[T], Awaitable[list[str] | None]],
        forget: Callable[[T, Transaction], None],
    ) -> int:
        """Of each row that is found first the bytes, then itself; says how many. ``keys`` gives None for one that stays after
        all, and that is not found again.

        A key that cannot be removed does not hold up the others.
        """
        refused: dict[T, Unavailable] = {}
        count = 0
        while True:
            found = await self._store.read(partial(find, BATCH + len(refused)))
            left = [row for row in found if row not in refused]
            if not left:
                break
            for row in left:
                try:
                    gone = await keys(row)
                    for key in gone or ():
                        await self._storage.delete(key)
                    if gone is not None:
                        await self._store.write(partial(forget, row))
                        count += 1
                except Unavailable as error:
                    refused[row] = error
                    if len(refused) > REFUSALS:
                        raise
        if refused:
            raise next(iter(refused.values()))
        return count


def _forget_usage(workspace: WorkspaceId, before: datetime, tx: Transaction) -> int:
    return tx.ledger.remove_before(workspace, before, limit=BATCH)


def _claimed(tx: Transaction, package: Package, before: datetime, now: datetime) -> bool:
    """Whether somebody uses it after all; a job that is not over does, which is noted."""
    workspace, sha256 = package
    if not tx.packages.unused(workspace, sha256, before):
        return True
    for id in tx.jobs.unsettled():
        job = tx.jobs.find(id)
        if job is not None and job.workspace == workspace and sha256 in _needs(job):
            return tx.packages.used(workspace, sha256, now)
    return False


def _needs(job: Job) -> set[str]:
    """The packages of a job: what it was given, what was made of that."""
    given = job.spec.code.working_dir or ""
    made = job.prepared.package if job.prepared is not None else None
    return {given.removeprefix(PACKAGE), made or ""}
