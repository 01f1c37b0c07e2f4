"""How an execution goes on. Pure: the graph, the state, what has become of the runs, the time; out come the new state and the
steps that are owed.

The state alone says what is owed, so that a look after a crash asks for the same steps again; every step may be repeated. A step
that was done is written into the state by :mod:`.applied`. Nothing here counts on having seen an event.

A failure ends what the failed node is part of, at once or when nothing more of it can run, as its workflow says: runs that
still go on are stopped first, meanwhile it is FAILING.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from ..runs.phases import Phase, RunView
from .graph import Graph, Kind, Node
from .phases import ExecutionPhase, NodePhase
from .state import Attempt, Fault, NodeState, State

LOST = "RunLost"


@dataclass(frozen=True)
class BeginNode:
    """Write its inputs; of a branch choose the arm, of a map task count the elements."""

    node: str


@dataclass(frozen=True)
class BeginAttempt:
    """Make a run."""

    node: str
    element: int
    number: int


@dataclass(frozen=True)
class StopAttempt:
    """Set off the end of a run. One that may have been begun without anybody writing that down has no run yet."""

    node: str
    element: int
    number: int
    run: str | None


@dataclass(frozen=True)
class FinishNode:
    """Write its outputs, made of those of its parts."""

    node: str


@dataclass(frozen=True)
class FinishExecution:
    """The same of the whole."""


Step = BeginNode | BeginAttempt | StopAttempt | FinishNode | FinishExecution


@dataclass(frozen=True)
class Plan:
    state: State
    """To be stored before the steps are done."""
    steps: tuple[Step, ...]


def decide(
    graph: Graph, state: State, views: Mapping[str, RunView | None], now: datetime, max_parallelism: int
) -> Plan:
    """``views`` are those of runs that are not over; None = there is no such run any more."""
    if state.phase.final:
        return Plan(state, ())
    draft = _Draft(graph, state, now, max_parallelism)
    draft.absorb(views)
    draft.settle()
    result = draft.result()
    return Plan(result, tuple(_owed(graph, result)))


class _Draft:
    """A state that is being changed. What it holds is replaced, never changed in place."""

    def __init__(self, graph: Graph, state: State, now: datetime, max_parallelism: int) -> None:
        self._graph = graph
        self._before = state
        self._state = state
        self._nodes = dict(state.nodes)
        self._now = now
        self._room = max_parallelism - sum(
            1
            for id, node in state.nodes.items()
            if not _own_limit(graph.nodes[id])
            for row in node.elements.values()
            if row and not row[-1].settled
        )
        """Attempts that may be begun."""
        self._changed = False

    def result(self) -> State:
        state = replace(self._state, nodes=self._nodes)
        return state if state == self._before else replace(state, updated_at=self._now)

    # --- what the runs have become ----------------------------------------------------------------------------------

    def absorb(self, views: Mapping[str, RunView | None]) -> None:
        for id, node in self._before.nodes.items():
            changed: dict[int, tuple[Attempt, ...]] = {}
            for element, row in node.elements.items():
                last = row[-1]
                if last.settled or last.run is None or last.run not in views:
                    continue
                seen = _seen(last, views[last.run], self._now, brief=self._graph.nodes[id].kind is Kind.ARRAY)
                if seen != last:
                    changed[element] = (*row[:-1], replace(seen, updated_at=self._now))
                    self._room += seen.settled and not _own_limit(self._graph.nodes[id])
            if changed:
                self._put(id, replace(node, elements={**node.elements, **changed}))

    # --- the way on -----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Until nothing changes by itself any more."""
        if self._state.phase is ExecutionPhase.QUEUED:
            self._state = replace(self._state, phase=ExecutionPhase.RUNNING, started_at=self._now)
        if self._state.abort is not None and not self._state.phase.winding_down:
            self._state = replace(self._state, phase=ExecutionPhase.ABORTING)
        if self._state.phase is ExecutionPhase.RUNNING:
            self._changed = True
            while self._changed and self._state.phase is ExecutionPhase.RUNNING:
                self._changed = False
                self._go("")
                self._end_execution()
        if self._state.phase.winding_down and not self._live():
            self._close_all("")
            aborted = self._state.phase is ExecutionPhase.ABORTING
            phase = ExecutionPhase.ABORTED if aborted else ExecutionPhase.FAILED
            self._state = replace(self._state, phase=phase, ended_at=self._now)

    def _go(self, parent: str) -> None:
        """Bring the parts of a node, or of the execution, as far as they can come."""
        parts = self._graph.parts(parent)
        for id in parts:
            if id in self._nodes:
                self._node(self._graph.nodes[id], self._nodes[id])
        if self._failure(parent) is not None:
            return
        for id in parts:
            if id not in self._nodes and self._free(id):
                self._put(id, NodeState(NodePhase.QUEUED, self._now, self._now))

    def _free(self, id: str) -> bool:
        """All that it needs is done."""
        return all(other in self._nodes and self._nodes[other].phase.done for other in self._graph.nodes[id].after)

    def _node(self, node: Node, state: NodeState) -> None:
        if state.phase is NodePhase.FAILING:
            if not self._live(node.id):
                self._close_all(node.id)
                self._end(node.id, NodePhase.FAILED)
        elif state.phase is NodePhase.RUNNING:
            if node.kind is Kind.TASK:
                self._task(node)
            elif node.kind is Kind.ARRAY:
                self._array(node)
            else:
                self._go(node.id)
                self._end_parent(node)

    def _task(self, node: Node) -> None:
        outcome = self._element(node, 0)
        if outcome is NodePhase.SUCCEEDED:
            self._end(node.id, outcome)
        elif outcome is NodePhase.FAILED:
            self._end(node.id, outcome, _fault(node, self._nodes[node.id].elements[0][-1]))

    def _array(self, node: Node) -> None:
        state = self._nodes[node.id]
        size = state.size or 0
        outcomes = [_outcome(node, state.elements.get(element, ())) for element in range(size)]
        failed = outcomes.count(NodePhase.FAILED)
        lost = failed > size - node.array.needed(size)
        over = failed + outcomes.count(NodePhase.SUCCEEDED) == size
        if lost and (over or not node.array.run_all):
            element = outcomes.index(NodePhase.FAILED)
            fault = _fault(node, state.elements[element][-1])
            told = (
                f"element {element}: {fault.message}"
                if failed == 1
                else f"{failed} of {size} elements failed, first {element}: {fault.message}"
            )
            self._put(
                node.id, replace(state, phase=NodePhase.FAILING, fault=replace(fault, message=_coded(fault, told)))
            )
        elif over:
            self._put(node.id, replace(state, phase=NodePhase.COLLECTING))
        else:
            self._start_elements(node, outcomes)

    def _start_elements(self, node: Node, outcomes: list[NodePhase | None]) -> None:
        limit = node.array.parallelism
        elements = self._nodes[node.id].elements
        live = sum(1 for row in elements.values() if row and not row[-1].settled)
        room = (limit - live if limit else len(outcomes)) if limit is not None else self._room
        begun: dict[int, tuple[Attempt, ...]] = {}
        for element, outcome in enumerate(outcomes):
            if len(begun) >= room:
                break
            row = elements.get(element, ())
            if outcome is None and (not row or row[-1].settled):
                begun[element] = (*row, Attempt(len(row), self._now))
        if begun:
            self._room -= len(begun) if limit is None else 0
            self._put(node.id, replace(self._nodes[node.id], elements={**elements, **begun}))

    def _element(self, node: Node, element: int) -> NodePhase | None:
        """What has become of one; None while it is under way. Begins its next attempt where there is room."""
        state = self._nodes[node.id]
        row = state.elements.get(element, ())
        outcome = _outcome(node, row)
        if outcome is None and (not row or row[-1].settled) and self._room > 0:
            self._room -= 1
            self._put(
                node.id, replace(state, elements={**state.elements, element: (*row, Attempt(len(row), self._now))})
            )
        return outcome

    # --- ends --------------------------------------------------------------------------------------------------------

    def _end_parent(self, node: Node) -> None:
        """A branch or a sub-workflow."""
        state = self._nodes[node.id]
        fault = self._failure(node.id)
        if fault is not None:
            self._put(node.id, replace(state, phase=NodePhase.FAILING, fault=fault))
        elif all(id in self._nodes and self._nodes[id].phase.done for id in self._graph.parts(node.id)):
            if node.kind is Kind.BRANCH:
                self._end(node.id, NodePhase.SUCCEEDED)
            else:
                self._put(node.id, replace(state, phase=NodePhase.COLLECTING))

    def _end_execution(self) -> None:
        fault = self._failure("")
        if fault is not None:
            self._state = replace(self._state, phase=ExecutionPhase.FAILING, fault=fault)
        elif all(id in self._nodes and self._nodes[id].phase.done for id in self._graph.parts("")):
            self._state = replace(self._state, phase=ExecutionPhase.SUCCEEDING)

    def _failure(self, parent: str) -> Fault | None:
        """Why what these are the parts of must end now."""
        parts = self._graph.parts(parent)
        found = [self._nodes[id] for id in parts if id in self._nodes and self._nodes[id].phase is NodePhase.FAILED]
        if not found:
            return None
        scope = self._graph.scopes.get(parent)
        over: dict[str, bool] = {}
        if scope is not None and not scope.fail_at_once and not all(self._over(id, over) for id in parts):
            return None
        first = min(found, key=lambda node: node.ended_at or self._now)
        return first.fault or Fault("Failed", "a part of it failed", "UNKNOWN")

    def _over(self, id: str, known: dict[str, bool]) -> bool:
        """It is done, or can never be: it failed, or needs one that can never be. ``known`` saves asking twice.

        Thousands of nodes may wait for each other in a row, more than calls may be nested.
        """
        asked = [id]
        while asked:
            last = asked[-1]
            unknown = [other for other in self._hangs_on(last) if other not in known]
            if unknown and last not in known:
                asked += unknown
                continue
            asked.pop()
            if last not in known:
                known[last] = self._over_by(last, known)
        return known[id]

    def _hangs_on(self, id: str) -> tuple[str, ...]:
        """What must be known to say whether it is over."""
        state = self._nodes.get(id)
        if state is None:
            return self._graph.nodes[id].after
        chosen = state.phase is NodePhase.RUNNING and state.arm is not None
        return (self._graph.nodes[id].arms[state.arm or 0].node,) if chosen else ()

    def _over_by(self, id: str, known: Mapping[str, bool]) -> bool:
        state, others = self._nodes.get(id), self._hangs_on(id)
        if state is None:
            return any(known[other] and not self._done(other) for other in others)
        return known[others[0]] if others else state.phase.final

    def _done(self, id: str) -> bool:
        return id in self._nodes and self._nodes[id].phase.done

    def _live(self, parent: str | None = None) -> bool:
        """Whether a run of the node or of its parts, or any at all, is not over."""
        ids = self._nodes if parent is None else [parent, *self._below(parent)]
        return any(
            row and not row[-1].settled for id in ids if id in self._nodes for row in self._nodes[id].elements.values()
        )

    def _below(self, parent: str) -> Iterator[str]:
        for id in self._graph.parts(parent):
            yield id
            yield from self._below(id)

    def _close_all(self, parent: str) -> None:
        """Nothing of it runs any more: no part of it stays open."""
        for id in self._below(parent):
            state = self._nodes.get(id)
            if state is None or state.phase.final:
                continue
            node = self._graph.nodes[id]
            if node.kind is Kind.TASK and _outcome(node, state.elements.get(0, ())) is NodePhase.SUCCEEDED:
                self._end(id, NodePhase.SUCCEEDED)
            else:
                self._end(id, NodePhase.ABORTED if state.fault is None else NodePhase.FAILED)

    def _end(self, id: str, phase: NodePhase, fault: Fault | None = None) -> None:
        state = self._nodes[id]
        self._put(id, replace(state, phase=phase, ended_at=self._now, fault=fault or state.fault))

    def _put(self, id: str, state: NodeState) -> None:
        self._nodes[id] = replace(state, updated_at=self._now)
        self._changed = True


