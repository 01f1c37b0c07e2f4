"""The propeller against a connector whose answers are written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from flyteidl.admin import agent_pb2
from flyteidl.core import errors_pb2, execution_pb2, literals_pb2, tasks_pb2

from .fake_connector import FakeConnector, fake_connector, file_of
from .phases import Phase
from .propeller import Node, Propeller, Result, Stuck, integers, phases
from .routing import Configuration, Endpoint

Core = execution_pb2.TaskExecution
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
RUNNING = agent_pb2.Resource(phase=Core.RUNNING)
DONE = agent_pb2.Resource(phase=Core.SUCCEEDED)


def resource(phase: str, message: str = "") -> Any:
    return agent_pb2.Resource(phase=Core.Phase.Value(phase), message=message)


def a_map(value: int) -> Any:
    made = literals_pb2.LiteralMap()
    made.literals["o0"].scalar.primitive.integer = value
    return made


def a_template(retries: int = 0, outputs: bool = True, version: int = 0) -> Any:
    made = tasks_pb2.TaskTemplate(type="ray", task_type_version=version)
    made.id.name = "module.task"
    made.metadata.retries.retries = retries
    made.container.args.extend(["run", "--inputs", "{{.input}}", "--output-prefix", "{{.outputPrefix}}"])
    if outputs:
        made.interface.outputs.variables["o0"].description = "o0"
    return made


def writes(value: int, then: Any = DONE) -> Callable[[Any], Any]:
    """An answer before which the task has written its outputs."""

    def write(request: Any) -> Any:
        file_of(request.output_prefix, "outputs.pb").write_bytes(a_map(value).SerializeToString())
        return then

    return write


def breaks(kind: int, then: Any = DONE) -> Callable[[Any], Any]:
    def write(request: Any) -> Any:
        error = errors_pb2.ContainerError(code="USER:X", message="boom", kind=kind)
        file = file_of(request.output_prefix, "error.pb")
        file.write_bytes(errors_pb2.ErrorDocument(error=error).SerializeToString())
        return then

    return write


@asynccontextmanager
async def playing(root: Path, **answers: Any) -> AsyncIterator[tuple[Propeller, FakeConnector]]:
    async with fake_connector(**answers) as connector:
        configuration = Configuration(Endpoint(connector.address, 10.0))
        async with Propeller(configuration, root, lambda: asyncio.sleep(0)) as propeller:
            yield propeller, connector


async def run(root: Path, node: Node | None = None, **answers: Any) -> tuple[Result, FakeConnector]:
    async with playing(root, **answers) as (propeller, connector):
        return await propeller.run(node or Node(a_template())), connector


async def test_a_task_from_its_request_to_its_outputs(tmp_path: Path) -> None:
    root = tmp_path / "with blank"
    link = agent_pb2.Resource(phase=Core.QUEUED, message="waits")
    link.log_links.add(name="Ray dashboard", uri="http://h/d")
    template = a_template()
    inputs = a_map(1)
    node = Node(template, inputs, execution="e1", env={"A": "B"}, labels={"team": "stars"})
    result, connector = await run(
        root, node, looks=[link, resource("QUEUED", "again"), resource("INITIALIZING"), RUNNING, RUNNING, writes(9)]
    )
    assert result.phase is Phase.SUCCEEDED and integers(result.outputs) == 9
    (attempt,) = result.attempts
    assert phases(attempt) == [Phase.QUEUED, Phase.INITIALIZING, Phase.RUNNING, Phase.SUCCEEDED]
    assert attempt.events[0].message == "waits" and attempt.events[0].links[0].name == "Ray dashboard"
    (created,) = connector.created
    arguments = list(created.template.container.args)
    assert file_of(arguments[2], "").read_bytes() == inputs.SerializeToString() and created.inputs == inputs
    assert arguments[4] == created.output_prefix == attempt.output_prefix and attempt.output_prefix.endswith(
        "/n0/data/0"
    )
    identity = created.task_execution_metadata.task_execution_id
    assert identity.node_execution_id.execution_id.name == "e1" and identity.task_id.name == "module.task"
    assert dict(created.task_execution_metadata.environment_variables) == {"A": "B"}
    assert created.task_execution_metadata.labels["team"] == "stars"
    assert created.task_execution_metadata.namespace == "flytesnacks-development"
    asked = connector.looked[-1]
    assert (asked.task_type, asked.task_category.name, asked.resource_meta) == ("ray", "ray", b"1")
    assert asked.output_prefix == created.output_prefix and not connector.deleted
    assert "authorization" not in connector.metadata


async def test_what_the_connector_answers_overwrites_the_tasks_outputs(tmp_path: Path) -> None:
    answered = agent_pb2.Resource(phase=Core.SUCCEEDED, outputs=a_map(5))
    result, _ = await run(tmp_path, looks=[breaks(0, RUNNING), writes(9, answered)])
    assert result.phase is Phase.SUCCEEDED and integers(result.outputs) == 5
    empty = agent_pb2.Resource(phase=Core.SUCCEEDED, outputs=literals_pb2.LiteralMap())
    result, _ = await run(tmp_path, looks=[writes(9, empty)])
    assert result.phase is Phase.SUCCEEDED and not result.outputs.literals, "an empty map destroys them"


async def test_an_error_that_is_written_wins_and_says_whether_another_attempt_helps(tmp_path: Path) -> None:
    result, connector = await run(tmp_path, Node(a_template(retries=2)), looks=[breaks(0)])
    assert (result.phase, result.message, result.code) == (Phase.FAILED, "boom", "USER:X")
    assert len(connector.created) == 1
    result, connector = await run(
        tmp_path, Node(a_template(retries=2)), looks=[breaks(1), resource("RETRYABLE_FAILED", "lost"), writes(3)]
    )
    assert integers(result.outputs) == 3 and len(result.attempts) == 3
    numbers = [one.task_execution_metadata.task_execution_id.retry_attempt for one in connector.created]
    assert numbers == [0, 1, 2] and len({one.output_prefix for one in connector.created}) == 3
    assert len({one.template.container.args[2] for one in connector.created}) == 1, "all have the same inputs"


async def test_the_last_attempts_failure_is_the_nodes(tmp_path: Path) -> None:
    result, _ = await run(tmp_path, Node(a_template(retries=1)), looks=[resource("RETRYABLE_FAILED", "lost")])
    assert (result.phase, result.code) == (Phase.FAILED, "TaskFailedWithError") and len(result.attempts) == 2
    assert result.message == "failed to run the job: lost"
    result, connector = await run(tmp_path, looks=[DONE])
    assert (result.phase, result.code, len(connector.created)) == (Phase.FAILED, "OutputsNotFound", 1)


async def test_the_error_of_a_task_without_outputs_is_not_looked_at(tmp_path: Path) -> None:
    result, _ = await run(tmp_path, Node(a_template(outputs=False)), looks=[breaks(0)])
    assert (result.phase, result.outputs) == (Phase.SUCCEEDED, None)


async def test_an_error_of_create_task_costs_an_attempt(tmp_path: Path) -> None:
    result, connector = await run(tmp_path, creations=[UNAVAILABLE], looks=[DONE])
    assert (result.phase, result.code) == (Phase.FAILED, "TaskFailedWithError") and "UNAVAILABLE" in result.message
    assert not connector.looked
    result, connector = await run(
        tmp_path, Node(a_template(retries=1)), creations=[UNAVAILABLE, None], looks=[writes(2)]
    )
    assert integers(result.outputs) == 2 and len(connector.created) == 2


async def test_a_connector_that_does_not_answer_in_time_has_failed(tmp_path: Path) -> None:
    never = asyncio.Event()
    async with fake_connector(creations=[lambda request: never.wait()]) as connector:
        endpoint = Endpoint(connector.address, timeouts={"CreateTask": 0.1})
        async with Propeller(Configuration(endpoint), tmp_path) as propeller:
            result = await propeller.run(Node(a_template()))
    assert result.phase is Phase.FAILED and "DEADLINE_EXCEEDED" in result.message


async def test_only_methods_with_a_timeout_have_a_deadline(tmp_path: Path) -> None:
    async with fake_connector(looks=[writes(1)]) as connector:
        endpoint = Endpoint(connector.address, timeouts={"GetTask": 60.0}, metadata=(("authorization", "Bearer t"),))
        async with Propeller(Configuration(endpoint), tmp_path) as propeller:
            await propeller.run(Node(a_template()))
    assert connector.deadlines["CreateTask"] is None and 0 < (connector.deadlines["GetTask"] or 0) < 90
    assert connector.metadata["authorization"] == "Bearer t"


async def test_get_task_may_fail_five_times_in_the_life_of_an_attempt(tmp_path: Path) -> None:
    looks = [RUNNING, UNAVAILABLE, RUNNING, UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, writes(1)]
    result, _ = await run(tmp_path, looks=looks)
    assert result.phase is Phase.SUCCEEDED and result.attempts[0].failures == 5
    with pytest.raises(Stuck) as caught:
        await run(tmp_path, looks=[*looks[:-1], UNAVAILABLE, writes(1)])
    assert caught.value.attempt.verdict.phase is Phase.RUNNING


async def test_get_task_that_never_worked_fails_the_task_for_good(tmp_path: Path) -> None:
    result, connector = await run(tmp_path, Node(a_template(retries=3)), looks=[UNAVAILABLE])
    assert (result.phase, result.code) == (Phase.FAILED, "AutoRefreshCacheFailed") and len(connector.looked) == 6


async def test_an_abort_deletes_until_it_works(tmp_path: Path) -> None:
    aborted = asyncio.Event()

    def abort(request: Any) -> Any:
        aborted.set()
        return RUNNING

    async with playing(tmp_path, looks=[abort], deletions=[UNAVAILABLE, UNAVAILABLE, None]) as (propeller, connector):
        result = await propeller.run(Node(a_template(retries=3)), aborted)
    assert result.phase is Phase.ABORTED and result.attempts[0].deletions == 3 and len(connector.created) == 1
    assert connector.deleted[0].resource_meta == b"1" and connector.deleted[0].task_category.name == "ray"


async def test_a_propeller_that_forgets_creates_the_same_twice(tmp_path: Path) -> None:
    result, connector = await run(tmp_path, Node(a_template(), creations=2), looks=[writes(1)])
    first, second = connector.created
    assert first == second and result.attempts[0].metas == [b"1", b"2"] and connector.looked[0].resource_meta == b"2"


async def test_each_element_of_a_map_task_is_a_run_of_its_own(tmp_path: Path) -> None:
    inputs = literals_pb2.LiteralMap()
    for number in (3, 4, 5):
        inputs.literals["n"].collection.literals.add().scalar.primitive.integer = number

    def square(request: Any) -> Any:
        index = int(request.output_prefix.rsplit("/", 2)[-2])
        return writes((3, 4, 5)[index] ** 2)(request)

    async with playing(tmp_path, looks=[square]) as (propeller, connector):
        results, gathered = await propeller.run_map(Node(a_template(version=1), inputs))
    assert integers(gathered) == [9, 16, 25] and [one.phase for one in results] == [Phase.SUCCEEDED] * 3
    variables = [dict(one.task_execution_metadata.environment_variables) for one in connector.created]
    assert sorted(one[one["BATCH_JOB_ARRAY_INDEX_VAR_NAME"]] for one in variables) == ["0", "1", "2"]
    assert all(one.inputs == inputs for one in connector.created), "each gets the whole lists"
    assert len({one.template.container.args[2] for one in connector.created}) == 1
    assert connector.created[0].template.task_type_version == connector.looked[0].task_category.version == 1


async def test_discovery_leads_tasks_to_their_connector(tmp_path: Path) -> None:
    listed = agent_pb2.Agent(name="heliostat-ray", supported_task_types=["ray"])
    listed.supported_task_categories.add(name="ray")
    async with fake_connector(agents=[listed], looks=[writes(1)]) as named, fake_connector(looks=[writes(2)]) as usual:
        configuration = Configuration(
            Endpoint(usual.address, 10.0),
            {"heliostat": Endpoint(named.address), "away": Endpoint("127.0.0.1:1", timeouts={"ListConnectors": 5.0})},
            supported_types=(),
        )
        async with Propeller(configuration, tmp_path) as propeller:
            await propeller.discover()
            assert propeller.unreachable == {"away": UNAVAILABLE}
            plain = await propeller.run(Node(a_template()))
            mapped = await propeller.run(Node(a_template(version=1)))
    assert integers(plain.outputs) == 1 and integers(mapped.outputs) == 2
