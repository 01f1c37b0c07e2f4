"""What the page of a run shows, asked from the methods that Flyte's clients call."""

from __future__ import annotations

from flyteidl.admin import execution_pb2 as executions
from flyteidl.admin import node_execution_pb2 as node_executions
from flyteidl.admin import task_execution_pb2 as task_executions
from flyteidl.core import execution_pb2 as phases
from flyteidl.core import identifier_pb2 as identifiers

from heliostat.services import Caller

from .console import Row, Run, shown
from .data_proxy import Calls

LARGEST = 500
"""Nodes that are shown."""
_OPEN = (phases.WorkflowExecution.QUEUED, phases.WorkflowExecution.RUNNING, phases.WorkflowExecution.UNDEFINED)


async def described(executions_calls: Calls, caller: Caller, run: Run) -> str:
    """Markup. Raises FlyteError and HeliostatError."""
    id = identifiers.WorkflowExecutionIdentifier(project=run.project, domain=run.domain, name=run.name)
    request = executions.WorkflowExecutionGetRequest(id=id)
    found = await executions_calls["GetExecution"][1](caller, request)
    listed = node_executions.NodeExecutionListRequest(workflow_execution_id=id, limit=LARGEST)
    nodes = (await executions_calls["ListNodeExecutions"][1](caller, listed)).node_executions
    rows = [await _row(executions_calls, caller, node) for node in nodes]
    told = found.closure.error.message
    rows = [row._replace(message="") if row.message == told else row for row in rows]
    phase = found.closure.phase
    names = phases.WorkflowExecution.Phase
    return shown(names.Name(phase), told, rows, open=phase in _OPEN)


async def _row(executions_calls: Calls, caller: Caller, node: node_executions.NodeExecution) -> Row:
    request = task_executions.TaskExecutionListRequest(node_execution_id=node.id, limit=100)
    attempts = (await executions_calls["ListTaskExecutions"][1](caller, request)).task_executions
    last = max(attempts, key=lambda row: row.id.retry_attempt, default=None)
    links = [(link.name or link.uri, link.uri) for link in last.closure.logs] if last is not None else []
    reason = last.closure.reason if last is not None else ""
    phase = phases.NodeExecution.Phase.Name(node.closure.phase)
    return Row(node.metadata.spec_node_id or node.id.node_id, phase, links, node.closure.error.message or reason)
