"""Filters and orders, as clients write them."""

from __future__ import annotations

import pytest
from flyteidl.admin import common_pb2 as common

from heliostat.dialects.flyte.admin.listing import Filter, check_sort, filters_of, fits, limit_of
from heliostat.dialects.flyte.admin.references import Reference
from heliostat.dialects.flyte.errors import INVALID_ARGUMENT, FlyteError

FIELDS = Reference._fields
ONE = Reference("p", "d", "mod.one", "v+1")


@pytest.mark.parametrize(
    ("text", "found", "true"),
    [
        ("", [], True),
        ("eq(version,v+1)", [Filter("eq", "version", "v+1")], True),
        (
            "eq(task.name,mod.one)+ne(version,v2)",
            [Filter("eq", "name", "mod.one"), Filter("ne", "version", "v2")],
            True,
        ),
        ("contains(name,one)", [Filter("contains", "name", "one")], True),
        ("value_in(version,v2;v3)", [Filter("value_in", "version", "v2;v3")], False),
        ("eq(version,a)b)", [Filter("eq", "version", "a)b")], False),
    ],
)
def test_filters(text: str, found: list[Filter], true: bool) -> None:
    assert filters_of(text, FIELDS) == found
    assert fits(ONE, found) is true


@pytest.mark.parametrize("text", ["eq", "eq(name)", "like(name,x)", "eq(state,1)", "eq(name,x)ne(", "+", "x" * 9000])
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(FlyteError) as caught:
        filters_of(text, FIELDS)
    assert (caught.value.status, caught.value.path) == (INVALID_ARGUMENT, "filters")


def test_orders() -> None:
    newest = common.Sort(key="created_at", direction=common.Sort.DESCENDING)
    check_sort(newest, ("created_at",), ascending=False)
    check_sort(common.Sort(), ("created_at",), ascending=False)
    for other in (common.Sort(key="created_at", direction=common.Sort.ASCENDING), common.Sort(key="phase")):
        with pytest.raises(FlyteError, match="leave sort_by out"):
            check_sort(other, ("created_at",), ascending=False)
    assert [limit_of(given) for given in (0, 7, 5000)] == [100, 7, 1000]
