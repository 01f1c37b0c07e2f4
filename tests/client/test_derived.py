"""The two clients are one: the synchronous one is what the asynchronous one derives to."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from heliostat.client import AsyncClient, AsyncCluster, AsyncJob, Client, Cluster, Job, derive
from heliostat.client.aio.jobs import AsyncJobs
from heliostat.client.sync.jobs import Jobs

PAIRS = [(AsyncCluster, Cluster), (AsyncClient, Client), (AsyncJob, Job), (AsyncJobs, Jobs)]


@pytest.fixture(scope="module")
def expected() -> dict[Path, str]:
    return derive.expected()


def test_the_synchronous_modules_are_up_to_date(expected: dict[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derive, "expected", lambda: expected)
    assert derive.main(["--check"]) == 0


def test_nothing_else_lives_in_the_derived_package(expected: dict[Path, str]) -> None:
    there = {path.name for path in (Path(derive.__file__).parent / "sync").glob("*.py")}
    assert there == {path.name for path in expected} | derive.NOT_DERIVED


def test_nothing_asynchronous_is_left_over(expected: dict[Path, str]) -> None:
    for path, text in expected.items():
        assert not re.search(r"\basync\b|\bawait\b|asyncio|Async[A-Z]", text), path


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_both_have_the_same_calls_with_the_same_arguments(one: Any, other: Any) -> None:
    def calls(kind: Any) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isroutine)
        return {
            name.replace("aclose", "close"): list(inspect.signature(member).parameters)
            for name, member in found
            if not name.startswith("_")
        }

    assert calls(one) == calls(other)
