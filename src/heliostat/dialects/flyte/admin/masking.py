"""What is registered, as those see it who may not run code: without values that may be secrets, as everywhere. Names stay."""

from __future__ import annotations

from collections.abc import Iterator

from flyteidl.core import tasks_pb2 as tasks
from google.protobuf import struct_pb2

from heliostat.domain.documents import Document
from heliostat.domain.records import Role
from heliostat.domain.spec import MASK
from heliostat.services import Caller

_ENVIRONMENTS = frozenset(("runtimeEnv", "runtime_env", "runtimeEnvYaml", "runtime_env_yaml"))
"""Of a Ray task: texts with a whole environment."""


def sees_values(caller: Caller, document: Document) -> bool:
    return caller.may(document.workspace, Role.EDITOR)


def mask(template: tasks.TaskTemplate) -> None:
    """Variables of the task, of its pods and its runtime environment."""
    for pair in template.container.env if template.HasField("container") else ():
        pair.value = MASK
    for found in (template.custom, template.k8s_pod.pod_spec if template.HasField("k8s_pod") else None):
        for struct in _objects(found) if found is not None else ():
            _mask(struct)


def _mask(struct: struct_pb2.Struct) -> None:
    for name in _ENVIRONMENTS & struct.fields.keys():
        struct.fields[name].string_value = MASK
    for row in struct.fields["env"].list_value.values if "env" in struct.fields else ():
        if "value" in row.struct_value.fields:
            row.struct_value.fields["value"].string_value = MASK


def _objects(struct: struct_pb2.Struct) -> Iterator[struct_pb2.Struct]:
    """It and all within it; protobuf reads no deeply nested ones."""
    yield struct
    for value in struct.fields.values():
        yield from _within(value)


def _within(value: struct_pb2.Value) -> Iterator[struct_pb2.Struct]:
    if value.WhichOneof("kind") == "struct_value":
        yield from _objects(value.struct_value)
    for item in value.list_value.values if value.WhichOneof("kind") == "list_value" else ():
        yield from _within(item)
