"""The loop itself: workers on a queue of cluster ids, woken by users, by the engine and by time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

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
"""Failures in a row until users find the cause in the cluster's message."""


@dataclass(frozen=True)
class LoopSettings:
    workers: int = 8
    """Clusters looked at side by side. Looking is mostly waiting, so more than cores is right."""
    tick: timedelta = timedelta(seconds=60)
    """How often the store is asked for all clusters that need care: the net below lost wakes and dead servers."""
    glance: timedelta = timedelta(seconds=2)
    """How often it is asked for clusters on their way to another state, where there are several servers: a wake reaches
    only the server that was called, which need not be the one that has the lease."""
    first_retry: timedelta = timedelta(milliseconds=250)
    """Back-off after an error in a reconcile; doubles up to ``last_retry``."""
    last_retry: timedelta = timedelta(seconds=60)


class ControlLoop:
    """Runs until closed. ``wake`` may be called at any time, also before :meth:`run`."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        reconciler: Reconciler,
        leases: Leases,
        settings: LoopSettings = LoopSettings(),
    ) -> None:
        self._store = store
        self._engine = engine
        self._reconciler = reconciler
        self._leases = leases
        self._settings = settings
        self._queue: WorkQueue[ClusterId] = WorkQueue()
        self._failures: dict[ClusterId, int] = {}

    def wake(self, cluster: ClusterId) -> None:
        self._queue.wake(cluster)

    async def run(self) -> None:
        """Work until cancelled."""
        await sweep(self._store, self._engine)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._wake_every(self._settings.tick, lambda tx: tx.clusters.active()))
                if not self._leases.alone:
                    group.create_task(self._wake_every(self._settings.glance, lambda tx: tx.clusters.unsettled()))
                group.create_task(self._listen())
                group.create_task(self._leases.keep())
                for _ in range(self._settings.workers):
                    group.create_task(self._work())
        finally:
            self._queue.close()
            await self._leases.close()

    async def _wake_every(self, period: timedelta, which: Callable[[Transaction], list[ClusterId]]) -> None:
        while True:
            try:
                for cluster in await self._store.read(which):
                    self._queue.wake(cluster)
            except Unavailable as error:
                log.warning("the store does not answer", cause=error.message)
            await asyncio.sleep(period.total_seconds())

    async def _listen(self) -> None:
        async for instance in self._engine.changes():
            self._queue.wake(cluster_of(instance))

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            try:
                await self._look(key)
            finally:
                self._queue.done(key)

    async def _look(self, key: ClusterId) -> None:
        """One reconcile. This is the boundary at which any error of it is logged and tried again later."""
        try:
            if not await self._leases.hold(key):
                return
            again = await self._reconciler.reconcile(key)
            if again is None:
                await self._leases.release(key)
        except (HeliostatError, OSError) as error:
            await self._failed(key, str(error))
        except Exception:
            log.exception("reconcile failed", cluster=key)
            await self._failed(key, "internal error; see the server's log")
        else:
            self._failures.pop(key, None)
            if again is not None:
                self._queue.wake_after(key, again.total_seconds())

    async def _failed(self, key: ClusterId, cause: str) -> None:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(self._settings.first_retry * 2 ** min(failures, 16), self._settings.last_retry)
        log.warning("cluster cannot be looked after", cluster=key, cause=cause, again_after=delay.total_seconds())
        self._queue.wake_after(key, delay.total_seconds())
        if failures + 1 >= TOLD_AFTER:
            try:
                await self._reconciler.tell(key, f"cannot be looked after at present: {cause}")
            except Exception:  # the same boundary
                log.exception("users cannot be told", cluster=key)
