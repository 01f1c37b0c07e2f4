"""Typing a command line in a test, alone or against a server with the simulated engine."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner

from heliostat.cli.main import run
from heliostat.engines.simulated import World
from heliostat.testing.harness import HarnessServer, threaded


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


Type = Callable[..., Answer]
"""``type_("cluster", "list", stdin="")``."""


@pytest.fixture(autouse=True)
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings of the person who runs the tests; UTC."""
    for name in list(os.environ):
        if name.startswith("HELIOSTAT_") and not name.startswith("HELIOSTAT_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("KEEP", raising=False)
    monkeypatch.setenv("HELIOSTAT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HELIOSTAT_PROFILES", str(tmp_path / "profiles.json"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def type_() -> Type:
    """Run a command line in this process, through the same door as the program itself."""

    def typed(*words: str, stdin: str = "") -> Answer:
        with CliRunner().isolation(input=stdin) as (out, err, _):
            code = run(words)
            return Answer(code, out.getvalue().decode(), err.getvalue().decode())

    return typed


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def server(tmp_path: Path, world: World, request: pytest.FixtureRequest) -> Iterator[HarnessServer]:
    """A real server whose credentials the command line finds by itself. What it logs is no command's output."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
    request.addfinalizer(lambda: structlog.configure(**before))
    with threaded(tmp_path / "home", world=world) as up:
        yield up
