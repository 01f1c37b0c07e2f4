"""Executions, nodes and attempts as Flyte's messages (Flyte contract, section 6). Pure: states in, messages out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flyteidl.admin import execution_pb2, node_execution_pb2, task_execution_pb2
from flyteidl.core import execution_pb2 as core_execution
from flyteidl.core import identifier_pb2, metrics_pb2
from flyteidl.event import event_pb2

from ..admin.references import Reference, identifier
from ..runs.phases import Link, Phase, RunView
from .graph import Kind, Node
from .layout import DECK, OUTPUTS, Layout
from .phases import ExecutionPhase, NodePhase
from .programs import Program
from .state import Attempt, Execution, Fault, NodeState

# flyteidl ships no types that are checked, so its messages are Any here.
Message = Any

MASK = "***"
MOST_LINKS = 20
"""Of a map task's elements: those of the ones that go on or have failed."""


@dataclass(frozen=True)
class Shown:
    """An execution with what is needed to show it."""

    execution: Execution
    program: Program
    layout: Layout
    updated_at: datetime

    @property
    def id(self) -> Message:
        one = self.execution
        return identifier_pb2.WorkflowExecutionIdentifier(project=one.project, domain=one.domain, name=one.name)

    def node_id(self, node: str) -> Message:
        return identifier_pb2.NodeExecutionIdentifier(node_id=node, execution_id=self.id)


def execution(one: Execution, layout: Layout, *, masked: bool) -> Message:
    """admin.Execution; ``masked`` hides values that may be secrets."""
    state = one.state
    spec = execution_pb2.ExecutionSpec.FromString(one.spec)
    if masked:
        for row in spec.envs.values:
            row.value = MASK
    id = identifier_pb2.WorkflowExecutionIdentifier(project=one.project, domain=one.domain, name=one.name)
    made = execution_pb2.Execution(id=id, spec=spec)
    closure = made.closure
    closure.phase = int(state.phase)
    _times(closure, state.created_at, state.updated_at, state.started_at, state.ended_at)
    kind = identifier_pb2.TASK if one.target.kind == "task" else identifier_pb2.WORKFLOW
    target = Reference(one.target.project, one.target.domain, one.target.name, one.target.version)
    closure.workflow_id.CopyFrom(identifier(target, kind))
    if state.phase is ExecutionPhase.SUCCEEDED:
        closure.outputs.uri = layout.outputs
    elif state.phase in (ExecutionPhase.FAILED, ExecutionPhase.FAILING) and state.fault is not None:
        closure.error.CopyFrom(_error(state.fault))
    elif state.abort is not None:
        closure.abort_metadata.cause = state.abort.cause
        closure.abort_metadata.principal = state.abort.principal
    return made


def node_execution(shown: Shown, id: str, *, deck: bool = False) -> Message:
    """admin.NodeExecution of a node that something has happened to."""
    node, state = shown.program.graph.nodes[id], shown.execution.state.nodes[id]
    made = node_execution_pb2.NodeExecution(id=shown.node_id(id), input_uri=shown.layout.node_inputs(id))
    made.metadata.spec_node_id = node.spec_id
    made.metadata.is_parent_node = node.kind in (Kind.BRANCH, Kind.WORKFLOW)
    made.metadata.is_array = node.kind is Kind.ARRAY and not shown.program.single
    last = _last(node, state)
    if last is not None:
        made.metadata.retry_group = "0"
    closure = made.closure
    closure.phase = int(NodePhase.RUNNING if state.phase is NodePhase.COLLECTING else state.phase)
    _times(closure, state.created_at, state.updated_at, state.started_at, state.ended_at)
    if state.phase is NodePhase.SUCCEEDED:
        closure.output_uri = _outputs_uri(shown, node, state)
    elif state.phase in (NodePhase.FAILED, NodePhase.FAILING) and state.fault is not None:
        closure.error.CopyFrom(_error(state.fault))
    if deck and last is not None:
        closure.deck_uri = deck_uri(shown, id, last)
    return made


def deck_uri(shown: Shown, id: str, attempt: Attempt) -> str:
    return f"{shown.layout.prefix(id, attempt.number)}/{DECK}"


def may_have_deck(shown: Shown, id: str) -> Attempt | None:
    """The attempt of a node that may have written a page about itself."""
    node, state = shown.program.graph.nodes[id], shown.execution.state.nodes[id]
    task = shown.program.tasks.get(node.task) if node.task is not None else None
    if node.kind is not Kind.TASK or task is None or not task.metadata.generates_deck.value:
        return None
    last = _last(node, state)
    return last if last is not None and last.settled else None


