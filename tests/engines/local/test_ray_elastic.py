"""Changes of a running instance with real Ray: a worker that goes finishes its work first, a renewed one says new things."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heliostat.domain.engine import GroupPlan, InstancePlan, NodeState
from heliostat.engines.local import LocalSettings
from tests.environments import Ready

from ..conformance import GIB, names, plan
from .kit import Lab, of_kind
from .test_ray import NEWEST, START_SECONDS, ask, finished, run_job, seen_when, up

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
async def lab(ray_environments: Ready, tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(LocalSettings(tmp_path / "state", ready_environment=ray_environments.of), within=START_SECONDS)
    await lab.open()
    yield lab
    await lab.close()


def with_workers(wanted: InstancePlan, count: int, says: str, generation: int) -> InstancePlan:
    group = GroupPlan("small", count, 1.0, GIB // 4, env={"USER_SAYS": says})
    return dataclasses.replace(wanted, workers=(group,), generation=generation)


BUSY = """import os, ray, time
from pathlib import Path
folder = Path(os.environ["WHERE"])
@ray.remote(num_cpus=1, max_retries=0)
def work():
    (folder / f"began-{os.getpid()}").touch()
    while not (folder / "go").exists():
        time.sleep(0.05)
    return os.environ["USER_SAYS"]
ray.init()
print("done:", ray.get([work.remote(), work.remote()]))"""

SAYS = """import os, ray
ray.init()
print("said:", ray.get(ray.remote(num_cpus=1)(lambda: os.environ["USER_SAYS"]).remote()))"""


async def test_workers_finish_their_work_before_they_go_and_come_back_with_what_is_new(
    lab: Lab, tmp_path: Path
) -> None:
    base = dataclasses.replace(plan(), release=NEWEST, head=GroupPlan("head", 1, 1.0, GIB, ray_params={"num_cpus": 0}))
    first = with_workers(base, 2, "hello", 1)
    before = await up(lab, first)
    assert before.failure is None
    body = {"entrypoint": f"python -c '{BUSY}'", "runtime_env": {"env_vars": {"WHERE": str(tmp_path)}}}
    job = (await ask(first, before, "/api/jobs/", body))["submission_id"]
    async with asyncio.timeout(START_SECONDS):
        while len(list(tmp_path.glob("began-*"))) < 2:
            await asyncio.sleep(0.05)

    fewer = with_workers(base, 1, "goodbye", 2)
    await lab.engine.apply(fewer)
    seen = await seen_when(
        lab, first, lambda now: [node.state for node in now.nodes].count(NodeState.DRAINING) == 1, "one is drained"
    )
    assert [node.pid for node in seen.nodes] == [node.pid for node in before.nodes]
    (tmp_path / "go").touch()
    assert "done: ['hello', 'hello']" in await finished(first, seen, job)
    alone = await seen_when(lab, first, lambda now: len(now.nodes) == 2 and now.complete, "the drained one is gone")
    assert names(alone) < names(before)
    assert [incident.reason for incident in alone.incidents] == ["WorkersRemoved"]
    assert "said: hello" in await run_job(first, alone, SAYS)

    await lab.engine.apply(dataclasses.replace(fewer, renew=2))
    newer = await seen_when(
        lab,
        first,
        lambda now: "GroupRenewed" in {incident.reason for incident in now.incidents} and now.complete,
        "the group is renewed",
    )
    assert len(newer.nodes) == 2
    assert names(newer).isdisjoint({node.node for node in of_kind(alone, "worker")})
    assert [node.pid for node in of_kind(newer, "head")] == [node.pid for node in of_kind(before, "head")]
    assert {incident.reason for incident in newer.incidents} == {"WorkersRemoved", "GroupRenewed"}
    assert "said: goodbye" in await run_job(first, newer, SAYS)
