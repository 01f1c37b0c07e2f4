"""Jobs under kill -9 at any step: no job that was acknowledged is lost, none runs twice, none of its clusters stays behind,
and what it printed is in the log storage exactly once."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from heliostat.control.clock import SystemClock
from heliostat.control.loop import LoopSettings
from heliostat.control.work import Work, WorkSettings
from heliostat.domain import job_lifecycle
from heliostat.domain.errors import Conflict, NotFound
from heliostat.domain.ids import ClusterId, JobId
from heliostat.domain.installation import Installation
from heliostat.domain.job_states import JobStatus
from heliostat.domain.jobs import Job, Retries, driver_log
from heliostat.domain.quantities import GIB
from heliostat.domain.ray_jobs import RaySubmission
from heliostat.domain.secret import Secret
from heliostat.domain.secrets import JobSecret
from heliostat.domain.spec import ClusterSpec, NodeShape, WorkerGroup
from heliostat.domain.states import State
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.engines.simulated_jobs import Script
from heliostat.ray_api.simulated import SimulatedRay
from heliostat.services import Caller, JobWish, Services
from heliostat.storage.folder import FolderStorage
from heliostat.store import Store, StoreSettings
from heliostat.testing.crash import (
    Crash,
    CrashingEngine,
    CrashingRay,
    CrashingStorage,
    CrashPoints,
    crashing_store,
)

SHAPE = NodeShape("root_queue", Decimal(1), GIB)
SPEC = ClusterSpec("c", "ray-1.3.1", SHAPE, (WorkerGroup("g", SHAPE),))
STEPS = st.integers(0, 25)
QUICK = LoopSettings(tick=timedelta(milliseconds=100), last_retry=timedelta(milliseconds=50))
SOON = timedelta(milliseconds=5)
SECRET = "hunter2-hunter2-hunter2"
WANTED = JobSecret("door", "word", variables=("WORD",))


def behaviour(submission: RaySubmission) -> Script:
    """``exit N`` after a few looks; ``wait`` until it is stopped."""
    words = submission.entrypoint.split()
    output = f"{submission.submission_id} says {SECRET} and more\n" * 3
    if words[0] == "wait":
        return Script(running_looks=None, output=output)
    return Script(pending_looks=1, running_looks=2, exit_code=int(words[1]), output=output)


class Kills(RuleBasedStateMachine):
    """Users' calls, with the server dying before, in or after any of its steps."""

    jobs: Bundle[JobId] = Bundle("jobs")

    @initialize()
    def begin(self) -> None:
        self.patches = [
            patch.object(job_lifecycle, "ATTENTION", SOON),
            patch.object(job_lifecycle, "pace", lambda age: SOON),
            patch.object(job_lifecycle, "backoff", lambda failures: SOON),
            patch.object(job_lifecycle, "STOP_PATIENCE", timedelta(milliseconds=300)),
            patch.object(job_lifecycle, "STRAY_PATIENCE", timedelta(milliseconds=300)),
        ]
        for each in self.patches:
            each.start()
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(job_behaviour=behaviour, clock=lambda: datetime.now(UTC))
        self.runner = asyncio.Runner()
        self.acknowledged: dict[JobId, bool] = {}
        """Each with whether its cancel was acknowledged."""
        self.cluster: ClusterId | None = None
        self.runner.run(self._boot(first=True))

    async def _boot(self, first: bool = False) -> None:
        folder = Path(self.folder.name)
        self.points = CrashPoints()
        self.store = await Store.open(StoreSettings(url=f"sqlite:///{folder}/h.db", master_key=folder / "key"))
        engine = SimulatedEngine(self.world)
        await engine.open()
        store, guarded = crashing_store(self.store, self.points), CrashingEngine(engine, self.points)
        self.bytes = FolderStorage(folder / "storage")
        self.storage = CrashingStorage(self.bytes, self.points)
        ray = CrashingRay(SimulatedRay(self.world), self.points)
        clock = SystemClock()
        tuned = WorkSettings(clusters=QUICK, jobs=QUICK)
        self.work = Work(store, guarded, self.storage, ray, Installation(), clock, folder / "scratch", tuned)
        self.services = Services.build(store, Installation(), guarded, clock, self.work.clusters.wake, self.work.tools)
        if first:
            made = await self.services.identity.first_start("ann")
            assert made is not None
            self.workspace = made.workspace
            self.caller = Caller(await self.services.identity.by_token(made.token.reveal()))
            await self.services.secrets.set(self.caller, self.workspace, WANTED.name, Secret(SECRET))
        self.task = asyncio.create_task(self.work.run())

    async def _die(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.work.close()
        await self.store.close()
        await self.bytes.close()

    # --- the users --------------------------------------------------------------------------------------------------

    @rule(
        target=jobs, words=st.sampled_from(["exit 0", "exit 3", "wait"]), own=st.booleans(), retries=st.integers(0, 2)
    )
    def submit(self, words: str, own: bool, retries: int) -> JobId:
        return self.runner.run(self._submit(words, own, retries))

    async def _submit(self, words: str, own: bool, retries: int) -> JobId:
        if not own and self.cluster is None:
            await self._make_cluster()
        wish = JobWish(words, secrets=(WANTED,), retries=Retries(retries), cluster_spec=SPEC)
        if not own:
            wish = JobWish(words, secrets=(WANTED,), retries=Retries(retries), cluster=self.cluster)
        try:
            made = await self.services.jobs.submit(self.caller, self.workspace, wish, accept_starting=True)
        except Crash:
            await self._die()
            await self._boot()
        except (Conflict, NotFound):
            pass
        else:
            self.acknowledged[made.id] = False
            return made.id
        return JobId("none")

    async def _make_cluster(self) -> None:
        """The shared cluster; no crash is armed while it is made."""
        self.points.disarm()
        if self.task.done() or self.points.crashed_at is not None:
            await self._die()
            await self._boot()
        made = await self.services.clusters.create(self.caller, self.workspace, SPEC, start=True)
        self.cluster = made.id

    @rule(job=jobs)
    def cancel(self, job: JobId) -> None:
        async def call() -> None:
            try:
                begun = await self.services.jobs.cancel(self.caller, self.workspace, job)
            except Crash:
                await self._die()
                await self._boot()
            except NotFound:
                return
            else:
                self.acknowledged[job] = self.acknowledged[job] or begun

        if job in self.acknowledged:
            self.runner.run(call())

    # --- the world --------------------------------------------------------------------------------------------------

    @rule(steps=STEPS)
    def arm(self, steps: int) -> None:
        self.points.arm(steps)

    @rule()
    def kill_now(self) -> None:
        async def again() -> None:
            await self._die()
            await self._boot()

        self.runner.run(again())

    @rule(down=st.booleans())
    def storage_fails(self, down: bool) -> None:
        self.storage.down = down

    @rule(milliseconds=st.integers(1, 40))
    def time_passes(self, milliseconds: int) -> None:
        self.runner.run(asyncio.sleep(milliseconds / 1000))

    @rule()
    def converge(self) -> None:
        self.runner.run(self._converged())

    async def _converged(self) -> None:
        """Everything that waits is cancelled; then all must come to its end, whatever died meanwhile."""
        self.storage.down = False
        trouble = ["nothing was looked at"]
        try:
            async with asyncio.timeout(60):
                while trouble:
                    if self.task.done() or self.points.crashed_at is not None:
                        await self._die()
                        await self._boot()
                    try:
                        trouble = await self._differences()
                    except Crash:
                        continue
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"does not come to rest: {trouble}") from None
        await self._check_logs()

    async def _differences(self) -> list[str]:
        """What has not come to rest."""
        found = []
        for id in await self.store.read(lambda tx: tx.jobs.unsettled()):
            self.acknowledged.setdefault(id, False)  # stored, though its submitter never got the answer
        for id, cancelled in self.acknowledged.items():
            job = await self.store.read(lambda tx, id=id: tx.jobs.find(id))
            assert job is not None, f"{id} was acknowledged and is lost"
            if cancelled:
                assert job.status in (JobStatus.CANCELLING, JobStatus.CANCELLED), job
            elif job.spec.entrypoint == "wait" and not job.status.final:
                await self.services.jobs.cancel(self.caller, self.workspace, id)
                self.acknowledged[id] = True
            if not job.settled:
                found.append(f"{id} is {job.status}: {job.message}")
            elif job.spec.temporary:
                left = await self.store.read(lambda tx, job=job: tx.clusters.find_any(job.cluster))
                assert left is None, f"{id} is settled and its cluster is {left}"
        shared = await self.store.read(lambda tx: tx.clusters.find_any(self.cluster or ClusterId("")))
        if shared is not None and shared.state is not State.RUNNING:
            found.append(f"the shared cluster is {shared.state}")
        expected = {shared.instance} if shared is not None else set()
        if not found:
            found += [f"{instance} is left over" for instance in self.world.instances if instance not in expected]
        return found

    async def _check_logs(self) -> None:
        for id in self.acknowledged:
            job = await self.store.read(lambda tx, id=id: tx.jobs.find(id))
            assert job is not None
            for attempt in job.attempts:
                if self.world.job_starts[attempt.submission_id] and attempt.started_at is not None:
                    await self._check_log(job, attempt.number, attempt.submission_id)

    async def _check_log(self, job: Job, number: int, submission: str) -> None:
        name = driver_log(job.id, number)
        row = await self.store.read(lambda tx: tx.log_files.get(job.id, name))
        assert row is not None and row.complete, (job.id, number, row)
        text = (await self.bytes.read(row.key, 0, row.size)).decode()
        said = f"{submission} says **** and more\n" * 3
        assert text.endswith(said) and text.count(said) == 1, text
        assert SECRET not in text

    @invariant()
    def nothing_runs_twice(self) -> None:
        assert all(count == 1 for count in getattr(self, "world", World()).job_starts.values())

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            try:
                self.runner.run(self._converged())
            finally:
                self.runner.run(self._die())
                self.runner.close()
                self.folder.cleanup()
                for each in self.patches:
                    each.stop()


Kills.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestKills = pytest.mark.slow(Kills.TestCase)
