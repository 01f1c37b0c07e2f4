"""A flytepropeller of ours, as far as a connector can see one (Flyte contract, sections 4.3, 4.4, 5.1 and 5.2).

It finds the connector of a task, renders the task, writes ``inputs.pb``, calls CreateTask, asks GetTask until the end, reads
``outputs.pb`` or ``error.pb``, tries again as often as the task allows, and calls DeleteTask when a node is aborted::

    async with Propeller(Configuration(Endpoint("127.0.0.1:8602", 10.0)), tmp_path) as propeller:
        await propeller.discover()
        result = await propeller.run(Node(made.template, made.inputs))
        assert result.phase is Phase.SUCCEEDED and result.outputs.literals["o0"]...

It is strict where propellers are: an error of CreateTask costs an attempt; errors of GetTask are counted for the whole life
of an attempt and after six nobody asks any more (:class:`Stuck`, or a failure for good if no answer ever came); messages and
links are only noted when the phase changes; after a final phase nothing is called again. Timeouts of tasks are not kept.

Data is in a local folder, which tasks must be able to read and write. ``pause`` is awaited between two looks.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

import grpc
import grpc.aio
from flyteidl.admin import agent_pb2
from flyteidl.core import errors_pb2, identifier_pb2, literals_pb2, security_pb2
from flyteidl.service import agent_pb2_grpc

from .phases import FAILED, GAVE_UP, Phase, Verdict, judge, outcome
from .rendering import Parameters, rendered
from .routing import Configuration, Endpoint, Routes, route, routes

LOOK_SECONDS = 0.2
MOST_FAILURES = 5
"""GetTask may fail so often in one attempt."""
MOST_DELETIONS = 20
INDEX_NAME = "FLYTE_K8S_ARRAY_INDEX"


class Stuck(Exception):
    """Nobody looks after the task any more: it stays in its last phase until the propeller is started again."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__(f"the task stays {attempt.verdict.phase.value}")
        self.attempt = attempt


