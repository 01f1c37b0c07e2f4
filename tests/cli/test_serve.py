"""The server as a program: its banner, its end, and what it refuses before it starts anything."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
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
    place = re.search(r"and at +(https://localhost:\d+)", told)
    assert place is not None
    assert str(home / "tls" / "ca.pem") in told
    with Client(place[1], made["token"], ca=str(home / "tls" / "ca.pem")) as client:
        assert client.me().admin
    with Client(home=home) as client:
        assert client.version().version
    program.process.send_signal(number)
    code, out, err = program.end()
    assert (code, out) == (0, "")
    assert "Traceback" not in err


def test_tls_of_its_own_is_used_by_the_program_on_the_same_machine(programs: list[Program], tmp_path: Path) -> None:
    home = tmp_path / "home"
    program = start(programs, "--home", str(home), "--port", "0", "--own-tls", "--flyte-listen", "0")
    told = program.banner()
    assert re.search(r"answers at +https://127\.0\.0\.1:\d+\n", told)
    assert "and at" not in told and str(home / "tls" / "ca.pem") in told
    assert re.search(r"propellers +at port \d+, without credentials\n", told)
    asked = subprocess.run(
        [sys.executable, "-m", "heliostat.cli.main", "cluster", "list", "-o", "json"],
        capture_output=True, text=True, env=os.environ | {"HELIOSTAT_HOME": str(home)}, timeout=60, check=False,
    )  # fmt: skip
    assert (asked.returncode, json.loads(asked.stdout)) == (0, []), asked.stderr


REFUSED = {
    "a database that does not answer": (["--port", "0", "--database-url", "postgresql://ray:s3cret@127.0.0.1:1/x"], {}),
    "an address in use": (["--port", "{taken}"], {}),
    "plain http for others": (["--port", "0", "--host", "0.0.0.0"], {}),
    "a certificate without a key": (["--port", "0", "--tls-cert", "missing.pem"], {}),
    "two certificates": (["--port", "0", "--tls-cert", "missing.pem", "--own-tls"], {}),
    "a second port that is taken": (["--port", "0", "--tls-port", "{taken}"], {}),
    "a second port and none": (["--port", "0", "--tls-port", "0", "--no-tls-port"], {}),
    "a file that is not there": (["--port", "0", "--config", "missing.toml"], {}),
    "a variable that is no choice": (["--port", "0"], {"HELIOSTAT_LOG_LEVEL": "chatty"}),
    "a requirements file that leads elsewhere": (["--port", "0", "--flyte-requirements", "requirements.txt"], {}),
    "a door for every propeller": (["--port", "0"], {"HELIOSTAT_FLYTE_LISTEN": "0.0.0.0:0"}),
    "a door for propellers nowhere": (["--port", "0", "--flyte-listen", "8602:"], {}),
    "a port that cannot be": (["--port", "70000"], {}),
}
EACH_IN_ITS_PROCESS = """
import json, os, sys
import heliostat.server
from heliostat.cli.main import run

codes = []
for words, environ, out, err in json.loads(sys.argv[1]):
    child = os.fork()
    if child == 0:
        os.environ.update(environ)
        for number, file in ((1, out), (2, err)):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
        sys.exit(run(words))
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(codes))
"""


@dataclass(frozen=True)
class Refusal:
    home: Path
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Refusal]:
    """What the program says to each of these; it is imported once for all, which takes the longest."""
    folder = tmp_path_factory.mktemp("refused")
    (folder / "requirements.txt").write_text("emoji\n-r more.txt\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        rows = []
        for number, (words, environ) in enumerate(REFUSED.values()):
            line = ["serve", "--engine", "simulated", "--home", str(folder / f"home{number}")]
            line += [word.format(taken=port) for word in words]
            rows.append((line, environ, str(folder / f"out{number}"), str(folder / f"err{number}")))
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HELIOSTAT_")}
        done = subprocess.run(
            [sys.executable, "-c", EACH_IN_ITS_PROCESS, json.dumps(rows)],
            capture_output=True, text=True, check=True, timeout=120, env=clean, cwd=folder,
        )  # fmt: skip
    found = zip(REFUSED, rows, json.loads(done.stdout), strict=True)
    return {
        name: Refusal(Path(row[0][4]), code, Path(row[2]).read_text(), Path(row[3]).read_text().replace(port, "TAKEN"))
        for name, row, code in found
    }


def test_a_database_that_does_not_answer_is_no_defect_of_the_program(refusals: dict[str, Refusal]) -> None:
    seen = refusals["a database that does not answer"]
    assert seen.code == 1
    assert "Connection refused" in seen.err and "--database-url" in seen.err
    assert "defect" not in seen.err and "s3cret" not in seen.err and "Traceback" not in seen.err


def test_an_address_in_use_is_refused_with_the_remedy(refusals: dict[str, Refusal]) -> None:
    seen = refusals["an address in use"]
    assert seen.code == 1
    assert "cannot listen on 127.0.0.1:TAKEN" in seen.err
    assert "--port" in seen.err and "Traceback" not in seen.err


@pytest.mark.parametrize(
    ("what", "code", "told"),
    [
        ("plain http for others", 1, "--tls-cert"),
        ("a certificate without a key", 1, "--tls-key"),
        ("two certificates", 1, "--own-tls"),
        ("a second port that is taken", 1, "--no-tls-port"),
        ("a second port and none", 2, "--no-tls-port"),
        ("a file that is not there", 1, "missing.toml"),
        ("a variable that is no choice", 2, "HELIOSTAT_LOG_LEVEL"),
        ("a requirements file that leads elsewhere", 1, "requirements.txt, line 2: the option -r"),
        ("a door for every propeller", 1, "flyte.connector.listen"),
        ("a door for propellers nowhere", 2, "HELIOSTAT_FLYTE_LISTEN: must be a port"),
        ("a port that cannot be", 2, "70000"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    refusals: dict[str, Refusal], what: str, code: int, told: str
) -> None:
    seen = refusals[what]
    assert (seen.code, seen.out) == (code, "")
    assert told in seen.err
    assert "Traceback" not in seen.err
    assert not seen.home.exists()
