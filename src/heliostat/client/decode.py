"""JSON to the dataclasses of :mod:`heliostat.client.models`, by their own annotations."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from typing import Any, TypeVar

from .errors import HeliostatError

T = TypeVar("T")
Plan = tuple[tuple[str, Callable[[Any], Any], bool], ...]
"""Field name, what makes its value of JSON, whether it must be there."""
_plans: dict[type, Plan] = {}


def decode(kind: type[T], document: Mapping[str, Any]) -> T:
    """``document`` as a ``kind``; a field ``raw``, where there is one, keeps the whole document.

    Raises HeliostatError when a needed field is absent or of another type: whatever answered is no Heliostat of our kind.
    """
    values: dict[str, Any] = {}
    try:
        for name, convert, needed in _plan(kind):
            if name == "raw":
                values[name] = document
            elif name in document:
                values[name] = convert(document[name])
            elif needed:
                raise KeyError(name)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HeliostatError(f"the server's answer is not a {kind.__name__}: {error!r}", code="bad_answer") from error
    return kind(**values)


def _plan(kind: type) -> Plan:
    plan = _plans.get(kind)
    if plan is None:
        plan = _plans[kind] = _planned(kind)
    return plan


def _planned(kind: type) -> Plan:
    hints = typing.get_type_hints(kind)
    return tuple(
        (row.name, _converter(hints[row.name]), row.default is MISSING and row.default_factory is MISSING)
        for row in fields(kind)
    )


def _converter(hint: Any) -> Callable[[Any], Any]:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        convert = _converter(next(part for part in inner if part is not type(None)))
        return lambda value: None if value is None else convert(value)
    if origin is tuple:
        convert = _converter(inner[0])
        return lambda value: tuple(convert(part) for part in value)
    if hint is datetime:
        return datetime.fromisoformat
    if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__"):
        return lambda value: decode(hint, value)
    return lambda value: value
