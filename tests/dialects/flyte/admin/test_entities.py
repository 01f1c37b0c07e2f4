"""Tasks, workflows and launch plans over gRPC: registered once and for good, read back, listed."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from flyteidl.admin import common_pb2, launch_plan_pb2, project_pb2, version_pb2
from flyteidl.core import literals_pb2
from google.protobuf import text_format

from heliostat.dialects.flyte.admin import workflow_calls

from .conftest import Door
from .messages import (
    INTEGER,
    LAUNCH_PLAN,
    NEWEST,
    TASK,
    WORKFLOW,
    get,
    identifier,
    launch_plan,
    listing,
    task,
    task_node,
    template,
    workflow,
)  # fmt: skip

Code = grpc.StatusCode
ACTIVE, INACTIVE = launch_plan_pb2.ACTIVE, launch_plan_pb2.INACTIVE
IDS = common_pb2.NamedEntityIdentifierListRequest


async def test_a_task_is_kept_as_it_was_written(door: Door) -> None:
    one = task("mod.one")
    await door.call("CreateTask", one)
    found = await door.call("GetTask", get(TASK, "mod.one"))
    assert found.id == one.id and found.closure.compiled_task.template == one.spec.template
    assert found.closure.created_at.seconds > 0
    assert (await door.refused("CreateTask", one))[0] is Code.ALREADY_EXISTS
    code, message = await door.refused("CreateTask", task("mod.one", image="another"))
    assert code is Code.INVALID_ARGUMENT and "task with different structure already exists" in message
    assert (await door.call("GetTask", get(TASK, "mod.one"))).closure.compiled_task.template.container.image == "i"
    code, message = await door.refused("GetTask", get(TASK, "mod.one", "v2"))
    assert code is Code.NOT_FOUND and "p/d/mod.one/v2" in message


async def test_equal_registrations_at_once_leave_one(door: Door) -> None:
    answers = await asyncio.gather(*(door.call("CreateTask", task("t")) for _ in range(5)), return_exceptions=True)
    codes = [answer.code() for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert codes == [Code.ALREADY_EXISTS] * 4


async def test_tasks_that_cannot_be_run_are_refused(door: Door) -> None:
    code, message = await door.refused("CreateTask", task("t", type="spark"))
    assert code is Code.UNIMPLEMENTED and "'spark'" in message and "python-task" in message
    bad = task("t", type="ray")
    bad.spec.template.custom.update({"rayCluster": 5})
    code, message = await door.refused("CreateTask", bad)
    assert code is Code.INVALID_ARGUMENT and message.startswith("spec.template.custom.rayCluster")
    bare = task("t")
    bare.spec.template.ClearField("container")
    assert (await door.refused("CreateTask", bare))[0] is Code.INVALID_ARGUMENT
    for path, changed in (
        ("id.project", {"project": ""}),
        ("id.version", {"version": ""}),
        ("id.name", {"name": "a\0b"}),
    ):
        request = task("t")
        for field, value in changed.items():
            setattr(request.id, field, value)
        code, message = await door.refused("CreateTask", request)
        assert code is Code.INVALID_ARGUMENT and message.startswith(path), message
    code, message = await door.refused("CreateTask", task("\N{GRINNING FACE}" * 300))
    assert code is Code.INVALID_ARGUMENT and message.startswith("id: is too long")
    code, message = await door.refused("CreateTask", task("t", image="x" * (9 << 20)))
    assert code is Code.INVALID_ARGUMENT and message.startswith("spec")
    wrong = get(WORKFLOW, "t")
    assert (await door.refused("GetTask", wrong))[0] is Code.INVALID_ARGUMENT


async def test_lists_come_in_pages_newest_first(door: Door) -> None:
    for name, version in (("one", "v1"), ("two", "v1"), ("one", "v2"), ("one", "v3")):
        await door.call("CreateTask", task(name, version))

    async def all_of(request: common_pb2.ResourceListRequest) -> list[str]:
        found: list[str] = []
        while True:
            answer = await door.call("ListTasks", request)
            found += [f"{row.id.name} {row.id.version}" for row in answer.tasks]
            request.token = answer.token
            if not answer.token:
                return found

    latest = await door.call("ListTasks", listing("one", limit=1, sort_by=NEWEST))
    assert [row.id.version for row in latest.tasks] == ["v3"]
    assert await all_of(listing("one", limit=2)) == ["one v3", "one v2", "one v1"]
    assert await all_of(listing(limit=3)) == ["one v3", "one v2", "two v1", "one v1"]
    assert await all_of(listing(limit=1, filters="eq(version,v1)")) == ["two v1", "one v1"]
    ids = await door.call("ListTaskIds", IDS(project="p", domain="d", limit=1))
    more = await door.call("ListTaskIds", IDS(project="p", domain="d", limit=1, token=ids.token))
    assert [row.name for row in (*ids.entities, *more.entities)] == ["one", "two"]
    assert not (await door.call("ListTaskIds", IDS(project="p", domain="other"))).entities
    assert not (await door.call("ListTasks", listing("none"))).tasks
    for bad in (
        listing("one", token="elsewhere"), listing("one", token="\0"), listing("one", filters="x"),
        common_pb2.ResourceListRequest(),
    ):  # fmt: skip
        assert (await door.refused("ListTasks", bad))[0] is Code.INVALID_ARGUMENT, bad


async def test_a_workflow_comes_back_with_all_that_it_refers_to(door: Door) -> None:
    inner = template("inner", task_node("n0", "a", x=".x"), outputs={"o0": "n0.o0"})
    outer = template("w", task_node("n0", "a", x=".x"), task_node("n1", "b", x="n0.o0"), outputs={"o0": "n1.o0"})
    node = outer.nodes.add(id="n2")
    node.workflow_node.sub_workflow_ref.CopyFrom(identifier(WORKFLOW, "inner"))
    request = workflow(outer, inner)
    code, message = await door.refused("CreateWorkflow", request)
    assert code is Code.INVALID_ARGUMENT and "spec.template.nodes[0].task_node.reference_id" in message
    await door.call("CreateTask", task("a"))
    await door.call("CreateTask", task("b"))
    await door.call("CreateWorkflow", request)
    assert (await door.refused("CreateWorkflow", request))[0] is Code.ALREADY_EXISTS
    found = (await door.call("GetWorkflow", get(WORKFLOW, "w"))).closure.compiled_workflow
    assert found.primary.template == outer and [row.template.id.name for row in found.sub_workflows] == ["inner"]
    assert {row.template.id.name for row in found.tasks} == {"a", "b"}
    outer.nodes[0].metadata.name = "changed"
    code, message = await door.refused("CreateWorkflow", workflow(outer, inner))
    assert code is Code.INVALID_ARGUMENT and "workflow with different structure already exists" in message
    listed = await door.call("ListWorkflows", listing("w"))
    assert listed.workflows[0].closure.compiled_workflow.primary.template.interface == outer.interface
    ids = await door.call("ListWorkflowIds", IDS(project="p", domain="d"))
    assert [row.name for row in ids.entities] == ["w"]
    node.ClearField("target")
    node.gate_node.sleep.duration.seconds = 1
    outer.id.version = "v2"
    code, message = await door.refused("CreateWorkflow", workflow(outer, inner))
    assert code is Code.UNIMPLEMENTED and "'n2' is a gate node" in message


@pytest.fixture(name="planned")
async def _planned(door: Door) -> Door:
    await door.call("CreateTask", task("a"))
    await door.call(
        "CreateWorkflow", workflow(template("w", task_node("n0", "a", x=".x"), outputs={"o": "n0.o0"}, inputs="x y z"))
    )
    return door


async def test_one_version_of_a_launch_plan_is_active(planned: Door) -> None:
    named = common_pb2.NamedEntityIdentifier(project="p", domain="d", name="lp")
    active = launch_plan_pb2.ActiveLaunchPlanRequest(id=named)
    everything = launch_plan_pb2.ActiveLaunchPlanListRequest(project="p", domain="d")

    async def states() -> dict[str, int]:
        rows = (await planned.call("ListLaunchPlans", listing("lp"))).launch_plans
        return {row.id.version: row.closure.state for row in rows}

    async def change(version: str, state: int) -> None:
        id = identifier(LAUNCH_PLAN, "lp", version)
        await planned.call("UpdateLaunchPlan", launch_plan_pb2.LaunchPlanUpdateRequest(id=id, state=state))

    for version in ("v1", "v2"):
        await planned.call("CreateLaunchPlan", launch_plan("lp", version))
    assert (await planned.refused("CreateLaunchPlan", launch_plan("lp")))[0] is Code.ALREADY_EXISTS
    assert await states() == {"v1": INACTIVE, "v2": INACTIVE}
    assert (await planned.refused("GetActiveLaunchPlan", active))[0] is Code.NOT_FOUND
    await asyncio.gather(change("v1", ACTIVE), change("v1", ACTIVE))
    await change("v2", ACTIVE)
    assert await states() == {"v1": INACTIVE, "v2": ACTIVE}
    assert (await planned.call("GetActiveLaunchPlan", active)).id.version == "v2"
    await change("v1", INACTIVE)
    listed = (await planned.call("ListActiveLaunchPlans", everything)).launch_plans
    assert [row.id.version for row in listed] == ["v2"]
    await change("v2", INACTIVE)
    assert await states() == {"v1": INACTIVE, "v2": INACTIVE}
    assert not (await planned.call("ListActiveLaunchPlans", everything)).launch_plans
    gone = launch_plan_pb2.LaunchPlanUpdateRequest(id=identifier(LAUNCH_PLAN, "lp", "v9"), state=ACTIVE)
    assert (await planned.refused("UpdateLaunchPlan", gone))[0] is Code.NOT_FOUND
    odd = launch_plan_pb2.LaunchPlanUpdateRequest(id=identifier(LAUNCH_PLAN, "lp"))
    odd.MergeFromString(b"\x10\x07")
    assert (await planned.refused("UpdateLaunchPlan", odd))[0] is Code.INVALID_ARGUMENT


async def test_what_a_launch_plan_expects(planned: Door) -> None:
    request = launch_plan("lp")
    five = literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(integer=5)))
    request.spec.fixed_inputs.literals["y"].CopyFrom(five)
    request.spec.default_inputs.parameters["z"].default.CopyFrom(five)
    await planned.call("CreateLaunchPlan", request)
    found = await planned.call("GetLaunchPlan", get(LAUNCH_PLAN, "lp"))
    assert found.spec == request.spec
    expected = found.closure.expected_inputs.parameters
    assert set(expected) == {"x", "z"} and expected["x"].required and expected["x"].var.type == INTEGER
    assert expected["z"].default == five and set(found.closure.expected_outputs.variables) == {"o"}


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ('entity_metadata { schedule { cron_schedule { schedule: "* * * * *" } } }', Code.UNIMPLEMENTED, "with schedule"),
        ("entity_metadata { schedule { rate { value: 1 } } }", Code.UNIMPLEMENTED, "with schedule"),
        ("entity_metadata { notifications { phases: SUCCEEDED } }", Code.UNIMPLEMENTED, "with notifications"),
        ('workflow_id { resource_type: WORKFLOW project: "p" domain: "d" name: "gone" version: "1" }', None, "not registered"),
        ('fixed_inputs { literals { key: "q" value {} } }', None, "no input 'q'"),
        ('default_inputs { parameters { key: "q" value {} } }', None, "no input 'q'"),
        (
            'fixed_inputs { literals { key: "x" value {} } } default_inputs { parameters { key: "x" value {} } }',
            None, "has a default too",
        ),
    ],
)  # fmt: skip
async def test_launch_plans_that_are_refused(planned: Door, text: str, code: Code | None, says: str) -> None:
    request = launch_plan("lp")
    if text.startswith("workflow_id"):
        request.spec.ClearField("workflow_id")
    text_format.Merge(text, request.spec)
    found, message = await planned.refused("CreateLaunchPlan", request)
    assert found is (code or Code.INVALID_ARGUMENT) and says in message, message
    ids = await planned.call("ListLaunchPlanIds", IDS(project="p", domain="d"))
    assert not ids.entities


async def test_projects_domains_and_the_version(door: Door) -> None:
    listed = await door.call("ListProjects", project_pb2.ProjectListRequest(limit=10))
    assert [row.id for row in listed.projects] == ["default"]
    assert [row.id for row in listed.projects[0].domains] == ["development", "staging", "production"]
    one = await door.call("GetProject", project_pb2.ProjectGetRequest(id="flytesnacks"))
    assert one.id == "flytesnacks" and one.state == project_pb2.Project.ACTIVE
    domains = await door.call("GetDomains", project_pb2.GetDomainRequest())
    assert domains.domains[0].id == "development"
    assert (await door.call("GetVersion", version_pb2.GetVersionRequest())).control_plane_version.Version
    code, message = await door.refused("RegisterProject", project_pb2.ProjectRegisterRequest())
    assert (
        code is Code.UNIMPLEMENTED
        and "RegisterProject of AdminService is not served" in message
        and "CreateTask" in message
    )


async def test_who_may_do_what(door: Door) -> None:
    viewer, nobody = await door.robot("viewer", "viewer"), await door.robot("nobody")
    assert (await door.refused("CreateTask", task("t"), token=""))[0] is Code.UNAUTHENTICATED
    assert (await door.refused("CreateTask", task("t"), token="hlt_x"))[0] is Code.UNAUTHENTICATED
    assert (await door.refused("CreateTask", task("t", project="default"), token=viewer))[0] is Code.PERMISSION_DENIED
    assert (await door.refused("CreateTask", task("t", project="default"), token=nobody))[0] is Code.NOT_FOUND
    await door.call("CreateTask", task("t", project="default"))
    assert (await door.call("GetTask", get(TASK, "t", project="default"), token=viewer)).id.name == "t"
    assert (await door.refused("GetTask", get(TASK, "t", project="default"), token=nobody))[0] is Code.NOT_FOUND


async def test_viewers_see_names_of_variables_but_no_values(door: Door) -> None:
    pair = {"name": "PASSWORD", "value": "hunter2"}
    pods = {"podSpec": {"containers": [{"name": "c", "image": "i", "env": [pair], "args": ["pyflyte-execute"]}]}}
    ray = task("ray", type="ray", project="default")
    ray.spec.template.container.env.add(key="PASSWORD", value="hunter2")
    ray.spec.template.custom.update(
        {"rayCluster": {"headGroupSpec": {"k8sPod": pods}}, "runtimeEnvYaml": "env_vars: {PASSWORD: hunter2}"}
    )
    plain = task("plain", project="default")
    plain.spec.template.k8s_pod.pod_spec.update(pods["podSpec"])
    plain.spec.template.k8s_pod.primary_container_name = "c"
    node = task_node("n0", "ray", x=".x")
    node.task_node.reference_id.project = "default"
    flow = workflow(template("w", node))
    flow.id.project = flow.spec.template.id.project = "default"
    plan = launch_plan("w")
    plan.id.project = plan.spec.workflow_id.project = "default"
    plan.spec.envs.values.add(key="PASSWORD", value="hunter2")
    for method, request in (
        ("CreateTask", ray), ("CreateTask", plain), ("CreateWorkflow", flow), ("CreateLaunchPlan", plan)
    ):  # fmt: skip
        await door.call(method, request)
    viewer = await door.robot("viewer", "viewer")
    every = listing()
    every.id.project = "default"
    for method, request, count in (
        ("GetTask", get(TASK, "ray", project="default"), 3),
        ("GetTask", get(TASK, "plain", project="default"), 1),
        ("ListTasks", every, 4),
        ("GetWorkflow", get(WORKFLOW, "w", project="default"), 3),
        ("GetLaunchPlan", get(LAUNCH_PLAN, "w", project="default"), 1),
        ("ListLaunchPlans", every, 1),
    ):
        whole, shown = str(await door.call(method, request)), str(await door.call(method, request, token=viewer))
        assert whole.count("hunter2") == count and "hunter2" not in shown, method
        assert shown.count("******") == count and "PASSWORD" in shown


async def test_a_workflow_with_its_tasks_can_be_read_back(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    one = task("t")
    one.spec.template.config["x"] = "x" * 5000
    await door.call("CreateTask", one)
    monkeypatch.setattr(workflow_calls, "LARGEST", 5000)
    code, message = await door.refused("CreateWorkflow", workflow(template("w", task_node("n0", "t", x=".x"))))
    assert code is Code.INVALID_ARGUMENT and message.startswith("spec: has")
