"""Instances that change while they run, on fake nodes: Ray's autoscaler, drains, grants, renewals."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Collection

import pytest

from heliostat.domain.engine import Demand, InstancePlan, NodeState, Observation, Scaling, Want
from heliostat.domain.releases import Release
from heliostat.engines.local.actions import Drain
from heliostat.engines.local.autoscaling.base import ScalerNode, TooMany
from heliostat.engines.local.decisions import DRAIN_RETRY_SECONDS, decide
from heliostat.engines.local.environments import Environments
from heliostat.engines.local.layout import AUTOSCALING_FILE
from heliostat.engines.local.supervisor import Supervisor

from ..conformance import names, plan, until
from .kit import FastClock, Lab, kill, of_kind

WITHOUT_STORAGE = Release("ray-1.0.1", "2.47.1", "3.11")
BUSY = {"FAKE": "busy"}
DEMAND = Demand(pending=(Want({"CPU": 2.0}, 3), Want({"CPU": 1.0, "memory": float(1 << 30)}, 2)))


def elastic(workers: int = 1, *, most: int | None = 9, least: int = 0, **changes: object) -> InstancePlan:
    """A plan whose workers are the autoscaler's affair; changes are those of :func:`plan`."""
    wanted = plan(workers=workers, **changes)  # type: ignore[arg-type]
    groups = tuple(dataclasses.replace(row, min_replicas=least, max_replicas=most) for row in wanted.workers)
    return dataclasses.replace(wanted, workers=groups, scaling=Scaling())


def as_newer(wanted: InstancePlan, **changes: object) -> InstancePlan:
    """The same with changed workers, of the next generation."""
    workers = tuple(dataclasses.replace(group, **changes) for group in wanted.workers)  # type: ignore[arg-type]
    return dataclasses.replace(wanted, workers=workers, generation=wanted.generation + 1)


async def seen_when(lab: Lab, wanted: InstancePlan, reached: object, what: str) -> Observation:
    assert callable(reached)
    return await until(lab.engine, wanted.instance, reached, what)


async def up(lab: Lab, wanted: InstancePlan) -> Observation:
    await lab.engine.apply(wanted)
    return await seen_when(lab, wanted, lambda seen: seen.complete and seen.generation == wanted.generation, "it is up")


def scaler(lab: Lab, wanted: InstancePlan) -> Supervisor:
    return lab.engine._supervisors[wanted.instance]


def listed(lab: Lab, wanted: InstancePlan) -> dict[str, ScalerNode]:
    return {node.node: node for node in scaler(lab, wanted).scaler_nodes()}


def record(lab: Lab, wanted: InstancePlan) -> dict[str, object]:
    """What is on disk now."""
    data: dict[str, object] = json.loads((lab.settings.state / "i" / wanted.instance / "record.json").read_text())
    return data


def drains(lab: Lab) -> list[str]:
    """The folders of the nodes that Ray was asked to drain, in order."""
    return [
        json.loads(line)["directory"].rpartition("/")[2]
        for path in (lab.settings.state / "node-runtime").glob("*/heliostat_node/drained")
        for line in path.read_text().splitlines()
    ]


def told(seen: Observation, reason: str) -> list[str]:
    return [incident.message for incident in seen.incidents if incident.reason == reason]


def states(seen: Observation, kind: str = "worker") -> list[NodeState]:
    return [node.state for node in of_kind(seen, kind)]


def workers(seen: Observation, count: int) -> bool:
    return seen.complete and len(of_kind(seen, "worker")) == count


