"""What every engine must do, whatever it runs on. An engine's own test module subclasses :class:`EngineConformance`.

::

    class TestMyEngine(EngineConformance):
        @pytest.fixture
        async def harness(self) -> AsyncIterator[Harness]:
            ...
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol

import pytest

from heliostat.domain.engine import GroupPlan, InstancePlan, NodeLog, NodeState, Observation, Step
from heliostat.domain.ids import InstanceId, NodeId, new_cluster_id, new_instance_id
from heliostat.domain.releases import Catalogue
from heliostat.domain.secret import Secret
from heliostat.domain.spec import ClusterSpec, NodeShape, WorkerGroup
from heliostat.engines.base import Engine

GIB = 1 << 30


class Harness(Protocol):
    """An engine, opened, and the world that it runs instances in."""

    engine: Engine
    within: float
    """Seconds that a start or an end may take at most."""

    async def reopen(self) -> None:
        """Close the engine and put a new one, opened, on the same world in its place."""


def plan(
    instance: InstanceId | None = None,
    *,
    workers: int = 2,
    generation: int = 1,
    name: str = "conformance",
    granted: int | None = None,
    renew: int = 0,
    env: Mapping[str, str] | None = None,
) -> InstancePlan:
    """A small plan: one head and one group of workers. What is not named is the workers'."""
    chosen = instance or new_instance_id(new_cluster_id())
    return InstancePlan(
        instance=chosen,
        cluster=new_cluster_id(),
        name=name,
        generation=generation,
        release=Catalogue().default_release,
        head=GroupPlan("head", 1, 1.0, GIB),
        workers=(GroupPlan("small", workers, 1.0, GIB, env=env or {}, granted=granted),),
        renew=renew,
        ray_token=Secret("c0ffee" * 6),
    )


async def until(
    engine: Engine, instance: InstanceId, reached: Callable[[Observation], bool], what: str, within: float = 30.0
) -> Observation:
    """Observe until it is so; fails the test after ``within`` seconds with what was seen last."""
    deadline = asyncio.get_running_loop().time() + within
    while not reached(seen := await engine.observe(instance)):
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"not within {within:g} s: {what}; seen: {seen}")
        await asyncio.sleep(0.02)
    return seen


def names(seen: Observation) -> set[str]:
    return {node.node for node in seen.nodes}


