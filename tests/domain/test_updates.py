"""Which change needs a restart, which does not, and what a run becomes: every field of a spec has its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliostat.domain.engine import NodeObservation, NodeState, Upscaling
from heliostat.domain.ids import NodeId
from heliostat.domain.quantities import GIB
from heliostat.domain.secret import Secret
from heliostat.domain.spec import (
    MASK,
    Autoscaling,
    ClusterSpec,
    FaultTolerance,
    Lifetime,
    NfsMount,
    NodeShape,
    WorkerGroup,
)
from heliostat.domain.updates import (
    REMEMBERED,
    Effect,
    Reach,
    applied,
    beyond_renewal,
    changes,
    edits,
    is_modified,
    outdated_nodes,
    runs_differently,
    shapes,
)

from .samples import NOW, instance

SHAPE = NodeShape("root_queue", Decimal(1), GIB, env={"A": "hush-a"}, ray_start_params="--num-cpus=1")
GROUP = WorkerGroup("g", SHAPE, replicas=2, min_replicas=0, max_replicas=9)
SPEC = ClusterSpec("sample", "ray-1.3.1", SHAPE, (GROUP, replace(GROUP, name="h")))
SCALED = replace(SPEC, autoscaling=Autoscaling(True))
TOLERANT = replace(SPEC, fault_tolerance=FaultTolerance(True, "redis://hush", "ray", Secret("hush-p")))
Change = Callable[[ClusterSpec], ClusterSpec]


def head(**fields: Any) -> Change:  # of a shape
    return lambda spec: replace(spec, head=replace(spec.head, **fields))


def group(**fields: Any) -> Change:  # of a group
    return lambda spec: replace(spec, workers=(replace(spec.workers[0], **fields), *spec.workers[1:]))


def shape(**fields: Any) -> Change:  # of a group's shape
    return lambda spec: group(shape=replace(spec.workers[0].shape, **fields))(spec)


def whole(**fields: Any) -> Change:  # of a spec
    return lambda spec: replace(spec, **fields)


def scaling(**fields: Any) -> Change:  # of the autoscaling
    return lambda spec: replace(spec, autoscaling=replace(spec.autoscaling, **fields))


def tolerance(**fields: Any) -> Change:  # of the fault tolerance
    return lambda spec: replace(spec, fault_tolerance=replace(spec.fault_tolerance or FaultTolerance(), **fields))


TABLE: dict[str, tuple[Change, Effect]] = {
    "name": (whole(name="other"), Effect.COSMETIC),
    "description": (whole(description="other"), Effect.COSMETIC),
    "release": (whole(release="ray-1.0.0"), Effect.RESTART),
    "head.cpu": (head(cpu=Decimal(2)), Effect.RESTART),
    "head.memory": (head(memory=2 * GIB), Effect.RESTART),
    "head.gpu": (head(gpu="T4"), Effect.RESTART),
    "head.queue": (head(queue="other"), Effect.RESTART),
    "head.env.A": (head(env={"A": "hush-2"}), Effect.RESTART),
    "head.ray_start_params": (head(ray_start_params="--num-cpus=0"), Effect.RESTART),
    "head.release": (head(release="ray-1.3.1"), Effect.RESTART),
    "workers[g].replicas": (group(replicas=5), Effect.IN_PLACE),
    "workers[g].min_replicas": (group(min_replicas=1), Effect.IN_PLACE),
    "workers[g].max_replicas": (group(max_replicas=7), Effect.IN_PLACE),
    "workers[g].idle_timeout_seconds": (group(idle_timeout_seconds=7), Effect.IN_PLACE),
    "workers[g].type": (group(type="GPU"), Effect.COSMETIC),
    "workers[g].cpu": (shape(cpu=Decimal(2)), Effect.RESTART),
    "workers[g].memory": (shape(memory=2 * GIB), Effect.RESTART),
    "workers[g].gpu": (shape(gpu="T4"), Effect.RESTART),
    "workers[g].queue": (shape(queue="other"), Effect.RESTART),
    "workers[g].env.A": (shape(env={"A": "hush-2"}), Effect.NEW_NODES),
    "workers[g].ray_start_params": (shape(ray_start_params="--num-cpus=0"), Effect.RESTART),
    "workers[g].release": (shape(release="ray-1.3.1"), Effect.RESTART),
    "workers[new]": (lambda spec: replace(spec, workers=(*spec.workers, replace(GROUP, name="new"))), Effect.IN_PLACE),
    "workers[h]": (lambda spec: replace(spec, workers=spec.workers[:1]), Effect.IN_PLACE),
    "workers": (lambda spec: replace(spec, workers=spec.workers[::-1]), Effect.COSMETIC),
    "autoscaling.enabled": (scaling(enabled=True), Effect.RESTART),
    "autoscaling.idle_timeout_seconds": (scaling(idle_timeout_seconds=5), Effect.IN_PLACE),
    "autoscaling.upscaling": (scaling(upscaling=Upscaling.AGGRESSIVE), Effect.IN_PLACE),
    "idle_stop_after": (whole(lifetime=Lifetime(600)), Effect.IN_PLACE),
    "max_lifetime": (whole(lifetime=Lifetime(None, 600)), Effect.IN_PLACE),
    "priority": (whole(priority=5), Effect.IN_PLACE),
    "fault_tolerance": (whole(fault_tolerance=FaultTolerance()), Effect.COSMETIC),
    "fault_tolerance.enabled": (tolerance(enabled=True), Effect.RESTART),
    "fault_tolerance.redis_url": (tolerance(redis_url="redis://hush"), Effect.RESTART),
    "fault_tolerance.redis_username": (tolerance(redis_username="ray"), Effect.RESTART),
    "fault_tolerance.redis_password": (tolerance(redis_password=Secret("hush")), Effect.RESTART),
    "network_service": (whole(network_service="net"), Effect.RESTART),
    "volumes": (whole(volumes=("vol-1",)), Effect.RESTART),
    "nfs_mounts": (whole(nfs_mounts=(NfsMount("10.0.0.2", "/exports", "data"),)), Effect.RESTART),
    "metrics": (whole(metrics=False), Effect.RESTART),
    "collect_logs": (whole(collect_logs=False), Effect.IN_PLACE),
    "unhonoured.vertex.network": (whole(unhonoured={"vertex.network": "it has none"}), Effect.COSMETIC),
    "labels.team": (whole(labels={"team": "vision"}), Effect.IN_PLACE),
    "extras.emr.extraParam": (whole(extras={"emr.extraParam": "hush"}), Effect.COSMETIC),
    "head.memory ": (whole(spellings={"head.memory": "1GB"}), Effect.COSMETIC),
    "spellings": (whole(spellings={"elsewhere": "1GB"}), Effect.COSMETIC),
}


@pytest.mark.parametrize("path", TABLE)
def test_each_field_has_its_effect(path: str) -> None:
    change, effect = TABLE[path]
    [found] = changes(SPEC, change(SPEC))
    assert (found.path, found.effect) == (path.strip(), effect)
    assert found.before != found.after or path == "spellings" or MASK in (found.before, found.after)
    back = [row for row in changes(change(SPEC), SPEC) if row.path == path.strip()]
    assert [row.effect for row in back] == [effect]


def test_the_table_knows_every_field() -> None:
    """A field that is added to a spec fails here until it has its row."""
    touched = {place for change, _ in TABLE.values() for place in _differing(SPEC, change(SPEC))}
    assert touched >= set(_leaves(ClusterSpec)), set(_leaves(ClusterSpec)) - touched


def _leaves(kind: type, prefix: str = "") -> list[str]:
    inner: dict[str, type] = {
        "head": NodeShape, "autoscaling": Autoscaling, "lifetime": Lifetime, "workers": WorkerGroup,
        "workers.shape": NodeShape, "fault_tolerance": FaultTolerance,
    }  # fmt: skip
    found = []
    for field in fields(kind):
        place = f"{prefix}{field.name}"
        found += _leaves(inner[place], f"{place}.") if place in inner else [place]
    return found


def _differing(one: Any, other: Any, prefix: str = "") -> list[str]:  # dataclasses and their parts
    found = []
    for field in fields(one):
        old, new = getattr(one, field.name), getattr(other, field.name)
        if old == new:
            continue
        place = f"{prefix}{field.name}"
        if field.name == "workers" and len(old) == len(new):
            found += _differing(old[0], new[0], "workers.")
        elif field.name == "fault_tolerance":
            found += _differing(old or FaultTolerance(), new, "fault_tolerance.")
        elif is_dataclass(old):
            found += _differing(old, new, f"{place}.")
        else:
            found.append(place)
    return found


SHAPES = st.builds(
    NodeShape,
    queue=st.sampled_from(["root_queue", "q"]),
    cpu=st.sampled_from([Decimal(1), Decimal(2)]),
    memory=st.sampled_from([GIB, 2 * GIB]),
    gpu=st.sampled_from([None, "T4"]),
    env=st.dictionaries(st.sampled_from("AB"), st.sampled_from(["hush-1", "hush-2"]), max_size=2),
    ray_start_params=st.sampled_from(["", "--resources=hush"]),
    release=st.sampled_from([None, "ray-1.0.0"]),
)
GROUPS = st.builds(
    WorkerGroup,
    name=st.sampled_from("abc"),
    shape=SHAPES,
    replicas=st.integers(0, 3),
    min_replicas=st.none() | st.integers(0, 3),
    max_replicas=st.none() | st.integers(3, 4),
    type=st.sampled_from(["CPU", "GPU"]),
    idle_timeout_seconds=st.none() | st.integers(1, 2),
)
SPECS = st.builds(
    ClusterSpec,
    name=st.sampled_from(["one", "two"]),
    release=st.sampled_from(["ray-1.0.0", "ray-1.3.1"]),
    head=SHAPES,
    workers=st.lists(GROUPS, max_size=3, unique_by=lambda group: group.name).map(tuple),
    description=st.sampled_from(["", "text"]),
    autoscaling=st.builds(Autoscaling, st.booleans(), st.none() | st.integers(1, 2), st.sampled_from(Upscaling)),
    lifetime=st.builds(Lifetime, st.none() | st.integers(60, 61), st.none() | st.integers(60, 61)),
    priority=st.integers(0, 1),
    fault_tolerance=st.sampled_from([None, FaultTolerance(), TOLERANT.fault_tolerance]),
    network_service=st.sampled_from([None, "net"]),
    volumes=st.sampled_from([(), ("vol-1",)]),
    nfs_mounts=st.sampled_from([(), (NfsMount("10.0.0.2", "/exports", "data"),)]),
    metrics=st.booleans(),
    collect_logs=st.booleans(),
    unhonoured=st.sampled_from([{}, {"vertex.network": "it has none"}]),
    labels=st.dictionaries(st.sampled_from("xy"), st.sampled_from(["1", "2"]), max_size=2),
    extras=st.sampled_from([{}, {"emr.extraParam": "hush"}]),
    spellings=st.sampled_from([{}, {"head.memory": "1GB"}, {"workers[0].cpu": "1000m"}]),
)


@given(SPECS, SPECS)
@settings(max_examples=100, deadline=None)
def test_what_is_applied_leaves_nothing_that_could_be_had_in_place(running: ClusterSpec, stored: ClusterSpec) -> None:
    given_now = applied(running, stored)
    assert {row.effect for row in changes(given_now, stored)} <= {Effect.RESTART, Effect.NEXT_START, Effect.COSMETIC}
    assert applied(given_now, stored) == given_now
    for row in changes(running, given_now):
        assert row.effect in (Effect.IN_PLACE, Effect.NEW_NODES, Effect.COSMETIC), row


@given(SPECS, SPECS)
@settings(max_examples=100, deadline=None)
def test_no_change_is_missed_and_no_secret_is_told(before: ClusterSpec, after: ClusterSpec) -> None:
    found = changes(before, after)
    assert bool(found) == (before != after)
    assert len({row.path for row in found}) == len(found)
    assert "hush" not in repr(found)
    for row in edits(before, after, None):
        assert row.effect in (Effect.NEXT_START, Effect.COSMETIC)


@given(SPECS, SPECS, SPECS)
@settings(max_examples=100, deadline=None)
def test_an_edit_needs_a_restart_exactly_when_the_run_lacks_it(
    running: ClusterSpec, before: ClusterSpec, after: ClusterSpec
) -> None:
    run = applied(running, before)
    asked = {row.path for row in edits(before, after, run) if row.effect is Effect.RESTART}
    lacking = {row.path for row in changes(applied(run, after), after) if row.effect is Effect.RESTART}
    assert asked <= lacking


def test_what_would_need_a_restart_of_the_nodes() -> None:
    assert runs_differently(SPEC, shape(env={})(SPEC)) and runs_differently(SPEC, head(cpu=Decimal(2))(SPEC))
    assert not runs_differently(SPEC, group(replicas=5)(SPEC)) and not runs_differently(SPEC, whole(name="x")(SPEC))


def test_a_change_that_is_taken_back_needs_no_restart() -> None:
    larger = shape(cpu=Decimal(4))(SPEC)
    [asked] = edits(SPEC, larger, SPEC)
    assert asked.effect is Effect.RESTART
    [taken_back] = edits(larger, SPEC, SPEC)
    assert (taken_back.effect, taken_back.note) == (Effect.IN_PLACE, "as it runs")


def test_the_autoscaler_decides_how_many_there_are() -> None:
    [found] = changes(SCALED, group(replicas=5)(SCALED))
    assert found.effect is Effect.NEXT_START
    assert applied(SCALED, group(replicas=5, max_replicas=20)(SCALED)).workers[0] == replace(GROUP, max_replicas=20)


def test_switching_autoscaling_waits_for_the_restart_and_the_bounds_do_not() -> None:
    stored = group(min_replicas=2)(SCALED)
    assert applied(SPEC, stored) == group(min_replicas=2)(SPEC)
    assert [row.path for row in changes(applied(SPEC, stored), stored)] == ["autoscaling.enabled"]


def test_a_group_of_another_release_waits_while_the_cluster_s_own_is_to_change() -> None:
    newer = WorkerGroup("new", replace(SHAPE, release="ray-1.0.0"))
    stored = replace(SPEC, release="ray-1.0.0", workers=(*SPEC.workers, newer))
    assert applied(SPEC, stored).workers == SPEC.workers
    assert {row.path: row.effect for row in changes(SPEC, stored)} == {
        "release": Effect.RESTART,
        "workers[new]": Effect.RESTART,
    }


def worker(name: str, generation: int, state: NodeState = NodeState.ALIVE) -> NodeObservation:
    return NodeObservation(NodeId(name), "worker", "g", state, NOW, generation=generation)


def test_nodes_with_an_older_environment_need_a_restart_until_they_are_gone() -> None:
    run = replace(instance("a"), spec=SPEC, nodes=(worker("old", 1), worker("new", 3)))
    stored = shape(env={"A": "hush-2"})(SPEC)
    given_now = applied(SPEC, stored)
    changed = replace(run, spec=given_now, generation=2, shapes=shapes(run, given_now, 2))
    assert "hush" not in repr(changed.shapes)
    assert outdated_nodes(changed) == 1 and is_modified(changed, stored)
    assert not is_modified(replace(changed, nodes=(worker("old", 1, NodeState.DRAINING), worker("new", 3))), stored)
    assert not is_modified(replace(changed, nodes=(worker("new", 3),)), stored)
    back = replace(changed, spec=SPEC, generation=4, shapes=shapes(changed, SPEC, 4))
    assert outdated_nodes(replace(back, nodes=(worker("old", 1),))) == 0, "it has what is stored again"
    assert outdated_nodes(back) == 1, "the other one was begun in between"


def test_a_group_that_comes_back_as_another_one_has_older_nodes_for_a_while() -> None:
    run = replace(instance("a"), spec=SPEC, nodes=(worker("old", 1),))
    without = replace(SPEC, workers=SPEC.workers[1:])
    removed = replace(run, spec=without, shapes=shapes(run, without, 2))
    assert not is_modified(removed, without)
    same, other = SPEC, shape(ray_start_params="--num-cpus=0")(SPEC)
    assert not is_modified(replace(removed, spec=same, shapes=shapes(removed, same, 3)), same)
    assert is_modified(replace(removed, spec=other, shapes=shapes(removed, other, 3)), other)
    gone = replace(removed, nodes=())
    assert shapes(gone, without, 3) == {}


def test_shapes_are_remembered_up_to_a_bound() -> None:
    run = replace(instance("a"), spec=SPEC)
    for generation in range(2, 100):
        spec = shape(env={"A": str(generation)})(SPEC)
        run = replace(run, spec=spec, shapes=shapes(run, spec, generation))
    assert len(run.shapes["g"]) == REMEMBERED and "h" not in run.shapes
    assert outdated_nodes(replace(run, nodes=(worker("old", 1), worker("new", 99)))) == 1


def test_nodes_older_than_a_renewal_are_outdated() -> None:
    head_node = NodeObservation(NodeId("head"), "head", "head", NodeState.ALIVE, NOW, generation=1)
    run = replace(instance("a"), spec=SPEC, renew=3, nodes=(head_node, worker("old", 2), worker("new", 3)))
    assert outdated_nodes(run) == 2
    assert is_modified(run, SPEC) and not is_modified(replace(run, renew=1), SPEC)


def test_what_a_renewal_cannot_bring() -> None:
    def beyond(stored: ClusterSpec, reach: Reach) -> list[str]:
        return [row.path for row in beyond_renewal(SPEC, stored, reach)]

    stuck = Reach(same_runtime=False, renews_head=False)
    assert beyond(shape(cpu=Decimal(2), ray_start_params="--num-cpus=0")(SPEC), stuck) == []
    assert beyond(whole(release="ray-1.0.0")(SPEC), stuck) == ["release"]
    assert beyond(whole(release="ray-1.0.0")(SPEC), Reach()) == []
    assert beyond(head(cpu=Decimal(2))(SPEC), stuck) == ["head.cpu"]
    assert beyond(scaling(enabled=True)(SPEC), stuck) == ["autoscaling.enabled"]
    assert beyond(head(cpu=Decimal(2))(SPEC), Reach()) == []
    assert beyond(shape(queue="other")(SPEC), Reach()) == ["workers[g].queue"]
