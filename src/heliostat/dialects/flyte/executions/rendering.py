"""A task's template as one attempt of it is run: overrides of its node taken in, variables in its command filled (Flyte contract,
section 5.2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

from ..errors import invalid
from .graph import Node

# flyteidl ships no types that are checked, so its messages are Any here.
Message = Any

_VARIABLE = re.compile(r"\{\{\s*[.$]([A-Za-z]+)(?:\.([^}\s]+))?\s*\}\}")
NO_CHECKPOINT = '""'
CHECKPOINTS = "_flytecheckpoints"
_PLAIN = {"integer", "float_value", "string_value", "boolean", "datetime", "duration"}


@dataclass(frozen=True)
class Attempted:
    """What the variables stand for."""

    inputs: str
    """URL of inputs.pb."""
    output_prefix: str
    raw_prefix: str
    previous_checkpoint: str | None
    unique: str
    """A word that no other attempt has."""
    namespace: str
    values: Mapping[str, Message]
    """Inputs by name, where the command asks for some; core.Literal."""


def overridden(template: Message, node: Node) -> Message:
    """The template with what ``with_overrides`` says."""
    made = type(template)()
    made.CopyFrom(template)
    if node.timeout is not None:
        made.metadata.timeout.FromTimedelta(node.timeout)
    overrides = node.overrides
    if overrides is None:
        return made
    if overrides.container_image:
        if made.WhichOneof("target") != "container":
            raise invalid(
                "overrides.container_image", "is for tasks without a pod template; give the image to the task itself"
            )
        made.container.image = overrides.container_image
    if overrides.resources.requests or overrides.resources.limits:
        if made.WhichOneof("target") != "container":
            raise invalid("overrides.resources", "are for tasks without a pod template; give them to the task itself")
        made.container.resources.CopyFrom(overrides.resources)
    if overrides.HasField("extended_resources"):
        made.extended_resources.CopyFrom(overrides.extended_resources)
    return made


def asks_for_inputs(template: Message) -> bool:
    return any(name.lower() == "inputs" for text in _texts(template) for name, _ in _VARIABLE.findall(text))


def rendered(template: Message, attempted: Attempted) -> Message:
    """A template (its own copy) with every variable in its commands filled. Raises FlyteError for one that is not known."""

    def fill(text: str) -> str:
        return _VARIABLE.sub(lambda found: _value(found[1], found[2], attempted), text)

    if template.WhichOneof("target") == "k8s_pod":
        for container in _containers(template):
            for field in ("command", "args"):
                for value in container.fields[field].list_value.values if field in container.fields else ():
                    if value.WhichOneof("kind") == "string_value":
                        value.string_value = fill(value.string_value)
    else:
        for row in (template.container.command, template.container.args):
            row[:] = [fill(text) for text in row]
    return template


def _value(name: str, rest: str | None, attempted: Attempted) -> str:
    known: dict[str, Callable[[], str]] = {
        "input": lambda: attempted.inputs,
        "inputprefix": lambda: attempted.inputs.rpartition("/")[0],
        "outputprefix": lambda: attempted.output_prefix,
        "rawoutputdataprefix": lambda: attempted.raw_prefix,
        "checkpointoutputprefix": lambda: checkpoint(attempted.raw_prefix),
        "prevcheckpointprefix": lambda: attempted.previous_checkpoint or NO_CHECKPOINT,
        "perretryuniquekey": lambda: attempted.unique,
        "namespace": lambda: attempted.namespace,
    }
    if name.lower() == "inputs" and rest:
        return _input(rest, attempted)
    if rest or name.lower() not in known:
        raise invalid("template.container.args", f"there is no variable {{{{.{name}{'.' + rest if rest else ''}}}}}")
    return known[name.lower()]()


def checkpoint(raw_prefix: str) -> str:
    return f"{raw_prefix}/{CHECKPOINTS}"


def _input(name: str, attempted: Attempted) -> str:
    if name not in attempted.values:
        raise invalid("template.container.args", f"{{{{.inputs.{name}}}}}: there is no such input")
    return _plain(attempted.values[name], name)


def _plain(value: Message, name: str) -> str:
    which = value.WhichOneof("value")
    if which == "collection":
        return "[" + ",".join(_plain(part, name) for part in value.collection.literals) + "]"
    scalar = value.scalar.WhichOneof("value") if which == "scalar" else None
    if scalar == "primitive" and value.scalar.primitive.WhichOneof("value") in _PLAIN:
        kind = value.scalar.primitive.WhichOneof("value")
        found = getattr(value.scalar.primitive, kind)
        if kind in ("datetime", "duration"):
            return str(json_format.MessageToDict(found))
        return str(found).lower() if kind == "boolean" else str(found)
    if scalar == "blob":
        return str(value.scalar.blob.uri)
    raise invalid("template.container.args", f"{{{{.inputs.{name}}}}} is no plain value, and cannot stand in a command")


def _texts(template: Message) -> Iterable[str]:
    if template.WhichOneof("target") != "k8s_pod":
        return [*template.container.command, *template.container.args]
    return [
        value.string_value
        for container in _containers(template)
        for field in ("command", "args")
        if field in container.fields
        for value in container.fields[field].list_value.values
    ]


def _containers(template: Message) -> list[Message]:
    fields = template.k8s_pod.pod_spec.fields
    if "containers" not in fields:
        return []
    return [row.struct_value for row in fields["containers"].list_value.values]