class TestAutoscaler:
    async def test_it_begins_with_the_replicas_and_sees_the_head_too(self, lab: Lab) -> None:
        wanted = elastic(2)
        seen = await up(lab, wanted)
        assert seen.wanted == {"small": 2}
        assert seen.demand is None, "nothing was reported yet"
        assert {node.node for node in listed(lab, wanted).values()} == names(seen)
        assert sorted(node.kind for node in listed(lab, wanted).values()) == ["head", "worker", "worker"]
        assert all(node.running for node in listed(lab, wanted).values())

    async def test_a_request_is_on_disk_before_it_is_answered_and_counts_once(self, lab: Lab) -> None:
        wanted = elastic(1)
        await up(lab, wanted)
        scaler(lab, wanted).report(DEMAND, {})
        scaler(lab, wanted).scale_up("r1", "small", 2)
        noted = record(lab, wanted)
        assert noted["wanted"] == {"small": 3}
        assert isinstance(noted["nodes"], list)
        assert [node["request"] for node in noted["nodes"]] == ["", "", "r1", "r1"]
        assert [node.running for node in listed(lab, wanted).values() if node.request == "r1"] == [False, False]
        scaler(lab, wanted).scale_up("r1", "small", 2)
        seen = await seen_when(lab, wanted, lambda seen: workers(seen, 3), "both came")
        await lab.reopen()
        await lab.engine.apply(wanted)
        scaler(lab, wanted).scale_up("r1", "small", 2)
        assert (await lab.engine.observe(wanted.instance)).wanted == {"small": 3}
        assert told(seen, "WorkersAdded") == ["2 workers added to group small: 8 CPU, 2 GiB memory demanded"]
        assert not any(incident.warning for incident in seen.incidents)

    async def test_a_group_that_is_not_there_cannot_grow(self, lab: Lab) -> None:
        wanted = elastic(0)
        await up(lab, wanted)
        with pytest.raises(KeyError):
            scaler(lab, wanted).scale_up("r1", "large", 1)

    async def test_no_more_than_the_maximum_are_taken_on(self, lab: Lab) -> None:
        wanted = elastic(1, most=2)
        await up(lab, wanted)
        with pytest.raises(TooMany, match="group small has 1 worker and may have 2"):
            scaler(lab, wanted).scale_up("r1", "small", 9000)
        assert len(listed(lab, wanted)) == 2
        scaler(lab, wanted).scale_up("r2", "small", 1)
        scaler(lab, wanted).scale_up("r2", "small", 1)
        await seen_when(lab, wanted, lambda seen: workers(seen, 2), "the one that fits came")

    async def test_where_it_does_not_decide_nothing_is_taken_on(self, lab: Lab) -> None:
        wanted = plan(workers=1)
        before = await up(lab, wanted)
        scaler(lab, wanted).scale_up("r1", "small", 2)
        scaler(lab, wanted).scale_down([node.node for node in before.nodes])
        scaler(lab, wanted).report(DEMAND, {})
        after = await lab.engine.observe(wanted.instance)
        assert (names(after), after.wanted, after.demand) == (names(before), {}, None)

    async def test_a_worker_that_was_drained_idle_is_gone_as_wanted(self, lab: Lab) -> None:
        wanted = elastic(2)
        before = await up(lab, wanted)
        idle = of_kind(before, "worker")[0]
        assert idle.pid is not None
        os.kill(idle.pid, signal.SIGUSR1)
        seen = await seen_when(lab, wanted, lambda seen: workers(seen, 1), "it is gone")
        assert seen.wanted == {"small": 1}
        assert idle.node not in listed(lab, wanted)
        assert [(row.reason, row.warning) for row in seen.incidents] == [("WorkerRemoved", False)]
        assert told(seen, "WorkerRemoved") == [f"Worker {idle.node} of group small: idle for 62 s, down to 1"]
        assert idle.node in {file.node for file in await lab.engine.log_files(wanted.instance)}

    async def test_a_killed_worker_is_a_loss_that_is_left_to_the_autoscaler(self, lab: Lab) -> None:
        wanted = elastic(2)
        before = await up(lab, wanted)
        victim = of_kind(before, "worker")[0]
        kill(victim)
        seen = await seen_when(lab, wanted, lambda seen: workers(seen, 1), "it is gone")
        assert seen.wanted == {"small": 1}
        assert [(row.reason, row.warning) for row in seen.incidents] == [("WorkerLost", True)]
        assert victim.node not in listed(lab, wanted)
        scaler(lab, wanted).scale_up("r1", "small", 1)
        await seen_when(lab, wanted, lambda seen: workers(seen, 2), "another one came")

    async def test_before_it_was_up_once_a_worker_that_dies_is_replaced(self, lab: Lab) -> None:
        wanted = elastic(1, env={"FAKE": "slow"})
        await lab.engine.apply(wanted)
        seen = await seen_when(lab, wanted, lambda seen: any(node.pid for node in of_kind(seen, "worker")), "it starts")
        kill(of_kind(seen, "worker")[0])
        after = await seen_when(lab, wanted, lambda seen: workers(seen, 1), "it is up")
        assert after.wanted == {"small": 1}
        assert told(after, "WorkerReplaced")

    async def test_what_it_gives_back_goes_at_once(self, lab: Lab) -> None:
        wanted = elastic(3, env=BUSY)
        before = await up(lab, wanted)
        given = {node.node for node in of_kind(before, "worker")[:2]}
        scaler(lab, wanted).scale_down({*given, "nobody", of_kind(before, "head")[0].node})
        assert listed(lab, wanted).keys() == names(before) - given
        assert record(lab, wanted)["wanted"] == {"small": 1}
        scaler(lab, wanted).scale_down(given)
        seen = await seen_when(lab, wanted, lambda seen: workers(seen, 1), "they are gone")
        assert seen.wanted == {"small": 1}
        assert len(told(seen, "WorkersRemoved")) == 1
        assert "2 workers of group small removed by Ray's autoscaler, down to 1" in told(seen, "WorkersRemoved")[0]
        assert drains(lab) == []

    async def test_other_replicas_mean_nothing_to_what_runs(self, lab: Lab) -> None:
        wanted = elastic(2)
        before = await up(lab, wanted)
        after = await up(lab, as_newer(wanted, replicas=5))
        assert (names(after), after.wanted) == (names(before), {"small": 2})

    async def test_a_lower_maximum_drains_what_is_too_much(self, lab: Lab) -> None:
        wanted = elastic(3, env=BUSY)
        await up(lab, wanted)
        await lab.engine.apply(as_newer(wanted, max_replicas=1))
        seen = await seen_when(lab, wanted, lambda seen: states(seen).count(NodeState.DRAINING) == 2, "two drain")
        assert seen.wanted == {"small": 1}
        assert len(listed(lab, wanted)) == 2, "the autoscaler must not stop them at once"

    async def test_its_nodes_wait_for_grants_like_others(self, lab: Lab) -> None:
        wanted = elastic(1, granted=1)
        await up(lab, wanted)
        scaler(lab, wanted).scale_up("r1", "small", 2)
        seen = await seen_when(lab, wanted, lambda seen: len(seen.nodes) == 4, "there are places")
        assert seen.wanted == {"small": 3}
        assert states(seen) == [NodeState.ALIVE, NodeState.PENDING, NodeState.PENDING]
        assert {node.message for node in of_kind(seen, "worker")[1:]} == {"waits for its queue"}
        workers_granted = tuple(dataclasses.replace(group, granted=2) for group in wanted.workers)
        await lab.engine.apply(dataclasses.replace(wanted, workers=workers_granted))
        seen = await seen_when(lab, wanted, lambda seen: states(seen).count(NodeState.ALIVE) == 2, "one more started")
        assert states(seen).count(NodeState.PENDING) == 1

    async def test_only_another_demand_is_news(self, lab: Lab) -> None:
        wanted = elastic(1)
        await up(lab, wanted)
        target = scaler(lab, wanted)
        news: list[object] = []
        target._world = dataclasses.replace(target._world, changed=news.append)
        target.report(DEMAND, {"a": 1.0})
        assert (await lab.engine.observe(wanted.instance)).demand == DEMAND
        assert len(news) == 1
        target.report(DEMAND, {"a": 2.0})
        assert len(news) == 1

    async def test_a_group_whose_nodes_keep_dying_is_tried_after_growing_pauses(
        self, lab: Lab, tmp_path: object
    ) -> None:
        flag = lab.settings.state.parent / "die"
        wanted = elastic(1, env={"FAKE": str(flag)})
        await up(lab, wanted)
        flag.touch()
        kill(of_kind(await lab.engine.observe(wanted.instance), "worker")[0])
        for number in range(3):
            await seen_when(lab, wanted, lambda seen: not of_kind(seen, "worker"), "it is gone")
            scaler(lab, wanted).scale_up(f"r{number}", "small", 1)
            noted = record(lab, wanted)
            assert isinstance(noted["nodes"], list)
            pauses = [node["not_before"] > node["created_at"] for node in noted["nodes"] if node["kind"] == "worker"]
            assert pauses == [number > 0]
        assert told(await lab.engine.observe(wanted.instance), "NodeStartFailed")

    async def test_a_head_that_began_without_one_gets_one_only_by_a_restart(self, lab: Lab) -> None:
        wanted = plan(workers=2)
        await up(lab, wanted)
        newer = dataclasses.replace(wanted, generation=2, scaling=Scaling())
        seen = await up(lab, newer)
        assert seen.wanted == {}
        await lab.engine.apply(dataclasses.replace(newer, generation=3, renew=3))
        seen = await seen_when(lab, wanted, lambda seen: seen.wanted == {"small": 2} and seen.complete, "it decides")
        assert of_kind(seen, "head")[0].restarts == 1

    async def test_without_scaling_an_autoscaler_that_runs_holds_the_number(self, lab: Lab) -> None:
        wanted = elastic(2)
        await up(lab, wanted)
        fixed = dataclasses.replace(as_newer(wanted, replicas=1), scaling=None)
        await lab.engine.apply(fixed)
        seen = await seen_when(lab, wanted, lambda seen: workers(seen, 1), "one is left")
        assert seen.wanted == {"small": 1}
        config = json.loads((lab.settings.state / "i" / wanted.instance / AUTOSCALING_FILE).read_text())
        group = config["available_node_types"]["small"]
        assert (group["min_workers"], group["max_workers"]) == (1, 1)


