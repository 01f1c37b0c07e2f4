"""Which workflows are refused, with which path; and the compiled form."""

from __future__ import annotations

from typing import Any

import pytest

from heliostat.dialects.flyte.admin import workflows
from heliostat.dialects.flyte.admin.references import Reference
from heliostat.dialects.flyte.errors import INVALID_ARGUMENT, UNIMPLEMENTED, FlyteError

from .messages import WORKFLOW, binding, identifier, node, spec, task, task_node, template

KNOWN = {
    Reference("p", "d", name, "v1"): task(name, inputs=inputs).spec.template
    for name, inputs in (("a", "x"), ("b", "x y"))
}
TASK_REF = 'reference_id { resource_type: TASK project: "p" domain: "d" name: "a" version: "v1" }'
CONDITION = 'condition { comparison { operator: GT left_value { var: "c" } right_value { primitive { integer: 3 } } } }'


def branch(id: str, condition: str = CONDITION, default: str = 'error { message: "no" }', then: str = "n0") -> Any:
    way = f'case {{ {condition} then_node {{ id: "{then}" task_node {{ {TASK_REF} }} }} }}'
    found = node(id, f"branch_node {{ if_else {{ {way} {default} }} }}")
    found.inputs.append(binding("c", "n0.o0"))
    return found


def sub(id: str, name: str, **inputs: str) -> Any:
    found = node(id, "")
    found.workflow_node.sub_workflow_ref.CopyFrom(identifier(WORKFLOW, name))
    found.inputs.extend(binding(variable, text) for variable, text in inputs.items())
    return found


def accept(found: Any) -> list[Reference]:
    uses = [use.task for use in workflows.uses(found)]
    workflows.check(found, KNOWN)
    return uses


def refusal(found: Any) -> tuple[str, str | None, str]:
    with pytest.raises(FlyteError) as caught:
        accept(found)
    return caught.value.status, caught.value.path, caught.value.message


def test_everything_that_is_supported_at_once() -> None:
    inner = template("inner", task_node("n0", "a", x=".x"), outputs={"o0": "n0.o0"})
    array = node("n4", f'array_node {{ node {{ id: "m" task_node {{ {TASK_REF} }} }} min_success_ratio: 0.5 }}')
    array.inputs.append(binding("x", "n3.o0"))
    array.upstream_node_ids.append("n0")
    main = template(
        "w", task_node("n0", "a", x="start-node.x"), sub("n1", "inner", x="n0.o0"), branch("n2"),
        task_node("n3", "b", x="n2.o0", y="7"), array, outputs={"o0": "n2.o0", "o1": "n4.o0"},
    )  # fmt: skip
    found = spec(main, inner)
    names = [use.name for use in accept(found)]
    assert names == ["a", "a", "b", "a", "a"]
    compiled = workflows.closure(Reference("p", "d", "own", "v9"), found, KNOWN)
    assert (compiled.primary.template.id.name, compiled.primary.template.id.version) == ("own", "v9")
    assert [row.template.id.name for row in compiled.sub_workflows] == ["inner"]
    assert [row.template.id.name for row in compiled.tasks] == ["a", "b"]
    connections = compiled.primary.connections
    assert {name: list(row.ids) for name, row in connections.upstream.items()} == {
        "n0": ["start-node"], "n1": ["n0"], "n2": ["n0"], "n3": ["n2"], "n4": ["n0", "n3"], "end-node": ["n1", "n4"]
    }  # fmt: skip
    assert set(connections.downstream["n0"].ids) == {"n1", "n2", "n4"}


def wf(*nodes: Any, **more: Any) -> Any:
    return spec(template("w", *nodes, **more))


