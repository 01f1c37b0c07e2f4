"""Crash points: the process "dies" at a chosen step between the server and its store or engine.

A :class:`Crash` is no ``Exception``, so that no error handling of ours sees it: like a kill -9 it ends whatever was being
done, before or after the step took effect. A test then drops everything in memory and opens a new server on what is left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar, cast

from heliostat.domain.activity import RayActivity
from heliostat.domain.engine import Finding, InstancePlan, NodeLog, Observation
from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import InstanceId
from heliostat.domain.ray_jobs import RaySighting, RaySubmission, WorkSummary
from heliostat.domain.releases import Release
from heliostat.domain.spec import ClusterSpec
from heliostat.engines.base import Engine
from heliostat.ray_api import Head, RayApi
from heliostat.storage import Storage
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

    def disarm(self) -> None:
        """Do not crash after all, if it has not happened yet."""
        self._left = None

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

    def derived_key(self, purpose: str) -> bytes:
        return self._store.derived_key(purpose)

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

    def renews_head(self, release: Release) -> bool:
        return self._engine.renews_head(release)

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


class CrashingRay:
    """Ray's API with a step before and after each effect."""

    def __init__(self, ray: RayApi, points: CrashPoints) -> None:
        self._ray = ray
        self._points = points

    async def submit(self, head: Head, submission: RaySubmission) -> None:
        self._points.hit("submit")
        await self._ray.submit(head, submission)
        self._points.hit("submitted")

    async def sighting(self, head: Head, submission_id: str) -> RaySighting | None:
        self._points.hit("sighting")
        return await self._ray.sighting(head, submission_id)

    async def stop(self, head: Head, submission_id: str) -> None:
        self._points.hit("stop")
        await self._ray.stop(head, submission_id)
        self._points.hit("stopped")

    async def wake(self, head: Head, submission_id: str) -> None:
        self._points.hit("wake")
        await self._ray.wake(head, submission_id)

    async def has_package(self, head: Head, name: str) -> bool:
        self._points.hit("has package")
        return await self._ray.has_package(head, name)

    async def put_package(self, head: Head, name: str, path: Path) -> None:
        self._points.hit("put package")
        await self._ray.put_package(head, name, path)

    async def summary(self, head: Head, ray_job_id: str) -> WorkSummary:
        self._points.hit("summary")
        return await self._ray.summary(head, ray_job_id)

    async def activity(self, head: Head) -> RayActivity:
        self._points.hit("activity")
        return await self._ray.activity(head)

    async def close(self) -> None:
        await self._ray.close()


class CrashingStorage:
    """A storage with a step before and after each effect, which can also be down for a while."""

    def __init__(self, storage: Storage, points: CrashPoints) -> None:
        self._storage = storage
        self._points = points
        self.down = False

    async def append(self, key: str, offset: int, data: bytes) -> None:
        self._hit("append")
        await self._storage.append(key, offset, data)
        self._hit("appended")

    async def read(self, key: str, offset: int, size: int) -> bytes:
        self._hit("read log")
        return await self._storage.read(key, offset, size)

    async def put_file(self, key: str, path: Path) -> None:
        self._hit("put file")
        await self._storage.put_file(key, path)
        self._hit("file put")

    async def get_file(self, key: str, path: Path) -> bool:
        self._hit("get file")
        return await self._storage.get_file(key, path)

    async def delete(self, key: str) -> None:
        self._hit("delete")
        await self._storage.delete(key)

    async def close(self) -> None:
        await self._storage.close()

    def _hit(self, name: str) -> None:
        self._points.hit(name)
        if self.down:
            raise Unavailable("the log storage does not answer")