class EngineConformance:
    """The suite."""

    async def up(self, harness: Harness, wanted: InstancePlan) -> Observation:
        await harness.engine.apply(wanted)
        nodes = 1 + sum(group.replicas for group in wanted.workers)
        return await until(
            harness.engine,
            wanted.instance,
            lambda seen: seen.complete and len(seen.nodes) == nodes and seen.generation == wanted.generation,
            f"{nodes} nodes of generation {wanted.generation} are complete",
            harness.within,
        )

    async def seen(
        self, harness: Harness, wanted: InstancePlan, reached: Callable[[Observation], bool], what: str
    ) -> Observation:
        return await until(harness.engine, wanted.instance, reached, what, harness.within)

    async def gone(self, harness: Harness, instance: InstanceId) -> None:
        await harness.engine.destroy(instance)
        await until(harness.engine, instance, lambda seen: not seen.present, "it is absent", harness.within)

    async def test_an_applied_plan_becomes_complete(self, harness: Harness) -> None:
        wanted = plan()
        seen = await self.up(harness, wanted)
        assert seen.instance == wanted.instance
        assert seen.step is Step.UP
        assert seen.failure is None
        assert seen.endpoints is not None
        assert sorted((node.kind, node.group) for node in seen.nodes) == [
            ("head", "head"), ("worker", "small"), ("worker", "small"),
        ]  # fmt: skip
        assert len(names(seen)) == 3
        assert all(node.state is NodeState.ALIVE and node.started_at is not None for node in seen.nodes)
        assert seen.progress

    async def test_a_plan_without_workers_becomes_complete(self, harness: Harness) -> None:
        seen = await self.up(harness, plan(workers=0))
        assert [node.kind for node in seen.nodes] == ["head"]

    async def test_nodes_tell_where_their_figures_are(self, harness: Harness) -> None:
        loud, quiet = plan(workers=1), replace(plan(workers=1), metrics=False)
        seen = await self.up(harness, loud)
        assert [(node.kind, len(node.metrics)) for node in seen.nodes] == [("head", 3), ("worker", 1)]
        addresses = [address for node in seen.nodes for address in node.metrics]
        assert len(set(addresses)) == 4 and all(address.startswith("127.0.0.1:") for address in addresses)
        seen = await self.up(harness, quiet)
        assert [node.metrics for node in seen.nodes] == [(), ()]

    async def test_repeating_a_plan_changes_nothing(self, harness: Harness) -> None:
        wanted = plan()
        before = await self.up(harness, wanted)
        for _ in range(3):
            await harness.engine.apply(wanted)
        after = await self.up(harness, wanted)
        assert names(after) == names(before)
        assert [node.pid for node in after.nodes] == [node.pid for node in before.nodes]

    async def test_what_never_was_is_absent(self, harness: Harness) -> None:
        seen = await harness.engine.observe(plan().instance)
        assert not seen.present
        assert seen.nodes == ()

    async def test_destroying_what_never_was_is_no_error(self, harness: Harness) -> None:
        instance = plan().instance
        await harness.engine.destroy(instance)
        assert not (await harness.engine.observe(instance)).present

    async def test_a_destroyed_instance_becomes_absent(self, harness: Harness) -> None:
        wanted = plan()
        await self.up(harness, wanted)
        await self.gone(harness, wanted.instance)
        await harness.engine.destroy(wanted.instance)
        assert not (await harness.engine.observe(wanted.instance)).present
        assert wanted.instance not in await harness.engine.discover()

    async def test_an_instance_can_be_destroyed_before_it_is_up(self, harness: Harness) -> None:
        wanted = plan()
        await harness.engine.apply(wanted)
        await self.gone(harness, wanted.instance)
        assert wanted.instance not in await harness.engine.discover()

    async def test_discover_finds_what_exists(self, harness: Harness) -> None:
        first, second = plan(), plan(workers=1)
        await self.up(harness, first)
        await harness.engine.apply(second)
        assert set(await harness.engine.discover()) == {first.instance, second.instance}

    async def test_instances_do_not_touch_each_other(self, harness: Harness) -> None:
        first, second = plan(workers=1), plan(workers=1)
        await self.up(harness, first)
        before = await self.up(harness, second)
        assert not names(before) & names(await harness.engine.observe(first.instance))
        await self.gone(harness, first.instance)
        after = await harness.engine.observe(second.instance)
        assert after.complete
        assert names(after) == names(before)

    async def test_changes_name_the_instance_that_changed(self, harness: Harness) -> None:
        wanted = plan(workers=1)
        changes = harness.engine.changes()

        async def hear(reached: Callable[[Observation], bool]) -> None:
            async for instance in changes:
                if instance == wanted.instance and reached(await harness.engine.observe(instance)):
                    return

        await harness.engine.apply(wanted)
        await asyncio.wait_for(hear(lambda seen: seen.complete), harness.within)
        await harness.engine.destroy(wanted.instance)
        await asyncio.wait_for(hear(lambda seen: not seen.present), harness.within)

    async def test_a_newer_plan_adds_and_removes_workers_in_place(self, harness: Harness) -> None:
        wanted = plan(workers=1)
        one = await self.up(harness, wanted)
        three = await self.up(harness, plan(wanted.instance, workers=3, generation=2))
        assert names(one) < names(three)
        none = await self.up(harness, plan(wanted.instance, workers=0, generation=3))
        assert names(none) == {node.node for node in one.nodes if node.kind == "head"}

    async def test_no_more_nodes_start_than_are_granted(self, harness: Harness) -> None:
        wanted = plan(workers=3, granted=1)
        await harness.engine.apply(wanted)
        seen = await self.seen(
            harness, wanted, lambda seen: seen.alive == 2 and len(seen.nodes) == 4, "one has started"
        )
        waiting = [node for node in seen.nodes if node.state is NodeState.PENDING]
        assert [node.message for node in waiting] == ["waits for its queue"] * 2
        assert all(node.pid is None for node in waiting)
        assert seen.failure is None
        assert seen.step is not Step.FAILED

    async def test_nodes_that_wait_start_when_they_are_granted(self, harness: Harness) -> None:
        wanted = plan(workers=3, granted=1)
        await harness.engine.apply(wanted)
        few = await self.seen(harness, wanted, lambda seen: seen.alive == 2, "one has started")
        await harness.engine.apply(plan(wanted.instance, workers=3, granted=2))
        more = await self.seen(harness, wanted, lambda seen: seen.alive == 3, "two have started")
        assert names(more) == names(few)
        all_there = await self.up(harness, plan(wanted.instance, workers=3))
        assert names(all_there) == names(few)

    async def test_a_grant_that_is_taken_back_ends_nothing(self, harness: Harness) -> None:
        wanted = plan(workers=2, granted=2)
        before = await self.up(harness, wanted)
        await harness.engine.apply(plan(wanted.instance, workers=2, granted=0))
        after = await self.up(harness, plan(wanted.instance, workers=2, granted=0))
        assert [node.pid for node in after.nodes] == [node.pid for node in before.nodes]

    async def test_without_a_grant_for_its_head_nothing_starts(self, harness: Harness) -> None:
        wanted = plan(workers=1)
        held = replace(wanted, head=replace(wanted.head, granted=0))
        await harness.engine.apply(held)
        seen = await self.seen(harness, wanted, lambda seen: len(seen.nodes) == 2, "it has places")
        assert [node.state for node in seen.nodes] == [NodeState.PENDING] * 2
        await self.up(harness, replace(wanted, head=replace(wanted.head, granted=1)))

    async def test_groups_come_and_go_while_it_runs(self, harness: Harness) -> None:
        wanted = plan(workers=1)
        before = await self.up(harness, wanted)
        other = GroupPlan("other", 2, 1.0, GIB)
        more = await self.up(harness, replace(wanted, generation=2, workers=(*wanted.workers, other)))
        assert names(before) < names(more)
        fewer = await self.up(harness, replace(wanted, generation=3, workers=(other,)))
        assert names(fewer) == {node.node for node in more.nodes if node.group != "small"}
        assert fewer.failure is None

    async def test_an_older_plan_changes_nothing(self, harness: Harness) -> None:
        wanted = plan(workers=2, generation=5)
        before = await self.up(harness, wanted)
        await harness.engine.apply(plan(wanted.instance, workers=0, generation=4))
        after = await self.up(harness, wanted)
        assert names(after) == names(before)

    async def test_nodes_tell_the_generation_that_they_were_begun_with(self, harness: Harness) -> None:
        wanted = plan(workers=1)
        await self.up(harness, wanted)
        seen = await self.up(harness, plan(wanted.instance, workers=2, generation=7))
        assert [node.generation for node in seen.nodes] == [1, 1, 7]

    async def test_a_renewal_replaces_every_worker_and_leaves_an_equal_head(self, harness: Harness) -> None:
        wanted = plan(workers=3)
        before = await self.up(harness, wanted)
        newer = plan(wanted.instance, workers=3, generation=2, renew=2, env={"NEW": "yes"})
        await harness.engine.apply(newer)
        after = await self.seen(
            harness,
            wanted,
            lambda seen: seen.complete and all(node.generation == 2 for node in seen.nodes),
            "all nodes are of the new generation",
        )
        head = next(node for node in before.nodes if node.kind == "head")
        assert names(after) & names(before) == {head.node}
        assert next(node.pid for node in after.nodes if node.kind == "head") == head.pid
        assert len(after.nodes) == 4
        assert [incident.reason for incident in after.incidents] == ["GroupRenewed"]
        again = await self.up(harness, newer)
        assert names(again) == names(after)

    async def test_a_renewal_goes_on_under_a_new_engine(self, harness: Harness) -> None:
        wanted = plan(workers=2)
        before = await self.up(harness, wanted)
        newer = plan(wanted.instance, workers=2, generation=2, renew=2)
        await harness.engine.apply(newer)
        await harness.reopen()
        await harness.engine.apply(newer)
        after = await self.seen(
            harness,
            wanted,
            lambda seen: seen.complete and all(node.generation == 2 for node in seen.nodes),
            "all nodes are of the new generation",
        )
        assert len(names(after) & names(before)) == 1
        assert len(after.nodes) == 3

    async def test_a_new_engine_finds_what_an_old_one_started(self, harness: Harness) -> None:
        wanted = plan()
        before = await self.up(harness, wanted)
        await harness.reopen()
        assert wanted.instance in await harness.engine.discover()
        seen = await harness.engine.observe(wanted.instance)
        assert seen.complete
        assert names(seen) == names(before)
        after = await self.up(harness, wanted)
        assert [node.pid for node in after.nodes] == [node.pid for node in before.nodes]
        await self.gone(harness, wanted.instance)

    async def test_a_start_goes_on_under_a_new_engine(self, harness: Harness) -> None:
        wanted = plan()
        await harness.engine.apply(wanted)
        await harness.reopen()
        seen = await self.up(harness, wanted)
        assert len(seen.nodes) == 3

    async def test_every_node_has_log_files(self, harness: Harness) -> None:
        wanted = plan()
        seen = await self.up(harness, wanted)
        files = await harness.engine.log_files(wanted.instance)
        assert {file.node for file in files} == names(seen)
        assert [(file.node, file.name) for file in files] == sorted({(file.node, file.name) for file in files})
        assert all(file.modified_at.tzinfo is not None for file in files)
        assert any(file.size > 0 for file in files)

    async def test_a_log_file_can_be_read_from_any_offset(self, harness: Harness) -> None:
        wanted = plan(workers=0)
        await self.up(harness, wanted)
        file = next(file for file in await harness.engine.log_files(wanted.instance) if file.size > 8)
        whole = await harness.engine.read_log(wanted.instance, file, 0, 1 << 20)
        assert whole is not None
        assert len(whole) >= file.size
        assert await harness.engine.read_log(wanted.instance, file, 3, 5) == whole[3:8]
        assert await harness.engine.read_log(wanted.instance, file, 0, 0) == b""
        assert await harness.engine.read_log(wanted.instance, file, 1 << 40, 10) == b""
        rest = await harness.engine.read_log(wanted.instance, file, 3, 1 << 40)
        assert rest is not None
        assert rest.startswith(whole[3:])

    async def test_the_log_files_of_a_node_outlive_it(self, harness: Harness) -> None:
        wanted = plan(workers=1)
        worker = next(node.node for node in (await self.up(harness, wanted)).nodes if node.kind == "worker")
        before = next(file for file in await harness.engine.log_files(wanted.instance) if file.node == worker)
        text = await harness.engine.read_log(wanted.instance, before, 0, before.size)
        await self.up(harness, plan(wanted.instance, workers=0, generation=2))
        after = await harness.engine.log_files(wanted.instance)
        assert (before.node, before.name) in [(file.node, file.name) for file in after]
        assert await harness.engine.read_log(wanted.instance, before, 0, before.size) == text

    async def test_a_new_engine_finds_the_log_files_of_an_old_one(self, harness: Harness) -> None:
        wanted = plan(workers=1)
        await self.up(harness, wanted)
        before = await harness.engine.log_files(wanted.instance)
        await harness.reopen()
        after = await harness.engine.log_files(wanted.instance)
        assert [(file.node, file.name) for file in after] == [(file.node, file.name) for file in before]

    async def test_what_never_was_has_no_log_files(self, harness: Harness) -> None:
        instance = plan().instance
        assert await harness.engine.log_files(instance) == []
        file = NodeLog(NodeId(f"{instance}-h"), "raylet.out", 1, datetime.now(UTC))
        assert await harness.engine.read_log(instance, file, 0, 1) is None

    async def test_log_files_that_never_were_are_gone(self, harness: Harness) -> None:
        wanted = plan(workers=0)
        await self.up(harness, wanted)
        file = (await harness.engine.log_files(wanted.instance))[0]
        for node, name in ((file.node, "nothing.log"), (file.node, ""), ("nobody", file.name), ("", file.name)):
            other = NodeLog(NodeId(node), name, file.size, file.modified_at)
            assert await harness.engine.read_log(wanted.instance, other, 0, 1) is None

    async def test_the_log_files_of_a_destroyed_instance_are_gone(self, harness: Harness) -> None:
        wanted = plan(workers=0)
        await self.up(harness, wanted)
        file = (await harness.engine.log_files(wanted.instance))[0]
        await self.gone(harness, wanted.instance)
        assert await harness.engine.log_files(wanted.instance) == []
        assert await harness.engine.read_log(wanted.instance, file, 0, 1) is None

    async def test_support_answers_for_any_spec(self, harness: Harness) -> None:
        shape = NodeShape("root_queue", Decimal(1), 8 * GIB)
        spec = ClusterSpec("c", Catalogue().default_release.display, shape, (WorkerGroup("small", shape),))
        assert all(finding.path and finding.message for finding in harness.engine.support(spec))
