"""Bindings, parts of values, conditions: what nodes are given, of whatever form it is."""

from __future__ import annotations

from typing import Any

import pytest
from flyteidl.core import condition_pb2, literals_pb2, types_pb2
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from heliostat.dialects.flyte.executions import attributes
from heliostat.dialects.flyte.executions.conditions import ConditionFailed, choose, holds
from heliostat.dialects.flyte.executions.graph import Arm
from heliostat.dialects.flyte.executions.literals import BindingFailed, array_size, bind, collected, element, sources

from .literals import integer, literal, literal_map, packed, scalar, struct_literal, union


def promise(node: str, variable: str, *path: str | int) -> Any:
    rows = [
        types_pb2.PromiseAttribute(int_value=step)
        if isinstance(step, int)
        else types_pb2.PromiseAttribute(string_value=step)
        for step in path
    ]
    return literals_pb2.BindingData(promise=types_pb2.OutputReference(node_id=node, var=variable, attr_path=rows))


def bound(data: Any, **values: Any) -> Any:
    """What a variable ``x`` gets; values by node."""
    binding = literals_pb2.Binding(var="x", binding=data)
    return bind([binding], {name: dict(row.literals) for name, row in values.items()}).literals["x"]


def test_values_of_every_form_are_bound() -> None:
    data = text_format.Parse(
        'collection { bindings { scalar { primitive { integer: 1 } } } bindings { promise { node_id: "n0" var: "o" } } '
        'bindings { map { bindings { key: "k" value { promise { var: "i" } } } } } }',
        literals_pb2.BindingData(),
    )
    found = bound(data, n0=literal_map(o="two"), **{"start-node": literal_map(i=3)})
    assert found == literal([1, "two", {"k": 3}])
    assert sources([literals_pb2.Binding(var="x", binding=data)]) == {"n0", "start-node"}


@pytest.mark.parametrize(
    ("value", "path", "expected"),
    [
        (literal([1, [2, 3]]), (1, 0), literal(2)),
        (literal({"a": {"b": "c"}}), ("a", "b"), literal("c")),
        (literal({"a": [5]}), ("a", 0), literal(5)),
        (union([7]), (0,), literal(7)),
        (struct_literal({"a": {"b": [True, 2.5]}}), ("a", "b", 0), literal(True)),
        (struct_literal({"a": {"b": [True, 2.5]}}), ("a", "b", 1), literal(2.5)),
        (struct_literal({"a": {"b": [True]}}), ("a",), struct_literal({"b": [True]})),
        (struct_literal({"a": ["x"]}), ("a",), literal(["x"])),
        (struct_literal({"a": None}), ("a",), literal(None)),
        (literal(packed({"a": {"b": [1, "two"]}})), ("a", "b", 1), literal(packed("two"))),
        (literal(packed({"a": 1, "list": [{"c": 2.5}]})), ("list", 0), literal(packed({"c": 2.5}))),
    ],
)
def test_a_part_of_a_value(value: Any, path: tuple[str | int, ...], expected: Any) -> None:
    found = bound(promise("n0", "o", *path), n0=literal_map(o=value))
    assert found == expected


@pytest.mark.parametrize(
    ("value", "path", "says"),
    [
        (literal([1]), (1,), "'x': o of node n0[1]: there is no element 1 among 1"),
        (literal([1]), ("a",), "'x': o of node n0.a: a list has no 'a'"),
        (literal({"a": 1}), ("b",), "'x': o of node n0.b: there is no 'b' in it"),
        (literal({"a": 1}), ("a", 0), "'x': o of node n0.a[0]: it has no parts at .a"),
        (struct_literal({"a": [1]}), ("a", 3), "'x': o of node n0.a[3]: there is no element 3 among 1 at .a"),
        (literal(packed({"a": [1]})), ("a", 3), "'x': o of node n0.a[3]: there is no element 3 among 1 at .a"),
        (literal(packed({"a": [1]})), ("b",), "'x': o of node n0.b: there is no 'b' in it"),
        (literal(b"\x81\xa1a"), ("a",), "'x': o of node n0.a: it is not well-formed MessagePack"),
    ],
)
def test_a_part_that_is_not_there_is_named(value: Any, path: tuple[str | int, ...], says: str) -> None:
    with pytest.raises(BindingFailed) as caught:
        bound(promise("n0", "o", *path), n0=literal_map(o=value))
    assert str(caught.value) == says


def test_an_output_or_input_that_is_not_there_is_named() -> None:
    with pytest.raises(BindingFailed, match="'x': node n0 has put out no 'p'"):
        bound(promise("n0", "p"), n0=literal_map(o=1))
    with pytest.raises(BindingFailed, match="'x': there is no input 'p'"):
        bound(promise("", "p"), **{"start-node": literal_map(o=1)})


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=200),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20),
    max_leaves=20,
)


@given(data=st.data(), value=JSON)
def test_any_part_is_cut_out_of_messagepack(data: st.DataObject, value: Any) -> None:
    path: list[str | int] = []
    whole = value
    while isinstance(value, list | dict) and value and data.draw(st.booleans()):
        step = data.draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
        path.append(step)
        value = value[step]
    assert attributes.cut(packed(whole), path) == packed(value)
    if not isinstance(value, list | dict | bytes):
        assert attributes.simple(packed(value)) == value


