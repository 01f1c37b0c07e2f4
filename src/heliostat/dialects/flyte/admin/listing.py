"""What clients say about lists: how many, from where, which ones, in which order. Pure.

Lists of versions come newest first and lists of names by name; another order is refused, not ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from flyteidl.admin import common_pb2 as common

from ..errors import invalid
from .references import Reference

DEFAULT_LIMIT = 100
LARGEST_LIMIT = 1000
LARGEST_PAGE = 8 << 20
"""Bytes of what a page is made of. Clients take messages of 20 MiB."""
LONGEST_FILTERS = 8192
_FILTER = re.compile(r"([a-z_]+)\(([a-z_.]+),(.*)\)")
_PARTS = re.compile(r"\)\+(?=[a-z_]+\([a-z_.]+,)")
"""Between two filters; a value may hold a plus by itself."""
_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda value, given: value == given,
    "ne": lambda value, given: value != given,
    "contains": lambda value, given: given in value,
    "value_in": lambda value, given: value in given.split(";"),
    "value_not_in": lambda value, given: value not in given.split(";"),
}


@dataclass(frozen=True)
class Filter:
    comparison: str
    field: str
    value: str

    def fits(self, found: str) -> bool:
        return _COMPARISONS[self.comparison](found, self.value)


def limit_of(asked: int) -> int:
    """How many to list."""
    return min(asked, LARGEST_LIMIT) if asked > 0 else DEFAULT_LIMIT


def filters_of(text: str, fields: Collection[str]) -> list[Filter]:
    """``eq(name,x)+ne(version,y)``; a field may be written behind its kind: ``task.name``. Raises FlyteError."""
    if len(text) > LONGEST_FILTERS:
        raise invalid("filters", f"has more than {LONGEST_FILTERS} characters")
    found = []
    pieces = _PARTS.split(text) if text else []
    for place, piece in enumerate(pieces):
        shown = _FILTER.fullmatch(piece if place == len(pieces) - 1 else f"{piece})")
        if shown is None:
            raise invalid("filters", f"{piece[:80]!r} is not a filter, such as eq(name,x)")
        row = Filter(shown[1], shown[2].rpartition(".")[2], shown[3].strip())
        if row.comparison not in _COMPARISONS:
            raise invalid("filters", f"{row.comparison} is not supported here; use one of {', '.join(_COMPARISONS)}")
        if row.field not in fields:
            raise invalid("filters", f"{row.field} cannot be filtered by; use one of {', '.join(sorted(fields))}")
        found.append(row)
    return found


def fits(found: Reference, filters: Collection[Filter]) -> bool:
    return all(row.fits(getattr(found, row.field)) for row in filters)


def check_sort(sort: common.Sort, keys: Collection[str], *, ascending: bool) -> None:
    """Raises FlyteError unless it is the order in which the list comes anyway."""
    wanted = common.Sort.ASCENDING if ascending else common.Sort.DESCENDING
    if sort.key and (sort.key.rpartition(".")[2] not in keys or sort.direction != wanted):
        direction = "ascending" if ascending else "descending"
        raise invalid("sort_by", f"this list comes by {' or '.join(keys)}, {direction}; leave sort_by out")