@dataclass(frozen=True)
class Node:
    """A task in an execution."""

    template: Any
    """TaskTemplate as registered."""
    inputs: Any = field(default_factory=literals_pb2.LiteralMap)
    project: str = "flytesnacks"
    domain: str = "development"
    execution: str = ""
    """Empty: some name that was not used before."""
    node: str = "n0"
    env: Mapping[str, str] = field(default_factory=dict)
    """The execution's environment variables."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    service_account: str = "default"
    creations: int = 1
    """How often CreateTask is called in each attempt: 2 for a propeller that dies before it has noted the answer."""
    index: int | None = None
    """Of an element of a map task."""


@dataclass(frozen=True)
class Event:
    """What people see: once per change of the phase."""

    phase: Phase
    message: str
    links: tuple[Any, ...] = ()
    """``core.TaskLog``."""


@dataclass
class Attempt:
    """One call of CreateTask (or several that meant the same), and what came of it."""

    number: int
    output_prefix: str
    metas: list[bytes] = field(default_factory=list)
    """All that CreateTask answered; the last one counts."""
    events: list[Event] = field(default_factory=list)
    looks: int = 0
    failures: int = 0
    """Errors of GetTask."""
    deletions: int = 0
    verdict: Verdict = Verdict(Phase.QUEUED)
    resource: Any = None
    """The last ``admin.Resource``."""


@dataclass(frozen=True)
class Result:
    """The end of a node."""

    phase: Phase
    message: str
    code: str
    attempts: tuple[Attempt, ...]
    outputs: Any = None
    """LiteralMap after success of a task that declares outputs."""


class Propeller:
    """See the module. ``root`` is where data is kept; ``pause`` replaces the wait between two looks."""

    def __init__(
        self,
        configuration: Configuration,
        root: Path,
        pause: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(LOOK_SECONDS),
    ) -> None:
        self._configuration = configuration
        self._root = root
        self._pause = pause
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._stack = AsyncExitStack()
        self.routes: Routes = routes(configuration, ())
        self.unreachable: dict[str, grpc.StatusCode] = {}
        """Connectors that did not say what they can do, when they were last asked."""

    async def __aenter__(self) -> Self:
        for name in self._configuration.names():
            endpoint = self._configuration.endpoint(name)
            self._channels[name] = await self._stack.enter_async_context(_channel(endpoint))
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def discover(self) -> Routes:
        """Ask all connectors what they can do, as at start and every poll interval. Who does not answer is left out."""
        listed = []
        self.unreachable = {}
        for name in self._configuration.names():
            stub = agent_pb2_grpc.AgentMetadataServiceStub(self._channels[name])
            request = agent_pb2.ListAgentsRequest()
            try:
                answer = await stub.ListAgents(request, **self._options(name, "ListConnectors"))
            except grpc.aio.AioRpcError as error:
                self.unreachable[name] = error.code()
            else:
                listed.append((name, answer.agents))
        self.routes = routes(self._configuration, listed)
        return self.routes

    async def run(self, node: Node, aborted: asyncio.Event | None = None) -> Result:
        """One node to its end: success, failure after the last attempt, or ABORTED soon after ``aborted`` is set.

        Raises Stuck, and AioRpcError when an abort cannot be had for all attempts to delete.
        """
        if not node.execution:
            node = replace(node, execution="f" + uuid.uuid4().hex[:19])
        aborted = aborted or asyncio.Event()
        attempts: list[Attempt] = []
        while True:
            attempt = Attempt(len(attempts), self._url(node, str(len(attempts))))
            attempts.append(attempt)
            verdict = attempt.verdict = await self._attempt(node, attempt, aborted)
            last = len(attempts) > node.template.metadata.retries.retries
            if verdict.phase is not Phase.RETRYABLE_FAILED or last:
                break
        phase = Phase.FAILED if verdict.phase is Phase.RETRYABLE_FAILED else verdict.phase
        outputs = None
        if phase is Phase.SUCCEEDED and node.template.interface.outputs.variables:
            outputs = literals_pb2.LiteralMap.FromString(_path(attempt.output_prefix, "outputs.pb").read_bytes())
        return Result(phase, verdict.message, verdict.code, tuple(attempts), outputs)

    async def run_map(self, node: Node, aborted: asyncio.Event | None = None) -> tuple[list[Result], Any]:
        """A map task: a run for each element of its lists, all at once. (results, LiteralMap of lists or None)."""
        if not node.execution:
            node = replace(node, execution="f" + uuid.uuid4().hex[:19])
        lists = [
            literal.collection.literals for literal in node.inputs.literals.values() if literal.HasField("collection")
        ]
        elements = [replace(node, index=index) for index in range(max(map(len, lists), default=0))]
        results = await asyncio.gather(*(self.run(element, aborted) for element in elements))
        if any(result.phase is not Phase.SUCCEEDED for result in results):
            return results, None
        gathered = literals_pb2.LiteralMap()
        for name in node.template.interface.outputs.variables:
            gathered.literals[name].collection.literals.extend(result.outputs.literals[name] for result in results)
        return results, gathered

    async def _attempt(self, node: Node, attempt: Attempt, aborted: asyncio.Event) -> Verdict:
        name = route(self.routes, node.template.type, node.template.task_type_version).connector
        stub = agent_pb2_grpc.AsyncAgentServiceStub(self._channels[name])
        request = self._creation(node, attempt)
        try:
            for _ in range(node.creations):
                answer = await stub.CreateTask(request, **self._options(name, "CreateTask"))
                attempt.metas.append(answer.resource_meta)
        except grpc.aio.AioRpcError as error:
            return self._note(
                attempt, Verdict(Phase.RETRYABLE_FAILED, f"failed to create task: {_told(error)}", FAILED)
            )
        while not aborted.is_set():
            verdict = await self._look(node, attempt, stub, name)
            if verdict.phase.final:
                return self._note(attempt, verdict)
            self._note(attempt, verdict)
            await self._wait(aborted)
        await self._delete(node, attempt, stub, name)
        return self._note(attempt, Verdict(Phase.ABORTED))

    async def _look(self, node: Node, attempt: Attempt, stub: Any, name: str) -> Verdict:
        attempt.looks += 1
        category = agent_pb2.TaskCategory(name=node.template.type, version=node.template.task_type_version)
        request = agent_pb2.GetTaskRequest(
            task_type=node.template.type,
            task_category=category,
            resource_meta=attempt.metas[-1],
            output_prefix=attempt.output_prefix,
        )
        try:
            answer = await stub.GetTask(request, **self._options(name, "GetTask"))
        except grpc.aio.AioRpcError as error:
            attempt.failures += 1
            if attempt.failures <= MOST_FAILURES:
                return attempt.verdict
            if attempt.resource is None:
                return Verdict(Phase.FAILED, f"failed to read the task: {_told(error)}", GAVE_UP)
            raise Stuck(attempt) from error
        attempt.resource = answer.resource
        verdict = judge(answer.resource)
        return self._settled(node, attempt, answer.resource) if verdict.phase is Phase.SUCCEEDED else verdict

    def _settled(self, node: Node, attempt: Attempt, resource: Any) -> Verdict:
        declared = bool(node.template.interface.outputs.variables)
        answered = resource.HasField("outputs")
        written = _path(attempt.output_prefix, "outputs.pb")
        if declared and answered:
            written.write_bytes(resource.outputs.SerializeToString())
        wrong = _path(attempt.output_prefix, "error.pb")
        error = errors_pb2.ErrorDocument.FromString(wrong.read_bytes()) if wrong.exists() else None
        return outcome(declared, answered, error, written.exists())

    async def _delete(self, node: Node, attempt: Attempt, stub: Any, name: str) -> None:
        category = agent_pb2.TaskCategory(name=node.template.type, version=node.template.task_type_version)
        request = agent_pb2.DeleteTaskRequest(
            task_type=node.template.type, task_category=category, resource_meta=attempt.metas[-1]
        )
        while True:
            attempt.deletions += 1
            try:
                await stub.DeleteTask(request, **self._options(name, "DeleteTask"))
            except grpc.aio.AioRpcError:
                if attempt.deletions == MOST_DELETIONS:
                    raise
                await self._pause()
            else:
                return

    async def _wait(self, aborted: asyncio.Event) -> None:
        """For the next look, or the abort if it is earlier."""
        tasks = [asyncio.ensure_future(self._pause()), asyncio.ensure_future(aborted.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    def _note(self, attempt: Attempt, verdict: Verdict) -> Verdict:
        if not attempt.events or attempt.events[-1].phase is not verdict.phase:
            links = () if attempt.resource is None else tuple(attempt.resource.log_links)
            attempt.events.append(Event(verdict.phase, verdict.message, links))
        attempt.verdict = verdict
        return verdict

    def _creation(self, node: Node, attempt: Attempt) -> Any:
        inputs = _path(self._url(node, "inputs.pb"))
        inputs.parent.mkdir(parents=True, exist_ok=True)
        inputs.write_bytes(node.inputs.SerializeToString())
        _path(attempt.output_prefix).mkdir(parents=True, exist_ok=True)
        env = dict(node.env)
        if node.index is not None:
            env |= {"BATCH_JOB_ARRAY_INDEX_VAR_NAME": INDEX_NAME, INDEX_NAME: str(node.index)}
        execution = identifier_pb2.WorkflowExecutionIdentifier(
            project=node.project, domain=node.domain, name=node.execution
        )
        key = f"{node.execution}-{node.node}-{'' if node.index is None else f'{node.index}-'}{attempt.number}"
        namespace = f"{node.project}-{node.domain}"
        raw = self._root / "raw" / key
        raw.mkdir(parents=True, exist_ok=True)
        parameters = Parameters(
            inputs.as_uri(),
            attempt.output_prefix,
            raw.as_uri(),
            unique_key=key,
            template_path=self._url(node, "task.pb"),
            namespace=namespace,
            inputs=node.inputs,
        )
        identity = identifier_pb2.TaskExecutionIdentifier(
            task_id=node.template.id,
            node_execution_id=identifier_pb2.NodeExecutionIdentifier(node_id=node.node, execution_id=execution),
            retry_attempt=attempt.number,
        )
        return agent_pb2.CreateTaskRequest(
            inputs=node.inputs,
            template=rendered(node.template, parameters, {**_internals(identity), **env}),
            output_prefix=attempt.output_prefix,
            task_execution_metadata=agent_pb2.TaskExecutionMetadata(
                task_execution_id=identity,
                namespace=namespace,
                labels={
                    "domain": node.domain,
                    "execution-id": node.execution,
                    "node-id": node.node,
                    "project": node.project,
                    **node.labels,
                },
                annotations=node.annotations,
                k8s_service_account=node.service_account,
                environment_variables=env,
                identity=security_pb2.Identity(k8s_service_account=node.service_account),
            ),
        )

    def _url(self, node: Node, name: str) -> str:
        """Of a file or folder of the node's data."""
        folder = self._root / "metadata" / f"{node.project}-{node.domain}-{node.execution}" / node.node / "data"
        inputs = name.endswith(".pb")  # shared by all elements of a map task; their outputs are not
        return (folder / name if node.index is None or inputs else folder / str(node.index) / name).as_uri()

    def _options(self, name: str, method: str) -> dict[str, Any]:
        endpoint = self._configuration.endpoint(name)
        return {"timeout": endpoint.timeout(method), "metadata": tuple(endpoint.metadata)}


