"""Which processes belong to a node, and how to end them all. Linux ``/proc`` only; both sides import it.

Three searches are joined, because each alone has a hole:

* **descendants** of the shim. The shim is a child subreaper, so a daemon that a user's job leaves behind stays its
  descendant; complete while the shim lives.
* **members of the shim's session**. GCS, raylet and the helpers keep it; a job's entrypoint makes a session of its own.
* **carriers of the marker** ``HELIOSTAT_NODE=<node>`` in ``/proc/<pid>/environ``. Ray's own processes overwrite that
  block with their titles, but they end by themselves when the shim is gone: GCS, raylet and helpers by PDEATHSIG at once,
  agents when the raylet's pipe closes, workers when their parent has become init. What users' code daemonised does not,
  and that does carry the marker.

So an engine that finds a shim dead calls :func:`kill_node` with the pid of its status file, and again until it is empty.
Nothing is ever found by its name.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from heliostat_node.environment import NODE_MARKER

PROC = Path("/proc")
_SETTLE_SECONDS = 0.005


@dataclass(frozen=True)
class Process:
    """One line of the process table. ``start_ticks`` tells it from a later process with the same pid."""

    pid: int
    parent: int
    session: int
    state: str
    start_ticks: int

    @property
    def alive(self) -> bool:
        return self.state not in "ZX"


def table() -> dict[int, Process]:
    """All processes of this machine that can be read, by pid."""
    result = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (process := read(int(entry.name))) is not None:
            result[process.pid] = process
    return result


def read(pid: int) -> Process | None:
    """One process, zombies included; None when it is gone."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Process(pid, int(fields[1]), int(fields[3]), fields[0], int(fields[19]))


def descendants(root: int, processes: dict[int, Process] | None = None) -> set[int]:
    """Pids below a process, itself not included, zombies included."""
    children: dict[int, list[int]] = {}
    for process in (table() if processes is None else processes).values():
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    waiting = list(children.get(root, ()))
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting.extend(children.get(pid, ()))
    return found


def of_node(node: str, shim: int | None) -> set[int]:
    """Live pids of a node: the shim's descendants and session, the marker's carriers, and what is below any of them.

    ``shim`` is the pid from the node's status, or None when that pid now belongs to somebody else. The caller itself is
    never in the result, nor is a process that it may not look into.
    """
    processes = table()
    roots = {process.pid for process in processes.values() if shim is not None and process.session == shim}
    if shim is not None and shim in processes:
        roots.add(shim)
    marker = f"{NODE_MARKER}={node}".encode()
    roots |= {pid for pid in processes if marker in _environment(pid)}
    found = set(roots)
    for root in roots:
        found |= descendants(root, processes)
    found.discard(os.getpid())
    return {pid for pid in found if processes[pid].alive}


def kill_node(node: str, shim: int | None, timeout: float = 10.0) -> set[int]:
    """SIGKILL everything of a node until nothing is left; returns the pids that outlived the timeout (seconds)."""
    deadline = time.monotonic() + timeout
    while (left := of_node(node, shim)) and time.monotonic() < deadline:
        send(left, signal.SIGKILL)
        time.sleep(_SETTLE_SECONDS)
    return left


def kill_descendants(root: int, timeout: float = 10.0) -> set[int]:
    """SIGKILL all that is below a process, reaping what is the caller's; returns the pids that outlived the timeout."""
    deadline = time.monotonic() + timeout
    while True:
        processes = table()
        left = {pid for pid in descendants(root, processes) if processes[pid].alive}
        if not left or time.monotonic() > deadline:
            return left
        send(left, signal.SIGKILL)
        time.sleep(_SETTLE_SECONDS)
        if root == os.getpid():
            reap()


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes, whichever of them still exist."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def reap() -> dict[int, int]:
    """Collect children that have ended; their pids and wait statuses."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status


def _environment(pid: int) -> list[bytes]:
    try:
        return (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []
