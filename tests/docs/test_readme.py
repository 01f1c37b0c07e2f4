"""What the README tells a stranger to type works, against a whole server with the simulated engine."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliostat.testing.harness import HarnessServer, threaded
from tests.conformance.emr.conftest import sdk_python  # noqa: F401 - a fixture
from tests.dialects.vertex.sdk.conftest import vertex_sdk  # noqa: F401 - a fixture

from .test_documents import ROOT, blocks

README = (ROOT / "README.md").read_text()
HELIOSTAT = Path(sysconfig.get_path("scripts")) / "heliostat"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HarnessServer]:
    with threaded(tmp_path / "home") as up:
        yield up


def run(command: list[str | Path], server: HarnessServer) -> str:
    """Its output. The command finds the server by its home folder, as a user's does."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(server.home.parent), "HELIOSTAT_HOME": str(server.home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_line(server: HarnessServer) -> None:
    (block,) = [body for body in blocks(README, "sh") if "cluster create first" in body]
    lines = [shlex.split(line, comments=True) for line in block.splitlines() if line.startswith("heliostat ")]
    assert [line[2] for line in lines] == ["create", "get", "why", "stop", "start", "delete"]
    said = {line[2]: run([HELIOSTAT, *line[1:]], server) for line in lines}
    assert "3 of 3 nodes" in said["create"] and "3 of 3 nodes" in said["start"]
    assert "dashboard" in said["get"] and "is running" in said["why"]
    assert not server.world.instances


def test_the_first_job(server: HarnessServer, tmp_path: Path) -> None:
    (block,) = [body for body in blocks(README, "sh") if "heliostat run " in body]
    program = "\n".join(["set -e", f"cd {tmp_path}", f"export PATH={HELIOSTAT.parent}:$PATH", *block.splitlines()[1:]])
    said = run(["bash", "-c", program], server)
    assert "nightly succeeded" in said
    assert "main.py" in said.splitlines()[-1] and "nightly" in said.splitlines()[-2], "the list, newest first"


def test_the_way_to_the_submit_token(server: HarnessServer) -> None:
    run([HELIOSTAT, "cluster", "create", "first"], server)
    (line,) = re.findall(r"^TOKEN=\$\((.*)\)$", README, re.M)
    command = line.replace("heliostat ", f"{HELIOSTAT} ", 1)
    assert re.fullmatch(r"[0-9a-f]{32}\n", run(["bash", "-c", command], server))


def test_the_python_sdk(server: HarnessServer) -> None:
    (program,) = [body for body in blocks(README, "python") if "import heliostat" in body]
    said = run([sys.executable, "-c", program], server)
    assert said.startswith("Running http://c-ray-") and "2 of 2 nodes are alive" in said
    assert said.endswith("Succeeded\n")
    assert not server.world.instances


@pytest.mark.slow  # the first time the SDK's environment is built
def test_the_emr_sdk(server: HarnessServer, sdk_python: Path) -> None:  # noqa: F811 - the fixture
    (program,) = [body for body in blocks(README, "python") if "alibabacloud" in body]
    assert '"127.0.0.1:8600"' in program
    said = run([sdk_python, "-c", program.replace("127.0.0.1:8600", f"127.0.0.1:{server.port}")], server)
    assert said.startswith("Running ok http://c-ray-")
    assert not server.world.instances


@pytest.mark.slow  # importing the SDK takes seconds; the first time its environment is built
def test_the_vertex_sdk(server: HarnessServer, vertex_sdk: Path) -> None:  # noqa: F811 - the fixture
    """Up to where Ray itself is needed; what comes then is in the SDK's own tests, on real Ray."""
    (login,) = [body for body in blocks(README, "sh") if "login --vertex" in body]
    program, with_ray = [body for body in blocks(README, "python") if "vertex_ray" in body]
    place = server.running.server.address.tls_place
    assert place is not None and '"localhost:8601"' in program
    words = [vertex_sdk, "-c", program.replace("localhost:8601", place) + with_ray.splitlines()[-1]]
    path = f"export PATH={HELIOSTAT.parent}:$PATH"
    said = run(["bash", "-c", f'{path}\n{login}exec "$@"', "bash", *words], server)
    assert f"RUNNING 2.47 2 workers {place}/c/ray-" in said
    assert said.endswith("Successfully deleted the cluster.\n")
