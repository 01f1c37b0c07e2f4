"""What flytepropeller writes for the variables in a task's arguments, and how it dresses pods (Flyte contract, 5.2 and 4.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flyteidl.core import literals_pb2
from google.protobuf import json_format, struct_pb2

PRIMARY = "primary_container_name"
"""In a template's ``config``: which container of its pod is the task's."""
NO_CHECKPOINT = '""'
"""Two quote characters, not nothing."""
CHECKPOINTS = "/_flytecheckpoints"


class Unrenderable(ValueError):
    """An argument asks for an input that the task is not given, or that cannot be an argument."""


@dataclass(frozen=True)
class Parameters:
    """What the variables stand for. All are URLs or paths, none ends with a slash."""

    input: str
    """``inputs.pb``."""
    output_prefix: str
    raw_output_prefix: str
    previous_checkpoint: str = ""
    unique_key: str = ""
    """Another one for each attempt."""
    template_path: str = ""
    namespace: str = ""
    inputs: Any = field(default_factory=literals_pb2.LiteralMap)
    """LiteralMap."""

    def values(self) -> Mapping[str, str]:
        return {
            "input": self.input,
            "inputprefix": self.input.rsplit("/", 1)[0],
            "outputprefix": self.output_prefix,
            "rawoutputdataprefix": self.raw_output_prefix,
            "checkpointoutputprefix": self.raw_output_prefix + CHECKPOINTS,
            "prevcheckpointprefix": self.previous_checkpoint or NO_CHECKPOINT,
            "perretryuniquekey": self.unique_key,
            "tasktemplatepath": self.template_path,
            "namespace": self.namespace,
        }


_VARIABLE = re.compile(r"\{\{\s*[.$](?P<name>[a-z]+)(?:\.(?P<input>[^}\s]+))?\s*\}\}", re.IGNORECASE)


def render(argument: str, parameters: Parameters) -> str:
    """The argument with its variables replaced; unknown ones stay. Raises Unrenderable."""
    values = parameters.values()

    def replaced(match: re.Match[str]) -> str:
        name = match["name"].lower()
        if match["input"] is not None:
            return _literal(match["input"], parameters.inputs) if name == "inputs" else match[0]
        return values.get(name, match[0])

    return _VARIABLE.sub(replaced, argument)


def rendered(template: Any, parameters: Parameters, env: Mapping[str, str]) -> Any:
    """The TaskTemplate as a connector gets it.

    Of a container only ``args`` are rendered. A pod is rendered and dressed as if it were to run: commands and arguments of
    all containers, ``env`` (the propeller's own variables and the execution's) in front of theirs, and resources of the
    platform for the task's container where it asks for none.
    """
    made = type(template)()
    made.CopyFrom(template)
    target = made.WhichOneof("target")
    if target == "container":
        made.container.args[:] = [render(argument, parameters) for argument in made.container.args]
    elif target == "k8s_pod":
        pod = json_format.MessageToDict(made.k8s_pod.pod_spec)
        primary = made.config.get(PRIMARY) or made.k8s_pod.primary_container_name
        pod["containers"] = [_dressed(container, primary, parameters, env) for container in pod.get("containers", [])]
        made.k8s_pod.pod_spec.CopyFrom(json_format.ParseDict(pod, struct_pb2.Struct()))
    return made


def _dressed(container: dict[str, Any], primary: str, parameters: Parameters, env: Mapping[str, str]) -> dict[str, Any]:
    made = dict(container)
    for part in ("command", "args"):
        if part in made:
            made[part] = [render(argument, parameters) for argument in made[part]]
    made["env"] = [{"name": name, "value": value} for name, value in env.items()] + made.get("env", [])
    if made.get("name") == primary:
        made["resources"] = _resources(made.get("resources", {}))
    return made


def _resources(asked: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    requests, limits = dict(asked.get("requests", {})), dict(asked.get("limits", {}))
    for name, platform in (("cpu", "1"), ("memory", "1Gi")):
        requests.setdefault(name, limits.get(name, platform))
    return {"requests": requests, "limits": {**requests, **limits}}


def _literal(name: str, inputs: Any) -> str:
    if name not in inputs.literals:
        raise Unrenderable(f"requested input is not found [{name}]")
    return _text(name, inputs.literals[name])


def _text(name: str, literal: Any) -> str:
    kind = literal.WhichOneof("value")
    if kind == "collection":
        return "[" + ",".join(_text(name, item) for item in literal.collection.literals) + "]"
    if kind == "scalar" and literal.scalar.WhichOneof("value") == "primitive":
        primitive = literal.scalar.primitive
        which = primitive.WhichOneof("value")
        if which == "boolean":
            return "true" if primitive.boolean else "false"
        if which in ("integer", "float_value", "string_value"):
            return str(getattr(primitive, which))
        return str(getattr(primitive, which).ToJsonString())
    if kind == "scalar" and literal.scalar.WhichOneof("value") == "blob":
        return str(literal.scalar.blob.uri)
    raise Unrenderable(f"input {name} cannot be an argument: it is {literal.WhichOneof('value')}")
