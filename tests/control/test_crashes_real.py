"""Invariants 1 and 2 on real Ray: the server is killed at telling moments, and what it promised comes true all the same."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

import heliostat
from heliostat.client import Client, Conflict, Unreachable

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(280)]
DEADLINE = 90


class Process(Protocol):
    """What is used of a :class:`subprocess.Popen`."""

    pid: int

    def send_signal(self, sig: int, /) -> None: ...

    def terminate(self) -> None: ...

    def wait(self, timeout: float | None = None) -> object: ...


class Killable:
    """A server process on one home folder and one port, that can be killed and started again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.process: Process | None = None

    def start(self) -> None:
        program = Path(sys.executable).parent / "heliostat"
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, "serve", "--home", self.home, "--port", str(self.port)], stdout=log, stderr=log
            )
        until(self._answers, "the server answers")

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """In order, so that it takes its folder of short names along."""
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    @property
    def client(self) -> Client:
        made = json.loads((self.home / "credentials.json").read_text())
        return heliostat.Client(endpoint=made["endpoint"], token=made["token"], workspace=made["workspace_id"])

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {DEADLINE} s: {what}")
        time.sleep(0.1)


def processes_of(home: Path) -> list[str]:
    """Command lines of live processes that work below the home folder (Ray names its folders in them)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                folder = (entry / "cwd").readlink()
                if str(home / "local") in line + str(folder) and "heliostat serve" not in line:
                    found.append(f"{entry.name} {line[:120]}")
    return found


@pytest.fixture
def server(tmp_path: Path, ray_environments_folder: Path) -> Iterator[Killable]:
    with killable(tmp_path, ray_environments_folder) as server:
        yield server


@contextlib.contextmanager
def killable(home: Path, environments: Path) -> Iterator[Killable]:
    """A server that runs, with everything that it made removed at the end."""
    (home / "local").mkdir(mode=0o700)
    (home / "local" / "environments").symlink_to(environments)
    server = Killable(home)
    server.start()
    try:
        yield server
    finally:
        with contextlib.suppress(Unreachable, FileNotFoundError):
            for cluster in server.client.clusters.list():
                cluster.delete(stop=True)
            until(lambda: not list(server.client.clusters.list()), "the clusters are gone")
        server.end()
        while left := processes_of(server.home):  # only after a failure
            for line in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(line.split()[0]), signal.SIGKILL)
            time.sleep(0.05)


def test_a_server_killed_at_any_moment_keeps_its_promises(server: Killable) -> None:
    client = server.client
    made = client.clusters.create("crash", workers=1, cpu=1, memory="1Gi")
    server.kill()  # acknowledged, nothing begun or just begun
    server.start()
    until(lambda: len(client.clusters.get("crash").nodes()) >= 1, "nodes are being made")
    server.kill()  # in the middle of the start
    server.start()
    until(lambda: client.clusters.get("crash").state == "Running", "the cluster runs")
    before = {node.node: node.pid for node in client.clusters.get("crash").nodes()}
    assert len(before) == 2

    server.kill()  # while it runs: nothing of it may change
    worker = next(pid for name, pid in before.items() if "head" not in name)
    assert worker is not None
    os.kill(worker, signal.SIGKILL)  # and a worker dies while nobody looks
    server.start()

    def replaced() -> bool:
        nodes = {node.node: (node.pid, node.state) for node in client.clusters.get("crash").nodes()}
        alive = [name for name, (_, state) in nodes.items() if state == "alive"]
        return len(alive) == 2 and worker not in {pid for pid, _ in nodes.values()}

    until(replaced, "the dead worker is replaced")
    after = {node.node: node.pid for node in client.clusters.get("crash").nodes()}
    head = next(name for name in before if "head" in name)
    assert after[head] == before[head], "the head was left alone"

    client.clusters.stop("crash")
    server.kill()  # a stop was acknowledged
    server.start()
    until(lambda: client.clusters.get("crash").state == "Stopped", "the cluster is stopped")
    assert processes_of(server.home) == []
    assert list((server.home / "local" / "i").iterdir()) == []

    client.clusters.start("crash")
    with pytest.raises(Conflict):
        client.clusters.delete("crash")
    client.clusters.delete("crash", stop=True)
    server.kill()  # a deletion was acknowledged while it started
    server.start()
    until(lambda: not list(client.clusters.list()), "the cluster is gone")
    until(lambda: not processes_of(server.home), "its processes are gone")
    assert list((server.home / "local" / "i").iterdir()) == []
    assert made.id


def test_an_orphan_of_a_lost_database_is_removed(server: Killable) -> None:
    server.client.clusters.create("orphan", workers=0, cpu=1, memory="1Gi")
    until(lambda: server.client.clusters.get("orphan").state == "Running", "the cluster runs")
    server.kill()
    # the note of whose database it goes with too, else the server refuses: a wrong database must not end what runs
    for name in ("heliostat.db", "heliostat.db-wal", "heliostat.db-shm", "credentials.json", "database"):
        (server.home / name).unlink(missing_ok=True)
    assert processes_of(server.home)
    server.start()
    until(lambda: not processes_of(server.home), "the orphan's processes are gone")
    until(lambda: not list((server.home / "local" / "i").iterdir()), "the orphan's folder is gone")
    assert "orphan found" in (server.home / "server.log").read_text()
