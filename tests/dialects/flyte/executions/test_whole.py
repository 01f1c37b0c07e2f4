"""Executions on a whole server: single tasks, workflows and launch plans, as clients see them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flyteidl.admin import common_pb2, execution_pb2, node_execution_pb2, task_execution_pb2
from flyteidl.core import condition_pb2, identifier_pb2, workflow_pb2
from flyteidl.core import execution_pb2 as core_execution
from grpc import StatusCode

from heliostat.dialects.flyte.executions import calls
from heliostat.dialects.flyte.executions.phases import NodePhase
from heliostat.dialects.flyte.executions.starting import LARGEST_BODY
from heliostat.dialects.flyte.runs.phases import Phase
from heliostat.dialects.flyte.runs.runs import Runs
from heliostat.domain.errors import Unavailable
from heliostat.domain.records import Role

from ..admin.messages import (
    INTEGER,
    LAUNCH_PLAN,
    TASK,
    WORKFLOW,
    binding,
    identifier,
    listing,
    node,
    task_node,
    template,
    workflow,
)
from .conftest import Open
from .literals import literal_map
from .stage import Forever, Recoverable, Stage, Written, creation

SUCCEEDED, FAILED, ABORTED = 4, 6, 7


def forever(**inputs: Any) -> int:
    raise Forever


def sub(id: str, name: str, **inputs: str) -> Any:
    found = node(id, "")
    found.workflow_node.sub_workflow_ref.CopyFrom(identifier(WORKFLOW, name))
    found.inputs.extend(binding(variable, text) for variable, text in inputs.items())
    return found


def branch(id: str, condition: tuple[str, str, int], then: Any, otherwise: Any, **inputs: str) -> Any:
    """Of one comparison of an input with a number; ``otherwise`` is a node, or what is said."""
    found = workflow_pb2.Node(id=id)
    found.inputs.extend(binding(variable, text) for variable, text in inputs.items())
    block = found.branch_node.if_else
    name, operator, number = condition
    block.case.condition.comparison.CopyFrom(
        condition_pb2.ComparisonExpression(operator=operator, left_value=condition_pb2.Operand(var=name))
    )
    block.case.condition.comparison.right_value.primitive.integer = number
    block.case.then_node.CopyFrom(then)
    if isinstance(otherwise, str):
        block.error.message = otherwise
    else:
        block.else_node.CopyFrom(otherwise)
    return found


def mapped(id: str, name: str, text: str = "", **inputs: str) -> Any:
    found = node(id, f'array_node {{ node {{ id: "m" task_node {{ }} }} {text} }}')
    found.array_node.node.task_node.reference_id.CopyFrom(identifier(TASK, name))
    found.inputs.extend(binding(variable, value) for variable, value in inputs.items())
    return found


def attempt_id(id: Any, task: str, number: int = 0, node: str = "n0") -> Any:
    place = identifier_pb2.NodeExecutionIdentifier(node_id=node, execution_id=id)
    return identifier_pb2.TaskExecutionIdentifier(
        task_id=identifier(TASK, task), node_execution_id=place, retry_attempt=number
    )


async def data_of(stage: Stage, id: Any, node: str) -> Any:
    place = identifier_pb2.NodeExecutionIdentifier(node_id=node, execution_id=id)
    return await stage.call("GetNodeExecutionData", node_execution_pb2.NodeExecutionGetDataRequest(id=place))


# --- single tasks ---------------------------------------------------------------------------------------------------------


async def test_a_single_task_as_the_client_follows_it(stage: Stage) -> None:
    await stage.task("double", lambda x: 2 * x, deck=True)
    id = await stage.begin(
        identifier(TASK, "double"), inputs={"x": 21},
        labels=common_pb2.Labels(values={"team": "red"}),
        envs=common_pb2.Envs(values=[{"key": "COLOUR", "value": "blue"}]),
    )  # fmt: skip
    assert len(id.name) == 20 and id.name[0].isalpha()
    found: Any = await stage.ended(id)
    closure = found.closure
    assert closure.phase == SUCCEEDED and closure.WhichOneof("output_result") == "outputs"
    assert closure.workflow_id == identifier(TASK, "double") and found.spec.launch_plan == identifier(TASK, "double")
    assert closure.created_at.ToDatetime() <= closure.started_at.ToDatetime() <= closure.updated_at.ToDatetime()
    assert closure.duration.ToTimedelta().total_seconds() > 0
    assert found.spec.metadata.principal and found.spec.envs.values[0].value == "blue"
    assert await stage.outputs(id) == literal_map(o0=42)

    nodes = await stage.nodes(id)
    assert list(nodes) == ["n0"] and nodes["n0"].metadata.spec_node_id == "n0"
    assert nodes["n0"].closure.phase == NodePhase.SUCCEEDED and not nodes["n0"].metadata.is_parent_node
    data = await data_of(stage, id, "n0")
    assert (data.full_inputs, data.full_outputs) == (literal_map(x=21), literal_map(o0=42))
    assert data.inputs.url == nodes["n0"].input_uri and data.inputs.bytes > 0

    (attempt,) = await stage.attempts(id)
    assert attempt.id == attempt_id(id, "double") and attempt.closure.phase == Phase.SUCCEEDED
    assert attempt.closure.task_type == "python-task" and attempt.closure.reason == "succeeded"
    assert [log.name for log in attempt.closure.logs] == ["Ray dashboard", "Driver log"]
    assert attempt.closure.custom_info["heliostatJobId"].startswith("rj-")
    one = await stage.call("GetTaskExecution", task_execution_pb2.TaskExecutionGetRequest(id=attempt.id))
    assert one == attempt
    values = await stage.call("GetTaskExecutionData", task_execution_pb2.TaskExecutionGetDataRequest(id=attempt.id))
    assert (values.full_inputs, values.full_outputs) == (literal_map(x=21), literal_map(o0=42))
    assert values.flyte_urls.outputs == f"flyte://v1/p/d/{id.name}/n0/0/o" and not values.flyte_urls.deck

    (_, inputs, environment) = stage.troupe.played[0]
    assert inputs == {"x": 21} and environment["COLOUR"] == "blue" and environment["FLYTE_ATTEMPT_NUMBER"] == "0"
    assert environment["FLYTE_INTERNAL_EXECUTION_ID"] == id.name


async def test_one_that_has_expired_goes_with_its_data(stage: Stage) -> None:
    await stage.task("double", lambda x: 2 * x)
    id = await stage.begin(identifier(TASK, "double"), "old", inputs={"x": 1})
    await stage.ended(id)
    found = await stage.services.documents.find("flyte.execution", "p/d/old")
    assert found is not None and found.expires_at is not None
    assert found.expires_at - found.modified_at >= timedelta(days=89)
    assert list((stage.up.home / "flyte" / "data").rglob("outputs.pb"))
    await stage.services.documents.save(replace(found, expires_at=found.created_at))
    assert await stage.up.running.server.work.attendance.remove_expired() == 1
    assert not list((stage.up.home / "flyte" / "data").rglob("*.pb"))
    assert await stage.services.documents.find("flyte.execution", "p/d/old") is None


async def test_a_user_error_is_told_with_its_code_first(stage: Stage) -> None:
    def broken(x: int) -> int:
        raise ValueError(f"{x} is not good")

    await stage.task("broken", broken)
    id = await stage.begin(identifier(TASK, "broken"), inputs={"x": 3})
    found = await stage.ended(id)
    error = found.closure.error
    assert found.closure.phase == FAILED
    assert (error.code, error.message) == ("USER:ValueError", "[USER:ValueError] 3 is not good")
    assert error.kind == core_execution.ExecutionError.USER
    assert (await stage.nodes(id))["n0"].closure.error.message == error.message
    (attempt,) = await stage.attempts(id)
    assert attempt.closure.phase == Phase.FAILED and attempt.closure.error.message == error.message
    assert not (await stage.outputs(id)).literals


async def test_the_page_that_a_task_writes_is_told(stage: Stage) -> None:
    await stage.task("decked", lambda x: Written(("deck.html",), x), deck=True)
    id = await stage.begin(identifier(TASK, "decked"), inputs={"x": 1})
    await stage.ended(id)
    (attempt,) = await stage.attempts(id)
    assert (await stage.nodes(id))["n0"].closure.deck_uri == attempt.closure.output_uri.replace(
        "outputs.pb", "deck.html"
    )
    assert (await data_of(stage, id, "n0")).flyte_urls.deck == f"flyte://v1/p/d/{id.name}/n0/d"


async def test_a_recoverable_failure_is_tried_again_with_the_checkpoint_before(stage: Stage) -> None:
    tries: list[int] = []

    def flaky(x: int) -> int:
        tries.append(x)
        if len(tries) < 3:
            raise Recoverable("not yet")
        return x

    await stage.task("flaky", flaky, retries=2)
    id = await stage.begin(identifier(TASK, "flaky"), inputs={"x": 1})
    assert (await stage.ended(id)).closure.phase == SUCCEEDED
    attempts = await stage.attempts(id)
    assert [row.closure.phase for row in attempts] == [Phase.FAILED, Phase.FAILED, Phase.SUCCEEDED]
    assert [row.id.retry_attempt for row in attempts] == [0, 1, 2]
    assert [told["FLYTE_ATTEMPT_NUMBER"] for _, _, told in stage.troupe.played] == ["0", "1", "2"]


async def test_a_dynamic_task_fails_in_words(stage: Stage) -> None:
    await stage.task("dynamic", lambda x: Written(("futures.pb",)))
    id = await stage.begin(identifier(TASK, "dynamic"), inputs={"x": 1})
    found = await stage.ended(id)
    assert found.closure.phase == FAILED
    assert found.closure.error.message.startswith("[DynamicNotSupported]") and "dynamic" in found.closure.error.message


async def test_a_map_task_by_itself(stage: Stage) -> None:
    await stage.task("square", lambda x: x * x, "", listed="x")
    id = await stage.begin(identifier(TASK, "square"), inputs={"x": [1, 2, 3]})
    assert (await stage.ended(id)).closure.phase == SUCCEEDED
    assert await stage.outputs(id) == literal_map(o0=[1, 4, 9])
    indices = {told["FLYTE_K8S_ARRAY_INDEX"] for _, _, told in stage.troupe.played}
    assert indices == {"0", "1", "2"}
    (attempt,) = await stage.attempts(id)
    elements = attempt.closure.metadata.external_resources
    assert [(row.index, row.phase) for row in elements] == [(0, 3), (1, 3), (2, 3)]
    assert attempt.closure.reason == "3 of 3 elements have succeeded"


# --- workflows ------------------------------------------------------------------------------------------------------------


async def staged(stage: Stage) -> None:
    """A workflow of a task, a sub-workflow, a branch between a task and that sub-workflow, and a task."""
    await stage.task("double", lambda x: 2 * x)
    await stage.task("add", lambda x, y: x + y, "x y")
    inner = template(
        "inner", task_node("n0", "double", x=".x"), task_node("n1", "add", x="n0.o0", y=".x"), outputs={"o0": "n1.o0"}
    )
    choice = branch(
        "n2", (".x", "GT", 3), task_node("n0", "double", x="n1.o0"), sub("n1", "inner", x=".x"), **{".x": ".x"}
    )
    main = template(
        "w", task_node("n0", "double", x=".x"), sub("n1", "inner", x="n0.o0"), choice,
        task_node("n3", "add", x="n2.o0", y="1000"), outputs={"o0": "n3.o0", "o1": "n1.o0"},
    )  # fmt: skip
    await stage.workflow(main, inner)


@pytest.mark.parametrize(("x", "expected"), [(5, 1060), (1, 1003)])
async def test_a_workflow_with_a_sub_workflow_and_a_branch(stage: Stage, x: int, expected: int) -> None:
    await staged(stage)
    id = await stage.begin(identifier(LAUNCH_PLAN, "w"), inputs={"x": x})
    found = await stage.ended(id)
    assert found.closure.phase == SUCCEEDED, found
    assert await stage.outputs(id) == literal_map(o0=expected, o1=6 * x)
    assert found.closure.workflow_id == identifier(WORKFLOW, "w")

    nodes = await stage.nodes(id)
    assert list(nodes) == ["n0", "n1", "n2", "n3"]
    assert {name for name, row in nodes.items() if row.metadata.is_parent_node} == {"n1", "n2"}
    inside = await stage.nodes(id, "n1")
    assert {name: row.metadata.spec_node_id for name, row in inside.items()} == {"n1-0-n0": "n0", "n1-0-n1": "n1"}
    arms = await stage.nodes(id, "n2")
    taken, left = ("n2-0-n0", "n2-0-n1") if x > 3 else ("n2-0-n1", "n2-0-n0")
    assert arms[taken].closure.phase == NodePhase.SUCCEEDED and arms[left].closure.phase == NodePhase.SKIPPED
    assert (await data_of(stage, id, "n2")).full_outputs == literal_map(o0=expected - 1000)
    assert not (await data_of(stage, id, left)).full_outputs.literals
    assert (await data_of(stage, id, "n1")).full_inputs == literal_map(x=2 * x)

    request = execution_pb2.WorkflowExecutionGetMetricsRequest(id=id, depth=-1)
    span = (await stage.call("GetExecutionMetrics", request)).span
    assert [row.node_id.node_id for row in span.spans] == ["n0", "n1", "n2", "n3"]
    assert [row.node_id.node_id for row in span.spans[1].spans] == ["n1-0-n0", "n1-0-n1"]
    (attempt,) = span.spans[0].spans
    assert [row.operation_id for row in attempt.spans] == ["TASK_SETUP", "TASK_RUNTIME"]
    assert attempt.spans[1].end_time == attempt.end_time and attempt.spans[0].end_time == attempt.spans[1].start_time


async def test_a_branch_of_which_no_condition_holds_fails_with_its_message(stage: Stage) -> None:
    await stage.task("double", lambda x: 2 * x)
    choice = branch("n0", (".x", "GT", 3), task_node("n0", "double", x=".x"), "too small", **{".x": ".x"})
    await stage.workflow(template("w", choice))
    id = await stage.begin(identifier(LAUNCH_PLAN, "w"), inputs={"x": 1})
    found = await stage.ended(id)
    assert found.closure.phase == FAILED and found.closure.error.message == "[BranchFailed] node n0: too small"
    assert stage.troupe.played == []


async def fan_out(stage: Stage, text: str) -> Any:
    """The execution of a workflow that maps a task, which fails for 1, over a list."""

    def picky(x: int) -> int:
        if x == 1:
            raise ValueError("not one")
        return 10 * x

    await stage.task("picky", picky, "", listed="x")
    primary = template("w", mapped("n0", "picky", text, x=".x"))
    primary.interface.inputs.variables["x"].type.collection_type.CopyFrom(INTEGER)
    primary.interface.outputs.variables["o0"].type.collection_type.CopyFrom(INTEGER)
    primary.outputs.append(binding("o0", "n0.o0"))
    await stage.workflow(primary)
    id = await stage.begin(identifier(LAUNCH_PLAN, "w"), inputs={"x": [0, 1, 2, 3]})
    return id, await stage.ended(id)


async def test_a_map_task_may_lose_some_of_its_elements(stage: Stage) -> None:
    id, found = await fan_out(stage, "min_success_ratio: 0.7 parallelism: 2")
    assert found.closure.phase == SUCCEEDED, found
    assert await stage.outputs(id) == literal_map(o0=[0, None, 20, 30])
    assert (await stage.nodes(id))["n0"].metadata.is_array


async def test_a_map_task_that_loses_too_many_fails_and_says_which(stage: Stage) -> None:
    _, found = await fan_out(stage, "")
    assert found.closure.phase == FAILED
    assert found.closure.error.message == "[USER:ValueError] element 1: not one"


async def test_the_failure_of_a_node_stops_the_others(stage: Stage) -> None:
    def broken(x: int) -> int:
        raise ValueError("no")

    await stage.task("forever", forever)
    await stage.task("broken", broken)
    await stage.workflow(
        template(
            "w",
            task_node("n0", "forever", x=".x"),
            task_node("n1", "broken", x=".x"),
            task_node("n2", "forever", x="n1.o0"),
        )
    )
    id = await stage.begin(identifier(LAUNCH_PLAN, "w"), inputs={"x": 1})
    found = await stage.ended(id)
    assert found.closure.phase == FAILED
    nodes = await stage.nodes(id)
    assert {name: row.closure.phase for name, row in nodes.items()} == {"n0": NodePhase.ABORTED, "n1": NodePhase.FAILED}
    assert all(job.status.terminal for job in stage.jobs())


async def test_values_that_are_not_there_fail_the_node_by_name(stage: Stage) -> None:
    await stage.task("double", lambda x: 2 * x)
    second = task_node("n1", "double", x="n0.o0")
    second.inputs[0].binding.promise.attr_path.add(int_value=3)
    await stage.workflow(template("w", task_node("n0", "double", x=".x"), second))
    found = await stage.ended(await stage.begin(identifier(LAUNCH_PLAN, "w"), inputs={"x": 1}))
    assert found.closure.error.message == "[BindingFailed] node n1: input 'x': o0 of node n0[3]: it has no parts"


async def test_a_launch_plan_gives_defaults_and_fixed_inputs(stage: Stage) -> None:
    await stage.task("add", lambda x, y: x + y, "x y")
    main = template("w", task_node("n0", "add", x=".x", y=".y"), outputs={"o0": "n0.o0"}, inputs="x y")
    await stage.workflow(main, fixed_inputs=literal_map(y=7))
    found = await stage.begin(identifier(LAUNCH_PLAN, "w"), inputs={"x": 1})
    assert (await stage.ended(found)).closure.phase == SUCCEEDED
    assert await stage.outputs(found) == literal_map(o0=8)
    code, told = await stage.refused("CreateExecution", creation(identifier(LAUNCH_PLAN, "w"), "", {"x": 1, "y": 2}))
    assert code is StatusCode.INVALID_ARGUMENT and told == "inputs.y: is fixed by the launch plan and cannot be given"


# --- ends and beginnings --------------------------------------------------------------------------------------------------


async def test_a_running_execution_is_terminated(stage: Stage) -> None:
    await stage.task("forever", forever)
    id = await stage.begin(identifier(TASK, "forever"), "e1", {"x": 1})
    await stage.playing("forever")
    await stage.until(id, lambda found: found.closure.phase == 2)
    await stage.terminate(id, "no longer wanted" + "!" * 10_000)
    await stage.terminate(id, "again")
    found = await stage.ended(id)
    cause = found.closure.abort_metadata.cause
    assert found.closure.phase == ABORTED and cause.startswith("no longer wanted!") and len(cause) == 2000
    assert found.closure.abort_metadata.principal
    (attempt,) = await stage.attempts(id)
    assert attempt.closure.phase == Phase.ABORTED
    assert (await stage.nodes(id))["n0"].closure.phase == NodePhase.ABORTED


async def test_one_that_has_ended_cannot_be_terminated(stage: Stage) -> None:
    await stage.task("double", lambda x: 2 * x)
    id = await stage.begin(identifier(TASK, "double"), inputs={"x": 1})
    await stage.ended(id)
    code, told = await stage.refused("TerminateExecution", execution_pb2.ExecutionTerminateRequest(id=id))
    assert code is StatusCode.FAILED_PRECONDITION and "has ended already" in told


async def test_an_execution_outlives_its_server(stages: Open) -> None:
    async with stages() as stage:
        await stage.task("double", lambda x: 2 * x)
        await stage.task("forever", forever)
        await stage.workflow(
            template(
                "w", task_node("n0", "forever", x=".x"), task_node("n1", "double", x="n0.o0"), outputs={"o0": "n1.o0"}
            )
        )
        id = await stage.begin(identifier(LAUNCH_PLAN, "w"), inputs={"x": 4})
        await stage.playing("forever")
        (job,) = stage.jobs()
    stage.finish(job, 8)
    async with stages() as stage:
        assert (await stage.ended(id)).closure.phase == SUCCEEDED
        assert await stage.outputs(id) == literal_map(o0=16)
        assert stage.troupe.names == ["forever", "double"]


async def test_an_execution_is_begun_again_with_the_same_inputs(stage: Stage) -> None:
    await stage.task("add", lambda x, y: x + y, "x y")
    main = template("w", task_node("n0", "add", x=".x", y=".y"), outputs={"o0": "n0.o0"}, inputs="x y")
    await stage.workflow(main, fixed_inputs=literal_map(y=7))
    first = await stage.begin(identifier(LAUNCH_PLAN, "w"), "first", {"x": 1})
    await stage.ended(first)
    again = execution_pb2.ExecutionRelaunchRequest(id=first, name="second")
    second = (await stage.call("RelaunchExecution", again)).id
    found = await stage.ended(second)
    assert found.closure.phase == SUCCEEDED and await stage.outputs(second) == literal_map(o0=8)
    assert found.spec.metadata.reference_execution == first
    assert found.spec.metadata.mode == execution_pb2.ExecutionMetadata.RELAUNCH
    code, _ = await stage.refused("RelaunchExecution", again)
    assert code is StatusCode.ALREADY_EXISTS
    code, told = await stage.refused("RecoverExecution", execution_pb2.ExecutionRecoverRequest(id=first))
    assert code is StatusCode.UNIMPLEMENTED and "relaunch" in told


# --- what is refused ------------------------------------------------------------------------------------------------------


async def test_what_cannot_begin_is_refused_before_anything_is_stored(stage: Stage) -> None:
    await stage.task("double", lambda x: 2 * x)
    one = identifier(TASK, "double")
    notified = execution_pb2.NotificationList(notifications=[common_pb2.Notification()])
    refusals = [
        (creation(one), StatusCode.INVALID_ARGUMENT, "inputs.x: is required: integer"),
        (creation(one, inputs={"x": 1, "y": 2}), StatusCode.INVALID_ARGUMENT, "inputs.y: there is no such input"),
        (creation(one, inputs={"x": "1"}), StatusCode.INVALID_ARGUMENT, "inputs.x: must be integer"),
        (creation(one, "Not-Good", {"x": 1}), StatusCode.INVALID_ARGUMENT, "name: must be"),
        (creation(one, "a" * 64, {"x": 1}), StatusCode.INVALID_ARGUMENT, "name: must be"),
        (creation(identifier(TASK, "gone"), inputs={"x": 1}), StatusCode.NOT_FOUND, "gone"),
        (creation(identifier(LAUNCH_PLAN, "gone"), inputs={"x": 1}), StatusCode.NOT_FOUND, "gone"),
        (creation(one, inputs={"x": 1}, notifications=notified), StatusCode.UNIMPLEMENTED, "notifications"),
        (creation(one, inputs={"x": 1}, max_parallelism=-1), StatusCode.INVALID_ARGUMENT, "max_parallelism"),
    ]
    refusals.append((creation(one, inputs={"x": 1}), StatusCode.INVALID_ARGUMENT, "project: is too long"))
    refusals[-1][0].project = refusals[-1][0].domain = "\U0001f40d" * 100
    for request, code, says in refusals:
        found, told = await stage.refused("CreateExecution", request)
        assert found is code and says in told, (request, told)
    assert not (await stage.call("ListExecutions", listing())).executions
    assert stage.troupe.played == []


async def test_what_executions_cannot_run_is_refused_when_it_is_registered(stage: Stage) -> None:
    await stage.task("double", lambda x: 2 * x)
    one = task_node("n0", "double", x=".x")
    one.task_node.overrides.pod_template.primary_container_name = "other"
    code, told = await stage.refused("CreateWorkflow", workflow(template("w", one)))
    assert code is StatusCode.UNIMPLEMENTED and "node n0 is a task with another pod template" in told


async def test_names_that_are_longer_than_those_of_folders(stage: Stage) -> None:
    await stage.task("double", lambda x: 2 * x)
    outer, inner = "a" * 190, "b" * 190
    sub = workflow_pb2.Node(id=outer, inputs=[binding("x", ".x")])
    sub.workflow_node.sub_workflow_ref.CopyFrom(identifier(WORKFLOW, "inner"))
    part = template("inner", task_node(inner, "double", x=".x"), outputs={"o0": f"{inner}.o0"})
    await stage.workflow(template("w", sub, outputs={"o0": f"{outer}.o0"}), part)
    id = await stage.begin(identifier(LAUNCH_PLAN, "w"), inputs={"x": 2})
    assert (await stage.ended(id)).closure.phase == SUCCEEDED and await stage.outputs(id) == literal_map(o0=4)


async def test_a_name_is_taken_once(stage: Stage) -> None:
    await stage.task("double", lambda x: 2 * x)
    one = identifier(TASK, "double")
    id = await stage.begin(one, "mine", {"x": 1})
    code, told = await stage.refused("CreateExecution", creation(one, "mine", {"x": 2}))
    assert code is StatusCode.ALREADY_EXISTS and "p/d/mine" in told
    await stage.ended(id)
    assert await stage.outputs(id) == literal_map(o0=2)


async def test_who_comes_at_once_for_one_name_gets_one_execution(stage: Stage) -> None:
    await stage.task("double", lambda x: 2 * x)
    one = identifier(TASK, "double")
    calls = [stage.call("CreateExecution", creation(one, "mine", {"x": x})) for x in range(5)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    won = [x for x, answer in enumerate(answers) if not isinstance(answer, BaseException)]
    assert len(won) == 1
    id = identifier_pb2.WorkflowExecutionIdentifier(project="p", domain="d", name="mine")
    assert (await stage.ended(id)).closure.phase == SUCCEEDED
    assert await stage.outputs(id) == literal_map(o0=2 * won[0])


async def test_executions_are_listed_newest_first(stage: Stage) -> None:
    await stage.task("double", lambda x: 2 * x)
    for name in ("one", "two", "three"):
        await stage.begin(identifier(TASK, "double"), name, {"x": 1})
    first = await stage.call("ListExecutions", listing(limit=2))
    rest = await stage.call("ListExecutions", listing(limit=2, token=first.token))
    assert [row.id.name for row in first.executions] == ["three", "two"]
    assert [row.id.name for row in rest.executions] == ["one"] and not rest.token
    code, _ = await stage.refused("ListExecutions", listing(filters="eq(phase,FAILED)"))
    assert code is StatusCode.UNIMPLEMENTED
    code, _ = await stage.refused("ListExecutions", listing(token="nonsense"))
    assert code is StatusCode.INVALID_ARGUMENT


async def test_what_is_said_of_executions_is_no_larger_than_lists_can_hold(stage: Stage) -> None:
    await stage.task("double", lambda x: 2 * x)
    one, envs = identifier(TASK, "double"), [{"key": "A", "value": "x" * LARGEST_BODY}]
    code, told = await stage.refused("CreateExecution", creation(one, "large", {"x": 1}, envs={"values": envs}))
    assert code is StatusCode.INVALID_ARGUMENT and told.startswith("spec")
    envs[0]["value"] = "x" * (2 * LARGEST_BODY // 5)
    for number in range(10):
        await stage.begin(one, f"e{number}", {"x": 1}, envs={"values": envs})
    found, token = list[str](), ""
    while not found or token:
        page = await stage.call("ListExecutions", listing(limit=100, token=token))
        assert page.ByteSize() <= calls.INLINE + 1000
        found, token = found + [row.id.name for row in page.executions], page.token
    assert found == [f"e{number}" for number in reversed(range(10))]


# --- who may --------------------------------------------------------------------------------------------------------------


async def test_others_see_nothing_and_viewers_change_nothing_and_see_no_secrets(stage: Stage) -> None:
    await stage.task("forever", forever)
    secret = common_pb2.Envs(values=[{"key": "PASSWORD", "value": "hunter2"}])
    id = await stage.begin(identifier(TASK, "forever"), "e1", {"x": 1}, envs=secret)
    get = execution_pb2.WorkflowExecutionGetRequest(id=id)
    stranger, viewer = await stage.robot("stranger", None), await stage.robot("viewer", Role.VIEWER)
    code, _ = await stage.refused("GetExecution", get, stranger)
    assert code in (StatusCode.NOT_FOUND, StatusCode.PERMISSION_DENIED)
    found = await stage.call("GetExecution", get, viewer)
    assert found.spec.envs.values[0].key == "PASSWORD" and "hunter2" not in str(found)
    listed = await stage.call("ListExecutions", listing(), viewer)
    assert len(listed.executions) == 1 and "hunter2" not in str(listed)
    wanted = [
        ("CreateExecution", creation(identifier(TASK, "forever"), "e2", {"x": 1})),
        ("RelaunchExecution", execution_pb2.ExecutionRelaunchRequest(id=id)),
        ("TerminateExecution", execution_pb2.ExecutionTerminateRequest(id=id)),
    ]
    for method, request in wanted:
        assert (await stage.refused(method, request, viewer))[0] is StatusCode.PERMISSION_DENIED, method


async def test_a_creator_without_rights_any_more_fails_the_execution_in_words(stage: Stage) -> None:
    await stage.task("forever", forever)
    token = await stage.robot("robot", Role.EDITOR)
    one, two = task_node("n0", "forever", x=".x"), task_node("n1", "forever", x="n0.o0")
    await stage.workflow(template("w", one, two, task_node("n2", "forever", x=".x")))
    id = (await stage.call("CreateExecution", creation(identifier(LAUNCH_PLAN, "w"), "e1", {"x": 1}), token)).id
    await stage.until(id, lambda found: len(stage.jobs()) == 2)
    await stage.grant("robot", None)
    first = next(job for job in stage.jobs() if "/n0/" in job.submission.entrypoint)
    stage.finish(first, 8)
    found = await stage.ended(id)
    assert found.closure.phase == FAILED
    assert found.closure.error.message.startswith("[PermissionDenied] a task could not be begun in the name of robot")
    assert stage.troupe.names == ["forever", "forever"] and all(job.status.terminal for job in stage.jobs())


async def test_nodes_and_attempts_that_are_not_there(stage: Stage) -> None:
    await stage.task("double", lambda x: 2 * x)
    id = await stage.begin(identifier(TASK, "double"), inputs={"x": 1})
    await stage.ended(id)
    place = identifier_pb2.NodeExecutionIdentifier(node_id="n9", execution_id=id)
    code, _ = await stage.refused("GetNodeExecution", node_execution_pb2.NodeExecutionGetRequest(id=place))
    assert code is StatusCode.NOT_FOUND
    request = task_execution_pb2.TaskExecutionGetRequest(id=attempt_id(id, "double", 4))
    assert (await stage.refused("GetTaskExecution", request))[0] is StatusCode.NOT_FOUND
    gone = identifier_pb2.WorkflowExecutionIdentifier(project="p", domain="d", name="gone")
    request = execution_pb2.WorkflowExecutionGetRequest(id=gone)
    assert (await stage.refused("GetExecution", request))[0] is StatusCode.NOT_FOUND


# --- crashes --------------------------------------------------------------------------------------------------------------


class Unlucky:
    """The server dies between making runs and writing that down, so often."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.left = times
        self.runs: list[str] = []
        self.lost = asyncio.Event()
        create = Runs.create

        async def dying(runs: Runs, *arguments: Any, **more: Any) -> Any:
            self.runs.append(await create(runs, *arguments, **more))
            if self.left > 0:
                self.left -= 1
                self.lost.set()
                raise Unavailable("gone")
            return self.runs[-1]

        monkeypatch.setattr(Runs, "create", dying)


