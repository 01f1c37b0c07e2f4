"""Messages on the wire: bytes and protobuf objects to canonical JSON and back.

The classes are built from :mod:`.schema` at first use, in a descriptor pool of our own: the vendor's SDK registers messages
of the same names in protobuf's default pool, and both may live in one process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from . import schema
from .canonical import Json, WireError, check, check_depth, mask_paths, member, pack, unknown_any
from .schema import ENUMERATION_NAMES, ENUMERATIONS, Field, Kind, MessageType, Shape, Version
from .times import read_instant, read_span, write_instant, write_span

_WIRE = descriptor_pb2.FieldDescriptorProto
_KINDS = {
    Kind.STRING: _WIRE.TYPE_STRING,
    Kind.BYTES: _WIRE.TYPE_BYTES,
    Kind.BOOL: _WIRE.TYPE_BOOL,
    Kind.INT32: _WIRE.TYPE_INT32,
    Kind.INT64: _WIRE.TYPE_INT64,
    Kind.ENUM: _WIRE.TYPE_ENUM,
    Kind.MESSAGE: _WIRE.TYPE_MESSAGE,
}


@dataclass(frozen=True)
class Messages:
    """The messages of one API version, by the names that :func:`.schema.find` knows."""

    version: Version

    def new(self, name: str) -> Message:
        """An empty message."""
        return _class_of(schema.find(self.version, name).name)()

    def decode(self, name: str, data: bytes) -> Json:
        """What a client sent, as canonical JSON. WireError."""
        return to_canonical(_parse(schema.find(self.version, name), data, ""))

    def encode(self, name: str, canonical: Mapping[str, Any]) -> bytes:
        """Canonical JSON as bytes; equal dicts give equal bytes. WireError."""
        return to_message(self.version, name, canonical).SerializeToString(deterministic=True)

    def pack(self, name: str, canonical: Mapping[str, Any]) -> Json:
        """A message as the canonical JSON of an Any that holds it."""
        return pack(self.version, name, canonical)


def to_canonical(message: Message) -> Json:
    """A message of any pool as canonical JSON. WireError for enumerations' numbers, Any and times that JSON has not."""
    kind = schema.TYPES.get(message.DESCRIPTOR.full_name)
    if kind is None:
        raise LookupError(f"the protocol has no message {message.DESCRIPTOR.full_name}")
    return _write(message, kind, "", 1)


def to_message(version: Version, name: str, canonical: Mapping[str, Any]) -> Message:
    """A message of the private pool, from canonical JSON; fields that the version lacks are left out. WireError."""
    kind = schema.find(version, name)
    message = _class_of(kind.name)()
    _fill(message, kind, check(canonical, kind))
    return message


def _parse(kind: MessageType, data: bytes, path: str) -> Message:
    message = _class_of(kind.name)()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise WireError(path, f"holds no message {kind.name}") from None
    return message


def _write(message: Message, kind: MessageType, path: str, depth: int) -> Json:
    check_depth(path, depth)
    written: Json = {}
    for field in kind.fields:
        # Any: the classes are built at run time, so their attributes have no types
        value: Any = getattr(message, field.name)
        at = member(path, field.json)
        if field.shape is Shape.MANY:
            if value:
                written[field.json] = [
                    _written(item, field, f"{at}[{index}]", depth) for index, item in enumerate(value)
                ]
        elif field.shape is Shape.MAP:
            if value:
                written[field.json] = dict(sorted(value.items()))
        elif message.HasField(field.name) if field.known_presence else value:
            written[field.json] = _written(value, field, at, depth)
    return written


def _written(value: Any, field: Field, path: str, depth: int) -> Any:  # Any: as above
    if field.kind is Kind.INT64:
        return str(value)
    if field.kind is Kind.ENUM:
        if value not in ENUMERATION_NAMES[field.of]:
            raise WireError(path, f"must be one of {', '.join(ENUMERATIONS[field.of])}")
        return ENUMERATION_NAMES[field.of][value]
    if field.kind is not Kind.MESSAGE:
        return value
    if field.of == schema.ANY:
        return _unpacked(value, path, depth + 1)
    if field.of == schema.FIELD_MASK:
        return ",".join(schema.camel(part) for part in mask_paths(",".join(value.paths)))
    if field.of in (schema.TIMESTAMP, schema.DURATION):
        try:
            return (write_instant if field.of == schema.TIMESTAMP else write_span)(value.seconds, value.nanos)
        except ValueError as error:
            raise WireError(path, str(error)) from None
    return _write(value, schema.TYPES[field.of], path, depth + 1)


