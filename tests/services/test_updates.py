"""Changes of running clusters, restarts and plans of both, on the simulated engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from heliostat.domain.engine import NodeState
from heliostat.domain.errors import Conflict, NotReady, QuotaExceeded
from heliostat.domain.ids import ClusterId, InstanceId
from heliostat.domain.records import Cluster
from heliostat.domain.spec import Autoscaling, ClusterSpec, Lifetime, WorkerGroup
from heliostat.domain.states import State
from heliostat.domain.updates import Effect

from .conftest import BOTH, SHAPE, Office, spec

Change = Callable[[ClusterSpec], ClusterSpec]


def scaled(replicas: int) -> Change:
    return lambda old: replace(old, workers=(replace(old.workers[0], replicas=replicas),))


def with_env(value: str) -> Change:
    def change(old: ClusterSpec) -> ClusterSpec:
        shape = replace(old.workers[0].shape, env={"KEY": value})
        return replace(old, workers=(replace(old.workers[0], shape=shape),))

    return change


def with_head(cpu: int) -> Change:
    return lambda old: replace(old, head=replace(old.head, cpu=Decimal(cpu)))


def with_shape(cpu: int) -> Change:
    def change(old: ClusterSpec) -> ClusterSpec:
        shape = replace(old.workers[0].shape, cpu=Decimal(cpu))
        return replace(old, workers=(replace(old.workers[0], shape=shape),))

    return change


async def update(office: Office, cluster: ClusterId, change: Change, **more: int) -> Cluster:
    ann = await office.caller("ann")
    return await office.services.clusters.update(ann, office.workspace, cluster, change, **more)


async def settle(office: Office, cluster: ClusterId) -> None:
    """Until a look changes nothing any more."""
    for _ in range(30):
        await office.reconciler.reconcile(cluster)
    await office.settle(cluster)


async def alive(office: Office, cluster: ClusterId, group: str = "g") -> int:
    run = await office.run_of(cluster)
    return sum(node.state is NodeState.ALIVE and node.group == group for node in run.nodes)


@BOTH
async def test_a_running_cluster_gets_what_it_can_have_and_no_more(office: Office) -> None:
    made = await office.running()
    everything = replace(
        made.spec,
        name="renamed",
        workers=(replace(made.spec.workers[0], replicas=4), WorkerGroup("more", SHAPE, replicas=1)),
        lifetime=Lifetime(600),
        priority=7,
        labels={"team": "vision"},
        head=replace(SHAPE, cpu=Decimal(2)),
    )
    after = await update(office, made.id, lambda old: everything)
    run = await office.run_of(made.id)
    assert after.modified and run.generation == after.generation == 2
    assert run.spec == replace(everything, head=SHAPE), "all but the head"
    await settle(office, made.id)
    assert (await alive(office, made.id), await alive(office, made.id, "more")) == (4, 1)
    [told] = [event.message for event in await office.events(made.id) if event.reason == "Updated"]
    assert "workers[g].replicas 2 -> 4 (in place)" in told and "head.cpu 1 -> 2 (at the next restart)" in told
    assert (await office.stored(made.id)).modified
    smaller = await update(office, made.id, lambda old: replace(old, head=SHAPE, workers=old.workers[:1]))
    assert not smaller.modified
    await settle(office, made.id)
    assert await alive(office, made.id, "more") == 0


async def test_other_variables_leave_it_modified_while_older_nodes_run(office: Office) -> None:
    made = await office.running()
    assert (await update(office, made.id, with_env("hush"))).modified
    await settle(office, made.id)
    assert (await office.stored(made.id)).modified, "the nodes that are there have none"
    assert not any("hush" in event.message for event in await office.events(made.id))
    run = await office.run_of(made.id)
    for node in run.nodes:
        if node.kind == "worker":
            office.engine.kill(node.node)
    await settle(office, made.id)
    assert await alive(office, made.id) == 2
    assert not (await office.stored(made.id)).modified, "all were begun with it"


async def test_taking_a_change_back_leaves_nothing_to_restart_for(office: Office) -> None:
    made = await office.running()
    for change in (with_env("one"), with_head(2), lambda old: replace(old, workers=())):
        await update(office, made.id, change)
        assert not (await update(office, made.id, lambda old: made.spec)).modified


async def test_another_change_in_between_is_a_conflict(office: Office) -> None:
    made = await office.running()
    await update(office, made.id, scaled(3), expected_generation=1)
    with pytest.raises(Conflict, match="has generation 2, not 1"):
        await update(office, made.id, scaled(4), expected_generation=1)
    assert (await office.stored(made.id)).generation == 2


@BOTH
async def test_a_start_that_still_waits_takes_any_change_whole(office: Office) -> None:
    await office.limit(cpu=4)
    first = await office.running()
    ann = await office.caller("ann")
    made = await office.services.clusters.create(ann, office.workspace, spec("two"), start=True)
    await office.reconciler.reconcile(made.id)
    after = await update(office, made.id, with_head(2))
    assert not after.modified and (await office.run_of(made.id)).spec == after.spec
    with pytest.raises(QuotaExceeded):
        await update(office, made.id, with_head(40))
    await office.services.clusters.stop(ann, office.workspace, first.id)


@BOTH
@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING, State.ERROR, State.STOPPED])
async def test_a_restart_is_one_wish(office: Office, state: State) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    if state is State.ERROR:
        office.world.failing["one"] = "no such package"
    made = await clusters.create(ann, office.workspace, spec(), start=state is not State.STOPPED)
    if state in (State.RUNNING, State.ERROR):
        await office.settle(made.id)
    office.world.failing.clear()
    before = await office.stored(made.id)
    assert before.state is state
    await update(office, made.id, with_head(2))
    office.world.linger = 3
    after = await clusters.restart(ann, office.workspace, made.id, client_token="once")
    again = await clusters.restart(ann, office.workspace, made.id, client_token="once")
    assert again.instance == after.instance != before.instance
    assert (after.state, after.modified) == (State.STARTING, False)
    await settle(office, made.id)
    stored, run = await office.stored(made.id), await office.run_of(made.id)
    assert stored.state is State.RUNNING and run.spec.head.cpu == 2
    assert list(office.world.instances) == [run.id] and office.world.starts[run.id] == 1
    reasons = [event.reason for event in await office.events(made.id)]
    assert ("RestartRequested" in reasons) == (state in (State.STARTING, State.RUNNING))


async def test_a_restart_guards_against_another_run_and_a_release_that_is_gone(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    made = await office.running()
    with pytest.raises(Conflict, match="not the present run"):
        await clusters.restart(ann, office.workspace, made.id, instance=InstanceId(f"{made.id}-00000000"))
    office.world.releases_missing["ray-1.3.1"] = "install Python 3.11"
    with pytest.raises(NotReady, match="install Python"):
        await clusters.restart(ann, office.workspace, made.id)
    assert (await office.stored(made.id)).instance == made.instance, "it runs on"
    await clusters.stop(ann, office.workspace, made.id)
    with pytest.raises((Conflict, NotReady)):
        await clusters.restart(ann, office.workspace, made.id)


async def test_a_rolling_restart_replaces_the_workers_and_keeps_the_run(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    made = await office.running()
    await update(office, made.id, with_shape(2))
    before = await office.run_of(made.id)
    after = await clusters.restart(ann, office.workspace, made.id, rolling=True)
    assert after.modified and after.instance == before.id and after.generation == 3
    await settle(office, made.id)
    run, stored = await office.run_of(made.id), await office.stored(made.id)
    assert not stored.modified and stored.state is State.RUNNING
    workers = {node.node for node in run.nodes if node.kind == "worker"}
    assert len(workers) == 2 and not workers & {node.node for node in before.nodes}
    assert {node.node for node in run.nodes if node.kind == "head"} <= {node.node for node in before.nodes}


async def test_a_rolling_restart_refuses_what_it_cannot_bring(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    made = await office.running()
    await update(office, made.id, with_head(2))
    office.world.renews_heads = False
    with pytest.raises(Conflict, match=r"head.cpu: .*restart the cluster as a whole"):
        await clusters.restart(ann, office.workspace, made.id, rolling=True)
    assert (await office.run_of(made.id)).renew == 0
    office.world.renews_heads = True
    await update(office, made.id, lambda old: replace(old, release="ray-1.0.0"))
    with pytest.raises(Conflict, match="release: all nodes"):
        await clusters.restart(ann, office.workspace, made.id, rolling=True)
    await clusters.stop(ann, office.workspace, made.id)
    await office.settle(made.id)
    with pytest.raises(Conflict, match="only a running one"):
        await clusters.restart(ann, office.workspace, made.id, rolling=True)


async def test_while_nodes_are_replaced_the_queue_has_the_larger_of_both(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    await office.limit(cpu=5)
    made = await office.running()
    assert await office.held_cpu() == 3
    await update(office, made.id, with_shape(3))
    with pytest.raises(QuotaExceeded, match="as a whole"):
        await clusters.restart(ann, office.workspace, made.id, rolling=True)
    await update(office, made.id, with_shape(2))
    await clusters.restart(ann, office.workspace, made.id, rolling=True)
    assert await office.held_cpu() == 5
    await settle(office, made.id)
    await update(office, made.id, with_shape(1))
    await clusters.restart(ann, office.workspace, made.id, rolling=True)
    assert await office.held_cpu() == 5, "the larger nodes are there still"
    await settle(office, made.id)
    assert await office.held_cpu() == 3


async def test_a_plan_says_what_an_update_does_and_changes_nothing(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    made = await office.running()
    count = len(await office.events(made.id))

    def change(old: ClusterSpec | None) -> ClusterSpec:
        assert old is not None
        return with_head(2)(with_env("hush")(scaled(5)(old)))

    seen = await clusters.preview(ann, office.workspace, made.id, change)
    assert (seen.action, seen.restart, seen.refusals, seen.beyond_rolling) == ("change", True, (), ())
    assert {row.path: row.effect for row in seen.changes} == {
        "workers[g].replicas": Effect.IN_PLACE,
        "workers[g].env.KEY": Effect.NEW_NODES,
        "head.cpu": Effect.RESTART,
    }
    assert "hush" not in repr(seen.changes)
    assert await office.stored(made.id) == made and len(await office.events(made.id)) == count
    same = await clusters.preview(ann, office.workspace, made.id, lambda old: old or made.spec)
    assert (same.action, same.changes, same.restart) == ("nothing", (), False)
    await update(office, made.id, with_head(2))
    later = await clusters.preview(ann, office.workspace, made.id, lambda old: scaled(5)(old or made.spec))
    assert [row.path for row in later.pending] == ["head.cpu"] and later.restart


async def test_a_plan_tells_every_refusal(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    await clusters.create(ann, office.workspace, spec("taken"))
    made = await office.running()
    bad = replace(made.spec, name="taken", release="ray-9", priority=5000, head=replace(SHAPE, queue="none"))
    seen = await clusters.preview(ann, office.workspace, made.id, lambda old: bad)
    assert {row.path for row in seen.refusals} >= {"name", "release", "priority", "head.queue"}
    new = await clusters.preview(ann, office.workspace, None, lambda old: spec("fresh"))
    assert (new.action, new.cluster, new.refusals) == ("create", None, ())
    await office.limit(cpu=1)
    large = await clusters.preview(ann, office.workspace, None, lambda old: spec("fresh"))
    assert [row.path for row in large.refusals] == ["workers"]


async def test_the_autoscaler_s_bounds_change_in_place_and_its_number_is_its_own(office: Office) -> None:
    ann = await office.caller("ann")
    group = WorkerGroup("g", SHAPE, replicas=1, min_replicas=1, max_replicas=2)
    elastic = replace(spec(), workers=(group,), autoscaling=Autoscaling(True))
    made = await office.services.clusters.create(ann, office.workspace, elastic, start=True)
    await office.settle(made.id)
    run = await office.run_of(made.id)
    office.engine.needs(run.id, "g", 5)
    await settle(office, made.id)
    assert await alive(office, made.id) == 2
    after = await update(
        office, made.id, lambda old: replace(old, workers=(replace(group, replicas=3, max_replicas=4),))
    )
    assert not after.modified
    await settle(office, made.id)
    assert await alive(office, made.id) == 4
    said = await office.services.clusters.why(ann, office.workspace, made.id)
    assert "5 of 5 nodes are alive" in said.summary
    assert "group g: 4 of 4 wanted nodes (1 to 4)" in said.evidence
