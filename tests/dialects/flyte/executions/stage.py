"""A whole server on the simulated engine whose jobs play flytekit's tasks: they read inputs.pb and write outputs.pb or error.pb.

A task is a Python function of the test, found by the ``task-name`` in its command; a client that is nothing but gRPC.
"""

from __future__ import annotations

import asyncio
import itertools
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from flyteidl.admin import execution_pb2, launch_plan_pb2, node_execution_pb2, task_execution_pb2, task_pb2
from flyteidl.core import errors_pb2, identifier_pb2, literals_pb2
from flyteidl.service import admin_pb2
from google.protobuf import message_factory

from heliostat.domain.ids import WorkspaceId
from heliostat.domain.ray_jobs import RaySubmission
from heliostat.domain.records import Role
from heliostat.engines.simulated import World
from heliostat.engines.simulated_jobs import Script, SimulatedJob
from heliostat.services import Caller, Services
from heliostat.testing.harness import HarnessServer

from ..admin.messages import INTEGER, LAUNCH_PLAN, TASK, WORKFLOW, identifier, workflow
from .literals import literal_map

PATIENCE = 30.0
METHODS = {
    method.name: (f"/flyteidl.service.AdminService/{method.name}", message_factory.GetMessageClass(method.output_type))
    for method in admin_pb2.DESCRIPTOR.services_by_name["AdminService"].methods
}
ARGS = [
    "pyflyte-execute", "--inputs", "{{.input}}", "--output-prefix", "{{.outputPrefix}}", "--raw-output-data-prefix",
    "{{.rawOutputDataPrefix}}", "--checkpoint-path", "{{.checkpointOutputPrefix}}", "--prev-checkpoint",
    "{{.prevCheckpointPrefix}}", "--",
]  # fmt: skip
Task = Callable[..., Any]


class Forever(Exception):
    """A task that runs until it is stopped."""


@dataclass
class Recoverable(Exception):
    """A failure that is worth another attempt."""

    message: str


@dataclass(frozen=True)
class Written:
    """What a task writes beside its output, or instead of it (None)."""

    files: tuple[str, ...]
    value: Any = None


@dataclass
class Troupe:
    """The tasks, by name, and what they were told. A task gets its inputs by name and gives its output ``o0``."""

    tasks: dict[str, Task] = field(default_factory=dict)
    played: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    """Name, inputs and environment of each attempt."""

    def __call__(self, submission: RaySubmission) -> Script:
        words = shlex.split(submission.entrypoint.replace(";", " ; "))
        told = dict(itertools.pairwise(words))
        name = told["task-name"]
        inputs = literals_pb2.LiteralMap.FromString(_path(told["--inputs"]).read_bytes())
        prefix = _path(told["--output-prefix"])
        prefix.mkdir(parents=True, exist_ok=True)
        environment = dict(submission.runtime_env["env_vars"])
        index = environment.get(environment.get("BATCH_JOB_ARRAY_INDEX_VAR_NAME", ""))
        values = {key: _python(value, index) for key, value in inputs.literals.items()}
        self.played.append((name, values, environment))
        try:
            result = self.tasks[name](**values)
        except Forever:
            return Script(running_looks=None)
        except Exception as error:  # noqa: BLE001 - as flytekit does
            _write_error(prefix, error)
            return Script(exit_code=1)
        written = result if isinstance(result, Written) else Written((), result)
        for file in written.files:
            (prefix / file).write_bytes(b"")
        if written.value is not None:
            (prefix / "outputs.pb").write_bytes(literal_map(o0=written.value).SerializeToString())
        return Script(running_looks=0)

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.played]


def _path(url: str) -> Path:
    return Path(url.removeprefix("file://"))


def _python(value: Any, index: str | None) -> Any:
    if value.WhichOneof("value") == "collection":
        rows = [_python(row, None) for row in value.collection.literals]
        return rows if index is None else rows[int(index)]
    primitive = value.scalar.primitive
    return getattr(primitive, primitive.WhichOneof("value"))


def _write_error(prefix: Path, error: Exception) -> None:
    found = errors_pb2.ErrorDocument()
    found.error.code, found.error.message, found.error.origin = f"USER:{type(error).__name__}", str(error), 1
    if isinstance(error, Recoverable):
        found.error.message, found.error.kind = error.message, errors_pb2.ContainerError.RECOVERABLE
    (prefix / "error.pb").write_bytes(found.SerializeToString())


