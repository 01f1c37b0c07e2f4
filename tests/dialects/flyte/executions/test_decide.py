"""How executions go on: order, room, retries, failures, aborts, branches, sub-workflows and map tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliostat.dialects.flyte.executions.graph import Graph, Kind, Node
from heliostat.dialects.flyte.executions.phases import ExecutionPhase, NodePhase
from heliostat.dialects.flyte.runs.phases import Phase

from .machine import Machine, Place, array, branch, graph, node

SUCCEEDED, FAILED, ABORTED, SKIPPED = NodePhase.SUCCEEDED, NodePhase.FAILED, NodePhase.ABORTED, NodePhase.SKIPPED


def ends(outcomes: Mapping[str, Phase]) -> Any:
    """By node; every other run succeeds."""
    return lambda place: outcomes.get(place[0], Phase.SUCCEEDED)


def test_nodes_come_one_after_another() -> None:
    machine = Machine(graph(node("n0"), node("n1", "n0"), node("n2", "n1")))
    machine.settle()
    assert machine.live() == [("n0", 0, 0)]
    assert machine.saved.phase is ExecutionPhase.RUNNING
    machine.run_out()
    assert machine.made == [("n0", 0, 0), ("n1", 0, 0), ("n2", 0, 0)]
    assert machine.saved.phase is ExecutionPhase.SUCCEEDED and machine.saved.ended_at is not None


def test_nodes_that_need_nothing_of_each_other_run_side_by_side() -> None:
    machine = Machine(graph(node("n0"), node("n1", "n0"), node("n2", "n0"), node("n3", "n1", "n2")))
    machine.settle()
    machine.end(("n0", 0, 0))
    machine.settle()
    assert machine.live() == [("n1", 0, 0), ("n2", 0, 0)]


def test_no_more_attempts_at_a_time_than_there_is_room_for() -> None:
    machine = Machine(graph(*(node(f"n{index}") for index in range(5))), limit=2)
    machine.settle()
    assert len(machine.live()) == 2
    machine.end(("n0", 0, 0))
    machine.settle()
    assert machine.live() == [("n1", 0, 0), ("n2", 0, 0)]
    machine.run_out()
    assert machine.saved.phase is ExecutionPhase.SUCCEEDED


def test_a_recoverable_failure_is_tried_again_as_often_as_is_said() -> None:
    machine = Machine(graph(node("n0", attempts=3)), ends({"n0": Phase.RETRYABLE_FAILED}))
    machine.run_out()
    assert machine.made == [("n0", 0, 0), ("n0", 0, 1), ("n0", 0, 2)]
    assert machine.saved.phase is ExecutionPhase.FAILED
    assert machine.saved.fault is not None and machine.saved.fault.message == "[Code] over"


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.ABORTED])
def test_other_failures_are_not_tried_again(phase: Phase) -> None:
    machine = Machine(graph(node("n0", attempts=3)), ends({"n0": phase}))
    machine.run_out()
    assert machine.made == [("n0", 0, 0)] and machine.saved.phase is ExecutionPhase.FAILED


def test_a_run_that_nobody_knows_any_more_is_a_recoverable_failure() -> None:
    from heliostat.dialects.flyte.executions.decide import BeginAttempt, decide

    machine = Machine(graph(node("n0", attempts=2)))
    machine.settle()
    run = machine.runs[("n0", 0, 0)].id
    plan = decide(machine.graph, machine.saved, {run: None}, machine.now, 25)
    assert plan.steps == (BeginAttempt("n0", 0, 1),)
    assert plan.state.nodes["n0"].elements[0][0].code == "RunLost"


def test_a_failure_stops_what_still_runs_before_the_execution_has_failed() -> None:
    machine = Machine(graph(node("n0"), node("n1"), node("n2", "n1")), ends({"n0": Phase.FAILED}))
    machine.settle()
    machine.end(("n0", 0, 0))
    machine.settle()
    assert machine.saved.phase is ExecutionPhase.FAILING
    assert machine.stopped == {machine.runs[("n1", 0, 0)].id}
    machine.run_out()
    assert machine.saved.phase is ExecutionPhase.FAILED
    assert machine.phases() == {"n0": FAILED, "n1": ABORTED}
    assert machine.saved.fault is not None and machine.saved.fault.node == "n0"


def test_where_the_workflow_says_so_other_nodes_go_on_after_a_failure() -> None:
    nodes = [node("n0"), node("n1"), node("n2", "n1"), node("n3", "n0"), node("n4", "n3", "n2")]
    machine = Machine(graph(*nodes, fail_at_once=False), ends({"n0": Phase.FAILED}))
    machine.run_out()
    assert machine.stopped == set()
    assert machine.phases() == {"n0": FAILED, "n1": SUCCEEDED, "n2": SUCCEEDED}
    assert machine.saved.phase is ExecutionPhase.FAILED


def test_thousands_of_nodes_in_a_row_that_can_never_run() -> None:
    """Whatever the order in which the workflow lists them."""
    nodes = [node("n0"), *(node(f"n{index}", f"n{index - 1}") for index in range(1, 3000))]
    machine = Machine(graph(*reversed(nodes), fail_at_once=False), ends({"n0": Phase.FAILED}))
    machine.run_out()
    assert machine.made == [("n0", 0, 0)] and machine.saved.phase is ExecutionPhase.FAILED


def test_an_abort_stops_everything_and_begins_nothing_more() -> None:
    machine = Machine(graph(node("n0"), node("n1", "n0"), node("n2")))
    machine.settle()
    machine.abort()
    machine.settle()
    assert machine.saved.phase is ExecutionPhase.ABORTING
    machine.run_out()
    assert machine.saved.phase is ExecutionPhase.ABORTED
    assert machine.phases() == {"n0": ABORTED, "n2": ABORTED}
    assert machine.saved.fault is None


def test_an_execution_that_is_aborted_before_it_began_begins_nothing() -> None:
    machine = Machine(graph(node("n0")))
    machine.abort()
    machine.settle()
    assert machine.saved.phase is ExecutionPhase.ABORTED and machine.made == []


def test_of_a_branch_one_arm_runs_and_the_others_are_skipped() -> None:
    machine = Machine(graph(node("n0"), *branch("b", "n0", arms=3), node("n1", "b")), arms={"b": 1})
    machine.run_out()
    assert machine.made == [("n0", 0, 0), ("b-1", 0, 0), ("n1", 0, 0)]
    assert machine.phases()["b-0"] is SKIPPED and machine.phases()["b-2"] is SKIPPED
    assert machine.saved.phase is ExecutionPhase.SUCCEEDED


def test_a_branch_of_which_nothing_holds_fails() -> None:
    machine = Machine(graph(*branch("b")), arms={"b": None})
    machine.run_out()
    assert machine.saved.phase is ExecutionPhase.FAILED and machine.made == []


def test_an_arm_waits_for_what_it_needs_outside_of_its_branch() -> None:
    way, *arms = branch("b")
    needy = [node(arm.id, "n0", parent="b") for arm in arms]
    machine = Machine(graph(way, *needy, node("n0")))
    machine.settle()
    assert machine.live() == [("n0", 0, 0)]
    machine.run_out()
    assert machine.made == [("n0", 0, 0), ("b-0", 0, 0)] and machine.saved.phase is ExecutionPhase.SUCCEEDED


def test_a_branch_whose_arm_can_never_run_does_not_keep_the_execution_from_ending() -> None:
    way, *arms = branch("b")
    needy = [node(arm.id, "n0", parent="b") for arm in arms]
    machine = Machine(graph(way, *needy, node("n0"), fail_at_once=False), ends({"n0": Phase.FAILED}))
    machine.run_out()
    assert machine.saved.phase is ExecutionPhase.FAILED and machine.phases()["b"] is ABORTED


def sub(id: str, *after: str) -> list[Node]:
    """A sub-workflow of two tasks side by side."""
    return [node(id, *after, kind=Kind.WORKFLOW), node(f"{id}-0-x", parent=id), node(f"{id}-0-y", parent=id)]


def test_a_sub_workflow_is_done_when_its_parts_are() -> None:
    machine = Machine(graph(*sub("s"), node("n1", "s")))
    machine.settle()
    assert machine.live() == [("s-0-x", 0, 0), ("s-0-y", 0, 0)]
    machine.run_out()
    assert machine.made[-1] == ("n1", 0, 0) and machine.saved.phase is ExecutionPhase.SUCCEEDED


def test_a_failure_in_a_sub_workflow_stops_the_rest_of_it_first() -> None:
    machine = Machine(graph(*sub("s"), node("n1")), ends({"s-0-x": Phase.FAILED}))
    machine.settle()
    machine.end(("s-0-x", 0, 0))
    machine.settle()
    assert machine.saved.phase is ExecutionPhase.RUNNING and machine.phases()["s"] is NodePhase.FAILING
    assert machine.stopped == {machine.runs[("s-0-y", 0, 0)].id}
    machine.end(("s-0-y", 0, 0))
    machine.settle()
    assert machine.phases()["s"] is FAILED and machine.saved.phase is ExecutionPhase.FAILING
    machine.run_out()
    assert machine.phases() == {"s": FAILED, "s-0-x": FAILED, "s-0-y": ABORTED, "n1": ABORTED}


def elements(machine: Machine) -> list[int]:
    return [element for _, element, _ in machine.live()]


def test_a_map_task_has_a_run_for_each_element() -> None:
    machine = Machine(graph(array("m"), node("n1", "m")), sizes={"m": 3})
    machine.settle()
    assert elements(machine) == [0, 1, 2]
    machine.run_out()
    assert machine.saved.phase is ExecutionPhase.SUCCEEDED


def test_a_map_task_over_nothing_is_done_at_once() -> None:
    machine = Machine(graph(array("m")), sizes={"m": 0})
    machine.settle()
    assert machine.saved.phase is ExecutionPhase.SUCCEEDED and machine.made == []


@pytest.mark.parametrize(("parallelism", "limit", "begun"), [(None, 2, 2), (3, 2, 3), (0, 2, 5), (2, 25, 2)])
def test_elements_at_a_time(parallelism: int | None, limit: int, begun: int) -> None:
    machine = Machine(graph(array("m", parallelism=parallelism)), sizes={"m": 5}, limit=limit)
    machine.settle()
    assert len(machine.live()) == begun
    machine.end(machine.live()[0])
    machine.settle()
    assert len(machine.live()) == min(begun, 4)
    machine.run_out()
    assert machine.saved.phase is ExecutionPhase.SUCCEEDED


def test_elements_with_a_limit_of_their_own_take_no_room_from_other_nodes() -> None:
    machine = Machine(graph(array("m", parallelism=3), node("n0")), sizes={"m": 3}, limit=1)
    machine.settle()
    assert len(machine.live()) == 4


@pytest.mark.parametrize(
    ("shape", "failing", "phase"),
    [
        ({}, {1}, ExecutionPhase.FAILED),
        ({"min_ratio": 0.5}, {1, 3}, ExecutionPhase.SUCCEEDED),
        ({"min_ratio": 0.5}, {1, 2, 3}, ExecutionPhase.FAILED),
        ({"min_successes": 1}, {1, 2, 3}, ExecutionPhase.SUCCEEDED),
        ({"min_successes": 9}, {1}, ExecutionPhase.FAILED),
    ],
)
def test_how_many_elements_must_succeed(shape: dict[str, object], failing: set[int], phase: ExecutionPhase) -> None:
    def outcome(place: Place) -> Phase:
        return Phase.FAILED if place[1] in failing else Phase.SUCCEEDED

    machine = Machine(graph(array("m", **shape)), outcome, sizes={"m": 4})
    machine.run_out()
    assert machine.saved.phase is phase


def test_a_map_task_of_which_too_many_fail_stops_its_other_elements() -> None:
    machine = Machine(graph(array("m")), sizes={"m": 3})
    machine.settle()
    machine.end(("m", 1, 0), Phase.FAILED)
    machine.settle()
    assert len(machine.stopped) == 2 and machine.phases()["m"] is NodePhase.FAILING
    machine.run_out()
    assert machine.saved.fault is not None and machine.saved.fault.message == "[Code] element 1: over"


def test_a_map_task_may_run_all_of_its_elements_all_the_same() -> None:
    machine = Machine(graph(array("m", run_all=True)), sizes={"m": 3})
    machine.settle()
    machine.end(("m", 1, 0), Phase.FAILED)
    machine.settle()
    assert machine.stopped == set()
    machine.run_out()
    assert machine.saved.phase is ExecutionPhase.FAILED


def test_elements_are_tried_again_each_by_itself() -> None:
    one = node("m", kind=Kind.ARRAY, attempts=2)

    def outcome(place: Place) -> Phase:
        return Phase.RETRYABLE_FAILED if place[1:] == (1, 0) else Phase.SUCCEEDED

    machine = Machine(graph(one), outcome, sizes={"m": 2})
    machine.run_out()
    assert machine.made == [("m", 0, 0), ("m", 1, 0), ("m", 1, 1)]
    assert machine.saved.phase is ExecutionPhase.SUCCEEDED


# --- any graph, any order, any crash --------------------------------------------------------------------------------------

OUTCOMES = st.sampled_from([Phase.SUCCEEDED] * 5 + [Phase.RETRYABLE_FAILED, Phase.FAILED])


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Graph, dict[str, int | None], dict[str, int]]:
    """With arms that are chosen and sizes of lists."""
    nodes: list[Node] = []
    arms: dict[str, int | None] = {}
    sizes: dict[str, int] = {}

    def fill(parent: str, depth: int) -> None:
        names: list[str] = []
        for index in range(draw(st.integers(1, 4 if depth == 0 else 2))):
            id = f"{parent}-0-n{index}" if parent else f"n{index}"
            after = draw(st.lists(st.sampled_from(names), unique=True, max_size=2)) if names else []
            kinds = [Kind.TASK, Kind.TASK, Kind.ARRAY, *([Kind.WORKFLOW, Kind.BRANCH] if depth < 2 else [])]
            kind = draw(st.sampled_from(kinds))
            if kind is Kind.BRANCH:
                way, *rest = branch(id, *after, parent=parent)
                more = draw(st.lists(st.sampled_from(names), unique=True, max_size=1)) if names else []
                nodes.extend([way, *(node(arm.id, *more, parent=id) for arm in rest)])
                arms[id] = draw(st.sampled_from([0, 1, 1, None]))
            else:
                made = node(id, *after, kind=kind, parent=parent, attempts=draw(st.integers(1, 2)))
                nodes.append(made)
                if kind is Kind.ARRAY:
                    sizes[id] = draw(st.integers(0, 3))
                if kind is Kind.WORKFLOW:
                    fill(id, depth + 1)
            names.append(id)

    fill("", 0)
    return graph(*nodes, fail_at_once=draw(st.booleans())), arms, sizes


def naive(one: Graph, arms: Mapping[str, int | None], sizes: Mapping[str, int], outcome: Any) -> dict[str, bool | None]:
    """A second opinion, for workflows that go on after failures: whether each node succeeds; None = it is never begun or not
    brought to an end."""
    known: dict[str, bool | None] = {}

    def task(id: str, element: int) -> bool:
        for number in range(one.nodes[id].attempts):
            found = outcome((id, element, number))
            if found is Phase.SUCCEEDED:
                return True
            if found is Phase.FAILED:
                return False
        return False

    def ask(id: str) -> bool | None:
        if id not in known:
            known[id] = find(one.nodes[id])
        return known[id]

    def find(found: Node) -> bool | None:
        if not all(ask(other) for other in found.after):
            return None
        if found.kind is Kind.TASK:
            return task(found.id, 0)
        if found.kind is Kind.ARRAY:
            return all(task(found.id, element) for element in range(sizes[found.id]))
        if found.kind is Kind.WORKFLOW:
            parts = [ask(part) for part in one.parts(found.id)]
            return all(parts)
        arm = arms[found.id]
        return False if arm is None else ask(found.arms[arm].node)

    for id in one.parts(""):
        ask(id)
    return known


def check_order(machine: Machine) -> None:
    """Nothing was begun before what it needs was done."""
    for id, state in machine.saved.nodes.items():
        if state.started_at is None:
            continue
        for other in machine.graph.nodes[id].after:
            needed = machine.saved.nodes[other]
            assert needed.phase is SUCCEEDED and needed.ended_at is not None and needed.ended_at <= state.started_at


@settings(max_examples=250, deadline=None)
@given(data=st.data(), found=graphs())
def test_any_execution_ends_as_it_must(data: st.DataObject, found: Any) -> None:
    one, arms, sizes = found
    seed = data.draw(st.dictionaries(st.sampled_from(sorted(one.nodes)), OUTCOMES, max_size=3))
    kills = set(data.draw(st.lists(st.integers(1, 60), max_size=6)))
    aborted_at = data.draw(st.one_of(st.none(), st.none(), st.integers(0, 8)))

    def outcome(place: Place) -> Phase:
        wanted = seed.get(place[0], Phase.SUCCEEDED)
        return Phase.SUCCEEDED if wanted is Phase.RETRYABLE_FAILED and place[2] == 1 and place[1] == 0 else wanted

    machine = Machine(one, outcome, arms, sizes, limit=data.draw(st.integers(1, 4)), kill_after=kills)
    ended = 0
    machine.settle()
    while live := machine.live():
        if ended == aborted_at:
            machine.abort()
        machine.end(data.draw(st.sampled_from(live)))
        ended += 1
        machine.settle()

    state = machine.saved
    assert state.phase.final and machine.finals == 1
    assert len(machine.made) == len(set(machine.made)), "a run was begun twice"
    assert all(node.phase.final for node in state.nodes.values())
    assert not state.unsettled()
    check_order(machine)
    if state.abort is not None:
        assert state.phase in (ExecutionPhase.ABORTED, ExecutionPhase.FAILED)
        return
    expected = naive(one, arms, sizes, outcome)
    good = all(expected[id] for id in one.parts(""))
    assert state.phase is (ExecutionPhase.SUCCEEDED if good else ExecutionPhase.FAILED)
    assert (state.fault is None) is good
    if one.scopes[""].fail_at_once:
        wrong = [id for id, node in state.nodes.items() if node.phase is SUCCEEDED and not expected.get(id)]
        assert wrong == []
        return
    for id, succeeds in expected.items():
        phase = state.nodes[id].phase if id in state.nodes else None
        assert (phase is SUCCEEDED) is bool(succeeds), (id, phase, succeeds)
