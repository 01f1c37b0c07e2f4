"""What the connector does: creates, tells of and ends tasks (Flyte contract, section 8). Imports flyteidl."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from flyteidl.admin import agent_pb2

from heliostat.services import Services

from .. import names
from ..errors import NOT_FOUND, OUT_OF_RANGE, FlyteError, invalid
from ..places import Places
from ..rpc import RpcCall
from ..runs.runs import Runs
from ..translate.submission import RunPlace
from .kinds import NAME, TASK_TYPE
from .messages import (
    UnreadableMeta,
    connector,
    log_body,
    log_head,
    meta_of,
    resource,
    run_of,
    unknown_run,
    unreadable_run,
)
from .metrics import ConnectorMetrics

# flyteidl ships no types, so its messages are Any.
MOST_LINES = 100_000
"""The end of a log that is looked for."""
LONGEST_NODE = 1000
LONGEST_PREFIX = 4000
"""Characters."""
_NODE = "task_execution_metadata.task_execution_id.node_execution_id"


class Tasks:
    """The methods, for one of the two wires: ``first`` = Flyte 1's."""

    def __init__(
        self, services: Services, runs: Runs, places: Places, metrics: ConnectorMetrics, *, first: bool
    ) -> None:
        self._services = services
        self._runs = runs
        self._places = places
        self._metrics = metrics
        self._first = first

    async def create(self, call: RpcCall, request: Any) -> Any:
        with self._metrics.counted("create"):
            template = request.template
            if not template.type:
                raise invalid("template.type", "is required")
            _check_type(template.type)
            self._metrics.inputs(request.inputs.ByteSize())
            place = _place(request)
            caller = call.known_caller
            workspace = await self._places.workspace(caller, place.project, place.domain, f"{_NODE}.execution_id")
            run = await self._runs.create(caller, workspace.id, template, place, request.inputs)
            return agent_pb2.CreateTaskResponse(resource_meta=meta_of(run))

    async def get(self, call: RpcCall, request: Any) -> Any:
        """A known task is always told of: propellers stop to look after some errors."""
        with self._metrics.counted("get"):
            _check_asked(request)
            try:
                run = await self._runs.get(run_of(request.resource_meta), call.known_caller)
            except UnreadableMeta:
                return agent_pb2.GetTaskResponse(resource=unreadable_run())
            found = unknown_run() if run is None else resource(run, first=self._first)
            return agent_pb2.GetTaskResponse(resource=found)

    async def delete(self, call: RpcCall, request: Any) -> Any:
        with self._metrics.counted("delete"):
            _check_asked(request)
            with contextlib.suppress(UnreadableMeta):  # then there is nothing to end
                await self._runs.delete(call.known_caller, run_of(request.resource_meta))
            return agent_pb2.DeleteTaskResponse()

    async def metrics(self, call: RpcCall, request: Any) -> Any:
        """None are kept by task: Prometheus has those of its nodes (``/v1/metrics/targets``)."""
        with self._metrics.counted("metrics"):
            _check_asked(request)
            if request.HasField("start_time") or request.HasField("end_time"):
                raise FlyteError(OUT_OF_RANGE, "there are no figures of tasks in this range", "start_time")
            return agent_pb2.GetTaskMetricsResponse()

    async def logs(self, call: RpcCall, request: Any) -> AsyncIterator[Any]:
        """What there is from the token on: first the next token, then the lines."""
        with self._metrics.counted("logs"):
            _check_asked(request)
            offset = _offset(request.token)
            lines = min(request.lines, MOST_LINES) or None
            try:
                run = run_of(request.resource_meta)
            except UnreadableMeta as error:
                raise invalid("resource_meta", "is not one that this connector gave") from error
            part = await self._runs.log(call.known_caller, run, offset, lines)
            if part is None:
                raise FlyteError(NOT_FOUND, "job not found", "resource_meta")
            yield log_head(part.end)
            async for rows in self._runs.log_lines(part):
                yield log_body(rows, first=self._first)

    async def listed(self, call: RpcCall, request: Any) -> Any:
        return agent_pb2.ListAgentsResponse(agents=[connector(first=self._first)])

    async def described(self, call: RpcCall, request: Any) -> Any:
        if request.name != NAME:
            raise FlyteError(NOT_FOUND, f"there is no connector {request.name!r}; this is {NAME}", "name")
        return agent_pb2.GetAgentResponse(agent=connector(first=self._first))


def _check_type(type: str) -> None:
    if type != TASK_TYPE:
        raise FlyteError(NOT_FOUND, f"Cannot find connector for task type: {type}.")


def _check_asked(request: Any) -> None:
    """Old propellers name the type alone; of a category any version counts."""
    named = request.task_category.name or request.task_type
    if named:
        _check_type(named)


def _place(request: Any) -> RunPlace:
    """Where the task belongs. flytekit's own runs of connectors tell no more than the template (Flyte contract, 4.5)."""
    if not request.output_prefix:
        raise invalid("output_prefix", "is required: outputs and errors are written below it")
    task, told = request.template.id, request.task_execution_metadata
    attempt = told.task_execution_id
    execution = attempt.node_execution_id.execution_id
    group = names.key(execution.project or task.project, execution.domain or task.domain, execution.name)
    for path, size, longest in (
        (f"{_NODE}.execution_id", len(group), names.LONGEST_KEY),
        (f"{_NODE}.node_id", len(attempt.node_execution_id.node_id), LONGEST_NODE),
        ("output_prefix", len(request.output_prefix), LONGEST_PREFIX),
    ):
        if size > longest:
            raise invalid(path, f"has {size} characters, and at most {longest} are taken")
    return RunPlace(
        project=execution.project or task.project,
        domain=execution.domain or task.domain,
        execution=execution.name,
        node=attempt.node_execution_id.node_id,
        attempt=attempt.retry_attempt,
        task=(task.project, task.domain, task.name, task.version),
        output_prefix=request.output_prefix,
        environment=dict(told.environment_variables),
        labels=dict(told.labels),
        annotations=dict(told.annotations),
        service_account=told.k8s_service_account,
    )


def _offset(token: str) -> int:
    if not token:
        return 0
    if not token.isascii() or not token.isdecimal() or len(token) > 18:
        raise invalid("token", "must be one that an earlier answer gave")
    return int(token)
