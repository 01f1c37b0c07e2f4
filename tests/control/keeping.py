"""A small house for tests that bring logs home: store, storage and a simulated world, with one cluster that runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from heliostat.control.log_keeper import LogKeeper, LogSettings
from heliostat.domain.engine import GroupPlan, InstancePlan
from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import ClusterId, InstanceId, JobId, NodeId, new_job_id
from heliostat.domain.job_states import JobClusterState, JobGoal, JobStatus
from heliostat.domain.jobs import Attempt, Job, JobSpec, LogFile, driver_log, submission_id
from heliostat.domain.records import Cluster, Instance
from heliostat.domain.releases import Catalogue
from heliostat.domain.secrets import JobSecret
from heliostat.engines.base import Engine
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.services import News
from heliostat.storage import Storage
from heliostat.storage.folder import FolderStorage
from heliostat.store import Store, StoreSettings
from heliostat.testing.clock import ManualClock
from tests.store.samples import ANNA, HOME, a_cluster, a_spec, an_instance, make_workspaces

QUICK = LogSettings(
    poll=timedelta(milliseconds=2),
    patient_poll=timedelta(milliseconds=2),
    check=timedelta(milliseconds=20),
    first_retry=timedelta(milliseconds=2),
    last_retry=timedelta(milliseconds=4),
)
SECRET = "s3cret-s3cret-s3cret"
PRIVATE_ENV = {"env_vars": {"TOKEN": SECRET}}
PLAN = GroupPlan("head", 1, 1.0, 1 << 30)


class FailingStorage:
    """A storage that can be down, and that watches over how it is used."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.down = False
        self.tried = 0
        self.refusing: set[str] = set()
        """Keys that cannot be deleted."""
        self.appended = 0
        """Bytes, those that were written again included."""
        self._appending: set[str] = set()

    async def append(self, key: str, offset: int, data: bytes) -> None:
        self._try()
        assert key not in self._appending, "two at once append to one key"
        self._appending.add(key)
        try:
            await asyncio.sleep(0)
            await self.storage.append(key, offset, data)
        finally:
            self._appending.remove(key)
        self.appended += len(data)

    async def read(self, key: str, offset: int, size: int) -> bytes:
        self._try()
        return await self.storage.read(key, offset, size)

    async def put_file(self, key: str, path: Path) -> None:
        self._try()
        await self.storage.put_file(key, path)

    async def get_file(self, key: str, path: Path) -> bool:
        self._try()
        return await self.storage.get_file(key, path)

    async def delete(self, key: str) -> None:
        self._try()
        if key in self.refusing:
            raise Unavailable("may not be deleted")
        await self.storage.delete(key)

    async def close(self) -> None:
        await self.storage.close()

    def _try(self) -> None:
        self.tried += 1
        if self.down:
            raise Unavailable("the storage is down")


@dataclass
class House:
    store: Store
    storage: FailingStorage
    world: World
    cluster: Cluster
    instance: Instance
    clock: ManualClock = field(default_factory=ManualClock)
    news: News = field(default_factory=News)

    @property
    def head(self) -> NodeId:
        return NodeId(f"{self.instance.id}-head-1")

    def engine(self) -> Engine:
        return SimulatedEngine(self.world)

    def keeper(
        self, settings: LogSettings = QUICK, *, engine: Engine | None = None, storage: Storage | None = None
    ) -> LogKeeper:
        return LogKeeper(self.store, engine or self.engine(), storage or self.storage, self.news, self.clock, settings)

    async def job(
        self,
        runtime_env: Mapping[str, Any] = PRIVATE_ENV,
        *,
        cluster: ClusterId | None = None,
        secrets: tuple[JobSecret, ...] = (),
    ) -> Job:
        """A job that runs, in its first attempt."""
        id = new_job_id()
        on = cluster or self.cluster.id
        now = self.clock.now()
        spec = JobSpec("j", "python main.py", a_spec(), on, runtime_env=runtime_env, secrets=secrets)
        made = Job(
            id=id, workspace=HOME, spec=spec,
            status=JobStatus.RUNNING, message="runs", goal=JobGoal.RUN, cluster=on,
            cluster_state=JobClusterState.RUNNING, creator=ANNA, creator_name="anna", submitted_at=now,
            attempts=(Attempt(1, submission_id(id, 1), self.instance.id, "abc", now, now),),
        )  # fmt: skip
        await self.store.write(lambda tx: tx.jobs.add(made))
        return made

    async def end(self, job: Job, **changes: Any) -> Job:  # fields of Job
        """The job with its last attempt over."""
        now = self.clock.now()
        attempts = (*job.attempts[:-1], replace(job.attempts[-1], ended_at=now))
        fields = {"attempts": attempts, "status": JobStatus.SUCCEEDED, "ended_at": now, **changes}
        ended = replace(job, **fields)
        await self.store.write(lambda tx: tx.jobs.save(ended))
        return ended

    async def collect(self, wanted: bool) -> None:
        """Switch the collection of the cluster's logs on or off while it runs."""
        known = await self.store.read(lambda tx: tx.instances.get(self.instance.id))
        assert known is not None
        self.instance = replace(known, spec=replace(known.spec, collect_logs=wanted))
        await self.store.write(lambda tx: tx.instances.save(self.instance))

    def prints(self, job: Job, text: str, attempt: int = 1, node: str = "") -> None:
        name = f"job-driver-{submission_id(job.id, attempt)}.log"
        self.world.write_log(self.instance.id, NodeId(node) if node else self.head, name, text)

    async def row(self, owner: str, name: str) -> LogFile | None:
        return await self.store.read(lambda tx: tx.log_files.get(owner, name))

    async def driver(self, job: Job, attempt: int = 1) -> LogFile:
        found = await self.row(job.id, driver_log(job.id, attempt))
        assert found is not None
        return found

    async def stored(self, file: LogFile) -> bytes:
        """What a reader gets: up to the size that the row promises."""
        data = await self.storage.storage.read(file.key, 0, file.size)
        assert len(data) == file.size, "the row promises more than there is"
        return data

    async def printed(self, job: Job, attempt: int = 1) -> str:
        found = await self.row(job.id, driver_log(job.id, attempt))
        return "" if found is None else (await self.stored(found)).decode()


@contextlib.asynccontextmanager
async def house(folder: Path) -> AsyncIterator[House]:
    folder.mkdir(exist_ok=True)
    store = await Store.open(StoreSettings(f"sqlite:///{folder}/h.db", folder / "key"))
    files = FolderStorage(folder / "storage")
    try:
        await make_workspaces(store)
        cluster = a_cluster()
        cluster = replace(cluster, spec=replace(cluster.spec, collect_logs=True))
        instance = an_instance(cluster)
        await store.write(lambda tx: (tx.clusters.add(cluster), tx.instances.add(instance)))
        made = House(store, FailingStorage(files), World(), cluster, instance)
        await run_instance(made.world, instance)
        yield made
    finally:
        await files.close()
        await store.close()


async def run_instance(world: World, instance: Instance) -> None:
    release = Catalogue().default_release
    await SimulatedEngine(world).apply(InstancePlan(instance.id, instance.cluster, "c", 1, release, PLAN))
    world.logs[instance.id] = {}


async def until(reached: Callable[[], Awaitable[bool]], what: str, within: float = 20) -> None:
    """Look at the world until it is so."""
    try:
        async with asyncio.timeout(within):
            while not await reached():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"not within {within} s: {what}") from None


__all__ = ["HOME", "QUICK", "SECRET", "House", "InstanceId", "JobId", "house", "run_instance", "until"]
