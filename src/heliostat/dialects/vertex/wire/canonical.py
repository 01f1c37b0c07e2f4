"""Canonical JSON: the one form in which the rest of the dialect sees messages. Pure; no protobuf here.

A dict in proto3 JSON with every choice made (Vertex contract, section 4.2): lowerCamel names in the order of field
numbers, enumerations by name, int64 as decimal text, int32 as numbers, times in UTC, defaults left out, messages that are
present but empty as ``{}``, an Any with its ``@type`` first.

:func:`from_json` takes what a client sent, with all the liberty the protocol gives; :func:`present` makes the answer.
Whatever is wrong is a :class:`WireError` with its path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import schema
from .schema import ENUMERATION_NAMES, ENUMERATIONS, Field, Kind, MessageType, Shape, Version
from .times import read_instant, read_span, write_instant, write_span

DEEPEST = 50
"""Messages in messages. True ones have less than a dozen; only an Any can nest without end."""

_SHOWN_KEY = 40
_DIGITS = re.compile(r"-?[0-9]{1,19}")
_BITS = {Kind.INT32: 31, Kind.INT64: 63}

# Any, in this module and its neighbours: JSON, which has no useful type before it is read.
Json = dict[str, Any]


class WireError(ValueError):
    """What was sent is no such message. ``path`` is where, in JSON's names: ``resourcePools[1].machineSpec``."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message


def from_json(version: Version, name: str, value: Any) -> Json:
    """A client's JSON, parsed, as canonical JSON.

    Names may be snake or camel, integers numbers or text, enumerations names or numbers; ``null`` is absent; unknown fields
    are ignored, and fields of v1beta1 are unknown in v1. WireError for everything else.
    """
    return _Reader(strict=False, numbers=False).message(schema.find(version, name), value, "", 1)


def present(canonical: Mapping[str, Any], version: Version, name: str, enum_as_int: bool) -> Json:
    """Canonical JSON as an answer: without the fields that the version lacks; enumerations as numbers when asked for."""
    return _Reader(strict=True, numbers=enum_as_int).message(schema.find(version, name), canonical, "", 1)


def check(canonical: Mapping[str, Any], kind: MessageType) -> Json:
    """Canonical JSON, looked through: unknown fields are refused, fields of other versions dropped, defaults too."""
    return _Reader(strict=True, numbers=False).message(kind, canonical, "", 1)


def pack(version: Version, name: str, canonical: Mapping[str, Any]) -> Json:
    """A message as the canonical JSON of an Any that holds it."""
    return {"@type": schema.find(version, name).type_url, **canonical}


def mask_paths(mask: str) -> tuple[str, ...]:
    """The paths of a field mask, from a canonical ``updateMask`` or a REST query; snake and camel, shown as snake.

    ``"resourcePools.replicaCount,labels"`` -> ``("resource_pools.replica_count", "labels")``
    """
    return tuple(schema.snake(path.strip()) for path in mask.split(",") if path.strip())


def member(path: str, key: str) -> str:
    """The path of a field."""
    return f"{path}.{key}" if path else key


def entry(path: str, key: str) -> str:
    """The path of a map's value; a key can be long and strange."""
    return f"{path}[{json.dumps(key if len(key) <= _SHOWN_KEY else key[:_SHOWN_KEY] + '...')}]"


def check_depth(path: str, depth: int) -> None:
    if depth > DEEPEST:
        raise WireError(path, f"is nested more than {DEEPEST} messages deep")


def unknown_any(path: str) -> WireError:
    return WireError(member(path, "@type"), "names no message that can stand here")


