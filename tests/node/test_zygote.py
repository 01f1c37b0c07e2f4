"""The zygote's line protocol, and that the caller's environment does not reach it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliostat_node.protocol import start_ticks

from .support import BOOTSTRAP, Release, Zygote, until

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def zygote(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """A zygote started from a hostile environment."""
    trap = tmp_path_factory.mktemp("trap")
    for name in ("json.py", "ray.py", "dataclasses.py"):
        (trap / name).write_text("raise SystemExit('the caller\\'s PYTHONPATH was used')")
    environment = {**os.environ, "PYTHONPATH": str(trap), "PYTHONDONTWRITEBYTECODE": "1"}
    zygote = Zygote(release.python, environment)
    yield zygote
    zygote.close()


def test_ping(zygote: Zygote, release: Release) -> None:
    answer = zygote.ask(op="ping")
    assert answer["ray"] == release.version
    assert answer["python"].startswith("3.")


def test_it_is_single_threaded_and_holds_no_files(zygote: Zygote) -> None:
    zygote.ask(op="ping")
    process = Path("/proc", str(zygote.process.pid))
    assert len(list((process / "task").iterdir())) == 1
    targets = [str(entry.readlink()) for entry in (process / "fd").iterdir()]
    assert not [target for target in targets if "/ray" in target]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("nonsense", "The request is not JSON"),
        ("[1]", "The request is not a JSON object."),
        ('{"id": 7}', "The request has no 'op'."),
        ('{"id": 7, "op": "jump"}', "There is no operation 'jump'."),
        ('{"id": 7, "op": "mourn"}', "There is no operation 'mourn'."),
        ('{"id": 7, "op": "start"}', "There is no operation 'start'."),
        ('{"id": 7, "op": "start", "directory": "/nowhere"}', "'/nowhere' is not a directory."),
        ('{"id": 7, "op": "start", "directory": 5}', "5 is not a directory."),
        ('{"id": 7, "op": "drain", "directory": "/tmp"}', "There is no operation 'drain'."),
        ('{"id": 7, "op": "drain", "directory": "/nowhere"}', "'/nowhere' is not a directory."),
    ],
)
def test_bad_requests_are_answered(zygote: Zygote, line: str, error: str) -> None:
    zygote.send(line)
    answer = zygote.receive()
    assert answer["error"].startswith(error)
    assert answer["id"] == (7 if "id" in line else None)
    assert "ray" in zygote.ask(op="ping")


def test_several_requests_in_one_packet_are_answered_in_order(zygote: Zygote) -> None:
    zygote.send('{"id": "a", "op": "ping"}\n\n{"id": "b", "op": "ping"}')
    assert [zygote.receive()["id"] for _ in range(2)] == ["a", "b"]


def test_children_are_reaped(zygote: Zygote, tmp_path: Path) -> None:
    pid = zygote.ask(op="start", directory=str(tmp_path))["pid"]
    until(lambda: not Path("/proc", str(pid)).exists(), "the shim without a spec is reaped", 10)
    assert "spec.json" in (tmp_path / "shim.log").read_text()


def test_end_of_file_ends_it(release: Release) -> None:
    zygote = Zygote(release.python)
    assert zygote.close() == 0
    assert start_ticks(zygote.process.pid) is None


def test_sigterm_ends_it(newest: Release) -> None:
    zygote = Zygote(newest.python)
    zygote.ask(op="ping")
    zygote.process.send_signal(signal.SIGTERM)
    assert zygote.process.wait(5) == -signal.SIGTERM


def test_wrong_arguments_are_explained(newest: Release) -> None:
    result = subprocess.run([newest.python, BOOTSTRAP, "other"], capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "usage: bootstrap.py" in result.stderr
