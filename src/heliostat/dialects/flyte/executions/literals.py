"""Bindings: from what nodes have put out to what a node is given.

Types are not looked at: flytekit has checked them when the workflow was made, and tells again when a task reads its inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flyteidl.core import literals_pb2

from . import attributes
from .graph import START, promises

# flyteidl ships no types that are checked, so its messages are Any here.
Message = Any


class BindingFailed(Exception):
    """The message names the variable; who asks knows the node."""


def sources(bindings: Iterable[Message]) -> set[str]:
    """Ids of the nodes whose outputs are needed; the start node stands for the inputs."""
    found = {ref.node_id or START for binding in bindings for ref in promises(binding.binding)}
    return found


def bind(bindings: Iterable[Message], values: Mapping[str, Mapping[str, Message]]) -> Message:
    """The core.LiteralMap that core.Bindings make of what their source nodes have put out. Raises BindingFailed."""
    bound = literals_pb2.LiteralMap()
    for binding in bindings:
        try:
            bound.literals[binding.var].CopyFrom(_value(binding.binding, values))
        except BindingFailed as error:
            raise BindingFailed(f"{binding.var!r}: {error}") from error
    return bound


def _value(data: Message, values: Mapping[str, Mapping[str, Message]]) -> Message:
    which = data.WhichOneof("value")
    if which == "scalar":
        return literals_pb2.Literal(scalar=data.scalar)
    if which == "offloaded_metadata":
        return literals_pb2.Literal(offloaded_metadata=data.offloaded_metadata)
    if which == "collection":
        rows = [_value(part, values) for part in data.collection.bindings]
        return literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=rows))
    if which == "map":
        made = literals_pb2.Literal(map=literals_pb2.LiteralMap())
        for name, part in data.map.bindings.items():
            made.map.literals[name].CopyFrom(_value(part, values))
        return made
    if which == "promise":
        return _promised(data.promise, values)
    raise BindingFailed("nothing is bound to it")


def _promised(ref: Message, values: Mapping[str, Mapping[str, Message]]) -> Message:
    given = values.get(ref.node_id or START, {})
    from_start = ref.node_id in ("", START)
    if ref.var not in given:
        if from_start:
            raise BindingFailed(f"there is no input {ref.var!r}")
        raise BindingFailed(f"node {ref.node_id} has put out no {ref.var!r}")
    path = attributes.steps(ref.attr_path)
    try:
        return attributes.part(given[ref.var], path)
    except attributes.NoSuchPart as error:
        whose = f"the input {ref.var}" if from_start else f"{ref.var} of node {ref.node_id}"
        raise BindingFailed(f"{whose}{attributes.shown(path)}: {error}") from error


def array_size(inputs: Message, bound: frozenset[str]) -> int:
    """How many elements a map task has: the length of its lists, which must be one. Raises BindingFailed."""
    sizes = {
        name: len(value.collection.literals)
        for name, value in inputs.literals.items()
        if name not in bound and value.WhichOneof("value") == "collection"
    }
    if not sizes:
        raise BindingFailed("none of its inputs is a list")
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} has {size}" for name, size in sorted(sizes.items()))
        raise BindingFailed(f"its lists differ in length: {told}")
    return next(iter(sizes.values()))


def element(inputs: Message, bound: frozenset[str], index: int) -> Message:
    """The inputs of one element of a map task."""
    made = literals_pb2.LiteralMap()
    for name, value in inputs.literals.items():
        listed = name not in bound and value.WhichOneof("value") == "collection"
        made.literals[name].CopyFrom(value.collection.literals[index] if listed else value)
    return made


def collected(names: Iterable[str], rows: Iterable[Message | None]) -> Message:
    """The outputs of a map task: for each name a list; an element that has failed, None, gives nothing."""
    made = literals_pb2.LiteralMap()
    listed = list(rows)
    for name in names:
        made.literals[name].collection.SetInParent()
        for index, row in enumerate(listed):
            value = made.literals[name].collection.literals.add()
            if row is None:
                value.scalar.none_type.SetInParent()
            elif name not in row.literals:
                raise BindingFailed(f"element {index} has put out no {name!r}")
            else:
                value.CopyFrom(row.literals[name])
    return made
