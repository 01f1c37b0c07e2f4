"""When an operation has ended, and how: the whole product of kinds, states and wishes, and what always holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.domain.engine import NodeState
from heliostat.domain.ids import OperationId
from heliostat.domain.operations import UPDATE_PATIENCE, Failure, Kind, Operation, patience, settled
from heliostat.domain.records import Cluster, Instance
from heliostat.domain.spec import Autoscaling, WorkerGroup
from heliostat.domain.states import State, Wanted

from .samples import ANN, CLUSTER, NOW, SHAPE, SPEC, WORKSPACE, cluster, instance, node

RUN = instance("now")
LATER = NOW + timedelta(seconds=1)
TOO_LATE = NOW + UPDATE_PATIENCE
PRODUCT = list(product(Kind, State, Wanted))


def operation(kind: Kind, generation: int = 1) -> Operation:
    return Operation(OperationId("1234567890123456"), WORKSPACE, CLUSTER, kind, ANN, NOW, generation, SPEC, NOW)


def run(*states: NodeState, generation: int = 1, up: bool = True) -> Instance:
    """A run of the sample, which wants two workers, with a head and workers in these states."""
    nodes = (node(0, NodeState.ALIVE), *(node(index, state) for index, state in enumerate(states, start=1)))
    return replace(RUN, nodes=nodes, generation=generation, running_at=NOW if up else None)


UP = run(NodeState.ALIVE, NodeState.ALIVE)
SHORT = run(NodeState.ALIVE, NodeState.STARTING)


def outcome(row: Operation) -> str:
    return "open" if row.open else "done" if row.failure is None else row.failure


def expected(kind: Kind, state: State, wanted: Wanted) -> str:
    """By what is recorded while the run is up and complete, in time."""
    if kind is Kind.DELETE:
        return "open"
    if wanted is Wanted.DELETED:
        return "overtaken"
    return {
        State.STOPPED: "overtaken",
        State.STOPPING: "overtaken",
        State.ERROR: "failed",
        State.STARTING: "open",
        State.RUNNING: "done",
    }[state]


@pytest.mark.parametrize(("kind", "state", "wanted"), PRODUCT)
def test_the_whole_product(kind: Kind, state: State, wanted: Wanted) -> None:
    row = operation(kind)
    after = settled(row, cluster(state, wanted, RUN.id), UP, LATER)
    assert outcome(after) == expected(kind, state, wanted)
    assert after.ended_at == (None if after.open else LATER)
    assert (after.message == "") == (after.failure is None)
    assert after == row if after.open else settled(after, None, None, TOO_LATE) is after


@pytest.mark.parametrize("kind", Kind)
def test_when_nothing_is_left_a_deletion_has_been_done_and_all_else_was_overtaken(kind: Kind) -> None:
    after = settled(operation(kind), None, None, LATER)
    assert outcome(after) == ("done" if kind is Kind.DELETE else "overtaken") and after.ended_at == LATER


@pytest.mark.parametrize("kind", [Kind.CREATE, Kind.UPDATE, Kind.REBOOT])
def test_a_failure_carries_what_users_read_of_the_cluster(kind: Kind) -> None:
    failed = settled(operation(kind), cluster(State.ERROR, Wanted.RUNNING, RUN.id), UP, LATER)
    assert failed.message == "the cause"


@pytest.mark.parametrize("kind", [Kind.CREATE, Kind.UPDATE, Kind.REBOOT])
@pytest.mark.parametrize(
    "present", [None, run(NodeState.ALIVE, NodeState.ALIVE, up=False), replace(UP, generation=1)], ids=str
)
def test_an_older_run_and_one_that_was_not_up_yet_end_nothing(kind: Kind, present: Instance | None) -> None:
    row = operation(kind, generation=2)
    assert settled(row, cluster(State.RUNNING, Wanted.RUNNING, RUN.id), present, LATER) is row


def updated(present: Instance, now: datetime = LATER, message: str = "ok", generation: int = 1) -> Operation:
    up = replace(cluster(State.RUNNING, Wanted.RUNNING, RUN.id), message=message)
    return settled(operation(Kind.UPDATE, generation), up, present, now)


@pytest.mark.parametrize(
    ("states", "ends"),
    [
        ([NodeState.ALIVE, NodeState.ALIVE], True),
        ([NodeState.ALIVE, NodeState.ALIVE, NodeState.DRAINING], True),
        ([NodeState.ALIVE, NodeState.ALIVE, NodeState.EXITED], True),
        ([NodeState.ALIVE, NodeState.ALIVE, NodeState.ALIVE], False),
        ([NodeState.ALIVE, NodeState.DRAINING], False),
        ([NodeState.ALIVE, NodeState.STARTING], False),
        ([NodeState.ALIVE, NodeState.PENDING], False),
        ([NodeState.ALIVE], False),
        ([], False),
    ],
)
def test_an_update_ends_when_every_group_has_its_nodes_and_the_surplus_drains(
    states: list[NodeState], ends: bool
) -> None:
    assert outcome(updated(run(*states))) == ("done" if ends else "open")


def test_an_update_waits_for_the_nodes_of_a_group_that_was_removed() -> None:
    gone = replace(UP, spec=replace(SPEC, workers=()))
    assert updated(gone).open
    draining = replace(gone, nodes=tuple(replace(row, state=NodeState.DRAINING) for row in gone.nodes[1:]))
    assert outcome(updated(draining)) == "done"


def test_an_update_is_done_by_a_newer_one() -> None:
    assert outcome(updated(replace(UP, generation=7), generation=3)) == "done"


@pytest.mark.parametrize(
    ("least", "most", "alive", "ends"),
    [
        (None, None, 2, True),
        (None, None, 0, True),
        (None, None, 3, False),
        (0, 5, 0, True),
        (0, 5, 5, True),
        (0, 5, 6, False),
        (3, 5, 2, False),
        (3, 5, 3, True),
        (3, None, 3, True),
        (2, 2, 1, False),
        (2, 2, 2, True),
        (2, 2, 3, False),
    ],
)
def test_with_an_autoscaler_an_update_ends_when_there_are_as_many_as_its_bounds_allow(
    least: int | None, most: int | None, alive: int, ends: bool
) -> None:
    group = WorkerGroup("g", SHAPE, replicas=2, min_replicas=least, max_replicas=most)
    spec = replace(SPEC, autoscaling=Autoscaling(enabled=True), workers=(group,))
    assert outcome(updated(replace(run(*[NodeState.ALIVE] * alive), spec=spec))) == ("done" if ends else "open")


def test_an_update_that_does_not_get_its_nodes_ends_when_the_patience_does() -> None:
    moment = timedelta(microseconds=1)
    assert updated(SHORT, TOO_LATE - moment).open
    failed = updated(SHORT, TOO_LATE, "2 of small: the queue is full")
    assert failed.failure is Failure.NO_ROOM and "840 s" in failed.message
    assert failed.message.endswith("waited for on: 2 of small: the queue is full")
    assert updated(SHORT, TOO_LATE).message.endswith("waited for on")
    assert outcome(updated(UP, TOO_LATE)) == "done", "late, but there"


@pytest.mark.parametrize("kind", [Kind.CREATE, Kind.REBOOT])
def test_starts_may_take_as_long_as_they_take(kind: Kind) -> None:
    row = operation(kind)
    assert settled(row, cluster(State.STARTING, Wanted.RUNNING, RUN.id), SHORT, NOW + timedelta(days=9)) is row


def test_how_long_an_update_may_take_yet() -> None:
    row = operation(Kind.UPDATE)
    assert patience(row, NOW) == UPDATE_PATIENCE
    assert patience(row, TOO_LATE - timedelta(seconds=1)) == timedelta(seconds=1)
    assert patience(row, TOO_LATE + timedelta(days=1)) == timedelta(0)
    assert patience(replace(row, ended_at=NOW), NOW) is None
    assert {kind for kind in Kind if patience(operation(kind), NOW) is not None} == {Kind.UPDATE}


NODES = st.lists(st.sampled_from(NodeState), max_size=4)
CLUSTERS = st.builds(
    lambda state, wanted, message: replace(cluster(state, wanted, RUN.id), message=message),
    st.sampled_from(State), st.sampled_from(Wanted), st.sampled_from(["ok", "the cause"]),
)  # fmt: skip
RUNS = st.builds(lambda states, generation, up: run(*states, generation=generation, up=up), NODES, st.integers(1, 3),
                 st.booleans())  # fmt: skip
OPERATIONS = st.builds(operation, st.sampled_from(Kind), st.integers(1, 3))
MOMENTS = st.integers(0, 2 * UPDATE_PATIENCE.seconds).map(lambda seconds: NOW + timedelta(seconds=seconds))
LOOKS = st.tuples(st.none() | CLUSTERS, st.none() | RUNS, MOMENTS)


@given(OPERATIONS, st.lists(LOOKS, min_size=1, max_size=6))
def test_whatever_comes_it_ends_at_most_once_and_one_way(
    row: Operation, looks: list[tuple[Cluster | None, Instance | None, datetime]]
) -> None:
    for record, present, now in looks:
        after = settled(row, record, present, now)
        if not row.open:
            assert after is row, "an ended one never changes"
        kept = replace(after, ended_at=None, failure=None, message="")
        assert kept == replace(row, ended_at=None, failure=None, message=""), "nothing but the end is written"
        ways = (after.open, not after.open and after.failure is None, not after.open and after.failure is not None)
        assert sum(ways) == 1 and (after.failure is None or not after.open)
        if row.kind is Kind.DELETE and row.open:
            assert after.open == (record is not None) and after.failure is None
        if record is None or (row.kind is not Kind.DELETE and record.wanted is Wanted.DELETED):
            assert not after.open, "nobody waits for what can never be"
        row = after
