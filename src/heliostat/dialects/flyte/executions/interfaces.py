"""Inputs of an execution against the interface of what it runs: names, simple types, defaults. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flyteidl.core import literals_pb2, types_pb2

from ..errors import FlyteError, invalid
from .attributes import unwrapped

# flyteidl ships no types that are checked, so its messages are Any here.
Message = Any

_PRIMITIVES = {
    types_pb2.INTEGER: "integer",
    types_pb2.FLOAT: "float_value",
    types_pb2.STRING: "string_value",
    types_pb2.BOOLEAN: "boolean",
    types_pb2.DATETIME: "datetime",
    types_pb2.DURATION: "duration",
}
_SCALARS = {"blob": ("blob",), "schema": ("schema",), "structured_dataset_type": ("structured_dataset", "schema")}


def task_inputs(interface: Message, given: Message) -> Message:
    """The inputs (core.LiteralMap) of a task that is run by itself. Raises FlyteError naming the input."""
    variables = interface.inputs.variables
    _check_names(given, variables)
    return _complete(variables, dict(given.literals))


def plan_inputs(interface: Message, defaults: Message, fixed: Message, given: Message) -> Message:
    """The inputs of a workflow by a launch plan: its fixed ones, those given, its defaults. Raises FlyteError."""
    variables = interface.inputs.variables
    for name in sorted(given.literals):
        if name in fixed.literals:
            raise invalid(f"inputs.{name}", "is fixed by the launch plan and cannot be given")
    _check_names(given, variables)
    values = {name: row.default for name, row in defaults.parameters.items() if row.WhichOneof("behavior") == "default"}
    values = {name: value for name, value in values.items() if name in variables}
    fixed_ones = {name: value for name, value in fixed.literals.items() if name in variables}
    return _complete(variables, {**values, **given.literals, **fixed_ones})


def _check_names(given: Message, variables: Mapping[str, Message]) -> None:
    for name in sorted(given.literals):
        if name not in variables:
            known = ", ".join(sorted(variables)) or "none"
            raise invalid(f"inputs.{name}", f"there is no such input; there are: {known}")


def _complete(variables: Mapping[str, Message], values: Mapping[str, Message]) -> Message:
    made = literals_pb2.LiteralMap()
    for name in sorted(variables):
        kind = variables[name].type
        if name not in values:
            raise _missing(name, kind)
        if not fits(values[name], kind):
            raise invalid(f"inputs.{name}", f"must be {shown(kind)}, not {_shown_value(values[name])}")
        made.literals[name].CopyFrom(values[name])
    return made


def _missing(name: str, kind: Message) -> FlyteError:
    return invalid(f"inputs.{name}", f"is required: {shown(kind)}")


def fits(value: Message, kind: Message) -> bool:
    """Whether a core.Literal is of a core.LiteralType, as far as can be seen without reading what it points to."""
    which = value.WhichOneof("value")
    if which == "offloaded_metadata":
        return True
    wanted = kind.WhichOneof("type")
    if wanted == "union_type":
        inner = unwrapped(value)
        return any(fits(value, variant) or fits(inner, variant) for variant in kind.union_type.variants)
    if wanted == "collection_type":
        return which == "collection" and all(fits(part, kind.collection_type) for part in value.collection.literals)
    if wanted == "map_value_type":
        return which == "map" and all(fits(part, kind.map_value_type) for part in value.map.literals.values())
    if which != "scalar":
        return wanted is None
    scalar = value.scalar.WhichOneof("value")
    if wanted == "simple":
        return _fits_simple(value.scalar, scalar, kind.simple)
    if wanted == "enum_type":
        return scalar == "primitive" and value.scalar.primitive.string_value in kind.enum_type.values
    return wanted is None or scalar in _SCALARS[wanted]


def _fits_simple(scalar: Message, which: str | None, simple: int) -> bool:
    if simple == types_pb2.NONE:
        return which == "none_type"
    if simple in _PRIMITIVES:
        return which == "primitive" and scalar.primitive.WhichOneof("value") == _PRIMITIVES[simple]
    if simple == types_pb2.STRUCT:  # dataclasses come as MessagePack since flytekit 1.14
        return which in ("generic", "binary")
    if simple == types_pb2.BINARY:
        return which == "binary"
    return which == "error"


def shown(kind: Message) -> str:
    """A type in words."""
    match kind.WhichOneof("type"):
        case "simple":
            return str(types_pb2.SimpleType.Name(kind.simple)).lower()
        case "collection_type":
            return f"a list of {shown(kind.collection_type)}"
        case "map_value_type":
            return f"a map to {shown(kind.map_value_type)}"
        case "union_type":
            return " or ".join(shown(variant) for variant in kind.union_type.variants)
        case "enum_type":
            return f"one of {', '.join(kind.enum_type.values)}"
        case None:
            return "anything"
        case other:
            return f"a {str(other).removesuffix('_type').replace('_', ' ')}"


def _shown_value(value: Message) -> str:
    """What it is, without what it says: it may be a secret."""
    value = unwrapped(value)
    which = value.WhichOneof("value")
    if which == "collection":
        return "a list"
    if which != "scalar":
        return f"a {which or 'missing value'}"
    scalar = value.scalar.WhichOneof("value") or "missing value"
    kind = value.scalar.primitive.WhichOneof("value") if scalar == "primitive" else scalar
    return f"a value of kind {str(kind or scalar).removesuffix('_value').removesuffix('_type')}"
