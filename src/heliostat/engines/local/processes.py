"""Processes that are not our children: noticing their end, and ending all of a node's, for certain.

A process is named by its pid and start time together. Signals go through a pidfd that was opened before the last look
at who the process is, so that a recycled pid is never hit. Which processes belong to a node is known to
:mod:`heliostat_node.processes`; here that search is made safe for a shim that died long ago, and repeated until empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from heliostat_node import processes as table
from heliostat_node.protocol import start_ticks

SHARED_MEMORY = "/dev/shm"
_SETTLE_SECONDS = 0.01


@dataclass(frozen=True)
class Shim:
    """The root process of a node, alive or not."""

    pid: int
    start_ticks: int

    @property
    def alive(self) -> bool:
        return self.pid > 0 and start_ticks(self.pid) == self.start_ticks

    def send(self, number: signal.Signals) -> bool:
        """Signal it if it still lives; whether it did."""
        descriptor = _open(self.pid)
        if descriptor is None:
            return False
        try:
            if not self.alive:
                return False
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
            return True
        finally:
            os.close(descriptor)


class ExitWatch:
    """Calls back when a process ends, without polling and whoever its parent is (a pidfd becomes readable)."""

    def __init__(self) -> None:
        self._descriptors: dict[Shim, int] = {}

    def watch(self, shim: Shim, ended: Callable[[], None]) -> None:
        """Call ``ended`` once, from the event loop, when the process has gone; soon if it already has."""
        if shim in self._descriptors:
            return
        loop = asyncio.get_running_loop()
        descriptor = _open(shim.pid)
        if descriptor is None or not shim.alive:
            if descriptor is not None:
                os.close(descriptor)
            loop.call_soon(ended)
            return

        def readable() -> None:
            self.forget(shim)
            ended()

        self._descriptors[shim] = descriptor
        loop.add_reader(descriptor, readable)

    def forget(self, shim: Shim) -> None:
        descriptor = self._descriptors.pop(shim, None)
        if descriptor is not None:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)

    def close(self) -> None:
        for shim in list(self._descriptors):
            self.forget(shim)


def members(node: str, shim: Shim | None, folders: Collection[Path]) -> set[int]:
    """Live pids of a node. ``folders`` are the node's own; see :func:`_session`."""
    return table.of_node(node, _session(shim, folders) if shim is not None else None)


def kill_tree(node: str, shim: Shim | None, folders: Collection[Path], timeout: float = 10.0) -> set[int]:
    """SIGKILL every process of a node until none is left; returns the pids that outlived the timeout (seconds).

    Blocking, for a thread. ``shim`` is None when it was never known. Also removes the named semaphores in /dev/shm that
    the processes had mapped: Python's would have been removed by a helper that is killed with them.
    """
    deadline = time.monotonic() + timeout
    semaphores: set[int] = set()
    try:
        while (found := members(node, shim, folders)) and time.monotonic() < deadline:
            handles = {pid: handle for pid in found if (handle := _open(pid)) is not None}
            try:
                for pid in members(node, shim, folders) & handles.keys():
                    semaphores |= _semaphores(pid)
                    with contextlib.suppress(ProcessLookupError):
                        signal.pidfd_send_signal(handles[pid], signal.SIGKILL)
            finally:
                for handle in handles.values():
                    os.close(handle)
            time.sleep(_SETTLE_SECONDS)
        return found
    finally:
        _remove_semaphores(semaphores)


def _session(shim: Shim, folders: Collection[Path]) -> int | None:
    """The id of the shim's session, or None when it may be somebody else's by now.

    While the shim lives the kernel guarantees it. When it is dead, its session can have members for a while (Ray's
    workers), and its number is not given away before they are gone; but if they are, it may be in its second life. So
    a session without its leader counts only if one of its members has a file of the node open, as all of Ray's have.
    """
    ticks = start_ticks(shim.pid)
    if ticks is not None:
        return shim.pid if ticks == shim.start_ticks else None
    prefixes = tuple(f"{folder}/" for folder in folders)
    for process in table.table().values():
        if process.session == shim.pid and process.start_ticks >= shim.start_ticks and _touches(process.pid, prefixes):
            return shim.pid
    return None


def _touches(pid: int, prefixes: tuple[str, ...]) -> bool:
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if str(Path(entry.path).readlink()).startswith(prefixes):
                    return True
    return False


def _semaphores(pid: int) -> set[int]:
    """Inodes of the named semaphores that a process has mapped.

    glibc makes one under another name, so the mapping seems to be of a deleted file; the inode tells the real one.
    """
    prefix = f"{SHARED_MEMORY}/sem."
    with contextlib.suppress(OSError), Path(f"/proc/{pid}/maps").open() as maps:
        return {int(line.split(maxsplit=5)[4]) for line in maps if prefix in line}
    return set()


def _remove_semaphores(inodes: set[int]) -> None:
    if inodes:
        for path in Path(SHARED_MEMORY).glob("sem.mp-*"):
            with contextlib.suppress(OSError):
                if path.lstat().st_ino in inodes:
                    path.unlink()


def _open(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (ProcessLookupError, ValueError):
        return None
