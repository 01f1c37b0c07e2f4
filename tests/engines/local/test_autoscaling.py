"""Ray's own autoscaler decides, the engine starts and ends the nodes: the story of one elastic cluster, each release."""

from __future__ import annotations

import dataclasses
import shlex

import pytest

from heliostat.domain.engine import GpuType, GroupPlan, InstancePlan, NodeState, Observation, Scaling, Want
from heliostat.domain.releases import Release

from ..conformance import GIB, names, plan
from .kit import Lab, of_kind
from .test_ray import NEWEST, OLDEST, ask, assert_gone, finished, lab, listed, seen_when, up  # noqa: F401 - a fixture

pytestmark = [pytest.mark.ray, pytest.mark.slow]

IDLE_SECONDS = 2.0

CODE = """
import importlib.util, sys, time
import ray
assert importlib.util.find_spec("heliostat_node") is None
ray.init(log_to_driver=False)
@ray.remote(num_cpus=1, resources={"disk": 1})
class Actor:
    def where(self):
        return ray.get_runtime_context().get_node_id()
lost = ray.remote(lambda: None).options(num_cpus=64).remote() if "lost" in sys.argv else None
actors = [Actor.remote() for _ in range(int(sys.argv[1]))]
print(len(set(ray.get([actor.where.remote() for actor in actors]))), "nodes")
"""


def elastic(release: Release) -> InstancePlan:
    """No worker at first, at most two; what they offer is more than CPUs, so that the autoscaler must know all of it."""
    group = GroupPlan(
        "small", 0, 0.5, GIB // 4, GpuType("t4", "T4", 1), ray_params={"resources": {"disk": 1}}, max_replicas=2
    )
    head = GroupPlan("head", 1, 1.0, GIB, ray_params={"num_cpus": 0})
    return dataclasses.replace(plan(), release=release, head=head, workers=(group,), scaling=Scaling(IDLE_SECONDS))


async def submit(wanted: InstancePlan, seen: Observation, *arguments: str) -> str:
    """Begin a job with actors on that many nodes."""
    answer = await ask(wanted, seen, "/api/jobs/", {"entrypoint": shlex.join(["python", "-c", CODE, *arguments])})
    return str(answer["submission_id"])


def workers(seen: Observation, state: NodeState = NodeState.ALIVE) -> int:
    return sum(node.state is state for node in of_kind(seen, "worker"))


def warnings(seen: Observation) -> list[tuple[str, str]]:
    """But for a node that was begun twice because Ray's own agent failed at its start ("Bad file descriptor")."""
    found = [(row.reason, row.message) for row in seen.incidents if row.warning]
    return [row for row in found if row[0] != "NodeStartFailed" or "dashboard_agent" not in row[1]]


@pytest.mark.parametrize("release", [NEWEST, OLDEST], ids=lambda release: release.ray)
async def test_a_job_grows_its_cluster_and_idle_workers_go(lab: Lab, release: Release) -> None:  # noqa: F811
    wanted = elastic(release)
    seen = await up(lab, wanted)
    assert seen.failure is None
    assert [node.kind for node in seen.nodes] == ["head"]

    job = await submit(wanted, seen, "2", "lost")
    need = Want({"CPU": 1.0, "disk": 1.0}, 2)
    seen = await seen_when(
        lab, wanted, lambda now: now.demand is not None and need in now.demand.pending, "what waits can be seen"
    )
    assert seen.demand is not None
    assert seen.demand.infeasible == (Want({"CPU": 64.0}, 1),)
    grown = await seen_when(lab, wanted, lambda now: workers(now) == 2, "two workers came")
    old = {node.node for node in of_kind(grown, "worker")}
    assert "2 nodes" in await finished(wanted, grown, job)
    assert grown.wanted == {"small": 2}
    assert warnings(grown) == []

    shrunk = await seen_when(lab, wanted, lambda now: not of_kind(now, "worker"), "idle workers have gone")
    assert shrunk.wanted == {"small": 0}
    assert warnings(shrunk) == [], "an idle worker's end is no loss"
    await seen_when(lab, wanted, lambda now: now.demand is not None and not now.demand.pending, "nothing waits")
    await listed(wanted, shrunk)
    if release is OLDEST:
        await assert_gone(lab, wanted, shrunk)
        return

    await lab.engine.close()
    job = await submit(wanted, shrunk, "1")
    await lab.open()
    await lab.engine.apply(wanted)
    grown = await seen_when(lab, wanted, lambda now: workers(now) == 1, "the autoscaler has found the new server")
    assert "1 nodes" in await finished(wanted, grown, job)
    assert len(of_kind(grown, "worker")) == 1
    assert not names(grown) & old

    least = dataclasses.replace(wanted.workers[0], min_replicas=2)
    await lab.engine.apply(dataclasses.replace(wanted, generation=2, workers=(least,)))
    grown = await seen_when(
        lab, wanted, lambda now: workers(now) == 2, "a higher minimum is reached without any demand"
    )
    assert [incident.message for incident in grown.incidents if "its minimum is 2" in incident.message]
    await assert_gone(lab, wanted, grown)
