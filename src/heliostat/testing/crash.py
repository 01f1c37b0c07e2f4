"""Crash points: the process "dies" at a chosen step between the server and its store or engine.

A :class:`Crash` is no ``Exception``, so that no error handling of ours sees it: like a kill -9 it ends whatever was being
done, before or after the step took effect. A test then drops everything in memory and opens a new server on what is left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TypeVar, cast

from heliostat.domain.engine import Finding, InstancePlan, NodeLog, Observation
from heliostat.domain.ids import InstanceId
from heliostat.domain.releases import Release
from heliostat.domain.spec import ClusterSpec
from heliostat.engines.base import Engine
from heliostat.store import Store, Transaction

T = TypeVar("T")


class Crash(BaseException):
    """The process died here."""


class CrashPoints:
    """Counts the steps of one server and crashes at the one that was armed."""

    def __init__(self) -> None:
        self._left: int | None = None
        self.crashed_at: str | None = None

    def arm(self, steps: int) -> None:
        """Crash at the step after ``steps`` more ones."""
        self._left = steps

    def hit(self, name: str) -> None:
        """A step is passed. Once crashed, every further step crashes too: the process is dead."""
        if self.crashed_at is None and self._left is not None:
            if self._left == 0:
                self.crashed_at = name
            self._left -= 1
        if self.crashed_at is not None:
            raise Crash(self.crashed_at)


class _CrashingStore:
    """A store with a step before each transaction and one between its commit and the reply."""

    def __init__(self, store: Store, points: CrashPoints) -> None:
        self._store = store
        self._points = points

    async def read(self, work: Callable[[Transaction], T]) -> T:
        self._points.hit("read")
        return await self._store.read(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        self._points.hit("write")
        value = await self._store.write(work)
        self._points.hit("written")
        return value


def crashing_store(store: Store, points: CrashPoints) -> Store:
    """The store as a server sees it that dies at the armed step."""
    return cast(Store, _CrashingStore(store, points))


class CrashingEngine:
    """An engine with a step before and after each effect."""

    def __init__(self, engine: Engine, points: CrashPoints) -> None:
        self._engine = engine
        self._points = points

    async def open(self) -> None:
        await self._engine.open()

    async def close(self) -> None:
        await self._engine.close()

    async def apply(self, plan: InstancePlan) -> None:
        self._points.hit("apply")
        await self._engine.apply(plan)
        self._points.hit("applied")

    async def observe(self, instance: InstanceId) -> Observation:
        self._points.hit("observe")
        return await self._engine.observe(instance)

    async def destroy(self, instance: InstanceId) -> None:
        self._points.hit("destroy")
        await self._engine.destroy(instance)
        self._points.hit("destroyed")

    async def discover(self) -> list[InstanceId]:
        self._points.hit("discover")
        return await self._engine.discover()

    def changes(self) -> AsyncIterator[InstanceId]:
        return self._engine.changes()

    def support(self, spec: ClusterSpec) -> list[Finding]:
        return self._engine.support(spec)

    async def release_problem(self, release: Release) -> str | None:
        return await self._engine.release_problem(release)

    async def prepare(self, release: Release) -> None:
        await self._engine.prepare(release)

    async def begin_preparation(self, release: Release) -> None:
        await self._engine.begin_preparation(release)

    def preparation(self, release: Release) -> tuple[str, str]:
        return self._engine.preparation(release)

    async def log_files(self, instance: InstanceId) -> list[NodeLog]:
        self._points.hit("list logs")
        return await self._engine.log_files(instance)

    async def read_log(self, instance: InstanceId, log: NodeLog, offset: int, size: int) -> bytes | None:
        self._points.hit("read log")
        return await self._engine.read_log(instance, log, offset, size)
