"""The simulated world's heads pass the suite that real heads pass, and misbehave as told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import InstanceId
from heliostat.domain.ray_jobs import Cause, NameCount, RayStatus, RaySubmission, WorkSummary
from heliostat.domain.secret import Secret
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.engines.simulated_jobs import Script, by_its_words
from heliostat.ray_api import Head, RayRefused
from heliostat.ray_api.simulated import SimulatedRay
from tests.engines.conformance import plan

from .conformance import RayApiConformance, job

DONE = WorkSummary(
    (NameCount("double", {"FINISHED": 3}), NameCount("Counter.add", {"FINISHED": 1})),
    (NameCount("Counter", {"ALIVE": 1}),),
)


def script_of(submission: RaySubmission) -> Script:
    if submission.entrypoint == "python work.py":
        return Script(running_looks=None, summary=DONE)
    return by_its_words(submission)


class Simulation:
    checks_tokens = True
    pause = 0.0

    def __init__(self, instance: InstanceId) -> None:
        self.world = World(job_behaviour=script_of)
        self.engine = SimulatedEngine(self.world)
        self.api = SimulatedRay(self.world)
        self.head = Head(instance, "127.0.0.1:9", Secret("c0ffee" * 6))
        self.gone = Head(InstanceId("ci-gone"), "127.0.0.1:9", None)

    def log(self, submission_id: str) -> str:
        files = self.world.logs[self.head.instance]
        return next(data.decode() for (_, name), data in files.items() if name == f"job-driver-{submission_id}.log")

    def starts(self, submission_id: str) -> int:
        return self.world.job_starts[submission_id]


@pytest.fixture
async def backend() -> AsyncIterator[Simulation]:
    wanted = plan()
    simulation = Simulation(wanted.instance)
    await simulation.engine.apply(wanted)
    yield simulation
    await simulation.engine.close()


class TestSimulatedRay(RayApiConformance):
    pass


async def test_an_unreachable_head_knows_its_jobs_again_when_it_is_back(backend: Simulation) -> None:
    wanted = job("sleep 1000")
    await backend.api.submit(backend.head, wanted)
    backend.world.unreachable.add(backend.head.instance)
    with pytest.raises(Unavailable):
        await backend.api.sighting(backend.head, wanted.submission_id)
    backend.world.unreachable.clear()
    seen = await backend.api.sighting(backend.head, wanted.submission_id)
    assert seen is not None and seen.status is RayStatus.RUNNING


async def test_a_job_may_wait_and_run_for_as_many_looks_as_told(backend: Simulation) -> None:
    backend.world.job_behaviour = lambda submission: Script(pending_looks=2, running_looks=2)
    await backend.api.submit(backend.head, job("anything"))
    ((name, _),) = backend.world.jobs[backend.head.instance].items()
    seen = [await backend.api.sighting(backend.head, name) for _ in range(5)]
    assert [row.status for row in seen if row] == ["PENDING", "PENDING", "RUNNING", "RUNNING", "SUCCEEDED"]


async def test_the_test_ends_a_job(backend: Simulation) -> None:
    wanted = job("sleep 1000")
    await backend.api.submit(backend.head, wanted)
    backend.world.now += timedelta(minutes=5)
    backend.world.job(wanted.submission_id).finish(4, "ValueError: enough", at=backend.world.now)
    seen = await backend.api.sighting(backend.head, wanted.submission_id)
    assert seen is not None and (seen.status, seen.exit_code, seen.ended_at) == (RayStatus.FAILED, 4, backend.world.now)
    assert seen.message == "its entry point ended with exit code 4: ValueError: enough"


async def test_scripted_failures_and_refusals(backend: Simulation) -> None:
    text = "Job supervisor actor died: its node is gone"
    backend.world.job_behaviour = lambda submission: (
        Script(refusal="no") if submission.entrypoint == "refused" else Script(exit_code=None, message=text)
    )
    with pytest.raises(RayRefused, match="no"):
        await backend.api.submit(backend.head, job("refused"))
    wanted = job("lost")
    await backend.api.submit(backend.head, wanted)
    await backend.api.sighting(backend.head, wanted.submission_id)
    seen = await backend.api.sighting(backend.head, wanted.submission_id)
    assert seen is not None and (seen.message, seen.cause) == (text, Cause.INFRASTRUCTURE)


async def test_a_head_that_lost_its_memory_runs_a_job_anew_and_the_count_tells(backend: Simulation) -> None:
    wanted = job("true")
    await backend.api.submit(backend.head, wanted)
    backend.world.forget(backend.head.instance)
    assert await backend.api.sighting(backend.head, wanted.submission_id) is None
    await backend.api.submit(backend.head, wanted)
    assert backend.world.job_starts[wanted.submission_id] == 2


async def test_jobs_on_a_dead_head_run_on_paper_until_the_new_one_is_woken(backend: Simulation) -> None:
    on_head, on_worker = job("sleep 1000"), job("sleep 1000", cpus=1.0)
    for wanted in (on_head, on_worker):
        await backend.api.submit(backend.head, wanted)
        await backend.api.sighting(backend.head, wanted.submission_id)
    backend.engine.restart_head(backend.head.instance)
    seen = await backend.api.sighting(backend.head, on_head.submission_id)
    assert seen is not None and seen.status is RayStatus.RUNNING
    await backend.api.wake(backend.head, on_worker.submission_id)
    seen = await backend.api.sighting(backend.head, on_head.submission_id)
    assert seen is not None and (seen.status, seen.cause) == (RayStatus.FAILED, Cause.INFRASTRUCTURE)
    seen = await backend.api.sighting(backend.head, on_worker.submission_id)
    assert seen is not None and seen.status is RayStatus.RUNNING


@pytest.mark.parametrize("fault", ["destroyed", "head killed"])
async def test_jobs_die_with_their_instance(backend: Simulation, fault: str) -> None:
    await backend.api.submit(backend.head, job("sleep 1000"))
    if fault == "destroyed":
        await backend.engine.destroy(backend.head.instance)
    else:
        nodes = (await backend.engine.observe(backend.head.instance)).nodes
        backend.engine.kill(next(node.node for node in nodes if node.kind == "head"))
    assert not backend.world.jobs
    with pytest.raises(Unavailable):
        await backend.api.sighting(backend.head, "rj-1")