def task_executions(shown: Shown, id: str, views: Mapping[str, RunView]) -> list[Message]:
    """admin.TaskExecution of each attempt of a task, the first first; a map task has one, with its elements inside."""
    node, state = shown.program.graph.nodes[id], shown.execution.state.nodes[id]
    if node.task is None:
        return []
    if node.kind is Kind.ARRAY:
        return [_map_execution(shown, node, state, views)] if state.size is not None else []
    return [_task_execution(shown, node, attempt, views) for attempt in state.elements.get(0, ())]


def watched(shown: Shown, id: str) -> list[str]:
    """Runs of a node whose present state is worth asking for."""
    rows = [row[-1] for row in shown.execution.state.nodes[id].elements.values()]
    return [row.run for row in rows if row.run is not None and not row.settled][:MOST_LINKS]


def span(shown: Shown, depth: int) -> Message:
    """core.Span: how long the execution and its nodes took."""
    state = shown.execution.state
    made = metrics_pb2.Span(workflow_id=shown.id)
    _span_times(made, state.created_at, state.ended_at or shown.updated_at)
    for id in shown.program.graph.parts(""):
        if depth > 0 and id in state.nodes:
            made.spans.append(_node_span(shown, id, depth - 1))
    return made


def _node_span(shown: Shown, id: str, depth: int) -> Message:
    node, state = shown.program.graph.nodes[id], shown.execution.state.nodes[id]
    made = metrics_pb2.Span(node_id=shown.node_id(id))
    _span_times(made, state.created_at, state.ended_at or shown.updated_at)
    if depth > 0:
        for part in shown.program.graph.parts(id):
            if part in shown.execution.state.nodes:
                made.spans.append(_node_span(shown, part, depth - 1))
        if node.kind is Kind.TASK:
            for attempt in state.elements.get(0, ()):
                made.spans.append(_attempt_span(shown, node, attempt, depth - 1))
    return made


def _attempt_span(shown: Shown, node: Node, attempt: Attempt, depth: int) -> Message:
    """Its parts have the names that Flyte's own have: clients sum up operations, and show nothing else."""
    made = metrics_pb2.Span(task_id=_attempt_id(shown, node, attempt.number))
    end = attempt.ended_at or shown.updated_at
    _span_times(made, attempt.created_at, end)
    begun = attempt.started_at or end
    if depth > 0:
        _span_times(made.spans.add(operation_id="TASK_SETUP"), attempt.created_at, begun)
        if attempt.started_at is not None:
            _span_times(made.spans.add(operation_id="TASK_RUNTIME"), begun, end)
    return made


def _task_execution(shown: Shown, node: Node, attempt: Attempt, views: Mapping[str, RunView]) -> Message:
    seen = _present(attempt, views)
    made = task_execution_pb2.TaskExecution(
        id=_attempt_id(shown, node, attempt.number), input_uri=shown.layout.node_inputs(node.id)
    )
    closure = made.closure
    closure.phase = _phase(seen)
    closure.task_type = _task_type(shown, node)
    _times(closure, seen.created_at, seen.updated_at or seen.created_at, seen.started_at, seen.ended_at)
    closure.logs.extend(_log(link, link.name) for link in seen.links)
    _reason(closure, seen.message, seen.updated_at or seen.created_at)
    closure.custom_info.update(dict(seen.info))
    closure.metadata.generated_name = seen.run or ""
    closure.metadata.plugin_identifier = "heliostat"
    prefix = shown.layout.prefix(node.id, attempt.number)
    if seen.phase is Phase.SUCCEEDED:
        closure.output_uri = f"{prefix}/{OUTPUTS}"
    elif seen.settled:
        closure.error.CopyFrom(_error(_attempt_fault(seen), f"{prefix}/error.pb"))
    return made


def _map_execution(shown: Shown, node: Node, state: NodeState, views: Mapping[str, RunView]) -> Message:
    made = task_execution_pb2.TaskExecution(
        id=_attempt_id(shown, node, 0), input_uri=shown.layout.node_inputs(node.id), is_parent=False
    )
    closure = made.closure
    closure.phase = int(_MAP_PHASES[state.phase])
    closure.task_type = _task_type(shown, node)
    _times(closure, state.created_at, state.updated_at, state.started_at, state.ended_at)
    done = 0
    for index, row in sorted(state.elements.items()):
        for attempt in row:
            seen = _present(attempt, views)
            done += seen.phase is Phase.SUCCEEDED
            element = event_pb2.ExternalResourceInfo(
                external_id=seen.run or "", index=index, retry_attempt=attempt.number, phase=_phase(seen)
            )
            element.logs.extend(_log(link, f"{link.name} {index}") for link in seen.links)
            closure.metadata.external_resources.append(element)
            if len(closure.logs) < MOST_LINKS:
                closure.logs.extend(element.logs)
    closure.metadata.plugin_identifier = "heliostat"
    _reason(closure, f"{done} of {state.size} elements have succeeded", state.updated_at)
    if state.phase is NodePhase.SUCCEEDED:
        closure.output_uri = shown.layout.node_outputs(node.id)
    elif state.fault is not None:
        closure.error.CopyFrom(_error(state.fault))
    return made


