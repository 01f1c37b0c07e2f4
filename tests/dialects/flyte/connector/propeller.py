"""A propeller that is nothing but gRPC: templates as it renders them, its calls, and tasks that write what flytekit would."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
from flyteidl.admin import agent_pb2
from flyteidl.core import errors_pb2, literals_pb2, tasks_pb2

from heliostat.dialects.flyte.runs import Phase
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.engines.simulated_jobs import Script, SimulatedJob
from heliostat.testing.harness import HarnessServer

ASYNC = "flyteidl.service.AsyncAgentService"
METADATA = "flyteidl.service.AgentMetadataService"
IMAGE = "cr.flyte.org/flyteorg/flytekit:py3.11-1.16.31"
PATIENCE = 20.0
# flyteidl and grpc ship no types, so messages and channels are Any.


def forever(submission: object) -> Script:
    """A task that runs until the test ends it."""
    return Script(running_looks=None)


def template(
    *, outputs: Sequence[str] = ("o0",), labels: dict[str, str] | None = None, custom: dict[str, Any] | None = None,
    args: Sequence[str] = ("pyflyte-execute", "--inputs", "x"), type: str = "ray",
) -> Any:  # fmt: skip
    """A task template of one worker."""
    made = tasks_pb2.TaskTemplate(type=type)
    made.id.project, made.id.domain, made.id.name, made.id.version = "flytesnacks", "development", "wf.t", "v1"
    made.container.image = IMAGE
    made.container.args.extend(args)
    group = {"groupName": "w", "replicas": 1.0, "minReplicas": 1.0, "maxReplicas": 1.0}
    made.custom.update({"rayCluster": {"workerGroupSpec": [group]}} if custom is None else custom)
    for name in outputs:
        made.interface.outputs.variables[name].description = name
    for key, value in (labels or {}).items():
        made.metadata.metadata.labels[key] = value
    return made


@dataclass
class Propeller:
    """A server, and a propeller that calls it."""

    up: HarnessServer
    world: World
    engine: SimulatedEngine
    channel: Any
    bucket: Path
    """Where Flyte keeps its data."""
    token: str | None = None
    """Shown with each call; None = none is, as by real propellers."""
    execution: str = "f1234567890"

    def request(self, task: Any = None, *, node: str = "n0", attempt: int = 0, **environment: str) -> Any:
        """A CreateTaskRequest as propellers fill it."""
        made = agent_pb2.CreateTaskRequest(template=template() if task is None else task)
        made.output_prefix = f"file://{self.prefix(node, attempt, environment.get('FLYTE_K8S_ARRAY_INDEX', ''))}"
        told = made.task_execution_metadata
        told.task_execution_id.task_id.CopyFrom(made.template.id)
        told.task_execution_id.retry_attempt = attempt
        told.task_execution_id.node_execution_id.node_id = node
        execution = told.task_execution_id.node_execution_id.execution_id
        execution.project, execution.domain, execution.name = "flytesnacks", "development", self.execution
        told.environment_variables.update(environment)
        return made

    def prefix(self, node: str = "n0", attempt: int = 0, index: str = "") -> Path:
        return self.bucket / self.execution / node / "data" / f"{attempt}{index}"

    async def call(self, method: str, request: Any, answer: Any, *, service: str = ASYNC, **options: Any) -> Any:
        call = self.channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        options.setdefault("timeout", PATIENCE)
        return await call(request, metadata=self.metadata, **options)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return () if self.token is None else (("authorization", f"Bearer {self.token}"),)

    async def create(self, request: Any = None) -> bytes:
        """The resource_meta."""
        wanted = self.request() if request is None else request
        return bytes((await self.call("CreateTask", wanted, agent_pb2.CreateTaskResponse)).resource_meta)

    async def get(self, meta: bytes) -> Any:
        """The Resource."""
        asked = agent_pb2.GetTaskRequest(resource_meta=meta)
        asked.task_category.name = "ray"
        return (await self.call("GetTask", asked, agent_pb2.GetTaskResponse)).resource

    async def delete(self, meta: bytes) -> None:
        asked = agent_pb2.DeleteTaskRequest(resource_meta=meta)
        await self.call("DeleteTask", asked, agent_pb2.DeleteTaskResponse)

    async def until(self, meta: bytes, *phases: Phase) -> Any:
        """The Resource once it is in one of these phases."""
        return await self.eventually(lambda: self.get(meta), lambda seen: seen.phase in phases)

    async def eventually(self, look: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
        end = time.monotonic() + PATIENCE
        while not good(seen := await look()):
            assert time.monotonic() < end, seen
            await asyncio.sleep(0.02)
        return seen

    async def running(self, request: Any = None) -> bytes:
        meta = await self.create(request)
        await self.until(meta, Phase.RUNNING)
        return meta

    def job(self, meta: bytes) -> SimulatedJob:
        """The job as its head has it."""
        return self.world.job(json.loads(meta)["id"])


def write_outputs(prefix: Path, **values: int) -> bytes:
    """What a task writes that succeeds."""
    outputs = literals_pb2.LiteralMap()
    for name, value in values.items():
        outputs.literals[name].scalar.primitive.integer = value
    prefix.mkdir(parents=True, exist_ok=True)
    data = outputs.SerializeToString()
    (prefix / "outputs.pb").write_bytes(data)
    return bytes(data)


def write_error(
    prefix: Path, message: str = "boom", *, code: str = "USER:ValueError", recoverable: bool = False
) -> None:
    """What one writes that fails."""
    kinds = errors_pb2.ContainerError
    document = errors_pb2.ErrorDocument()
    document.error.code, document.error.message = code, message
    document.error.kind = kinds.RECOVERABLE if recoverable else kinds.NON_RECOVERABLE
    document.error.origin = 1
    prefix.mkdir(parents=True, exist_ok=True)
    (prefix / "error.pb").write_bytes(document.SerializeToString())


@dataclass(frozen=True)
class Served:
    """How a server is to be started."""

    flyte: dict[str, Any] = field(default_factory=dict)
    connector: dict[str, Any] | None = field(default_factory=lambda: {"listen": "127.0.0.1:0"})

    def toml(self) -> str:
        rows = ["[flyte]", *(f"{key} = {json.dumps(value)}" for key, value in self.flyte.items())]
        if self.connector is not None:
            rows += ["[flyte.connector]", *(f"{key} = {json.dumps(value)}" for key, value in self.connector.items())]
        return "\n".join(rows) + "\n"


def channel_to(port: int) -> Any:
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_send_message_length", -1)])
