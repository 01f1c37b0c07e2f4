"""Real Ray nodes for the tests: started as the control plane starts them, and ended whatever happens."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import heliostat_node
from heliostat_node import processes
from heliostat_node.features import Features, features
from heliostat_node.protocol import NodeSpec, NodeStatus, start_ticks

BOOTSTRAP = Path(heliostat_node.__file__).with_name("bootstrap.py")
DEADLINE_SECONDS = 90.0
T = TypeVar("T")


def until(reached: Callable[[], T], what: str, timeout: float = DEADLINE_SECONDS) -> T:
    """Poll until a condition is truthy and return it; fail the test after the timeout."""
    deadline = time.monotonic() + timeout
    while not (value := reached()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:.0f} s: {what}")
        time.sleep(0.02)
    return value


def free_port() -> int:
    """A loopback port outside the ephemeral range and all ranges of Ray, so that nothing else takes it meanwhile."""
    while True:
        port = 20000 + secrets.randbelow(2900)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Zygote:
    """A zygote process and the control plane's end of its line protocol."""

    def __init__(self, python: Path, environment: dict[str, str] | None = None) -> None:
        self._socket, theirs = socket.socketpair()
        self.process = subprocess.Popen([str(python), str(BOOTSTRAP), "zygote"], stdin=theirs.fileno(), env=environment)
        theirs.close()
        self._file = self._socket.makefile("rw")
        self._next = 0

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send one request and return its answer."""
        self._next += 1
        self.send(json.dumps({"id": self._next, **request}))
        answer: dict[str, Any] = json.loads(self._file.readline())
        assert answer["id"] == self._next
        return answer

    def send(self, line: str) -> None:
        """Send one raw line."""
        self._file.write(line + "\n")
        self._file.flush()

    def receive(self) -> dict[str, Any]:
        """Read one answer."""
        answer: dict[str, Any] = json.loads(self._file.readline())
        return answer

    def close(self) -> int:
        """End of file; returns the exit status."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._socket.close()
        code: int = self.process.wait(10)
        return code


@dataclasses.dataclass(frozen=True)
class Release:
    """A Ray environment to test with."""

    version: str
    python: Path

    @property
    def features(self) -> Features:
        return features(self.version)


