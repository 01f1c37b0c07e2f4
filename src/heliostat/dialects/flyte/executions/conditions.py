"""Conditions of branches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from flyteidl.core import condition_pb2

from . import attributes
from .graph import Arm

# flyteidl ships no types that are checked, so its messages are Any here.
Message = Any
Value = int | float | str | bool | datetime | timedelta | None

_Comparison = condition_pb2.ComparisonExpression
_OPERATORS: dict[int, Callable[[Any, Any], bool]] = {  # any two values of one kind
    _Comparison.EQ: eq,
    _Comparison.NEQ: ne,
    _Comparison.GT: gt,
    _Comparison.GTE: ge,
    _Comparison.LT: lt,
    _Comparison.LTE: le,
}
_SIGNS = {
    _Comparison.EQ: "==",
    _Comparison.NEQ: "!=",
    _Comparison.GT: ">",
    _Comparison.GTE: ">=",
    _Comparison.LT: "<",
    _Comparison.LTE: "<=",
}
LONGEST = 80
"""Characters of a text that a message quotes."""
_EPOCH = datetime.fromtimestamp(0, UTC)


class ConditionFailed(Exception):
    """It cannot be said whether it holds."""


def choose(arms: Sequence[Arm], inputs: Message) -> int | None:
    """The first arm whose condition holds of the branch's inputs (core.LiteralMap); None = none. Raises ConditionFailed."""
    for index, arm in enumerate(arms):
        if arm.condition is None or holds(arm.condition, inputs):
            return index
    return None


def holds(expression: Message, inputs: Message) -> bool:
    """A core.BooleanExpression."""
    which = expression.WhichOneof("expr")
    if which == "comparison":
        return _compare(expression.comparison, inputs)
    if which == "conjunction":
        both = expression.conjunction
        left = holds(both.left_expression, inputs)
        if both.operator == condition_pb2.ConjunctionExpression.AND:
            return left and holds(both.right_expression, inputs)
        return left or holds(both.right_expression, inputs)
    raise ConditionFailed("a condition is empty")


def _compare(comparison: Message, inputs: Message) -> bool:
    left = _operand(comparison.left_value, inputs)
    right = _operand(comparison.right_value, inputs)
    operator = comparison.operator
    if operator not in _OPERATORS:
        raise ConditionFailed(f"there is no comparison {operator}")
    if left is None or right is None:
        if operator == _Comparison.EQ:
            return left is right
        if operator == _Comparison.NEQ:
            return left is not right
    if _kind(left) != _kind(right) or (_kind(left) in ("none", "boolean") and operator > _Comparison.NEQ):
        raise ConditionFailed(f"{_shown(left)} {_SIGNS[operator]} {_shown(right)} cannot be compared")
    return _OPERATORS[operator](left, right)


def _operand(operand: Message, inputs: Message) -> Value:
    which = operand.WhichOneof("val")
    if which == "primitive":
        return _primitive(operand.primitive)
    if which == "scalar":
        return _scalar(operand.scalar, "a value")
    if which != "var":
        raise ConditionFailed("a condition compares nothing")
    if operand.var not in inputs.literals:
        raise ConditionFailed(f"a condition asks for {operand.var!r}, which is not there")
    value = attributes.unwrapped(inputs.literals[operand.var])
    if value.WhichOneof("value") != "scalar":
        raise ConditionFailed(f"{operand.var!r} is no simple value")
    return _scalar(value.scalar, repr(operand.var))


def _scalar(scalar: Message, name: str) -> Value:
    which = scalar.WhichOneof("value")
    if which == "primitive":
        return _primitive(scalar.primitive)
    if which == "none_type":
        return None
    if which == "union":
        return _scalar(attributes.unwrapped(scalar.union.value).scalar, name)
    if which == "binary" and scalar.binary.tag == attributes.MESSAGEPACK:
        try:
            return attributes.simple(scalar.binary.value)
        except attributes.NoSuchPart as error:
            raise ConditionFailed(f"{name}: {error}") from error
    raise ConditionFailed(f"{name} is no simple value")


def _primitive(primitive: Message) -> Value:
    which = primitive.WhichOneof("value")
    if which is None:
        return None
    if which == "datetime":
        return _EPOCH + timedelta(microseconds=primitive.datetime.ToNanoseconds() // 1000)
    if which == "duration":
        return timedelta(microseconds=primitive.duration.ToNanoseconds() // 1000)
    value: Value = getattr(primitive, which)
    return value


def _shown(value: Value) -> str:
    """For a message, which is stored with the execution."""
    text = repr(value[:LONGEST] if isinstance(value, str) else value)
    return f"{text}..." if isinstance(value, str) and len(value) > LONGEST else text


def _kind(value: Value) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__
