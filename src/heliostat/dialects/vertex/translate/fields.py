"""Typed reading of canonical JSON, with the path of whatever is wrong.

The wire has checked types, but this must hold for any JSON: whatever the value is, nothing but InvalidRequest is raised.
``null`` is absent, integers may be text, unknown keys are never looked at. Empty text is absent, too, as on the wire.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from heliostat.dialects.bodies import kind_of
from heliostat.domain.errors import InvalidRequest

Json = dict[str, Any]  # Any: JSON, here and in all modules beside

LONGEST_TEXT = 2048
LONGEST_LIST = 200
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)


def invalid(path: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, path=path)


class Fields:
    """One message, at ``path`` (empty for the whole body)."""

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            raise invalid(path or "persistentResource", f"must be an object, not {kind_of(value)}")
        self._values: Json = value
        self.path = path

    def at(self, key: str) -> str:
        """The path of a field."""
        return f"{self.path}.{key}" if self.path else key

    def error(self, key: str, message: str) -> InvalidRequest:
        return invalid(self.at(key), message)

    def only(self, keys: Collection[str]) -> Fields:
        """The same message without any other field."""
        return Fields({key: value for key, value in self._values.items() if key in keys}, self.path)

    def text(self, key: str, longest: int = LONGEST_TEXT) -> str:
        """Text; empty when it is absent."""
        value = self._values.get(key)
        return "" if value is None else _text(value, self.at(key), longest)

    def integer(self, key: str) -> int | None:
        value = self._values.get(key)
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, f"must be an integer, not {kind_of(value)}")
        if not -(1 << 63) <= value < 1 << 63:
            raise self.error(key, "must be an integer of 64 bits")
        return value

    def flag(self, key: str) -> bool:
        """False when it is absent."""
        value = self._values.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self.error(key, f"must be a boolean, not {kind_of(value)}")

    def nested(self, key: str) -> Fields | None:
        value = self._values.get(key)
        return None if value is None else Fields(value, self.at(key))

    def objects(self, key: str, limit: int = LONGEST_LIST) -> list[Fields]:
        return [Fields(value, path) for value, path in self._items(key, limit)]

    def texts(self, key: str) -> list[str]:
        return [_text(value, path, LONGEST_TEXT) for value, path in self._items(key, LONGEST_LIST)]

    def text_map(self, key: str) -> dict[str, str]:
        value = self._values.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.error(key, f"must be an object, not {kind_of(value)}")
        if len(value) > LONGEST_LIST:
            raise self.error(key, f"must have at most {LONGEST_LIST} entries, has {len(value)}")
        found = {}
        for name, item in value.items():
            found[_text(name, self.at(key), LONGEST_TEXT)] = _text(item, f"{self.at(key)}.{name}", LONGEST_TEXT)
        return found

    def _items(self, key: str, limit: int) -> Iterator[tuple[object, str]]:
        values = self._values.get(key)
        if values is None:
            return
        if not isinstance(values, list):
            raise self.error(key, f"must be an array, not {kind_of(values)}")
        if len(values) > limit:
            raise self.error(key, f"must have at most {limit} entries, has {len(values)}")
        for index, value in enumerate(values):
            yield value, f"{self.at(key)}[{index}]"


def _text(value: object, path: str, longest: int) -> str:
    if not isinstance(value, str):
        raise invalid(path, f"must be a string, not {kind_of(value)}")
    if len(value) > longest:
        raise invalid(path, f"must have at most {longest} characters, has {len(value)}")
    if "\0" in value:
        raise invalid(path, "must not hold NUL characters")
    if any(0xD800 <= ord(character) < 0xE000 for character in value):
        raise invalid(path, "must not hold lone surrogates")
    return value


def only(**values: object) -> Json:
    """A message with those fields that are no default; an empty message that is present counts as one."""
    return {key: value for key, value in values.items() if value or isinstance(value, dict)}