@given(data=st.binary(max_size=60), path=st.lists(st.integers(0, 3) | st.text(max_size=2), max_size=3))
def test_whatever_is_no_messagepack_is_refused_in_words(data: bytes, path: list[str | int]) -> None:
    try:
        attributes.cut(data, path)
    except attributes.NoSuchPart as error:
        assert str(error)


def test_very_deep_messagepack_is_refused() -> None:
    with pytest.raises(attributes.NoSuchPart, match="too deeply"):
        attributes.cut(b"\x91" * 100_000 + b"\x01", [])


# --- map tasks ------------------------------------------------------------------------------------------------------------


def test_the_elements_of_a_map_task() -> None:
    inputs = literal_map(xs=[1, 2], ys=["a", "b"], whole=[7, 8, 9], same=5)
    assert array_size(inputs, frozenset({"whole"})) == 2
    assert element(inputs, frozenset({"whole"}), 1) == literal_map(xs=2, ys="b", whole=[7, 8, 9], same=5)
    with pytest.raises(BindingFailed, match="whole has 3, xs has 2"):
        array_size(inputs, frozenset({"ys"}))
    with pytest.raises(BindingFailed, match="none of its inputs is a list"):
        array_size(literal_map(x=1), frozenset())


def test_the_outputs_of_a_map_task_are_lists_with_nothing_for_what_failed() -> None:
    found = collected(["o0"], [literal_map(o0=1), None, literal_map(o0=3)])
    assert found == literal_map(o0=[1, None, 3])
    assert collected(["o0"], []) == literal_map(o0=[])
    with pytest.raises(BindingFailed, match="element 0 has put out no 'o1'"):
        collected(["o1"], [literal_map(o0=1)])


# --- conditions -----------------------------------------------------------------------------------------------------------


def compare(left: Any, operator: str, right: Any) -> Any:
    return condition_pb2.BooleanExpression(
        comparison=condition_pb2.ComparisonExpression(
            operator=operator, left_value=operand(left), right_value=operand(right)
        )
    )


def operand(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("$"):
        return condition_pb2.Operand(var=value[1:])
    if value is None:
        return condition_pb2.Operand(scalar=scalar(None))
    return condition_pb2.Operand(primitive=scalar(value).primitive)


INPUTS = literal_map(n=4, f=4.0, s="text", yes=True, nothing=None, maybe=union(9), of_class=packed(4), rows=[1])


@pytest.mark.parametrize(
    ("left", "operator", "right", "expected"),
    [
        ("$n", "EQ", 4, True), ("$n", "NEQ", 4, False), ("$n", "GT", 3, True), ("$n", "GTE", 4, True),
        ("$n", "LT", 4, False), ("$n", "LTE", 4, True), ("$n", "EQ", "$f", True), ("$s", "EQ", "text", True),
        ("$s", "LT", "u", True), ("$yes", "EQ", True, True), ("$yes", "NEQ", True, False),
        ("$nothing", "EQ", None, True), ("$n", "EQ", None, False), ("$n", "NEQ", None, True),
        ("$maybe", "GT", 8, True), ("$of_class", "EQ", 4, True), (3, "LT", "$n", True),
    ],
)  # fmt: skip
def test_comparisons(left: Any, operator: str, right: Any, expected: bool) -> None:
    assert holds(compare(left, operator, right), INPUTS) is expected


@pytest.mark.parametrize(
    ("left", "operator", "right", "says"),
    [
        ("$n", "EQ", "4", "cannot be compared"),
        ("$yes", "GT", True, "cannot be compared"),
        ("$yes", "EQ", 1, "cannot be compared"),
        ("$nothing", "LT", 3, "cannot be compared"),
        ("$n", "EQ", "x" * 1000, r"^4 == 'x{80}'\.\.\. cannot be compared$"),
        ("$rows", "EQ", 1, "'rows' is no simple value"),
        ("$gone", "EQ", 1, "'gone', which is not there"),
    ],
)
def test_what_cannot_be_compared_is_told(left: Any, operator: str, right: Any, says: str) -> None:
    with pytest.raises(ConditionFailed, match=says):
        holds(compare(left, operator, right), INPUTS)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("right", [True, False])
def test_conjunctions(left: bool, right: bool) -> None:
    def both(operator: str) -> Any:
        return condition_pb2.BooleanExpression(
            conjunction=condition_pb2.ConjunctionExpression(
                operator=operator,
                left_expression=compare("$yes", "EQ", left),
                right_expression=compare("$yes", "EQ", right),
            )
        )

    assert holds(both("AND"), INPUTS) is (left and right)
    assert holds(both("OR"), INPUTS) is (left or right)


def test_the_first_arm_that_holds_is_taken() -> None:
    arms = [Arm(compare("$n", "GT", 5), "a"), Arm(compare("$n", "GT", 3), "b"), Arm(compare("$n", "GT", 2), "c")]
    assert choose(arms, INPUTS) == 1
    assert choose(arms[:1], INPUTS) is None
    assert choose([arms[0], Arm(None, "else")], INPUTS) == 1


def test_an_integer_comes_out_as_one() -> None:
    assert integer(bound(promise("n0", "o"), n0=literal_map(o=5))) == 5
