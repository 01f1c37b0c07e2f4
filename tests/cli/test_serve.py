"""The server as a program: its banner, its end, and what it refuses before it starts anything."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliostat.client import Client

pytestmark = pytest.mark.slow


class Program:
    def __init__(self, *words: str, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "heliostat.cli.main", "serve", "--engine", "simulated", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environ,
        )  # fmt: skip

    def banner(self) -> str:
        """What it says until it answers."""
        assert self.process.stderr is not None
        told = ""
        for line in self.process.stderr:
            told += line
            if line.lstrip().startswith("stop with"):
                break
        return told

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    made: list[Program] = []
    yield made
    for program in made:
        program.process.kill()
        program.process.communicate()


def start(programs: list[Program], *words: str, **environ: str) -> Program:
    programs.append(Program(*words, **environ))
    return programs[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_ends_when_told(
    programs: list[Program], tmp_path: Path, number: signal.Signals
) -> None:
    home = tmp_path / "home"
    program = start(programs, "--home", str(home), "--port", "0")
    told = program.banner()
    made = json.loads((home / "credentials.json").read_text())
    assert stat.S_IMODE((home / "credentials.json").stat().st_mode) == 0o600
    assert f"answers at   {made['endpoint']}" in told
    assert str(home / "credentials.json") in told
    assert "heliostat cluster create" in told
    assert made["token"] not in told
    with Client(home=home) as client:
        assert client.version().version
    program.process.send_signal(number)
    code, out, err = program.end()
    assert (code, out) == (0, "")
    assert "Traceback" not in err


def test_a_database_that_does_not_answer_is_no_defect_of_the_program(programs: list[Program], tmp_path: Path) -> None:
    url = "postgresql://ray:s3cret@127.0.0.1:1/x"
    code, _, err = start(programs, "--home", str(tmp_path / "h"), "--port", "0", "--database-url", url).end()
    assert code == 1
    assert "Connection refused" in err and "--database-url" in err
    assert "defect" not in err and "s3cret" not in err and "Traceback" not in err


def test_an_address_in_use_is_refused_with_the_remedy(programs: list[Program], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = start(programs, "--home", str(tmp_path / "h"), "--port", str(port)).end()
    assert code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in err
    assert "--port" in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "environ", "code", "told"),
    [
        (["--host", "0.0.0.0"], {}, 1, "--tls-cert"),
        (["--tls-cert", "missing.pem"], {}, 1, "--tls-key"),
        (["--config", "missing.toml"], {}, 1, "missing.toml"),
        ([], {"HELIOSTAT_LOG_LEVEL": "chatty"}, 2, "HELIOSTAT_LOG_LEVEL"),
        (["--port", "70000"], {}, 2, "70000"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    programs: list[Program], tmp_path: Path, words: list[str], environ: dict[str, str], code: int, told: str
) -> None:
    home = tmp_path / "home"
    found, out, err = start(programs, "--home", str(home), *words, **environ).end()
    assert (found, out) == (code, "")
    assert told in err
    assert "Traceback" not in err
    assert not home.exists()