def _own_limit(node: Node) -> bool:
    """Its elements do not count among the execution's attempts."""
    return node.kind is Kind.ARRAY and node.array.parallelism is not None


def _outcome(node: Node, row: tuple[Attempt, ...]) -> NodePhase | None:
    """What has become of a task or an element; None = it goes on, or is to be tried again."""
    if not row or not row[-1].settled:
        return None
    last = row[-1]
    if last.phase is Phase.SUCCEEDED:
        return NodePhase.SUCCEEDED
    if last.phase is Phase.RETRYABLE_FAILED and last.number + 1 < node.attempts:
        return None
    return NodePhase.FAILED


def _fault(node: Node, last: Attempt) -> Fault:
    if last.phase is Phase.ABORTED:
        return Fault("Aborted", _with_code("Aborted", f"its run was stopped: {last.message}"), "USER", node.id)
    code = last.code or "TaskFailed"
    return Fault(code, _with_code(code, last.message), last.origin, node.id)


def _with_code(code: str, message: str) -> str:
    """The code first: the client shows the message alone (Flyte contract, section 6)."""
    return message if message.startswith(f"[{code}]") else f"[{code}] {message}"


def _coded(fault: Fault, told: str) -> str:
    """The code goes before what is said of the elements."""
    return _with_code(fault.code, told.replace(f"[{fault.code}] ", "", 1))