@dataclass(frozen=True)
class _Reader:
    """Reads messages. ``strict``: unknown fields are errors. ``numbers``: enumerations come out as numbers."""

    strict: bool
    numbers: bool

    def message(self, kind: MessageType, value: Any, path: str, depth: int) -> Json:
        """The fields of an object, in the schema's order."""
        check_depth(path, depth)
        if not isinstance(value, Mapping):
            raise WireError(path, "must be an object")
        given: dict[str, Any] = {}
        chosen: dict[str, Field] = {}
        for key, item in value.items():
            field = kind.by_key.get(key)
            if field is None:
                if self.strict and key not in kind.of_other_versions:
                    raise WireError(path, f"has no field {json.dumps(str(key)[:_SHOWN_KEY])}")
                continue
            if field.name in given:
                raise WireError(member(path, field.json), "is given twice, by both of its names")
            given[field.name] = item
            if field.choice and item is not None:
                if field.choice in chosen:
                    raise WireError(path, f"has both {chosen[field.choice].json} and {field.json}")
                chosen[field.choice] = field
        read: Json = {}
        for field in kind.fields:
            item = given.get(field.name)
            if item is None:
                continue
            result = self._field(field, item, member(path, field.json), depth)
            if field.known_presence or not _is_default(field, result):
                read[field.json] = result
        return read

    def _field(self, field: Field, value: Any, path: str, depth: int) -> Any:
        if field.shape is Shape.MANY:
            if not isinstance(value, list):
                raise WireError(path, "must be a list")
            return [self._item(field, item, f"{path}[{index}]", depth) for index, item in enumerate(value)]
        if field.shape is Shape.MAP:
            if not isinstance(value, Mapping):
                raise WireError(path, "must be an object")
            return {_string(key, entry(path, str(key))): _string(item, entry(path, key)) for key, item in value.items()}
        return self._item(field, value, path, depth)

    def _item(self, field: Field, value: Any, path: str, depth: int) -> Any:
        if field.kind is Kind.MESSAGE:
            return self._held(field.of, value, path, depth + 1)
        if field.kind is Kind.ENUM:
            name = _enumeration(field.of, value, path)
            return ENUMERATIONS[field.of][name] if self.numbers else name
        return _SCALARS[field.kind](value, path)

    def _held(self, name: str, value: Any, path: str, depth: int) -> Any:
        """A message in a message, of which some have a JSON of their own."""
        if name == schema.ANY:
            return self._any(value, path, depth)
        if name == schema.TIMESTAMP:
            return _time(lambda text: write_instant(*read_instant(text)), value, path)
        if name == schema.DURATION:
            return _time(lambda text: write_span(*read_span(text)), value, path)
        if name == schema.FIELD_MASK:
            return ",".join(schema.camel(part) for part in mask_paths(_string(value, path)))
        return self.message(schema.TYPES[name], value, path, depth)

    def _any(self, value: Any, path: str, depth: int) -> Json:
        check_depth(path, depth)
        if not isinstance(value, Mapping):
            raise WireError(path, "must be an object")
        if not value:
            return {}
        if not isinstance(value.get("@type"), str):
            raise WireError(member(path, "@type"), "must name the message's type")
        kind = schema.of_type_url(value["@type"])
        if kind is None:
            raise unknown_any(path)
        content = {key: item for key, item in value.items() if key != "@type"}
        return {"@type": kind.type_url, **self.message(kind, content, path, depth)}


def _is_default(field: Field, value: Any) -> bool:
    if field.kind is Kind.INT64:
        return bool(value == "0")
    if field.kind is Kind.ENUM:
        return value in (0, ENUMERATION_NAMES[field.of][0])
    return not value


def _string(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise WireError(path, "must be text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise WireError(path, "must be text without lone surrogates") from None
    return value


def _flag(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise WireError(path, "must be true or false")
    return value


def _whole(value: Any, path: str, kind: Kind) -> int:
    if (isinstance(value, str) and _DIGITS.fullmatch(value) is not None) or (
        isinstance(value, float) and value.is_integer()
    ):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise WireError(path, "must be an integer")
    limit = 1 << _BITS[kind]
    if not -limit <= value < limit:
        raise WireError(path, f"must be an integer of {_BITS[kind] + 1} bits")
    return value


def _long(value: Any, path: str) -> str | int:
    return str(_whole(value, path, Kind.INT64))


def _enumeration(name: str, value: Any, path: str) -> str:
    """The member's name, from its name or number."""
    if isinstance(value, str) and value in ENUMERATIONS[name]:
        return value
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            number = _whole(value, path, Kind.INT32)
        except WireError:
            number = -1
        if number in ENUMERATION_NAMES[name]:
            return ENUMERATION_NAMES[name][number]
    raise WireError(path, f"must be one of {', '.join(ENUMERATIONS[name])}")


def _time(rewrite: Callable[[str], str], value: Any, path: str) -> str:
    try:
        return rewrite(_string(value, path))
    except WireError:
        raise
    except ValueError as error:
        raise WireError(path, str(error)) from None


_SCALARS: Mapping[Kind, Callable[[Any, str], Any]] = {
    Kind.STRING: _string,
    Kind.BOOL: _flag,
    Kind.INT32: lambda value, path: _whole(value, path, Kind.INT32),
    Kind.INT64: _long,
}
