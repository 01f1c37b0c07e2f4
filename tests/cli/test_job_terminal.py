"""Ctrl-C and SIGTERM while a job is followed, with a real terminal and a real server on the simulated engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliostat.client import Client
from heliostat.engines.simulated import World
from heliostat.engines.simulated_jobs import Script
from heliostat.testing.harness import HarnessServer

from .terminal import CTRL_C, Terminal
from .test_job import until

pytestmark = pytest.mark.slow


@pytest.fixture
def client(server: HarnessServer, world: World) -> Iterator[Client]:
    """Every job prints a word and runs until it is stopped."""
    world.job_behaviour = lambda submission: Script(running_looks=None, output="begun\n")
    with Client() as made:
        yield made


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").touch()
    return tmp_path / "code" / "train.py"


def only(client: Client) -> str:
    return next(iter(client.jobs.list())).status


def test_yes_cancels(client: Client, script: Path, tmp_path: Path) -> None:
    with Terminal("run", str(script), "--workers", "1", out=tmp_path / "out") as terminal:
        terminal.until("train.py (rj-")
        until((tmp_path / "out").read_text, lambda text: "begun" in text)
        terminal.press(CTRL_C)
        terminal.until("Cancel the job? [y/N]")
        terminal.press(b"y\n")
        assert terminal.end() == 143, terminal.shown
    assert only(client) == "Cancelled"


def test_no_goes_on_and_a_second_ctrl_c_leaves_it_running(client: Client, script: Path, tmp_path: Path) -> None:
    with Terminal("run", str(script), out=tmp_path / "out") as terminal:
        until(
            lambda: (tmp_path / "out").exists() and (tmp_path / "out").read_text(), lambda text: "begun" in (text or "")
        )
        terminal.press(CTRL_C)
        terminal.until("Cancel the job? [y/N]")
        terminal.press(b"\n")
        terminal.until("it goes on")
        terminal.press(CTRL_C)
        terminal.until("Cancel the job? [y/N]")
        terminal.press(CTRL_C)
        terminal.until("heliostat job logs rj-")
        assert terminal.end() == 130, terminal.shown
    job = next(iter(client.jobs.list()))
    assert job.status == "Running"
    client.jobs.cancel(job.id)


def test_ctrl_c_while_the_cluster_comes_up(client: Client, world: World, script: Path) -> None:
    world.start_seconds = 600
    with Terminal("run", str(script), "--workers", "2") as terminal:
        terminal.until("nodes up")
        terminal.press(CTRL_C)
        terminal.until("Cancel the job? [y/N]")
        terminal.press(b"y\n")
        assert terminal.end() == 143, terminal.shown
    assert only(client) == "Cancelled"


@pytest.mark.parametrize(
    ("words", "status"), [(("run",), "Cancelled"), (("job", "submit", "--follow", "--", "python"), "Running")]
)
def test_sigterm_cancels_what_run_has_begun(words: tuple[str, ...], status: str, client: Client, script: Path) -> None:
    command = [sys.executable, "-m", "heliostat.cli.main", *words, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        while "begun" not in program.stdout.readline():
            pass
        program.send_signal(signal.SIGTERM)
        _, err = program.communicate(timeout=60)
    assert program.returncode == 143, err
    until(lambda: only(client), lambda found: found == status)
    if status == "Running":
        assert "goes on; follow it with" in err
        client.jobs.cancel(next(iter(client.jobs.list())).id)


def test_where_nobody_can_be_asked_ctrl_c_leaves_it_running(client: Client, script: Path) -> None:
    command = [sys.executable, "-m", "heliostat.cli.main", "run", str(script)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        while "begun" not in program.stdout.readline():
            pass
        os.kill(program.pid, signal.SIGINT)
        _, err = program.communicate(timeout=60)
    assert program.returncode == 130, err
    assert "goes on; follow it with" in err
    job = next(iter(client.jobs.list()))
    assert job.status == "Running"
    client.jobs.cancel(job.id)