_MAP_PHASES = {
    NodePhase.QUEUED: Phase.QUEUED,
    NodePhase.RUNNING: Phase.RUNNING,
    NodePhase.COLLECTING: Phase.RUNNING,
    NodePhase.SUCCEEDED: Phase.SUCCEEDED,
    NodePhase.FAILING: Phase.RUNNING,
    NodePhase.FAILED: Phase.FAILED,
    NodePhase.ABORTED: Phase.ABORTED,
    NodePhase.SKIPPED: Phase.ABORTED,
}


def _present(attempt: Attempt, views: Mapping[str, RunView]) -> Attempt:
    """An attempt that is not over, as its run is just now."""
    view = views.get(attempt.run or "")
    if view is None or attempt.settled:
        return attempt
    # How it ended is told when the execution has taken notice, so that readers see one order of things.
    phase = Phase.RUNNING if view.settled else view.phase
    return Attempt(
        attempt.number, attempt.created_at, attempt.run, phase, False, attempt.stopping, view.message, "", "UNKNOWN",
        attempt.updated_at, view.started_at, None, view.links, view.info,
    )  # fmt: skip


def _phase(attempt: Attempt) -> int:
    """One that failed and was tried again has failed; clients know no other word for its end."""
    return int(Phase.FAILED if attempt.settled and attempt.phase is Phase.RETRYABLE_FAILED else attempt.phase)


def _attempt_fault(attempt: Attempt) -> Fault:
    return Fault(attempt.code or attempt.phase.name, attempt.message, attempt.origin)


def _attempt_id(shown: Shown, node: Node, number: int) -> Message:
    assert node.task is not None  # only tasks have attempts
    return identifier_pb2.TaskExecutionIdentifier(
        task_id=identifier(node.task, identifier_pb2.TASK),
        node_execution_id=shown.node_id(node.id),
        retry_attempt=number,
    )


def _task_type(shown: Shown, node: Node) -> str:
    return str(shown.program.tasks[node.task].type) if node.task is not None else ""


def _last(node: Node, state: NodeState) -> Attempt | None:
    row: Sequence[Attempt] = state.elements.get(0, ()) if node.kind is Kind.TASK else ()
    return row[-1] if row else None


def _outputs_uri(shown: Shown, node: Node, state: NodeState) -> str:
    while node.kind is Kind.BRANCH and state.arm is not None:
        node = shown.program.graph.nodes[node.arms[state.arm].node]
        state = shown.execution.state.nodes[node.id]
    last = _last(node, state)
    return f"{shown.layout.prefix(node.id, last.number)}/{OUTPUTS}" if last else shown.layout.node_outputs(node.id)


def outputs_url(shown: Shown, id: str) -> str:
    """Where a node that succeeded has its outputs."""
    return _outputs_uri(shown, shown.program.graph.nodes[id], shown.execution.state.nodes[id])


def _error(fault: Fault, uri: str = "") -> Message:
    kinds = core_execution.ExecutionError.ErrorKind
    kind = kinds.Value(fault.kind) if fault.kind in kinds.keys() else 0  # noqa: SIM118 - it is no dictionary
    return core_execution.ExecutionError(code=fault.code, message=fault.message, kind=kind, error_uri=uri)


def _log(link: Link, name: str) -> Message:
    return core_execution.TaskLog(
        uri=link.uri, name=name, ShowWhilePending=link.while_pending, HideOnceFinished=link.hidden_when_finished
    )


def _reason(closure: Message, message: str, at: datetime) -> None:
    if message:
        closure.reason = message
        closure.reasons.add(message=message).occurred_at.FromDatetime(at)


def _times(
    closure: Message, created: datetime, updated: datetime, started: datetime | None, ended: datetime | None
) -> None:
    closure.created_at.FromDatetime(created)
    closure.updated_at.FromDatetime(updated)
    if started is not None:
        closure.started_at.FromDatetime(started)
        if ended is not None:
            closure.duration.FromTimedelta(max(ended - started, ended - ended))


def _span_times(made: Message, start: datetime, end: datetime) -> None:
    made.start_time.FromDatetime(start)
    made.end_time.FromDatetime(end)
