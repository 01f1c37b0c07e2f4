"""What is old goes, what is needed stays, and neither crash nor outage leaves bytes that nobody knows of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from heliostat.control.retention import BATCH, Retention, RetentionSettings
from heliostat.domain.errors import NotReady, Unavailable
from heliostat.domain.ids import ClusterId, new_cluster_id, new_job_id
from heliostat.domain.job_states import JobClusterState, JobGoal, JobStatus
from heliostat.domain.jobs import PACKAGE, Code, Job, JobSpec, LogFile, Prepared
from heliostat.domain.records import Cluster, Event
from heliostat.services.packages import package_key
from heliostat.storage.folder import FolderStorage
from heliostat.store import Store, StoreSettings
from heliostat.testing.clock import ManualClock
from heliostat.testing.crash import Crash, CrashingStorage, CrashPoints, crashing_store
from tests.store.samples import ANNA, HOME, a_cluster, a_spec, an_instance, make_workspaces

from .keeping import FailingStorage

SHA = "ab" * 32
FOR_EVER = RetentionSettings(jobs=None, logs=None, packages=None, events=None)


@dataclass
class Attic:
    """A store and a storage full of old things."""

    store: Store
    storage: FailingStorage
    folder: Path
    clock: ManualClock

    def retention(self, settings: RetentionSettings = RetentionSettings()) -> Retention:
        return Retention(self.store, self.storage, self.clock, settings)

    def ago(self, days: float) -> datetime:
        return self.clock.now() - timedelta(days=days)

    async def job(self, days: float | None, **changes: Any) -> Job:  # fields of Job
        """Settled, having ended so long ago; None = it runs."""
        id = new_job_id()
        ended = None if days is None else self.ago(days)
        made = Job(
            id=id, workspace=HOME, spec=JobSpec("j", "true", a_spec()), message="m", goal=JobGoal.RUN,
            status=JobStatus.RUNNING if days is None else JobStatus.SUCCEEDED, cluster=new_cluster_id(),
            cluster_state=JobClusterState.DELETED, creator=ANNA, creator_name="anna", submitted_at=self.ago(400),
            ended_at=ended, settled=days is not None,
        )  # fmt: skip
        made = replace(made, **changes)
        await self.store.write(lambda tx: tx.jobs.add(made))
        return made

    async def log(self, owner: str, days: float, name: str = "a.log", *, stored: bool = True) -> LogFile:
        file = LogFile(owner, HOME, name, 3, 3, self.ago(days), complete=True)
        if stored:
            await self.storage.storage.append(file.key, 0, b"abc")
        await self.store.write(lambda tx: tx.log_files.add(file))
        return file

    async def package(self, days: float, sha256: str = SHA) -> str:
        key = package_key(HOME, sha256)
        source = self.folder / "package.zip"
        source.write_bytes(b"zip")
        await self.storage.storage.put_file(key, source)
        await self.store.write(lambda tx: tx.packages.add(HOME, sha256, 3, self.ago(days)))
        return key

    async def event(self, days: float, cluster: ClusterId | None = None, **fields: Any) -> None:  # of Event
        made = Event(cluster or new_cluster_id(), HOME, self.ago(days), "anna", "Started", "m", **fields)
        await self.store.write(lambda tx: tx.events.add(made))

    async def events(self) -> int:
        return len(await self.store.read(lambda tx: tx.events.of_workspace(HOME, limit=10_000)))

    async def has_log(self, file: LogFile) -> tuple[bool, bool]:
        """Whether there are its row and its bytes."""
        row = await self.store.read(lambda tx: tx.log_files.get(file.owner, file.name))
        return row is not None, bool(await self.storage.storage.read(file.key, 0, 1))

    async def has_package(self, sha256: str = SHA) -> tuple[bool, bool]:
        row = await self.store.read(lambda tx: tx.packages.size(HOME, sha256))
        there = await self.storage.storage.get_file(package_key(HOME, sha256), self.folder / "copy.zip")
        return row is not None, there

    async def has_job(self, job: Job) -> bool:
        return await self.store.read(lambda tx: tx.jobs.find(job.id)) is not None


GONE = (False, False)
THERE = (True, True)


@pytest_asyncio.fixture
async def attic(database: str, tmp_path: Path) -> AsyncIterator[Attic]:
    store = await Store.open(StoreSettings(database, tmp_path / "key"))
    storage = FolderStorage(tmp_path / "storage")
    try:
        await make_workspaces(store)
        yield Attic(store, FailingStorage(storage), tmp_path, ManualClock())
    finally:
        await storage.close()
        await store.close()


class TestLogs:
    async def test_old_ones_go(self, attic: Attic) -> None:
        old, new = await attic.log("rj-1", 31), await attic.log("rj-1", 29, "b.log")
        await attic.retention().sweep_once()
        assert await attic.has_log(old) == GONE
        assert await attic.has_log(new) == THERE

    async def test_those_of_what_is_not_over_stay_and_hold_up_no_others(self, attic: Attic) -> None:
        running = await attic.job(None)
        cluster = a_cluster()
        instance = an_instance(cluster)
        await attic.store.write(lambda tx: (tx.clusters.add(cluster), tx.instances.add(instance)))
        for number in range(BATCH):
            await attic.log(running.id, 50, f"{number}.log", stored=False)
        kept = [await attic.log(running.id, 40), await attic.log(instance.id, 40)]
        old = await attic.log("rj-1", 31)
        await attic.retention().sweep_once()
        assert await attic.has_log(old) == GONE
        assert [await attic.has_log(file) for file in kept] == [THERE, THERE]
        await attic.store.write(lambda tx: tx.instances.save(replace(instance, ended_at=attic.ago(0))))
        await attic.retention().sweep_once()
        assert await attic.has_log(kept[1]) == GONE

    async def test_those_of_a_deleted_job_go_even_where_logs_stay_for_ever(self, attic: Attic) -> None:
        deleted, other = await attic.log("rj-1", 0), await attic.log("rj-2", 1000)
        await attic.store.write(lambda tx: tx.log_files.expire("rj-1"))
        await attic.retention(FOR_EVER).sweep_once()
        assert await attic.has_log(deleted) == GONE
        assert await attic.has_log(other) == THERE

    async def test_more_than_a_batch(self, attic: Attic) -> None:
        for number in range(BATCH + 5):
            await attic.log("rj-1", 31 + number, f"{number}.log", stored=False)
        await attic.retention().sweep_once()
        assert await attic.store.read(lambda tx: tx.log_files.of("rj-1")) == []


class TestJobs:
    async def test_a_record_goes_with_its_events_and_logs(self, attic: Attic) -> None:
        old, new = await attic.job(91), await attic.job(89)
        logs = {job.id: await attic.log(job.id, 0) for job in (old, new)}
        for job in (old, new):
            await attic.event(0, job.cluster, job=job.id)
        await attic.retention(replace(RetentionSettings(), logs=None)).sweep_once()
        assert not await attic.has_job(old)
        assert await attic.has_log(logs[old.id]) == GONE
        assert await attic.has_job(new)
        assert await attic.has_log(logs[new.id]) == THERE
        assert await attic.events() == 1

    async def test_one_that_is_not_settled_stays(self, attic: Attic) -> None:
        job = await attic.job(91, settled=False)
        await attic.retention().sweep_once()
        assert await attic.has_job(job)

    async def test_for_ever(self, attic: Attic) -> None:
        job = await attic.job(10_000)
        await attic.event(10_000)
        await attic.package(10_000)
        await attic.retention(FOR_EVER).sweep_once()
        assert await attic.has_job(job)
        assert await attic.events() == 1
        assert await attic.has_package() == THERE


class TestEvents:
    async def test_old_ones_go_though_their_cluster_exists(self, attic: Attic) -> None:
        cluster = a_cluster()
        await attic.store.write(lambda tx: tx.clusters.add(cluster))
        await attic.event(91, cluster.id)
        await attic.event(89, cluster.id)
        await attic.event(91)
        await attic.retention().sweep_once()
        assert await attic.events() == 1

    async def test_what_a_running_instance_has_reported_is_not_reported_anew(self, attic: Attic) -> None:
        cluster: Cluster = a_cluster()
        instance = an_instance(cluster)
        await attic.store.write(lambda tx: (tx.clusters.add(cluster), tx.instances.add(instance)))
        await attic.event(91, cluster.id, instance=instance.id, key="lost/w1")
        await attic.retention().sweep_once()
        assert await attic.events() == 1
        await attic.store.write(lambda tx: tx.instances.save(replace(instance, ended_at=attic.ago(0))))
        await attic.retention().sweep_once()
        assert await attic.events() == 0

    async def test_more_than_a_batch(self, attic: Attic) -> None:
        for _ in range(BATCH + 5):
            await attic.event(91)
        await attic.retention().sweep_once()
        assert await attic.events() == 0


class TestPackages:
    async def test_unused_ones_go(self, attic: Attic) -> None:
        await attic.package(31)
        await attic.package(29, "cd" * 32)
        await attic.retention().sweep_once()
        assert await attic.has_package() == GONE
        assert await attic.has_package("cd" * 32) == THERE

    @pytest.mark.parametrize("given", [True, False])
    async def test_what_an_unsettled_job_needs_stays(self, attic: Attic, given: bool) -> None:
        await attic.package(31)
        spec = JobSpec("j", "true", a_spec(), code=Code(f"{PACKAGE}{SHA}") if given else Code())
        job = await attic.job(None, spec=spec, prepared=None if given else Prepared(SHA))
        await attic.retention().sweep_once()
        assert await attic.has_package() == THERE
        ended = replace(job, settled=True, status=JobStatus.SUCCEEDED, ended_at=attic.ago(0))
        await attic.store.write(lambda tx: tx.jobs.save(ended))
        attic.clock.advance(days=31)
        await attic.retention().sweep_once()
        assert await attic.has_package() == GONE

    async def test_one_that_is_used_during_the_sweep_stays(self, attic: Attic) -> None:
        """Between its being found and its turn, a user asks for it."""
        await attic.package(32, "cd" * 32)
        await attic.package(31)
        retention = attic.retention()
        deleted = attic.storage.delete

        async def delete(key: str) -> None:
            await attic.store.write(lambda tx: tx.packages.used(HOME, SHA, attic.clock.now()))
            await deleted(key)

        attic.storage.delete = delete  # type: ignore[method-assign]
        await retention.sweep_once()
        assert await attic.has_package("cd" * 32) == GONE
        assert await attic.has_package() == THERE


class TestOutages:
    async def test_a_storage_that_is_down_is_not_asked_for_each_file(self, attic: Attic) -> None:
        files = [await attic.log("rj-1", 31, f"{number}.log") for number in range(20)]
        await attic.event(91)
        attic.storage.down = True
        with pytest.raises(Unavailable):
            await attic.retention().sweep_once()
        assert attic.storage.tried < 10
        assert await attic.events() == 0, "what needs no storage goes all the same"
        attic.storage.down = False
        await attic.retention().sweep_once()
        assert [await attic.has_log(file) for file in files] == [GONE] * 20

    async def test_one_key_that_cannot_be_removed_holds_up_no_others(self, attic: Attic) -> None:
        stuck = await attic.log("rj-1", 40, "stuck.log")
        other = await attic.log("rj-1", 31)
        attic.storage.refusing.add(stuck.key)
        with pytest.raises(Unavailable):
            await attic.retention().sweep_once()
        assert await attic.has_log(stuck) == THERE
        assert await attic.has_log(other) == GONE

    async def test_it_goes_on_after_a_failure(self, attic: Attic) -> None:
        file = await attic.log("rj-1", 31)
        attic.storage.down = True
        soon = replace(RetentionSettings(), first=timedelta(0), every=timedelta(milliseconds=5))
        with capture_logs() as logs:
            running = asyncio.create_task(attic.retention(soon).run())
            async with asyncio.timeout(20):
                while not logs:
                    await asyncio.sleep(0.002)
                attic.storage.down = False
                while await attic.has_log(file) != GONE:
                    await asyncio.sleep(0.002)
        running.cancel()
        assert logs[0]["event"] == "not all that is old could be removed"

    async def test_a_row_that_cannot_be_read_ends_no_server(
        self, attic: Attic, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = await attic.log("rj-1", 31)
        sweep, tries = Retention.sweep_once, 0

        async def broken_at_first(self: Retention) -> None:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise NotReady("a record cannot be opened with this key")
            await sweep(self)

        monkeypatch.setattr(Retention, "sweep_once", broken_at_first)
        soon = RetentionSettings(first=timedelta(0), every=timedelta(milliseconds=2))
        with capture_logs() as logs:
            running = asyncio.create_task(attic.retention(soon).run())
            async with asyncio.timeout(20):
                while await attic.has_log(file) != GONE:
                    await asyncio.sleep(0.002)
        running.cancel()
        assert logs[0]["event"] == "sweep failed"

    async def test_several_servers_at_once(self, attic: Attic) -> None:
        for number in range(30):
            await attic.log("rj-1", 31, f"{number}.log")
            await attic.job(91)
            await attic.package(31, f"{number:064x}")
        await asyncio.gather(*(attic.retention().sweep_once() for _ in range(3)))
        assert await attic.store.read(lambda tx: tx.log_files.of("rj-1")) == []
        assert await attic.store.read(lambda tx: tx.jobs.count(HOME)) == 0
        assert await attic.store.read(lambda tx: tx.packages.unused_since(attic.ago(0), limit=99)) == []


@pytest.mark.slow
@given(steps=st.integers(0, 40))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_crash_leaves_no_bytes_without_a_row(tmp_path_factory: pytest.TempPathFactory, steps: int) -> None:
    folder = tmp_path_factory.mktemp("attic")

    async def work() -> None:
        store = await Store.open(StoreSettings(f"sqlite:///{folder}/h.db", folder / "key"))
        storage = FolderStorage(folder / "storage")
        await make_workspaces(store)
        attic = Attic(store, FailingStorage(storage), folder, ManualClock())
        job = await attic.job(91)
        files = [await attic.log(job.id, 1), await attic.log("rj-1", 31), await attic.log("rj-1", 32, "b.log")]
        await attic.package(31)
        points = CrashPoints()
        points.arm(steps)
        dying = Retention(crashing_store(store, points), CrashingStorage(attic.storage, points), attic.clock)
        try:
            await dying.sweep_once()
        except Crash:
            there = [await attic.has_log(file) for file in files] + [await attic.has_package()]
            assert (False, True) not in there, "bytes that nobody knows of"
        await attic.retention().sweep_once()
        assert [await attic.has_log(file) for file in files] == [GONE] * 3
        assert await attic.has_package() == GONE
        assert not await attic.has_job(job)
        await storage.close()
        await store.close()

    asyncio.run(work())