class Instance:
    """One head and its workers below a short directory of their own."""

    def __init__(self, release: Release, zygote: Zygote, base: Path, client: bool = False) -> None:
        self.release = release
        self.id = "i-" + secrets.token_hex(3)
        self.base = base / self.id
        self.base.mkdir(parents=True, mode=0o700)
        self.zygote = zygote
        self.gcs_port = free_port()
        self.dashboard_port = free_port()
        self.client_port = free_port() if client else None
        self.token = secrets.token_hex(16)
        self.specs: list[NodeSpec] = []
        if release.features.token_auth:
            token = self.base / "token"
            token.touch(0o600)
            token.write_text(self.token)

    def spec(self, kind: str, **changes: Any) -> NodeSpec:
        """Write down a further node."""
        name = f"{self.id}-{len(self.specs)}"
        directory = self.base / f"n{len(self.specs)}"
        directory.mkdir(mode=0o700)
        head = kind == "head"
        spec = NodeSpec(
            instance=self.id,
            node=name,
            kind="head" if head else "worker",
            group="headgroup" if head else "small",
            directory=str(directory),
            temp_dir=str(directory / "r"),
            gcs_port=self.gcs_port,
            dashboard_port=self.dashboard_port if head else 0,
            client_port=self.client_port if head else None,
            dashboard_metrics_port=free_port() if head else 0,
            autoscaler_metrics_port=free_port() if head else 0,
            metrics_export_port=free_port(),
            token_path=str(self.base / "token") if self.release.features.token_auth else None,
            environment={"HOME": str(self.base), "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        )
        spec = dataclasses.replace(spec, **changes)
        spec.write()
        self.specs.append(spec)
        return spec

    def start(self, spec: NodeSpec) -> int:
        """Fork the node's shim; returns its pid."""
        answer = self.zygote.ask(op="start", directory=spec.directory)
        assert "pid" in answer, answer
        pid: int = answer["pid"]
        path = Path(spec.directory)
        until(lambda: (s := NodeStatus.read(path)) is not None and s.pid == pid, "status of the new shim", 10)
        return pid

    def status(self, spec: NodeSpec) -> NodeStatus:
        """What the node's shim says."""
        status = NodeStatus.read(Path(spec.directory))
        assert status is not None
        return status

    def wait_registered(self, *specs: NodeSpec) -> None:
        """Until these nodes are ALIVE; fails at once when one has ended."""
        for spec in specs:
            until(lambda spec=spec: self._still(spec).registered_at, f"{spec.node} registered")  # type: ignore[misc]

    def wait_dashboard(self) -> None:
        """Until the head's Jobs API answers."""
        until(lambda: self._still(self.specs[0]).dashboard_ready_at, "dashboard")

    def wait_exited(self, spec: NodeSpec, timeout: float = 20) -> NodeStatus:
        """Until the node's shim has said that it ended, and has."""
        until(lambda: self.status(spec).phase == "exited", "exit", timeout)
        status = self.status(spec)
        until(lambda: start_ticks(status.pid) is None, "the shim's end", 5)
        return status

    def _still(self, spec: NodeSpec) -> NodeStatus:
        status = self.status(spec)
        assert status.phase != "exited", status.exit_reason
        return status

    def pids(self, spec: NodeSpec) -> set[int]:
        """All live processes of a node."""
        status = NodeStatus.read(Path(spec.directory))
        return processes.of_node(spec.node, status.pid if status else None)

    def all_pids(self) -> set[int]:
        """All live processes of the instance."""
        return {pid for spec in self.specs for pid in self.pids(spec)}

    def http(self, path: str, body: object = None, token: str | None = "") -> Any:
        """Call the dashboard and return the JSON; ``token=None`` sends none."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.dashboard_port}{path}", data)
        request.add_header("Content-Type", "application/json")
        if token is not None and self.release.features.token_auth:
            request.add_header("Authorization", f"Bearer {token or self.token}")
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.loads(response.read())

    def submit(self, entrypoint: str, **fields: Any) -> str:
        """Submit a job; returns its id."""
        answer = self.http("/api/jobs/", {"entrypoint": entrypoint, **fields})
        return str(answer["submission_id"])

    def job(self, submission: str) -> dict[str, Any]:
        """A job's state."""
        answer: dict[str, Any] = self.http(f"/api/jobs/{submission}")
        return answer

    def job_logs(self, submission: str) -> str:
        """What a job printed."""
        return str(self.http(f"/api/jobs/{submission}/logs")["logs"])

    def wait_job(self, submission: str) -> str:
        """Until a job has ended; returns its output, fails unless it succeeded."""
        ended = ("SUCCEEDED", "FAILED", "STOPPED")
        state = until(lambda: s if (s := self.job(submission)["status"]) in ended else None, "job")
        logs = self.job_logs(submission)
        assert state == "SUCCEEDED", logs
        return logs

    def stop(self) -> None:
        """SIGTERM to every shim, workers first, and their ends."""
        for spec in reversed(self.specs):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.status(spec).pid, signal.SIGTERM)
        for spec in self.specs:
            self.wait_exited(spec)

    def kill(self) -> None:
        """Leave nothing, whatever state the nodes are in."""
        for spec in self.specs:
            status = NodeStatus.read(Path(spec.directory))
            alive = status is not None and start_ticks(status.pid) == status.start_ticks
            left = processes.kill_node(spec.node, status.pid if status and alive else None)
            if left:
                print(f"survived: {left}", file=sys.stderr)


def command(pid: int) -> str:
    """A process's command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@dataclasses.dataclass(frozen=True)
class Listener:
    """A listening TCP socket of a process."""

    pid: int
    command: str
    address: str
    port: int

    @property
    def loopback(self) -> bool:
        return self.address in ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def listeners(pids: set[int]) -> list[Listener]:
    """The listening TCP sockets of these processes, from the kernel's tables."""
    table = dict(_listening())
    found = []
    for pid in sorted(pids):
        for inode in _sockets(pid) & table.keys():
            address, port = table[inode]
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                found.append(Listener(pid, command, address, port))
    return found


def _sockets(pid: int) -> set[int]:
    inodes = set()
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                target = str(entry.readlink())
                if target.startswith("socket:["):
                    inodes.add(int(target[8:-1]))
    return inodes


def _listening() -> Iterator[tuple[int, tuple[str, int]]]:
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                address, port = fields[1].split(":")
                words = [bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8)]
                yield int(fields[9]), (socket.inet_ntop(family, b"".join(words)), int(port, 16))
