"""The warm pool with real Ray: one cluster from the pool to its last process, through a death of its head."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest

from heliostat.domain.engine import GroupPlan, InstancePlan, Observation, Step
from heliostat.engines.local import LocalSettings
from heliostat.engines.local.layout import Layout
from heliostat_node.protocol import start_ticks
from tests.environments import Ready

from ..conformance import GIB, names, plan
from .kit import Lab, kill, of_kind
from .test_ray import (
    NEWEST,
    OLDEST,
    START_SECONDS,
    ask,
    assert_on_loopback,
    listed,
    processes_of,
    run_job,
    seen_when,
    up,
)

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TASKS = """
import json, ray
ray.init()
group = ray.util.placement_group([{"CPU": 2, "memory": 2**28}] * 2, strategy="STRICT_SPREAD")
ray.get(group.ready())
place = lambda index: ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(group, index)
where = ray.remote(num_cpus=2)(lambda: ray.get_runtime_context().get_node_id())
nodes = ray.get([where.options(scheduling_strategy=place(index)).remote() for index in range(2)])
print("told:", len(set(nodes)), json.dumps(ray.cluster_resources()))
"""


def wanted_plan() -> InstancePlan:
    head = GroupPlan("head", 1, 1.0, GIB, ray_params={"num_cpus": 0, "resources": {"disk": 3}})
    workers = (GroupPlan("workers", 2, 2.0, GIB // 2),)
    return dataclasses.replace(plan(), release=NEWEST, head=head, workers=workers)


async def ready(lab: Lab) -> None:
    """Until one cluster is kept ready, and the old release has said why none of it is."""
    async with asyncio.timeout(START_SECONDS):
        while "1 of 1 clusters are kept ready" not in lab.engine.preparation(NEWEST)[1]:
            await asyncio.sleep(0.05)


async def tasks(wanted: InstancePlan, seen: Observation) -> tuple[int, dict[str, float]]:
    """Run tasks that fill the workers: how many nodes had some, and what Ray says that the cluster has."""
    log = await run_job(wanted, seen, TASKS)
    (line,) = (line for line in log.splitlines() if line.startswith("told:"))
    _, used, resources = line.split(" ", 2)
    return int(used), json.loads(resources)


async def test_the_story_of_a_cluster_from_the_pool(ray_environments: Ready, tmp_path: Path) -> None:
    settings = LocalSettings(
        tmp_path / "state", ready_environment=ray_environments.of, warm={NEWEST.name: 1, OLDEST.name: 1}
    )
    lab = Lab(settings, within=START_SECONDS)
    await lab.open()
    try:
        await ready(lab)
        assert "no warm starts: Ray 2.47.1" in lab.engine.preparation(OLDEST)[1]
        layout = Layout(settings.state)
        (entry,) = layout.entries()
        before = {json.loads(path.read_text())["pid"] for path in (settings.state / "w").glob("*/nodes/*/status.json")}

        wanted = wanted_plan()
        seen = await up(lab, wanted)
        assert seen.step is Step.UP and not seen.failure and not seen.incidents
        assert {node.pid for node in seen.nodes} == before, "nothing was started"
        assert {node.group for node in of_kind(seen, "worker")} == {"workers"}
        assert seen.ray_token is not None and seen.ray_token.reveal() != wanted.ray_token.reveal()  # type: ignore[union-attr]
        mine = dataclasses.replace(wanted, ray_token=seen.ray_token)
        used, resources = await tasks(mine, seen)
        assert used == 2, "each worker has its CPUs and its memory"
        assert (resources["CPU"], resources["disk"], resources["memory"]) == (4.0, 3.0, float(2 * GIB))
        assert "heliostat_probe" not in resources
        assert_on_loopback(seen)

        await ready(lab)
        (other,) = layout.entries()
        assert other != entry
        tokens = [(settings.state / "w" / name / "token").read_text() for name in (entry, other)]
        assert len(set(tokens)) == 2 and tokens[0] == seen.ray_token.reveal()

        kill(of_kind(seen, "head")[0])
        seen = await seen_when(
            lab, wanted, lambda seen: seen.complete and any(i.reason == "HeadRestarted" for i in seen.incidents), "back"
        )
        await listed(mine, seen)
        assert (await tasks(mine, seen))[0] == 2
        assert {
            node["node_name"] for node in (await ask(mine, seen, "/api/v0/nodes"))["data"]["result"]["result"]
        } >= names(seen)

        processes = processes_of(seen)
        await lab.engine.destroy(wanted.instance)
        await seen_when(lab, wanted, lambda seen: not seen.present, "it is gone")
        assert not {pid for pid in processes if start_ticks(pid) is not None}
        assert layout.instances() == [] and layout.entries() == [other]
    finally:
        await lab.engine.close()
        await lab.open(warm={})  # a server without a pool removes what is kept ready
        async with asyncio.timeout(30):
            while list((settings.state / "w").iterdir()):
                await asyncio.sleep(0.05)
        await lab.close()
    assert list((settings.state / "w").iterdir()) == []
