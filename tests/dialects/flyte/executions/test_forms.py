"""Interfaces, templates as they are run, and the document."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flyteidl.core import interface_pb2, literals_pb2, tasks_pb2, types_pb2, workflow_pb2

from heliostat.dialects.flyte.errors import FlyteError
from heliostat.dialects.flyte.executions.interfaces import fits, plan_inputs, shown, task_inputs
from heliostat.dialects.flyte.executions.layout import Layout
from heliostat.dialects.flyte.executions.phases import ExecutionPhase, NodePhase
from heliostat.dialects.flyte.executions.rendering import Attempted, asks_for_inputs, overridden, rendered
from heliostat.dialects.flyte.executions.state import (
    Abort,
    Attempt,
    Execution,
    Fault,
    NodeState,
    Options,
    State,
    Target,
    read_execution,
)
from heliostat.dialects.flyte.runs import Link, Phase
from heliostat.domain.errors import NotReady
from heliostat.domain.ids import WorkspaceId

from .literals import literal, literal_map, packed, struct_literal, union
from .machine import node

INTEGER = types_pb2.LiteralType(simple=types_pb2.INTEGER)
STRING = types_pb2.LiteralType(simple=types_pb2.STRING)
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def interface(**kinds: Any) -> Any:
    made = interface_pb2.TypedInterface()
    for name, kind in kinds.items():
        made.inputs.variables[name].type.CopyFrom(kind)
    return made


OF = types_pb2.LiteralType
KINDS = [
    (INTEGER, 1, "1"),
    (OF(simple=types_pb2.FLOAT), 1.5, 1),
    (STRING, "a", None),
    (OF(simple=types_pb2.BOOLEAN), True, 1),
    (OF(simple=types_pb2.NONE), None, 1),
    (OF(simple=types_pb2.STRUCT), struct_literal({"a": 1}), 1),
    (OF(simple=types_pb2.STRUCT), literal(packed({"a": 1})), [1]),
    (OF(collection_type=INTEGER), [1, 2], [1, "2"]),
    (OF(collection_type=INTEGER), [], {}),
    (OF(map_value_type=STRING), {"a": "b"}, {"a": 1}),
    (OF(enum_type=types_pb2.EnumType(values=["red", "blue"])), "red", "green"),
    (OF(union_type=types_pb2.UnionType(variants=[INTEGER, OF(simple=types_pb2.NONE)])), union(1), "a"),
    (OF(union_type=types_pb2.UnionType(variants=[INTEGER, OF(simple=types_pb2.NONE)])), None, union("a")),
]


@pytest.mark.parametrize(("kind", "good", "bad"), KINDS)
def test_values_of_the_right_kind_and_of_another(kind: Any, good: Any, bad: Any) -> None:
    def value(found: Any) -> Any:
        return found if isinstance(found, literals_pb2.Literal) else literal(found)

    assert fits(value(good), kind) and not fits(value(bad), kind)
    with pytest.raises(FlyteError) as caught:
        task_inputs(interface(x=kind), literal_map(x=value(bad)))
    assert caught.value.path == "inputs.x" and shown(kind) in caught.value.message


@pytest.mark.parametrize(
    ("given", "path", "says"),
    [
        ({"x": 1}, "inputs.s", "is required: string"),
        ({"x": 1, "s": "a", "z": 1}, "inputs.z", "no such input; there are: s, x"),
        ({"x": "secret", "s": "a"}, "inputs.x", "must be integer, not a value of kind string"),
    ],
)
def test_inputs_that_do_not_fit_are_named(given: dict[str, Any], path: str, says: str) -> None:
    with pytest.raises(FlyteError) as caught:
        task_inputs(interface(x=INTEGER, s=STRING), literal_map(**given))
    assert caught.value.path == path and says in caught.value.message and "secret" not in caught.value.message


def test_a_launch_plan_fills_in_what_is_not_given() -> None:
    defaults = interface_pb2.ParameterMap()
    defaults.parameters["a"].default.CopyFrom(literal(1))
    defaults.parameters["b"].default.CopyFrom(literal(2))
    defaults.parameters["c"].required = True
    fixed = literal_map(d=4)
    four = interface(a=INTEGER, b=INTEGER, c=INTEGER, d=INTEGER)
    assert plan_inputs(four, defaults, fixed, literal_map(b=20, c=3)) == literal_map(a=1, b=20, c=3, d=4)
    with pytest.raises(FlyteError, match=r"inputs\.c: is required"):
        plan_inputs(four, defaults, fixed, literal_map())
    with pytest.raises(FlyteError, match=r"inputs\.d: is fixed by the launch plan"):
        plan_inputs(four, defaults, fixed, literal_map(c=3, d=5))


# --- templates ------------------------------------------------------------------------------------------------------------

PLACES = Attempted(
    "s3://b/e/n0/inputs.pb", "s3://b/e/n0/1", "s3://raw/e-n0-1", "s3://raw/e-n0-0/_flytecheckpoints", "abc", "p-d",
    literal_map(x=5, flag=True, rows=[1, 2], nested={"a": 1}).literals,
)  # fmt: skip


def container(*args: str) -> Any:
    return tasks_pb2.TaskTemplate(container=tasks_pb2.Container(image="i", args=args))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{.input}}", "s3://b/e/n0/inputs.pb"),
        ("{{ .Input }}", "s3://b/e/n0/inputs.pb"),
        ("{{$outputPrefix}}", "s3://b/e/n0/1"),
        ("{{.inputPrefix}}", "s3://b/e/n0"),
        ("{{.rawOutputDataPrefix}}", "s3://raw/e-n0-1"),
        ("{{.checkpointOutputPrefix}}", "s3://raw/e-n0-1/_flytecheckpoints"),
        ("{{.prevCheckpointPrefix}}", "s3://raw/e-n0-0/_flytecheckpoints"),
        ("{{.perRetryUniqueKey}}-{{.namespace}}", "abc-p-d"),
        ("{{.inputs.x}}/{{.Inputs.flag}}/{{.inputs.rows}}", "5/true/[1,2]"),
        ("{{ not a variable }} {single}", "{{ not a variable }} {single}"),
        ("", ""),
    ],
)
def test_variables_are_filled(text: str, expected: str) -> None:
    assert list(rendered(container(text), PLACES).container.args) == [expected]


def test_the_first_attempt_has_no_checkpoint_before_it() -> None:
    found = rendered(container("{{.prevCheckpointPrefix}}"), replace(PLACES, previous_checkpoint=None))
    assert list(found.container.args) == ['""']


@pytest.mark.parametrize("text", ["{{.unheard}}", "{{.inputs.gone}}", "{{.inputs.nested}}", "{{.input.x}}"])
def test_variables_that_are_not_there_are_named(text: str) -> None:
    with pytest.raises(FlyteError, match=r"\{\{\."):
        rendered(container(text), PLACES)


def test_commands_in_pods_are_filled_too() -> None:
    found = tasks_pb2.TaskTemplate()
    one = found.k8s_pod.pod_spec.get_or_create_list("containers").add_struct()
    one["name"], one["args"] = "primary", ["--inputs", "{{.input}}"]
    assert asks_for_inputs(found) is False
    row = rendered(found, PLACES).k8s_pod.pod_spec["containers"][0]
    assert list(row["args"]) == ["--inputs", "s3://b/e/n0/inputs.pb"]


def test_what_with_overrides_says_is_taken_in() -> None:
    overrides = workflow_pb2.TaskNodeOverrides(container_image="other")
    overrides.resources.requests.add(name=tasks_pb2.Resources.CPU, value="3")
    overrides.extended_resources.gpu_accelerator.device = "a100"
    before = container("x")
    found = overridden(before, replace(node("n0"), overrides=overrides, timeout=timedelta(seconds=9)))
    assert (found.container.image, found.container.resources.requests[0].value) == ("other", "3")
    assert found.extended_resources.gpu_accelerator.device == "a100" and found.metadata.timeout.seconds == 9
    assert before.container.image == "i"
    pod = tasks_pb2.TaskTemplate(k8s_pod=tasks_pb2.K8sPod())
    with pytest.raises(FlyteError, match=r"overrides\.container_image"):
        overridden(pod, replace(node("n0"), overrides=overrides))


# --- the document ---------------------------------------------------------------------------------------------------------


def test_everything_in_the_document_comes_back() -> None:
    attempt = Attempt(
        1, NOW, "rj-1", Phase.RETRYABLE_FAILED, True, True, "m", "c", "USER", NOW, NOW, NOW,
        (Link("n", "u", True, True),), {"a": "b"},
    )  # fmt: skip
    nodes = {
        "n0": NodeState(
            NodePhase.FAILED, NOW, NOW, NOW, NOW, None, 2, {0: (Attempt(0, NOW), attempt), 7: ()}, Fault("c", "m")
        ),
        "n1": NodeState(NodePhase.RUNNING, NOW, NOW, arm=0),
    }
    state = State(
        ExecutionPhase.ABORTING, NOW, NOW, NOW, NOW, nodes, Fault("c", "m", "SYSTEM", "n0"), Abort("why", "anna", NOW)
    )
    options = Options(3, "s3://raw", {"A": "b"}, {"l": "m"}, {"n": "o"}, "sa")
    one = Execution("p", "d", "e", Target("task", "p", "d", "t", "v"), b"\x00spec", "key", "file:///i", options, state)
    assert read_execution(one.write()) == one


def test_a_document_of_a_newer_server_is_left_alone() -> None:
    with pytest.raises(NotReady, match="newer server"):
        read_execution(b'{"v":2}')


def test_values_of_different_things_never_share_a_place() -> None:
    one = Layout.of("file:///srv/flyte", WorkspaceId("w-1"), "p/q", "..", "e")
    assert one.base == "file:///srv/flyte/data/w-1/p%2Fq/%2E%2E/e"
    assert one.prefix("n0", 2) == f"{one.base}/n0/2" and one.prefix("n0", 2, 5) == f"{one.base}/n0/5/2"