@pytest.mark.parametrize(
    ("found", "path", "says"),
    [
        (wf(), "spec.template.nodes", "without nodes"),
        (wf(node("n0", "")), "spec.template.nodes[0]", "no target"),
        (wf(task_node("", "a")), "spec.template.nodes[0].id", "required"),
        (wf(task_node("n0", "a"), task_node("n0", "a")), "spec.template.nodes[1].id", "two nodes 'n0'"),
        (wf(task_node("n0", "a", x="n9.o0")), "spec.template.nodes[0].inputs[0].binding.promise.node_id", "no node 'n9'"),
        (wf(task_node("n0", "a", x=".q")), "spec.template.nodes[0].inputs[0].binding.promise.var", "no input 'q'"),
        (wf(task_node("n0", "a", z="1")), "spec.template.nodes[0].inputs[0].var", "'z' is no input"),
        (
            wf(task_node("n0", "a"), task_node("n1", "a", x="n0.o7")),
            "spec.template.nodes[1].inputs[0].binding.promise.var", "no output 'o7'",
        ),
        (
            wf(task_node("n0", "a", x="n1.o0"), task_node("n1", "a", x="n0.o0")),
            "spec.template.nodes", "n0 -> n1 -> n0",
        ),
        (wf(task_node("n0", "a"), outputs={"o0": "n7.o0"}), "spec.template.outputs[0].binding.promise.node_id", "no node"),
        (wf(task_node("n0", "a"), sub("n1", "gone")), "spec.template.nodes[1].workflow_node.sub_workflow_ref", "not among"),
        (
            wf(task_node("n0", "a"), branch("n1", default="")),
            "spec.template.nodes[1].branch_node.if_else", "else_node or an error",
        ),
        (
            wf(task_node("n0", "a"), branch("n1", condition=CONDITION.replace('"c"', '"other"'))),
            "spec.template.nodes[1].branch_node.if_else.case.condition.comparison.left_value.var", "no input of the branch",
        ),
        (
            wf(task_node("n0", "a"), branch("n1", condition="")),
            "spec.template.nodes[1].branch_node.if_else.case.condition", "required",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_path(found: Any, path: str, says: str) -> None:
    status, where, message = refusal(found)
    assert (status, where) == (INVALID_ARGUMENT, path) and says in message, (where, message)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('gate_node { sleep { duration { seconds: 1 } } }', "gate node"),
        ('workflow_node { launchplan_ref { name: "x" } }', "launch plan node"),
        ('array_node { node { id: "m" workflow_node { launchplan_ref { name: "x" } } } }', "array node over a workflow node"),
    ],
)  # fmt: skip
def test_kinds_that_are_not_interpreted_are_named(text: str, kind: str) -> None:
    status, path, message = refusal(wf(task_node("n0", "a"), node("odd", text)))
    assert status == UNIMPLEMENTED and path is not None and path.startswith("spec.template.nodes[1].")
    assert f"the node 'odd' is a {kind}" in message
    nested = f'branch_node {{ if_else {{ case {{ {CONDITION} then_node {{ id: "deep" {text} }} }} }} }}'
    status, path, message = refusal(wf(node("n1", nested)))
    assert status == UNIMPLEMENTED and "'deep'" in message


def test_an_error_handler_is_refused_and_not_forgotten() -> None:
    found = wf(task_node("n0", "a"))
    found.template.failure_node.CopyFrom(task_node("efn0", "a"))
    assert refusal(found)[:2] == (UNIMPLEMENTED, "spec.template.failure_node")


def test_outputs_are_bound_once_and_all() -> None:
    found = wf(task_node("n0", "a"), outputs={"o0": "n0.o0"})
    found.template.outputs.append(binding("o0", "n0.o0"))
    assert refusal(found)[1] == "spec.template.outputs[1].var"
    found.template.ClearField("outputs")
    assert refusal(found)[1] == "spec.template.outputs"
    found.template.outputs.append(binding("other", "n0.o0"))
    assert refusal(found)[1] == "spec.template.outputs[0].var"


def test_sub_workflows_that_contain_each_other() -> None:
    one = template("one", sub("n0", "two"))
    two = template("two", sub("n0", "one"))
    status, path, message = refusal(spec(template("w", sub("n0", "one")), one, two))
    assert (status, path) == (INVALID_ARGUMENT, "spec.sub_workflows") and "p/d/one/v1" in message
    assert refusal(spec(template("w", sub("n0", "one")), template("one", task_node("n0", "a")), template("one")))[
        1
    ] == ("spec.sub_workflows[1].id")
    odd = spec(template("w", sub("n0", "one", x="1")), template("one", task_node("n0", "a", x="n5.o0")))
    assert refusal(odd)[1] == "spec.sub_workflows[0].nodes[0].inputs[0].binding.promise.node_id"