def _seen(attempt: Attempt, view: RunView | None, now: datetime, *, brief: bool) -> Attempt:
    """The attempt as its run is now. Of thousands of elements only what is needed is kept."""
    if view is None:
        return replace(
            attempt, phase=Phase.RETRYABLE_FAILED, settled=True, code=LOST, origin="SYSTEM", ended_at=now,
            message=f"[{LOST}] its run {attempt.run} is not known any more",
        )  # fmt: skip
    told = not brief or (view.settled and view.phase is not Phase.SUCCEEDED)
    return replace(
        attempt, phase=view.phase, settled=view.settled, message=view.message if told else "", code=view.code,
        origin=view.origin, started_at=view.started_at, links=view.links if told else (),
        info=attempt.info if brief else dict(view.info), ended_at=(view.ended_at or now) if view.settled else None,
    )  # fmt: skip


def _owed(graph: Graph, state: State) -> Iterator[Step]:
    """What the state asks for."""
    if state.phase.final:
        return
    if state.phase is ExecutionPhase.SUCCEEDING:
        yield FinishExecution()
        return
    for id, node in state.nodes.items():
        ending = state.phase.winding_down or _ending(graph, state, id)
        if node.phase is NodePhase.QUEUED and not ending:
            yield BeginNode(id)
        elif node.phase is NodePhase.COLLECTING and not ending:
            yield FinishNode(id)
        for element, row in node.elements.items():
            last = row[-1]
            if last.settled:
                continue
            if ending and not last.stopping:
                yield StopAttempt(id, element, last.number, last.run)
            elif last.run is None and not ending:
                yield BeginAttempt(id, element, last.number)


def _ending(graph: Graph, state: State, id: str) -> bool:
    """It, or what it is part of, is being ended."""
    while id:
        if state.nodes[id].phase is NodePhase.FAILING:
            return True
        id = graph.nodes[id].parent
    return False
