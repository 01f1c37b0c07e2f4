"""What a run's claims become, look after look: nothing is given back that is there or may still be started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.domain.claiming import after, held, is_waiting, opening, phase_of, settled
from heliostat.domain.engine import NodeObservation, NodeState, Observation
from heliostat.domain.ids import NodeId
from heliostat.domain.quota import HEAD, Charge, Claim, Phase
from heliostat.domain.records import Activity, Instance
from heliostat.domain.spec import NodeShape, WorkerGroup

from .samples import ANN, NOW, SHAPE, SPEC, instance

LATER = NOW + timedelta(minutes=1)
RUN = instance("one")
RUNNING = replace(RUN, running_at=NOW)
LARGE = WorkerGroup("large", NodeShape("other", Decimal(4), 8 << 30), replicas=1)


def claims(nodes: int = 2, wanted: int = 2, run: Instance = RUN, phase: Phase = Phase.STARTING) -> list[Claim]:
    """Of the sample, admitted."""
    head, workers = opening(run, ANN, {}, NOW, admitted=True)
    return [replace(head, phase=phase), replace(workers, held=nodes, wanted=wanted, phase=phase)]


def seen(workers: int, state: NodeState = NodeState.ALIVE, **fields: object) -> Observation:
    kinds = [("head", "head")] + [("worker", "g")] * workers
    nodes = [NodeObservation(NodeId(f"n{n}"), kind, group, state, NOW) for n, (kind, group) in enumerate(kinds)]
    return Observation(RUN.id, True, nodes=tuple(nodes), **fields)  # type: ignore[arg-type]


def become(before: Sequence[Claim], run: Instance, what: Observation, **options: object) -> dict[str, tuple[int, int]]:
    """Wanted and held by group after a look."""
    changes = settled(before, run, what, ANN, {}, LATER, **options)  # type: ignore[arg-type]
    return {claim.group: (claim.wanted, claim.held) for claim in after(before, changes)}


def test_a_run_opens_with_all_of_its_first_nodes() -> None:
    waiting = opening(RUN, ANN, {}, NOW, admitted=False)
    assert [(row.group, row.wanted, row.held) for row in waiting] == [(HEAD, 1, 0), ("g", 2, 0)]
    assert is_waiting(waiting) and not is_waiting(opening(RUN, ANN, {}, NOW, admitted=True))
    assert not is_waiting([]) and held(claims()) == {HEAD: 1, "g": 2}


def test_a_run_that_is_as_wanted_changes_nothing() -> None:
    assert settled(claims(), RUN, seen(2), ANN, {}, LATER) == []
    assert settled(claims(), RUN, Observation(RUN.id, False), ANN, {}, LATER) == []


def test_a_run_of_an_older_heliostat_counts_as_admitted() -> None:
    assert become([], RUNNING, seen(2)) == {HEAD: (1, 1), "g": (2, 2)}
    (head, _), phases = [row for _, row in settled([], RUNNING, seen(2), ANN, {}, LATER)], {Phase.USEFUL}
    assert head is not None and {head.phase} == phases and head.metered_until == LATER


def test_the_autoscaler_asks_for_more_and_waits() -> None:
    changes = settled(claims(), RUN, seen(2, wanted={"g": 5}), ANN, {}, LATER)
    ((_, grown),) = changes
    assert grown is not None and (grown.wanted, grown.held, grown.asked_at) == (5, 2, LATER)
    again = settled(after(claims(), changes), RUN, seen(2, wanted={"g": 9}), ANN, {}, LATER + timedelta(minutes=1))
    assert again[0][1] is not None and again[0][1].asked_at == LATER, "it has waited since it first lacked something"


def test_what_is_there_is_held_until_it_is_gone() -> None:
    assert become(claims(), RUN, seen(2, wanted={"g": 0}))["g"] == (2, 2)
    assert become(claims(), RUN, seen(2, NodeState.DRAINING, wanted={"g": 0}))["g"] == (2, 2)
    assert become(claims(), RUN, seen(1, wanted={"g": 0}))["g"] == (1, 1)
    assert "g" not in become(claims(), RUN, seen(0, wanted={"g": 0}))
    assert become(claims(), RUN, seen(2, NodeState.PENDING, wanted={"g": 1}))["g"] == (1, 1)


def test_what_the_engine_may_still_start_is_held() -> None:
    assert become(claims(), RUN, seen(1, wanted={"g": 1}), startable={"g": 2})["g"] == (2, 2)
    assert become(claims(), RUN, seen(1, wanted={"g": 0}), ended=True, startable={HEAD: 1, "g": 2})["g"] == (2, 2)


def test_a_failed_run_keeps_what_is_there() -> None:
    assert become(claims(wanted=7), RUN, seen(1, failure="the head is dead")) == {HEAD: (1, 1), "g": (1, 1)}
    gone = Observation(RUN.id, True, failure="its environment cannot be built")
    assert become(claims(), RUN, gone) == {}
    assert become(opening(RUN, ANN, {}, NOW, admitted=False), RUN, gone) == {}


def test_groups_come_and_go() -> None:
    more = replace(RUN, spec=replace(SPEC, workers=(*SPEC.workers, LARGE)))
    assert become(claims(), more, seen(2)) == {HEAD: (1, 1), "g": (2, 2), "large": (1, 0)}
    fewer = replace(RUN, spec=replace(SPEC, workers=()))
    assert become(claims(), fewer, seen(1)) == {HEAD: (1, 1), "g": (1, 1)}
    assert become(claims(), fewer, seen(0)) == {HEAD: (1, 1)}
    none = replace(RUN, spec=replace(SPEC, workers=(replace(SPEC.workers[0], replicas=0),)))
    assert [row.group for row in opening(none, ANN, {}, NOW, admitted=True)] == [HEAD]
    assert become(claims()[:1], none, seen(0)) == {HEAD: (1, 1)}, "a group without nodes has no claim"
    assert become(claims()[:1], none, seen(0, wanted={"g": 2})) == {HEAD: (1, 1), "g": (2, 0)}


def test_what_waits_follows_its_spec_and_keeps_its_place() -> None:
    waiting = opening(RUN, ANN, {}, NOW, admitted=False)
    moved = replace(RUN, spec=replace(SPEC, priority=5, workers=(replace(SPEC.workers[0], shape=LARGE.shape),)))
    rows = {row.group: row for row in after(waiting, settled(waiting, moved, seen(0), ANN, {}, LATER))}
    assert rows["g"].queue == "other" and rows["g"].node == Charge(4000, 8 << 30)
    assert {row.priority for row in rows.values()} == {5} and {row.asked_at for row in rows.values()} == {NOW}
    running = {row.group: row for row in after(claims(), settled(claims(), moved, seen(2), ANN, {}, LATER))}
    assert running["g"].queue == "root_queue", "what runs is charged as it was begun"


@pytest.mark.parametrize(
    ("activity", "phase"),
    [(None, Phase.USEFUL), (Activity(("a job runs",)), Phase.USEFUL), (Activity((), NOW), Phase.IDLE)],
)
def test_phases(activity: Activity | None, phase: Phase) -> None:
    run = replace(RUNNING, activity=activity)
    assert phase_of(RUN) is Phase.STARTING and phase_of(run) is phase
    changes = settled(claims(), run, seen(2), ANN, {}, LATER)
    assert {row.phase for _, row in changes if row is not None} == {phase} and len(changes) == 2


@given(
    st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.dictionaries(st.just("g"), st.integers(0, 5)),
    st.dictionaries(st.sampled_from([HEAD, "g"]), st.integers(0, 1)), st.booleans(), st.booleans(), st.integers(0, 3),
)  # fmt: skip
def test_nothing_grows_by_itself_and_nothing_there_is_given_back(
    nodes: int, more: int, there: int, wanted: Mapping[str, int], startable: Mapping[str, int], ended: bool,
    retired: bool, replicas: int,
) -> None:  # fmt: skip
    before = claims(nodes, nodes + more)
    spec = replace(SPEC, workers=(WorkerGroup("g", SHAPE, replicas=replicas),))
    run, what = replace(RUN, spec=spec, retired=retired), seen(there, wanted=wanted)
    changes = settled(before, run, what, ANN, {}, LATER, ended=ended, startable=startable)
    rows = {row.group: row for row in after(before, changes)}
    found = held(rows.values())
    assert found.get("g", 0) <= max(nodes, there, startable.get("g", 0))
    assert found.get("g", 0) >= max(there, startable.get("g", 0)) and found.get(HEAD, 0) == 1
    assert all(row.wanted >= row.held > 0 or row.wanted > 0 for row in rows.values())
    assert settled(list(rows.values()), run, what, ANN, {}, LATER, ended=ended, startable=startable) == []