async def test_a_run_that_was_made_and_not_written_down_is_found_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.task("double", lambda x: 2 * x)
    unlucky = Unlucky(monkeypatch, 2)
    id = await stage.begin(identifier(TASK, "double"), inputs={"x": 4})
    assert (await stage.ended(id)).closure.phase == SUCCEEDED
    assert len(unlucky.runs) == 3 and len(set(unlucky.runs)) == 1
    assert stage.troupe.names == ["double"]


async def test_a_run_that_was_made_and_not_written_down_is_ended_by_an_abort(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.task("forever", forever)
    unlucky = Unlucky(monkeypatch, 1)
    id = await stage.begin(identifier(TASK, "forever"), inputs={"x": 4})
    await unlucky.lost.wait()
    await stage.terminate(id)
    found = await stage.ended(id)
    assert found.closure.phase == ABORTED and len(set(unlucky.runs)) == 1
    (attempt,) = await stage.attempts(id)
    assert attempt.closure.phase == Phase.ABORTED and attempt.closure.metadata.generated_name == unlucky.runs[0]


async def test_a_node_that_cannot_be_begun_just_now_holds_up_no_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = asyncio.Event()
    create = Runs.create

    async def troubled(
        runs: Runs, caller: Any, workspace: Any, template: Any, place: Any, *more: Any, **named: Any
    ) -> Any:
        if place.node == "n0" and not good.is_set():
            raise Unavailable("not now")
        return await create(runs, caller, workspace, template, place, *more, **named)

    monkeypatch.setattr(Runs, "create", troubled)
    await stage.task("double", lambda x: 2 * x)
    one, two = task_node("n0", "double", x=".x"), task_node("n1", "double", x=".x")
    await stage.workflow(template("w", one, two, task_node("n2", "double", x="n1.o0")))
    id = await stage.begin(identifier(LAUNCH_PLAN, "w"), inputs={"x": 1})
    while (nodes := await stage.nodes(id)).keys() != {"n0", "n1", "n2"}:
        await asyncio.sleep(0.02)
    assert nodes["n0"].closure.phase == NodePhase.RUNNING and nodes["n1"].closure.phase == NodePhase.SUCCEEDED
    good.set()
    assert (await stage.ended(id)).closure.phase == SUCCEEDED