def integers(outputs: Any, name: str = "o0") -> int | list[int]:
    """An output that is an integer or a list of them."""
    literal = outputs.literals[name]
    if literal.HasField("collection"):
        return [item.scalar.primitive.integer for item in literal.collection.literals]
    return int(literal.scalar.primitive.integer)


def text(outputs: Any, name: str = "o0") -> str:
    """An output that is a text."""
    return str(outputs.literals[name].scalar.primitive.string_value)


def phases(attempt: Attempt) -> list[Phase]:
    """Those that people saw, in order."""
    return [event.phase for event in attempt.events]


def _internals(identity: Any) -> Mapping[str, str]:
    """With which the propeller decorates pods (Flyte contract, section 5.3)."""
    execution, task = identity.node_execution_id.execution_id, identity.task_id
    return {
        "FLYTE_INTERNAL_EXECUTION_ID": execution.name,
        "FLYTE_INTERNAL_EXECUTION_PROJECT": execution.project,
        "FLYTE_INTERNAL_EXECUTION_DOMAIN": execution.domain,
        "FLYTE_ATTEMPT_NUMBER": str(identity.retry_attempt),
        "FLYTE_INTERNAL_TASK_PROJECT": task.project,
        "FLYTE_INTERNAL_TASK_DOMAIN": task.domain,
        "FLYTE_INTERNAL_TASK_NAME": task.name,
        "FLYTE_INTERNAL_TASK_VERSION": task.version,
    }


def _channel(endpoint: Endpoint) -> grpc.aio.Channel:
    options: Iterable[tuple[str, int]] = [("grpc.use_local_subchannel_pool", 1)]
    if endpoint.credentials is None:
        return grpc.aio.insecure_channel(endpoint.address, options=options)
    return grpc.aio.secure_channel(endpoint.address, endpoint.credentials, options=options)


def _path(url: str, name: str = "") -> Path:
    return Path(unquote(url.removeprefix("file://")), name)


def _told(error: grpc.aio.AioRpcError) -> str:
    return f"{error.code().name}: {error.details()}"
