"""A part of a value: what a promise with a path of attributes means (``x[0]``, ``config.size``).

Collections and maps are walked as they are. Dataclasses come as Struct (older flytekit) or as MessagePack (since 1.14), of which
the part is cut out byte by byte: it stays MessagePack, as Flyte's own backend passes it on.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flyteidl.core import literals_pb2

# flyteidl ships no types that are checked, so its messages are Any here.
Message = Any
Step = str | int
MESSAGEPACK = "msgpack"


class NoSuchPart(ValueError):
    """The message says what is not there."""


def steps(path: Sequence[Message]) -> tuple[Step, ...]:
    """A path of core.PromiseAttribute."""
    return tuple(row.int_value if row.WhichOneof("value") == "int_value" else row.string_value for row in path)


def shown(path: Sequence[Step]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def part(value: Message, path: Sequence[Step]) -> Message:
    """The part of a core.Literal. Raises NoSuchPart."""
    for index, step in enumerate(path):
        value = unwrapped(value)
        which = value.WhichOneof("value")
        done = shown(path[:index])
        if which == "collection":
            value = value.collection.literals[_position(step, len(value.collection.literals), done)]
        elif which == "map":
            if step not in value.map.literals:
                raise NoSuchPart(f"there is no {step!r} in it{_at(done)}")
            value = value.map.literals[step]
        elif which == "scalar" and value.scalar.WhichOneof("value") == "generic":
            return _of_struct(value.scalar.generic, path[index:], done)
        elif which == "scalar" and value.scalar.WhichOneof("value") == "binary":
            if value.scalar.binary.tag != MESSAGEPACK:
                raise NoSuchPart(f"a value in the form {value.scalar.binary.tag!r} has no parts{_at(done)}")
            binary = literals_pb2.Binary(value=cut(value.scalar.binary.value, path[index:]), tag=MESSAGEPACK)
            return literals_pb2.Literal(scalar=literals_pb2.Scalar(binary=binary))
        elif which == "offloaded_metadata":
            raise NoSuchPart(f"a value that is kept in a file of its own cannot be taken apart{_at(done)}")
        else:
            raise NoSuchPart(f"it has no parts{_at(done)}")
    return value


def unwrapped(value: Message) -> Message:
    """The value itself where it comes as a variant of a union."""
    while value.WhichOneof("value") == "scalar" and value.scalar.WhichOneof("value") == "union":
        value = value.scalar.union.value
    return value


def _of_struct(found: Message, path: Sequence[Step], done: str) -> Message:
    """``found`` is a Struct at first, then a Value."""
    kind = "struct_value"
    for index, step in enumerate(path):
        here = done + shown(path[:index])
        if kind == "struct_value":
            fields = found.fields if index == 0 else found.struct_value.fields
            if step not in fields:
                raise NoSuchPart(f"there is no {step!r} in it{_at(here)}")
            found = fields[step]
        elif kind == "list_value":
            found = found.list_value.values[_position(step, len(found.list_value.values), here)]
        else:
            raise NoSuchPart(f"it has no parts{_at(here)}")
        kind = found.WhichOneof("kind")
    return _from_value(found)


def _from_value(found: Message) -> Message:
    kind = found.WhichOneof("kind")
    if kind == "list_value":
        rows = [_from_value(row) for row in found.list_value.values]
        return literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=rows))
    if kind == "struct_value":
        return literals_pb2.Literal(scalar=literals_pb2.Scalar(generic=found.struct_value))
    if kind == "string_value":
        return _primitive(string_value=found.string_value)
    if kind == "bool_value":
        return _primitive(boolean=found.bool_value)
    if kind == "number_value":
        return _primitive(float_value=found.number_value)
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(none_type=literals_pb2.Void()))


def _primitive(**value: Any) -> Message:
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(**value)))


def _position(step: Step, size: int, done: str) -> int:
    if not isinstance(step, int):
        raise NoSuchPart(f"a list has no {step!r}{_at(done)}")
    if not 0 <= step < size:
        raise NoSuchPart(f"there is no element {step} among {size}{_at(done)}")
    return step


def _at(done: str) -> str:
    return f" at {done}" if done else ""


# --- MessagePack --------------------------------------------------------------------------------------------------------------

_FIXED = {
    0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8,
    0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17,
}  # fmt: skip
"""First byte -> how many bytes follow it."""
_SIZED = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1),
          0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}  # fmt: skip
"""First byte -> width of the length that follows, and what comes between it and the bytes that it counts."""
_NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i",
            0xD3: ">q"}  # fmt: skip
_DEPTH = 200


@dataclass(frozen=True)
class _Head:
    """How a value begins."""

    kind: str
    """map, list, text or other."""
    count: int
    """Entries, elements or bytes."""
    start: int
    """Where they begin."""


def cut(data: bytes, path: Sequence[Step]) -> bytes:
    """The bytes of a part of a MessagePack value. Raises NoSuchPart."""
    try:
        at = 0
        for index, step in enumerate(path):
            at = _enter(data, at, step, shown(path[:index]))
        return data[at : _end(data, at)]
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise NoSuchPart("it is not well-formed MessagePack") from error


def simple(data: bytes) -> str | int | float | bool | None:
    """A MessagePack value that has no parts. Raises NoSuchPart."""
    try:
        head, first = _head(data, 0), data[0]
        if head.kind == "text":
            return data[head.start : head.start + head.count].decode()
        if first <= 0x7F:
            return first
        if first >= 0xE0:
            return first - 256
        if first in (0xC2, 0xC3):
            return first == 0xC3
        if first == 0xC0:
            return None
        if first in _NUMBERS:
            number: int | float = struct.unpack_from(_NUMBERS[first], data, 1)[0]
            return number
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise NoSuchPart("it is not well-formed MessagePack") from error
    raise NoSuchPart("it is no number, text or truth value")


def _enter(data: bytes, at: int, step: Step, done: str) -> int:
    head = _head(data, at)
    if head.kind == "list":
        at = head.start
        for _ in range(_position(step, head.count, done)):
            at = _end(data, at)
        return at
    if head.kind != "map":
        raise NoSuchPart(f"it has no parts{_at(done)}")
    at = head.start
    for _ in range(head.count):
        after = _end(data, at)
        key = _head(data, at)
        try:
            found = simple(data[at:after])
        except NoSuchPart:
            found = None
        if key.kind in ("text", "other") and found == step and type(found) is type(step):
            return after
        at = _end(data, after)
    raise NoSuchPart(f"there is no {step!r} in it{_at(done)}")


def _head(data: bytes, at: int) -> _Head:
    first = data[at]
    if 0x80 <= first <= 0x8F:
        return _Head("map", first & 0x0F, at + 1)
    if 0x90 <= first <= 0x9F:
        return _Head("list", first & 0x0F, at + 1)
    if 0xA0 <= first <= 0xBF:
        return _Head("text", first & 0x1F, at + 1)
    if first in (0xDC, 0xDD, 0xDE, 0xDF):
        width = 2 if first in (0xDC, 0xDE) else 4
        return _Head("list" if first <= 0xDD else "map", _length(data, at + 1, width), at + 1 + width)
    if first in _SIZED:
        width, between = _SIZED[first]
        kind = "text" if first >= 0xD9 else "other"
        return _Head(kind, _length(data, at + 1, width), at + 1 + width + between)
    if first <= 0x7F or first >= 0xE0:
        return _Head("other", 0, at + 1)
    if first not in _FIXED:
        raise NoSuchPart("it is not well-formed MessagePack")
    return _Head("other", _FIXED[first], at + 1)


def _length(data: bytes, at: int, width: int) -> int:
    if at + width > len(data):
        raise IndexError(at)
    return int.from_bytes(data[at : at + width], "big")


def _end(data: bytes, at: int, depth: int = 0) -> int:
    """Where the value that begins at ``at`` is over."""
    head = _head(data, at)
    if depth > _DEPTH:
        raise NoSuchPart("it is nested too deeply")
    if head.kind in ("text", "other"):
        end = head.start + head.count
        if end > len(data):
            raise IndexError(end)
        return end
    at = head.start
    for _ in range(head.count * (2 if head.kind == "map" else 1)):
        at = _end(data, at, depth + 1)
    return at
