"""Typed reading of a JSON object, with the path of whatever is wrong.

The client checks nothing (EMR contract, section 2), so everything is checked here: a wrong type is ``InvalidParameter``
that names the path. ``null`` is as good as absent, since the client leaves such fields out. Numeric text is accepted for
integers and numbers are accepted for amounts, which are text. Unknown keys are never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import TypeVar

import orjson

from heliostat.dialects.bodies import kind_of

from ..errors import EmrError, invalid

T = TypeVar("T")
_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)


def parse_object(text: bytes | str, path: str) -> dict[str, object]:
    """JSON text that must hold an object. Raises EmrError at ``path``."""
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise invalid(path, f"is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise invalid(path, f"must be a JSON object, not {kind_of(value)}")
    return value


class Fields:
    """One JSON object of a request, at ``path`` (empty for the whole body)."""

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            raise invalid(path or "body", f"must be an object, not {kind_of(value)}")
        self._values: dict[str, object] = value
        self.path = path

    @classmethod
    def body(cls, body: bytes) -> Fields:
        """The body of a request; an empty one has no fields."""
        return cls(parse_object(body, "body") if body else {})

    def at(self, key: str) -> str:
        """The path of a field."""
        return f"{self.path}.{key}" if self.path else key

    def error(self, key: str, message: str) -> EmrError:
        return invalid(self.at(key), message)

    def only(self, keys: Collection[str]) -> Fields:
        """The same object without any other field."""
        return Fields({key: value for key, value in self._values.items() if key in keys}, self.path)

    def text(self, key: str) -> str | None:
        value = self._values.get(key)
        return None if value is None else _text(value, self.at(key))

    def amount(self, key: str, parse: Callable[[str], T]) -> tuple[str, T] | None:
        """Text such as ``2`` or ``8Gi`` as it was written, with what it means; a number will do."""
        value = self._values.get(key)
        if value is None:
            return None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        text = str(value) if number else _text(value, self.at(key))
        try:
            return text, parse(text)
        except ValueError as error:
            raise self.error(key, str(error)) from None

    def integer(self, key: str, minimum: int, maximum: int | None = None) -> int | None:
        value = self._values.get(key)
        if value is None:
            return None
        return to_integer(value, self.at(key), minimum, maximum)

    def flag(self, key: str) -> bool | None:
        value = self._values.get(key)
        if value is None or isinstance(value, bool):
            return value
        raise self.error(key, f"must be a boolean, not {kind_of(value)}")

    def nested(self, key: str) -> Fields | None:
        value = self._values.get(key)
        return None if value is None else Fields(value, self.at(key))

    def objects(self, key: str, limit: int) -> list[Fields] | None:
        """An array of at most ``limit`` objects; a null entry is an error."""
        values = self._array(key)
        if values is not None and len(values) > limit:
            raise self.error(key, f"must have at most {limit} entries, has {len(values)}")
        if values is None:
            return None
        return [Fields(value, f"{self.at(key)}[{index}]") for index, value in enumerate(values)]

    def texts(self, key: str) -> list[str] | None:
        values = self._array(key)
        if values is None:
            return None
        return [_text(value, f"{self.at(key)}[{index}]") for index, value in enumerate(values)]

    def json_text(self, key: str) -> str | None:
        """Text that must hold a JSON object; empty text is allowed."""
        text = self.text(key)
        if text:
            parse_object(text, self.at(key))
        return text

    def _array(self, key: str) -> list[object] | None:
        value = self._values.get(key)
        if value is None or isinstance(value, list):
            return value
        raise self.error(key, f"must be an array, not {kind_of(value)}")


def to_integer(value: object, path: str, minimum: int, maximum: int | None = None) -> int:
    """An integer or its text. Raises EmrError at ``path``."""
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        shown = repr(value) if isinstance(value, str | float) and len(str(value)) < 40 else kind_of(value)
        raise invalid(path, f"must be an integer, not {shown}")
    if value < minimum:
        raise invalid(path, f"must be at least {minimum}, given {value}")
    if maximum is not None and value > maximum:
        raise invalid(path, f"must be at most {maximum}, given {value}")
    return value


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise invalid(path, f"must be a string, not {kind_of(value)}")
    if "\0" in value:
        raise invalid(path, "must not hold NUL characters")
    return value