class TestDrain:
    async def test_a_busy_worker_goes_at_the_deadline(self, fast: tuple[Lab, FastClock]) -> None:
        lab, clock = fast
        wanted = plan(workers=2, env=BUSY)
        before = await up(lab, wanted)
        await lab.engine.apply(as_newer(wanted, replicas=1))
        seen = await seen_when(lab, wanted, lambda _: len(drains(lab)) == 1, "Ray is asked")
        assert sorted(states(seen)) == [NodeState.ALIVE, NodeState.DRAINING]
        clock.advance(lab.settings.drain_deadline.total_seconds() - 30)
        assert names(await lab.engine.observe(wanted.instance)) == names(before)
        clock.advance(31)
        after = await seen_when(lab, wanted, lambda seen: workers(seen, 1), "it was ended")
        assert len(told(after, "DrainTimedOut")) == 1
        assert "still ran work 600 seconds" in told(after, "DrainTimedOut")[0]
        assert "1 wanted. What they run may finish within 10 minutes" in told(after, "WorkersRemoved")[0]
        assert not told(after, "WorkerLost")

    async def test_without_an_environment_ray_is_asked_later_and_nothing_else_waits_for_it(
        self, fast: tuple[Lab, FastClock], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A renewal to another release may have to build its environment while a worker drains."""
        lab, clock = fast
        wanted = plan(workers=2, env=BUSY)
        await up(lab, wanted)
        with monkeypatch.context() as gone:
            gone.setattr(Environments, "find", lambda self, release: None)
            await lab.engine.apply(as_newer(wanted, replicas=1))
            await seen_when(lab, wanted, lambda seen: NodeState.DRAINING in states(seen), "one drains")
            one = scaler(lab, wanted)
            await seen_when(lab, wanted, lambda _: any(row.drain_asked_at for row in one._facts.seen.values()), "noted")
            assert not any(isinstance(step, Drain) for step in decide(one._facts, lab.settings).steps)
        assert drains(lab) == []
        clock.advance(DRAIN_RETRY_SECONDS + 1)
        await seen_when(lab, wanted, lambda _: len(drains(lab)) == 1, "Ray is asked")

    async def test_an_idle_worker_goes_by_itself(self, lab: Lab) -> None:
        wanted = plan(workers=2)
        await up(lab, wanted)
        seen = await up(lab, as_newer(wanted, replicas=0))
        seen = await seen_when(lab, wanted, lambda seen: workers(seen, 0), "they are gone")
        assert len(drains(lab)) == 2
        assert [incident.reason for incident in seen.incidents] == ["WorkersRemoved"]

    async def test_more_workers_while_one_drains_are_new_ones(self, lab: Lab) -> None:
        wanted = plan(workers=2, env=BUSY)
        before = await up(lab, wanted)
        fewer = as_newer(wanted, replicas=1)
        await lab.engine.apply(fewer)
        await seen_when(lab, wanted, lambda seen: NodeState.DRAINING in states(seen), "one drains")
        await lab.engine.apply(as_newer(fewer, replicas=2))
        seen = await seen_when(lab, wanted, lambda seen: states(seen).count(NodeState.ALIVE) == 2, "one came")
        assert names(before) < names(seen)
        assert len(seen.nodes) == 4

    async def test_ray_is_asked_again_by_another_server(self, lab: Lab) -> None:
        wanted = plan(workers=1, env=BUSY)
        await up(lab, wanted)
        fewer = as_newer(wanted, replicas=0)
        await lab.engine.apply(fewer)
        await seen_when(lab, wanted, lambda _: len(drains(lab)) == 1, "Ray is asked")
        await lab.engine.close()
        next((lab.settings.state / "i" / wanted.instance / "nodes").glob("*/drain.json")).unlink()
        await lab.open()
        await lab.engine.apply(fewer)
        await seen_when(lab, wanted, lambda _: len(drains(lab)) == 2, "Ray is asked again")

    async def test_a_drain_does_not_hold_up_the_end_of_the_instance(self, lab: Lab) -> None:
        wanted = plan(workers=1, env=BUSY)
        await up(lab, wanted)
        await lab.engine.apply(as_newer(wanted, replicas=0))
        await seen_when(lab, wanted, lambda _: len(drains(lab)) == 1, "Ray is asked")
        await lab.engine.destroy(wanted.instance)
        await seen_when(lab, wanted, lambda seen: not seen.present, "it is gone")

    async def test_a_worker_that_never_took_work_goes_at_once(self, lab: Lab) -> None:
        wanted = plan(workers=1)
        await up(lab, wanted)
        slow = as_newer(wanted, replicas=2, env={"FAKE": "hang"})
        await lab.engine.apply(slow)
        await seen_when(lab, wanted, lambda seen: NodeState.STARTING in states(seen), "one starts")
        await lab.engine.apply(as_newer(slow, replicas=1))
        seen = await seen_when(lab, wanted, lambda seen: workers(seen, 1), "it is gone")
        assert drains(lab) == []
        assert "may finish" not in told(seen, "WorkersRemoved")[0]

    async def test_a_worker_killed_while_it_drains_is_not_replaced(self, lab: Lab) -> None:
        wanted = plan(workers=1, env=BUSY)
        await up(lab, wanted)
        await lab.engine.apply(as_newer(wanted, replicas=0))
        seen = await seen_when(lab, wanted, lambda _: len(drains(lab)) == 1, "Ray is asked")
        kill(of_kind(seen, "worker")[0])
        after = await seen_when(lab, wanted, lambda seen: workers(seen, 0), "it is gone")
        assert [incident.reason for incident in after.incidents] == ["WorkersRemoved"]


def renewed(wanted: InstancePlan, **changes: object) -> InstancePlan:
    newer = wanted.generation + 1
    return dataclasses.replace(wanted, **{"generation": newer, "renew": newer, **changes})  # type: ignore[arg-type]


class TestRenewal:
    async def test_one_at_a_time_and_the_next_when_its_successor_lives(self, lab: Lab) -> None:
        wanted = plan(workers=2, env=BUSY)
        before = await up(lab, wanted)
        await lab.engine.apply(renewed(as_newer(wanted, env={})))
        seen = await seen_when(lab, wanted, lambda _: len(drains(lab)) == 1, "the first drains")
        assert sorted(states(seen)) == [NodeState.ALIVE, NodeState.DRAINING, NodeState.PENDING]
        draining = next(node for node in seen.nodes if node.state is NodeState.DRAINING)
        kill(draining)
        seen = await seen_when(lab, wanted, lambda _: len(drains(lab)) == 2, "the second drains")
        assert states(seen).count(NodeState.ALIVE) == 1
        kill(next(node for node in seen.nodes if node.state is NodeState.DRAINING))
        after = await seen_when(lab, wanted, lambda seen: bool(told(seen, "GroupRenewed")), "it is renewed")
        assert workers(after, 2)
        assert len(names(after) & names(before)) == 1
        assert told(after, "GroupRenewed") == ["Group small is renewed: 2 workers were replaced, one after the other."]

    async def test_a_head_whose_part_has_changed_comes_back_with_it(self, lab: Lab) -> None:
        wanted = plan(workers=1)
        before = await up(lab, wanted)
        head = dataclasses.replace(wanted.head, env={"SAYS": "renewed"})
        await lab.engine.apply(renewed(wanted, head=head))
        after = await seen_when(
            lab,
            wanted,
            lambda seen: seen.complete and {node.generation for node in seen.nodes} == {2},
            "all is of the new generation",
        )
        assert of_kind(after, "head")[0].node == of_kind(before, "head")[0].node
        assert of_kind(after, "head")[0].pid != of_kind(before, "head")[0].pid
        assert of_kind(after, "head")[0].restarts == 1
        assert after.endpoints == before.endpoints
        assert not [incident for incident in after.incidents if incident.warning]

    async def test_without_storage_the_head_stays_and_that_is_told(self, lab: Lab) -> None:
        wanted = dataclasses.replace(plan(workers=1), release=WITHOUT_STORAGE)
        before = await up(lab, wanted)
        head = dataclasses.replace(wanted.head, env={"SAYS": "renewed"})
        await lab.engine.apply(renewed(wanted, head=head))
        after = await seen_when(lab, wanted, lambda seen: bool(told(seen, "GroupRenewed")), "the workers are renewed")
        assert of_kind(after, "head")[0].pid == of_kind(before, "head")[0].pid
        assert "needs a restart of the cluster" in after.trouble

    async def test_another_ray_is_left_for_a_restart(self, lab: Lab) -> None:
        wanted = plan(workers=1)
        await up(lab, wanted)
        await lab.engine.apply(renewed(wanted, release=WITHOUT_STORAGE))
        after = await seen_when(lab, wanted, lambda seen: bool(told(seen, "GroupRenewed")), "the workers are renewed")
        assert f"release {WITHOUT_STORAGE.display} needs a restart" in after.trouble
        assert after.failure is None

    async def test_what_has_changed_without_a_renewal_is_for_new_nodes_only(self, lab: Lab) -> None:
        wanted = plan(workers=1)
        before = await up(lab, wanted)
        head = dataclasses.replace(wanted.head, env={"SAYS": "something else"})
        newer = dataclasses.replace(as_newer(wanted, replicas=2, env={"SAYS": "new"}, cpus=64.0), head=head)
        await lab.engine.apply(newer)
        after = await seen_when(lab, wanted, lambda seen: workers(seen, 2), "one came")
        assert names(before) < names(after)
        specs = environments(lab, wanted, names(after))
        assert sorted(spec.get("SAYS", "") for spec in specs) == ["", "", "new"]


def environments(lab: Lab, wanted: InstancePlan, nodes: Collection[str]) -> list[dict[str, str]]:
    folder = lab.settings.state / "i" / wanted.instance / "nodes"
    return [json.loads((folder / f"{node}.0" / "spec.json").read_text())["environment"] for node in nodes]