def _unpacked(value: Any, path: str, depth: int) -> Json:  # Any: as above
    check_depth(path, depth)
    if not value.type_url and not value.value:
        return {}
    kind = schema.of_type_url(value.type_url)
    if kind is None:
        raise unknown_any(path)
    return {"@type": kind.type_url, **_write(_parse(kind, value.value, path), kind, path, depth)}


def _fill(message: Any, kind: MessageType, canonical: Json) -> None:  # Any: as above
    for field in kind.fields:
        if field.json not in canonical:
            continue
        value = canonical[field.json]
        if field.shape is Shape.MAP:
            getattr(message, field.name).update(value)
        elif field.kind is Kind.MESSAGE:
            inner = getattr(message, field.name)
            for item in value if field.shape is Shape.MANY else [value]:
                target = inner.add() if field.shape is Shape.MANY else inner
                target.SetInParent()
                _fill_held(target, field.of, item)
        elif field.shape is Shape.MANY:
            getattr(message, field.name).extend(value)
        elif field.kind is Kind.ENUM:
            setattr(message, field.name, ENUMERATIONS[field.of][value])
        else:
            setattr(message, field.name, int(value) if field.kind is Kind.INT64 else value)


def _fill_held(message: Any, name: str, value: Any) -> None:  # Any: as above
    if name == schema.ANY:
        if value:
            kind = schema.TYPES[value["@type"].rpartition("/")[2]]
            inner = _class_of(kind.name)()
            _fill(inner, kind, value)
            message.type_url, message.value = kind.type_url, inner.SerializeToString(deterministic=True)
    elif name == schema.FIELD_MASK:
        message.paths.extend(mask_paths(value))
    elif name in (schema.TIMESTAMP, schema.DURATION):
        message.seconds, message.nanos = (read_instant if name == schema.TIMESTAMP else read_span)(value)
    else:
        _fill(message, schema.TYPES[name], value)


@cache
def _class_of(full_name: str) -> type[Message]:
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(full_name))


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    """All messages of both versions, a file for each package.

    Two threads may each build one at first use; that is harmless, as messages of different pools meet as bytes only.
    """
    pool = descriptor_pool.DescriptorPool()
    files: list[str] = []
    for package in schema.PACKAGES:
        file = descriptor_pb2.FileDescriptorProto(name=f"heliostat/{package}.proto", package=package, syntax="proto3")
        file.dependency.extend(files)
        made: dict[str, descriptor_pb2.DescriptorProto] = {}
        for kind in schema.TYPES.values():
            local = _local(kind.name, package)
            if local is None:
                continue
            outer, _, own = local.rpartition(".")
            made[local] = (made[outer].nested_type if outer else file.message_type).add(name=own)
            _describe(made[local], kind)
        for name, members in ENUMERATIONS.items():
            local = _local(name, package)
            if local is None:
                continue
            outer, _, own = local.rpartition(".")
            described = (made[outer] if outer else file).enum_type.add(name=own)
            for label, number in members.items():
                described.value.add(name=label, number=number)
        pool.AddSerializedFile(file.SerializeToString())
        files.append(file.name)
    return pool


def _local(name: str, package: str) -> str | None:
    """A full name within its package; None when it is of another one. Packages are lower case, messages are not."""
    head = package + "."
    return name[len(head) :] if name.startswith(head) and name[len(head)].isupper() else None


def _describe(described: descriptor_pb2.DescriptorProto, kind: MessageType) -> None:
    """The fields of a message, with what the protocol builds behind optional ones, choices and maps."""
    choices: dict[str, int] = {}
    for field in kind.fields:
        if field.choice and field.choice not in choices:
            choices[field.choice] = len(described.oneof_decl)
            described.oneof_decl.add(name=field.choice)
    for field in kind.fields:
        made = described.field.add(name=field.name, number=field.number, type=_KINDS[field.kind])
        made.label = _WIRE.LABEL_REPEATED if field.shape in (Shape.MANY, Shape.MAP) else _WIRE.LABEL_OPTIONAL
        if field.of:
            made.type_name = f".{field.of}"
        if field.choice:
            made.oneof_index = choices[field.choice]
        if field.shape is Shape.MAP:
            pair = described.nested_type.add(name=f"{schema.camel('_' + field.name)}Entry")
            pair.options.map_entry = True
            for number, name in enumerate(("key", "value"), 1):
                pair.field.add(name=name, number=number, type=_KINDS[field.kind], label=_WIRE.LABEL_OPTIONAL)
            made.type, made.type_name = _WIRE.TYPE_MESSAGE, f".{kind.name}.{pair.name}"
        elif field.shape is Shape.OPTIONAL:
            made.proto3_optional = True
            made.oneof_index = len(described.oneof_decl)
            described.oneof_decl.add(name=f"_{field.name}")