@dataclass
class Stage:
    up: HarnessServer
    world: World
    channel: Any  # grpc ships no types
    troupe: Troupe

    @property
    def services(self) -> Services:
        return self.up.running.server.services

    async def call(self, method: str, request: Any, token: str | None = None) -> Any:
        path, answer = METHODS[method]
        metadata = (("authorization", f"Bearer {token or self.up.token}"),)
        data = await self.channel.unary_unary(path)(request.SerializeToString(), metadata=metadata, timeout=PATIENCE)
        return answer.FromString(data)

    async def refused(self, method: str, request: Any, token: str | None = None) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(method, request, token)
        return caught.value.code(), caught.value.details() or ""

    async def task(
        self, name: str, play: Task, inputs: str = "x", *, retries: int = 0, listed: str = "", deck: bool = False
    ) -> None:
        """Register a task with integers as inputs, those in ``listed`` lists of them, and put it on."""
        request = task_pb2.TaskCreateRequest(id=identifier(TASK, name))
        template = request.spec.template
        template.type = "python-task"
        template.metadata.retries.retries = retries
        template.metadata.generates_deck.value = deck
        for variable in inputs.split():
            template.interface.inputs.variables[variable].type.CopyFrom(INTEGER)
        for variable in listed.split():
            template.interface.inputs.variables[variable].type.collection_type.CopyFrom(INTEGER)
        template.interface.outputs.variables["o0"].type.CopyFrom(INTEGER)
        template.container.image = "cr.flyte.org/flyteorg/flytekit:py3.11-1.16.31"
        template.container.args.extend([*ARGS, "task-name", name])
        if listed:
            template.task_type_version = 1
            template.container.args[0] = "pyflyte-map-execute"
            template.interface.outputs.variables["o0"].type.collection_type.CopyFrom(INTEGER)
        await self.call("CreateTask", request)
        self.troupe.tasks[name] = play

    async def workflow(self, primary: Any, *subs: Any, **plan: Any) -> None:
        """Register a workflow, and a launch plan of its name."""
        await self.call("CreateWorkflow", workflow(primary, *subs))
        request = launch_plan_pb2.LaunchPlanCreateRequest(id=identifier(LAUNCH_PLAN, primary.id.name))
        request.spec.CopyFrom(launch_plan_pb2.LaunchPlanSpec(**plan))
        request.spec.workflow_id.CopyFrom(identifier(WORKFLOW, primary.id.name))
        await self.call("CreateLaunchPlan", request)

    async def begin(self, target: Any, name: str = "", inputs: Mapping[str, Any] | None = None, **spec: Any) -> Any:
        """The identifier of an execution."""
        return (await self.call("CreateExecution", creation(target, name, inputs, **spec))).id

    async def execution(self, id: Any) -> Any:
        return await self.call("GetExecution", execution_pb2.WorkflowExecutionGetRequest(id=id))

    async def until(self, id: Any, good: Callable[[Any], bool]) -> Any:
        """The execution once something is true of it."""
        end = time.monotonic() + PATIENCE
        while not good(found := await self.execution(id)):
            assert time.monotonic() < end, found
            await asyncio.sleep(0.02)
        return found

    async def ended(self, id: Any) -> Any:
        return await self.until(id, lambda found: found.closure.phase in (4, 6, 7, 8))

    async def playing(self, *names: str) -> None:
        """Wait until these have been called on stage."""
        end = time.monotonic() + PATIENCE
        while not set(names) <= set(self.troupe.names):
            assert time.monotonic() < end, self.troupe.names
            await asyncio.sleep(0.02)

    async def outputs(self, id: Any) -> Any:
        data = await self.call("GetExecutionData", execution_pb2.WorkflowExecutionGetDataRequest(id=id))
        return data.full_outputs

    async def nodes(self, id: Any, parent: str = "") -> dict[str, Any]:
        request = node_execution_pb2.NodeExecutionListRequest(
            workflow_execution_id=id, unique_parent_id=parent, limit=100
        )
        rows = (await self.call("ListNodeExecutions", request)).node_executions
        return {row.id.node_id: row for row in rows}

    async def attempts(self, id: Any, node: str = "n0") -> list[Any]:
        one = identifier_pb2.NodeExecutionIdentifier(node_id=node, execution_id=id)
        request = task_execution_pb2.TaskExecutionListRequest(node_execution_id=one, limit=100)
        return list((await self.call("ListTaskExecutions", request)).task_executions)

    def jobs(self) -> list[SimulatedJob]:
        return [job for jobs in self.world.jobs.values() for job in jobs.values()]

    def finish(self, job: SimulatedJob, result: int) -> None:
        """Let a task that runs come to its end."""
        words = shlex.split(job.submission.entrypoint.replace(";", " ; "))
        prefix = _path(dict(itertools.pairwise(words))["--output-prefix"])
        (prefix / "outputs.pb").write_bytes(literal_map(o0=result).SerializeToString())
        job.finish()

    async def robot(self, name: str, role: Role | None) -> str:
        """The token of a principal made for it."""
        admin = Caller(await self.services.identity.by_token(self.up.token))
        made = await self.services.identity.create_token(admin, principal=name)
        await self.grant(name, role)
        return made.token.reveal()

    async def grant(self, name: str, role: Role | None) -> None:
        admin = Caller(await self.services.identity.by_token(self.up.token))
        await self.services.identity.grant(admin, WorkspaceId(self.up.workspace), name, role)

    async def terminate(self, id: Any, cause: str = "enough") -> None:
        await self.call("TerminateExecution", execution_pb2.ExecutionTerminateRequest(id=id, cause=cause))


def creation(target: Any, name: str = "", inputs: Mapping[str, Any] | None = None, **spec: Any) -> Any:
    """As flytekit sends it."""
    made = execution_pb2.ExecutionCreateRequest(project="p", domain="d", name=name)
    made.spec.CopyFrom(execution_pb2.ExecutionSpec(launch_plan=target, **spec))
    made.inputs.CopyFrom(literal_map(**(inputs or {})))
    return made
