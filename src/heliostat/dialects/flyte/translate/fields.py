"""Typed reading of what Flyte carries as a ``Struct``: ``custom`` and pod specs (Flyte contract, section 2.6).

Numbers are doubles there, names may be in camel case or with underscores, ``null`` is absent, and unknown names are nobody's
mistake: newer plugins send more.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from heliostat.dialects.bodies import kind_of

from ..errors import FlyteError, invalid

Json = dict[str, Any]  # Any: JSON, here and in all modules beside

MAX_DEPTH = 60
LONGEST_LIST = 1000
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_HUMP = re.compile(r"[A-Z]")


def plain(struct: Struct, path: str) -> Json:
    """A Struct as JSON. Raises FlyteError for one that is nested too deeply."""
    return {name: _plain(value, path, 1) for name, value in struct.fields.items()}


def _plain(value: Value, path: str, depth: int) -> Any:  # JSON
    if depth > MAX_DEPTH:
        raise invalid(path, f"has more than {MAX_DEPTH} objects and lists within each other")
    match value.WhichOneof("kind"):
        case "struct_value":
            return {name: _plain(item, path, depth + 1) for name, item in value.struct_value.fields.items()}
        case "list_value":
            return [_plain(item, path, depth + 1) for item in value.list_value.values]
        case "string_value":
            return value.string_value
        case "number_value":
            return value.number_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


class Fields:
    """One object, at ``path``. Names are asked for in camel case."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise invalid(path, f"must be an object, not {kind_of(value)}")
        self._values: Json = value
        self.path = path

    def at(self, key: str) -> str:
        """The path of a field."""
        return f"{self.path}.{key}"

    def error(self, key: str, message: str) -> FlyteError:
        return invalid(self.at(key), message)

    def raw(self, key: str) -> Any:  # JSON
        """A field as it is; None when it is absent."""
        value = self._values.get(key)
        return self._values.get(_HUMP.sub(lambda letter: f"_{letter[0].lower()}", key)) if value is None else value

    def others(self, known: Collection[str]) -> Json:
        """The fields of other names that hold anything."""
        return {key: value for key, value in self._values.items() if key not in known and value not in (None, {}, [])}

    def text(self, key: str) -> str:
        """Text; empty when it is absent."""
        value = self.raw(key)
        return "" if value is None else _text(value, self.at(key))

    def integer(self, key: str) -> int:
        """A number of 32 bits; 0 when it is absent."""
        value = self.raw(key)
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None:
            return 0
        if isinstance(value, float):
            raise self.error(key, f"must be a whole number, not {value}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, f"must be a number, not {kind_of(value)}")
        if not -(1 << 31) <= value < 1 << 31:
            raise self.error(key, "must be a number of 32 bits")
        return value

    def flag(self, key: str) -> bool:
        """False when it is absent."""
        value = self.raw(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self.error(key, f"must be true or false, not {kind_of(value)}")

    def nested(self, key: str) -> Fields | None:
        value = self.raw(key)
        return None if value is None else Fields(value, self.at(key))

    def objects(self, key: str) -> list[Fields]:
        return [Fields(value, path) for value, path in self._items(key)]

    def texts(self, key: str) -> list[str]:
        return [_text(value, path) for value, path in self._items(key)]

    def text_map(self, key: str) -> dict[str, str]:
        nested = self.nested(key)
        if nested is None:
            return {}
        return {name: _text(value, nested.at(name)) for name, value in nested._values.items()}

    def values(self, key: str) -> Mapping[str, Any]:  # JSON
        """An object as it is; empty when it is absent."""
        nested = self.nested(key)
        return {} if nested is None else nested._values

    def _items(self, key: str) -> Iterator[tuple[object, str]]:
        values = self.raw(key)
        if values is None:
            return
        if not isinstance(values, list):
            raise self.error(key, f"must be an array, not {kind_of(values)}")
        if len(values) > LONGEST_LIST:
            raise self.error(key, f"must have at most {LONGEST_LIST} entries, has {len(values)}")
        for index, value in enumerate(values):
            yield value, f"{self.at(key)}[{index}]"


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise invalid(path, f"must be a string, not {kind_of(value)}")
    return check_text(value, path)


def check_text(value: str, path: str) -> str:
    """The text itself. Raises FlyteError for what neither a process nor a database can be given."""
    if "\0" in value:
        raise invalid(path, "must not hold NUL characters")
    if any(0xD800 <= ord(character) < 0xE000 for character in value):
        raise invalid(path, "must not hold lone surrogates")
    return value
