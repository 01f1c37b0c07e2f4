"""What the pages of executions and runs show: the former asked from the methods that Flyte's clients call."""

from __future__ import annotations

from flyteidl.admin import execution_pb2 as executions
from flyteidl.admin import node_execution_pb2 as node_executions
from flyteidl.admin import task_execution_pb2 as task_executions
from flyteidl.core import execution_pb2 as phases
from flyteidl.core import identifier_pb2 as identifiers

from heliostat.domain.ids import WorkspaceId
from heliostat.services import Caller

from ..errors import NOT_FOUND, FlyteError
from ..runs.runs import Runs
from ..runs.view import PAGE, log_path
from .console import Execution, Row, Run, shown
from .data_proxy import Calls

LARGEST = 500
"""Nodes that are shown."""
_OPEN = (phases.WorkflowExecution.QUEUED, phases.WorkflowExecution.RUNNING, phases.WorkflowExecution.UNDEFINED)


async def of_run(runs: Runs, caller: Caller, run: Run) -> str:
    """Markup. Raises FlyteError and HeliostatError."""
    view = await runs.get(run.id, caller)
    if view is None:
        raise FlyteError(NOT_FOUND, f"there is no run {run.id[:100]}, or you have no role in its workspace")
    log = log_path(view.workspace, run.id) if view.workspace is not None else ""
    return shown(view.phase.name, view.message, open=not view.settled, log=log)


async def of_execution(executions_calls: Calls, caller: Caller, one: Execution, workspace: WorkspaceId) -> str:
    """Markup. Raises FlyteError and HeliostatError."""
    id = identifiers.WorkflowExecutionIdentifier(project=one.project, domain=one.domain, name=one.name)
    request = executions.WorkflowExecutionGetRequest(id=id)
    found = await executions_calls["GetExecution"][1](caller, request)
    listed = node_executions.NodeExecutionListRequest(workflow_execution_id=id, limit=LARGEST)
    nodes = (await executions_calls["ListNodeExecutions"][1](caller, listed)).node_executions
    rows = [await _row(executions_calls, caller, node, workspace) for node in nodes]
    told = found.closure.error.message
    rows = [row._replace(message="") if row.message == told else row for row in rows]
    phase = found.closure.phase
    names = phases.WorkflowExecution.Phase
    return shown(names.Name(phase), told, rows, open=phase in _OPEN)


async def _row(
    executions_calls: Calls, caller: Caller, node: node_executions.NodeExecution, workspace: WorkspaceId
) -> Row:
    request = task_executions.TaskExecutionListRequest(node_execution_id=node.id, limit=100)
    attempts = (await executions_calls["ListTaskExecutions"][1](caller, request)).task_executions
    last = max(attempts, key=lambda row: row.id.retry_attempt, default=None)
    links = [(row.name or row.uri, _own(row.uri, workspace)) for row in last.closure.logs] if last is not None else []
    reason = last.closure.reason if last is not None else ""
    phase = phases.NodeExecution.Phase.Name(node.closure.phase)
    return Row(node.metadata.spec_node_id or node.id.node_id, phase, links, node.closure.error.message or reason)


def _own(uri: str, workspace: WorkspaceId) -> str:
    """The log itself instead of the page that it is on: this page has a token already."""
    before, page, run = uri.rpartition(PAGE)
    return f"{before}{log_path(workspace, run)}" if page else uri
