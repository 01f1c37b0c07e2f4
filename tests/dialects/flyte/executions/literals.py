"""Values, as Flyte writes them."""

from __future__ import annotations

import struct
from typing import Any

from flyteidl.core import literals_pb2
from google.protobuf import json_format, struct_pb2


def literal(value: Any) -> Any:
    """A core.Literal of a Python value; ``bytes`` are MessagePack."""
    if isinstance(value, list):
        return literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=[literal(row) for row in value]))
    if isinstance(value, dict):
        return literals_pb2.Literal(map=literal_map(**value))
    return literals_pb2.Literal(scalar=scalar(value))


def scalar(value: Any) -> Any:
    if value is None:
        return literals_pb2.Scalar(none_type=literals_pb2.Void())
    if isinstance(value, bytes):
        return literals_pb2.Scalar(binary=literals_pb2.Binary(value=value, tag="msgpack"))
    fields = {bool: "boolean", int: "integer", float: "float_value", str: "string_value"}
    return literals_pb2.Scalar(primitive=literals_pb2.Primitive(**{fields[type(value)]: value}))


def union(value: Any) -> Any:
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(union=literals_pb2.Union(value=literal(value))))


def struct_literal(value: dict[str, Any]) -> Any:
    made = json_format.ParseDict(value, struct_pb2.Struct())
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(generic=made))


def literal_map(**values: Any) -> Any:
    made = literals_pb2.LiteralMap()
    for name, value in values.items():
        made.literals[name].CopyFrom(value if isinstance(value, literals_pb2.Literal) else literal(value))
    return made


def integer(found: Any) -> int:
    return int(found.scalar.primitive.integer)


def packed(value: Any) -> bytes:
    """MessagePack, in the widest form of each kind where there is a choice of several."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return bytes([value]) if 0 <= value < 128 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return (bytes([0xA0 | len(data)]) if len(data) < 32 else b"\xda" + struct.pack(">H", len(data))) + data
    if isinstance(value, bytes):
        return b"\xc4" + bytes([len(value)]) + value
    if isinstance(value, list):
        head = bytes([0x90 | len(value)]) if len(value) < 16 else b"\xdc" + struct.pack(">H", len(value))
        return head + b"".join(packed(row) for row in value)
    head = bytes([0x80 | len(value)]) if len(value) < 16 else b"\xde" + struct.pack(">H", len(value))
    return head + b"".join(packed(key) + packed(row) for key, row in value.items())
