"""What steps have done, written into the state. Pure, and each repeatable: the same step done again changes nothing more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from ..runs.phases import Phase
from .decide import BeginAttempt, StopAttempt
from .graph import Graph
from .phases import ExecutionPhase, NodePhase
from .state import Attempt, Fault, NodeState, State, with_attempt, with_node


def node_begun(
    graph: Graph, state: State, id: str, now: datetime, *, arm: int | None = None, size: int | None = None
) -> State:
    """Its inputs are there. The other arms of a branch are skipped."""
    node = state.nodes[id]
    begun = replace(node, phase=NodePhase.RUNNING, started_at=now, updated_at=now, arm=arm, size=size)
    state = with_node(state, id, begun)
    if arm is not None:
        for index, other in enumerate(graph.nodes[id].arms):
            if index != arm:
                skipped = NodeState(NodePhase.SKIPPED, now, now, ended_at=now)
                state = with_node(state, other.node, skipped)
    return state


def node_failed(state: State, id: str, now: datetime, fault: Fault) -> State:
    """It could not be begun, or its outputs not be made."""
    return with_node(
        state, id, replace(state.nodes[id], phase=NodePhase.FAILED, updated_at=now, ended_at=now, fault=fault)
    )


def node_finished(state: State, id: str, now: datetime) -> State:
    return with_node(state, id, replace(state.nodes[id], phase=NodePhase.SUCCEEDED, updated_at=now, ended_at=now))


def attempt_begun(state: State, step: BeginAttempt, run: str, now: datetime) -> State:
    return _changed(state, step, lambda attempt: replace(attempt, run=run, updated_at=now))


def attempt_refused(state: State, step: BeginAttempt | StopAttempt, now: datetime, fault: Fault) -> State:
    """No run can be made; trying again would not help."""
    return _changed(
        state,
        step,
        lambda attempt: replace(
            attempt, phase=Phase.FAILED, settled=True, message=fault.message, code=fault.code, origin=fault.kind,
            updated_at=now, ended_at=now,
        ),
    )  # fmt: skip


def attempt_stopping(state: State, step: StopAttempt, run: str, now: datetime) -> State:
    return _changed(state, step, lambda attempt: replace(attempt, run=run, stopping=True, updated_at=now))


def execution_finished(state: State, now: datetime, fault: Fault | None = None) -> State:
    """The outputs are written, or cannot be made."""
    phase = ExecutionPhase.SUCCEEDED if fault is None else ExecutionPhase.FAILED
    return replace(state, phase=phase, fault=fault, updated_at=now, ended_at=now)


def execution_refused(state: State, now: datetime, fault: Fault) -> State:
    """It cannot go on for a reason that is no node's; what runs is to be stopped."""
    return replace(state, phase=ExecutionPhase.FAILING, fault=fault, updated_at=now)


def _changed(state: State, step: BeginAttempt | StopAttempt, change: Callable[[Attempt], Attempt]) -> State:
    row = state.nodes[step.node].elements[step.element]
    attempt = next(attempt for attempt in row if attempt.number == step.number)
    return with_attempt(state, step.node, step.element, change(attempt))
