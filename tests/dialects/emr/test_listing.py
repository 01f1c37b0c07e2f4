"""The listing of log files against a small model: one that makes the whole list first and cuts it afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliostat.dialects.emr.errors import EmrError
from heliostat.dialects.emr.translate.listing import (
    Entry,
    Object,
    Page,
    checked_path,
    checked_prefix,
    list_objects,
    root_of,
)
from heliostat.domain.ids import WorkspaceId

AT = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = st.text(st.sampled_from("ab/.é"), min_size=1, max_size=8)
OBJECTS = st.dictionaries(KEYS, st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=15).map(
    lambda found: [Object(key, size, AT + timedelta(seconds=age)) for key, (size, age) in found.items()]
)
PREFIXES = st.text(st.sampled_from("ab/.é"), max_size=3)
DELIMITERS = st.sampled_from(["", "/", "a", "//", "b/"])
MARKERS = st.text(st.sampled_from("ab/.é"), max_size=5)


def model(objects: list[Object], prefix: str, delimiter: str, marker: str) -> list[Entry]:
    """Every entry after ``marker``."""
    files: dict[str, Entry] = {}
    directories: dict[str, list[Object]] = {}
    for row in objects:
        if not row.key.startswith(prefix):
            continue
        before, found, _ = row.key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if found:
            directories.setdefault(prefix + before + delimiter, []).append(row)
        else:
            files[row.key] = Entry(row.key, False, row.size, row.modified_at)
    for name, rows in directories.items():
        files[name] = Entry(name, True, 0, max(row.modified_at for row in rows))
    return [files[name] for name in sorted(files) if name > marker]


@settings(max_examples=500)
@given(objects=OBJECTS, prefix=PREFIXES, delimiter=DELIMITERS, marker=MARKERS, limit=st.integers(1, 20))
def test_a_page_is_the_beginning_of_the_whole_list(
    objects: list[Object], prefix: str, delimiter: str, marker: str, limit: int
) -> None:
    whole = model(objects, prefix, delimiter, marker)
    page = list_objects(objects, prefix, delimiter, marker, limit)
    assert list(page.entries) == whole[:limit]
    assert page.next_marker == (whole[limit - 1].key if len(whole) > limit else None)


@settings(max_examples=300)
@given(objects=OBJECTS, prefix=PREFIXES, delimiter=DELIMITERS)
def test_all_pages_together_are_the_whole_list_whatever_their_size(
    objects: list[Object], prefix: str, delimiter: str
) -> None:
    whole = model(objects, prefix, delimiter, "")
    for limit in range(1, len(whole) + 2):
        pages = [list_objects(objects, prefix, delimiter, "", limit)]
        while (marker := pages[-1].next_marker) is not None:
            pages.append(list_objects(objects, prefix, delimiter, marker, limit))
        assert [entry for page in pages for entry in page.entries] == whole
        assert all(len(page.entries) == limit for page in pages[:-1])
        assert len(pages) == max(1, -(-len(whole) // limit)), "no page is empty but the only one"


@given(objects=OBJECTS, prefix=PREFIXES)
def test_every_file_is_found_by_going_down_its_directories(objects: list[Object], prefix: str) -> None:
    found, waiting = set(), [prefix]
    while waiting:
        for entry in list_objects(objects, waiting.pop(), "/", "", 1000).entries:
            if entry.is_directory:
                waiting.append(entry.key)
            else:
                found.add(entry.key)
    assert found == {row.key for row in objects if row.key.startswith(prefix)}


def test_names_and_paths() -> None:
    objects = [Object("w/l/j/nodes/n1/raylet.out", 5, AT), Object("w/l/j/j_driver.log", 7, AT)]
    page = list_objects(objects, "w/l/j/", "/", "", 100)
    common = {"timeModified": 1767225600000}
    assert [entry.shown() for entry in page.entries] == [
        common | {"name": "j_driver.log", "path": "/w/l/j/j_driver.log", "isDir": False, "size": 7},
        common | {"name": "nodes", "path": "/w/l/j/nodes/", "isDir": True, "size": 0},
    ]
    assert page == Page(tuple(replace(entry) for entry in page.entries), None)


JOB = "w-1/ray/logs/rj-1_default/"
RUNS = "w-1/ray/logs/ray-1-"


def test_where_logs_are() -> None:
    workspace = WorkspaceId("w-1")
    assert root_of(workspace, "rj-1") == JOB
    assert root_of(workspace, "ray-1-abc") == "w-1/ray/logs/ray-1-abc/"
    assert root_of(workspace, "ray-1") == RUNS


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("", JOB),
        ("/", JOB),
        ("w-1/ray", JOB),
        ("/w-1/ray/logs/rj-1_default", JOB),
        ("/" + JOB, JOB),
        (JOB + "no", JOB + "no"),
        ("/" + JOB + "nodes/..x/", JOB + "nodes/..x/"),
    ],
)
def test_prefixes(text: str, prefix: str) -> None:
    assert checked_prefix(text, JOB) == prefix


@pytest.mark.parametrize(
    "text", ["w-2/", "x", "//" + JOB, "w-1/ray/logs/rj-2_default/", "w-1/ray/logs/rj-1_defaults/", "W-1/"]
)
def test_prefixes_and_paths_elsewhere(text: str) -> None:
    for check, field in ((checked_prefix, "prefix"), (checked_path, "path")):
        with pytest.raises(EmrError) as refused:
            check(text, JOB)
        assert (refused.value.code, refused.value.path) == ("InvalidParameter", field)


@pytest.mark.parametrize("text", ["..", JOB + "..", JOB + "../x", f"/{JOB}a/../../b", "../" + JOB])
def test_no_way_up(text: str) -> None:
    for check in (checked_prefix, checked_path):
        with pytest.raises(EmrError) as refused:
            check(text, JOB)
        assert "'..'" in refused.value.message


@given(st.text(st.sampled_from("/.w-1raylogsj2_default"), max_size=40) | st.text(max_size=5).map(JOB.__add__))
def test_nothing_leads_out_of_the_folder(text: str) -> None:
    for check in (checked_prefix, checked_path):
        try:
            key = check(text, JOB)
        except EmrError:
            continue
        assert key.startswith(JOB) and ".." not in key.split("/")
