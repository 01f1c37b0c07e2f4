"""The loop itself: workers on a queue of keys, woken by users, by what is worked on and by time.

What is done with a key is its :class:`Subject`'s business: clusters (:mod:`reconciler`) and jobs (:mod:`job_reconciler`)
have a loop each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

import structlog

from heliostat.domain.errors import HeliostatError, Unavailable
from heliostat.domain.ids import ClusterId, cluster_of
from heliostat.engines.base import Engine
from heliostat.store import Store, Transaction

from .leases import Leases
from .queue import WorkQueue
from .reconciler import Reconciler, sweep

log = structlog.get_logger()
TOLD_AFTER = 3
"""Failures in a row until users find the cause in the message of the cluster or job."""
K = TypeVar("K", bound=str)


@dataclass(frozen=True)
class LoopSettings:
    workers: int = 8
    """Keys looked at side by side. Looking is mostly waiting, so more than cores is right."""
    tick: timedelta = timedelta(seconds=60)
    """How often the store is asked for all keys that need care: the net below lost wakes and dead servers."""
    glance: timedelta = timedelta(seconds=2)
    """How often it is asked for keys on their way to another state, where there are several servers: a wake reaches
    only the server that was called, which need not be the one that has the lease."""
    first_retry: timedelta = timedelta(milliseconds=250)
    """Back-off after an error in a reconcile; doubles up to ``last_retry``."""
    last_retry: timedelta = timedelta(seconds=60)


class Subject(Protocol[K]):
    """What the keys of a loop are, and what is done with one."""

    kind: str
    """One word: ``cluster``."""

    def active(self, tx: Transaction) -> list[K]:
        """Every key that needs care."""

    def unsettled(self, tx: Transaction) -> list[K]:
        """Those of them on their way to another state."""

    async def reconcile(self, key: K) -> timedelta | None:
        """Look at a key once; says when to look again at the latest, None for "when woken"."""

    async def tell(self, key: K, message: str) -> None:
        """Have users read why nothing happens with it; the next look that succeeds takes it back."""

    async def begin(self) -> None:
        """Called once, before the first key is looked at."""

    def news(self) -> AsyncIterator[K]:
        """Yields a key whenever a look at it may show something new."""


class Loop(Generic[K]):
    """Runs until closed. ``wake`` may be called at any time, also before :meth:`run`."""

    def __init__(
        self, store: Store, subject: Subject[K], leases: Leases, settings: LoopSettings = LoopSettings()
    ) -> None:
        self._store = store
        self._subject = subject
        self._leases = leases
        self._settings = settings
        self._queue: WorkQueue[K] = WorkQueue()
        self._failures: dict[K, int] = {}

    def wake(self, key: K) -> None:
        self._queue.wake(key)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._subject.begin()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._wake_every(self._settings.tick, self._subject.active))
                if not self._leases.alone:
                    group.create_task(self._wake_every(self._settings.glance, self._subject.unsettled))
                group.create_task(self._listen())
                group.create_task(self._leases.keep())
                for _ in range(self._settings.workers):
                    group.create_task(self._work())
        finally:
            self._queue.close()
            await self._leases.close()

    async def _wake_every(self, period: timedelta, which: Callable[[Transaction], list[K]]) -> None:
        while True:
            try:
                for key in await self._store.read(which):
                    self._queue.wake(key)
            except Unavailable as error:
                log.warning("the store does not answer", cause=error.message)
            await asyncio.sleep(period.total_seconds())

    async def _listen(self) -> None:
        async for key in self._subject.news():
            self._queue.wake(key)

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            try:
                await self._look(key)
            finally:
                self._queue.done(key)

    async def _look(self, key: K) -> None:
        """One reconcile. This is the boundary at which any error of it is logged and tried again later."""
        try:
            if not await self._leases.hold(key):
                return
            again = await self._subject.reconcile(key)
            if again is None:
                await self._leases.release(key)
        except (HeliostatError, OSError) as error:
            await self._failed(key, str(error))
        except Exception:
            log.exception("reconcile failed", **{self._subject.kind: key})
            await self._failed(key, "internal error; see the server's log")
        else:
            self._failures.pop(key, None)
            if again is not None:
                self._queue.wake_after(key, again.total_seconds())

    async def _failed(self, key: K, cause: str) -> None:
        kind = self._subject.kind
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(self._settings.first_retry * 2 ** min(failures, 16), self._settings.last_retry)
        log.warning("cannot be looked after", cause=cause, again_after=delay.total_seconds(), **{kind: key})
        self._queue.wake_after(key, delay.total_seconds())
        if failures + 1 >= TOLD_AFTER:
            try:
                await self._subject.tell(key, f"cannot be looked after at present: {cause}")
            except Exception:  # the same boundary
                log.exception("users cannot be told", **{kind: key})


class _Clusters:
    """Clusters as a subject."""

    kind = "cluster"

    def __init__(self, store: Store, engine: Engine, reconciler: Reconciler) -> None:
        self._store = store
        self._engine = engine
        self.reconcile = reconciler.reconcile
        self.tell = reconciler.tell

    def active(self, tx: Transaction) -> list[ClusterId]:
        return [*tx.clusters.active(), *tx.operations.busy()]

    def unsettled(self, tx: Transaction) -> list[ClusterId]:
        # An update leaves the state as it is; whoever has the lease need not be who was asked for it.
        return [*tx.clusters.unsettled(), *tx.operations.busy()]

    async def begin(self) -> None:
        await sweep(self._store, self._engine)

    async def news(self) -> AsyncIterator[ClusterId]:
        async for instance in self._engine.changes():
            yield cluster_of(instance)


class ControlLoop(Loop[ClusterId]):
    """The loop of the clusters."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        reconciler: Reconciler,
        leases: Leases,
        settings: LoopSettings = LoopSettings(),
    ) -> None:
        super().__init__(store, _Clusters(store, engine, reconciler), leases, settings)
