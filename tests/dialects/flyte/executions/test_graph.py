"""Graphs of compiled workflows; what cannot be executed is refused by its name."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from flyteidl.admin import workflow_pb2 as admin_workflows
from flyteidl.core import compiler_pb2, tasks_pb2, workflow_pb2

from heliostat.dialects.flyte.admin import workflows
from heliostat.dialects.flyte.admin.references import Reference
from heliostat.dialects.flyte.errors import INVALID_ARGUMENT, UNIMPLEMENTED, FlyteError
from heliostat.dialects.flyte.executions import programs
from heliostat.dialects.flyte.executions.graph import DEEPEST, MOST_RETRIES, Kind, build

from ..admin.messages import WORKFLOW, binding, identifier, node, spec, task, task_node, template

KNOWN = {
    Reference("p", "d", name, "v1"): task(name, inputs=inputs).spec.template
    for name, inputs in (("a", "x"), ("b", "x y"))
}
TASK_REF = 'reference_id { resource_type: TASK project: "p" domain: "d" name: "a" version: "v1" }'


A = Reference("p", "d", "a", "v1")


def closure(found: admin_workflows.WorkflowSpec) -> Any:
    return workflows.closure(Reference("p", "d", "w", "v1"), found, KNOWN)


def sub(id: str, name: str, **inputs: str) -> Any:
    found = node(id, "")
    found.workflow_node.sub_workflow_ref.CopyFrom(identifier(WORKFLOW, name))
    found.inputs.extend(binding(variable, text) for variable, text in inputs.items())
    return found


def branch(id: str, *arms: Any, message: str = "") -> Any:
    found = node(id, "branch_node { if_else { } }")
    block = found.branch_node.if_else
    for index, arm in enumerate(arms):
        way = block.case if index == 0 else block.other.add()
        way.then_node.CopyFrom(arm)
        way.condition.comparison.left_value.primitive.integer = 1
        way.condition.comparison.right_value.primitive.integer = index
    if message:
        block.error.message = message
    return found


def refusal(found: admin_workflows.WorkflowSpec) -> tuple[str, str]:
    with pytest.raises(FlyteError) as caught:
        build(closure(found))
    return caught.value.status, caught.value.message


def test_sub_workflows_are_unfolded_each_time_they_are_used() -> None:
    inner = template("inner", task_node("n0", "a", x=".x"), task_node("n1", "a", x="n0.o0"), outputs={"o0": "n1.o0"})
    main = template("w", sub("s", "inner", x=".x"), sub("t", "inner", x="s.o0"), outputs={"o0": "t.o0"})
    found = build(closure(spec(main, inner)))
    assert found.parts("") == ("s", "t") and found.parts("s") == ("s-0-n0", "s-0-n1")
    assert found.nodes["t"].after == ("s",) and found.nodes["t-0-n1"].after == ("t-0-n0",)
    one = found.nodes["t-0-n1"]
    assert (one.kind, one.spec_id, one.parent, one.scope) == (Kind.TASK, "n1", "t", "t")


def test_arms_see_what_their_branch_sees() -> None:
    main = template(
        "w", task_node("n0", "a"), branch("b", task_node("n0", "a", x="n0.o0"), task_node("n1", "a"), message="no")
    )
    found = build(closure(spec(main)))
    assert found.parts("b") == ("b-0-n0", "b-0-n1")
    arm = found.nodes["b-0-n0"]
    assert (arm.parent, arm.scope, arm.after, arm.spec_id) == ("b", "", ("n0",), "n0")
    assert found.nodes["b"].otherwise == "no"


def test_retries_and_time_of_a_node_come_before_its_tasks() -> None:
    one, other = task_node("n0", "a"), task_node("n1", "a")
    other.metadata.retries.retries = 4
    other.metadata.timeout.seconds = 60
    program = closure(spec(template("w", one, other)))
    program.tasks[0].template.metadata.retries.retries = 2
    found = build(program)
    assert [found.nodes[id].attempts for id in ("n0", "n1")] == [3, 5]
    assert found.nodes["n0"].timeout is None and found.nodes["n1"].timeout is not None


def test_what_a_map_task_says_of_its_elements() -> None:
    text = f'array_node {{ node {{ id: "m" task_node {{ {TASK_REF} }} metadata {{ retries {{ retries: 1 }} }} }} '
    array = node("n0", text + 'parallelism: 0 min_success_ratio: 0.5 bound_inputs: "y" run_all_sub_nodes: true }')
    found = build(closure(spec(template("w", array)))).nodes["n0"]
    assert (found.kind, found.attempts, found.array.parallelism, found.array.bound) == (Kind.ARRAY, 2, 0, {"y"})
    assert found.array.run_all and [found.array.needed(size) for size in (0, 1, 4, 5)] == [0, 1, 2, 3]
    plain = build(closure(spec(template("w", node("n0", text + "}")))))
    assert plain.nodes["n0"].array.parallelism is None and plain.nodes["n0"].array.needed(4) == 4


def test_a_task_by_itself_has_one_node() -> None:
    found = build(programs.of_task(KNOWN[Reference("p", "d", "b", "v1")]))
    one = found.nodes["n0"]
    assert list(found.nodes) == ["n0"] and one.kind is Kind.TASK
    assert [row.var for row in one.inputs] == ["x", "y"] and [row.var for row in found.scopes[""].outputs] == ["o0"]


@pytest.mark.parametrize("pod", [False, True])
def test_a_map_task_by_itself_is_run_by_elements(pod: bool) -> None:
    args = ["pyflyte-map-execute", "--inputs", "{{.input}}", "--", "vars", "b,c", "resolver", "r"]
    found = tasks_pb2.TaskTemplate(task_type_version=1, type="python-task")
    found.id.name = "m"
    if pod:
        container = found.k8s_pod.pod_spec.get_or_create_list("containers").add_struct()
        container["args"] = args
    else:
        found.container.args.extend(args)
    one = build(programs.of_task(found)).nodes["n0"]
    assert one.kind is Kind.ARRAY and one.array.bound == {"b", "c"}


@pytest.mark.parametrize(
    ("found", "status", "says"),
    [
        (node("n0", "gate_node { sleep { } }"), UNIMPLEMENTED, "workflow w: node n0 is a gate node"),
        (node("n0", "workflow_node { launchplan_ref { } }"), UNIMPLEMENTED, "workflow w: node n0 is a launch plan"),
        (
            node("n0", 'array_node { node { id: "m" workflow_node { } } }'),
            UNIMPLEMENTED, "node n0 is an array node over a workflow node",
        ),
        (node("n0", f"task_node {{ {TASK_REF} overrides {{ pod_template {{ }} }} }}"), UNIMPLEMENTED, "pod template"),
        (node("n0", ""), INVALID_ARGUMENT, "has no target"),
        (task_node("../n0", "a"), INVALID_ARGUMENT, "cannot be the id of a node"),
        (task_node("outputs.pb", "a"), INVALID_ARGUMENT, "cannot be the id of a node"),
        (task_node("n0", "a", x="n9.o0"), INVALID_ARGUMENT, "input 'x' needs the node n9"),
        (sub("n0", "gone"), INVALID_ARGUMENT, "did not come with the workflow"),
        (task_node("n0", "a", x="n0.o0"), INVALID_ARGUMENT, "wait for each other"),
    ],
)  # fmt: skip
def test_what_cannot_be_executed_is_named(found: Any, status: str, says: str) -> None:
    program = compiler_pb2.CompiledWorkflowClosure()
    program.primary.template.CopyFrom(template("w", found))
    program.tasks.add().template.CopyFrom(KNOWN[Reference("p", "d", "a", "v1")])
    with pytest.raises(FlyteError) as caught:
        build(program)
    assert caught.value.status == status and says in caught.value.message


def test_a_node_for_failures_is_refused() -> None:
    main = template("w", task_node("n0", "a"))
    main.failure_node.CopyFrom(task_node("fail", "a"))
    assert refusal(spec(main)) == (UNIMPLEMENTED, refusal(spec(main))[1])
    assert "node fail is a failure node" in refusal(spec(main))[1]


def test_a_workflow_cannot_be_a_part_of_itself() -> None:
    inner = template("inner", sub("s", "inner"))
    assert "workflow inner is a part of itself" in refusal(spec(template("w", sub("s", "inner")), inner))[1]


def test_a_workflow_that_unfolds_without_end_in_sight_is_refused() -> None:
    layers = [template("l0", task_node("n0", "a"))]
    for depth in range(1, 20):
        layers.append(template(f"l{depth}", sub("s", f"l{depth - 1}"), sub("t", f"l{depth - 1}")))
    assert "more than 5000 nodes" in refusal(spec(layers[-1], *layers[:-1]))[1]


def test_a_workflow_is_no_deeper_than_can_be_walked() -> None:
    def nested(depth: int) -> Any:
        layers = [template("l0", task_node("n0", "a", x=".x"))]
        for number in range(1, depth + 1):
            layers.append(template(f"l{number}", sub("s", f"l{number - 1}", x=".x")))
        return spec(layers[-1], *layers[:-1])

    assert len(build(closure(nested(DEEPEST))).nodes) == DEEPEST + 1
    for depth in (DEEPEST + 1, 500):
        assert "within each other" in refusal(nested(depth))[1]


@pytest.mark.parametrize("whose", ["task", "node"])
def test_a_task_is_not_tried_without_end(whose: str) -> None:
    known, main = task("a"), template("w", task_node("n0", "a", x=".x"))
    retries = (known.spec.template if whose == "task" else main.nodes[0]).metadata.retries
    for number, refused in ((MOST_RETRIES, False), (MOST_RETRIES + 1, True), ((1 << 32) - 1, True)):
        retries.retries = number
        made = [workflows.closure(Reference("p", "d", "w", "v1"), spec(main), {**KNOWN, A: known.spec.template})]
        made += [programs.of_task(known.spec.template)] if whose == "task" else []
        for one in made:
            with pytest.raises(FlyteError, match="at most 100") if refused else contextlib.nullcontext():
                assert next(iter(build(one).nodes.values())).attempts == MOST_RETRIES + 1


def test_an_arm_that_waits_for_what_waits_for_its_branch_is_refused() -> None:
    main = template("w", branch("b", task_node("n0", "a", x="n1.o0")), task_node("n1", "a", x="b.o0"))
    assert "wait for each other" in refusal(spec(main))[1]


def test_policies() -> None:
    main = template("w", task_node("n0", "a"))
    assert build(closure(spec(main))).scopes[""].fail_at_once
    main.metadata.on_failure = workflow_pb2.WorkflowMetadata.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE
    assert not build(closure(spec(main))).scopes[""].fail_at_once
