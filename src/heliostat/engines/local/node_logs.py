"""The log files of an instance's nodes, for readers outside: which there are, and pieces of them.

A node's files are what Ray's processes and the user's code write below ``<temp>/s/logs``, by their paths there, and what
each shim wrote: ``shim.log``, of a head that was started again also ``shim.1.log`` and so on. The session folder is the same
one for every attempt to run a head, so Ray goes on with its files.

The user's code can put anything into the log folder. So every folder on the way to a file is opened by itself and never
through a symbolic link, and of what is found only regular files count.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import re
import stat
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

from heliostat.domain.engine import NodeLog
from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import InstanceId, NodeId
from heliostat_node.protocol import LOG_FILE, SPEC_FILE

from .layout import Layout
from .logs import SESSION
from .records import NODES, InstanceRecord, moment

FILES_PER_NODE = 10_000
"""A job that makes files without end must not fill the server's memory; those next to the top are found first."""
DEPTH = 8
"""Folders below the log folder that are looked into, one in the other. Ray's own are one or two deep."""
THREADS = 4
"""Of their own, because the usual ones may all be busy removing instances for seconds."""

_LOGS = (SESSION, "logs")
_SHIM = re.compile(r"shim(?:\.([1-9][0-9]*))?\.log")
_LATEST = 253402300799.0
"""The last second that a datetime can tell; files can claim later ones."""
_GONE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENXIO, errno.ENAMETOOLONG, errno.ESTALE}
)
"""What opening says of a file that is not there, is a link, a socket, or was taken away by its owner."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class NodeFolders:
    """Where a node's files are: names, below the folders of the instance."""

    temp: str
    attempts: Mapping[int, str]
    """Number of the attempt -> name of its directory."""


Folders = Mapping[str, NodeFolders]
"""By node."""


def noted_folders(record: InstanceRecord) -> Folders:
    """The folders of all nodes that a record names, dead ones included."""
    graves = {grave.node: _all_attempts(grave.node, grave.temp, _attempt(grave.directory)) for grave in record.graves}
    return graves | {node.node: _all_attempts(node.node, node.temp, node.attempt) for node in record.nodes}


def found_folders(instance: Path) -> Folders:
    """The same from the files of an instance whose record is damaged. Blocking; raises OSError."""
    found: dict[str, NodeFolders] = {}
    for entry in sorted((instance / NODES).iterdir()):
        node, _, number = entry.name.rpartition(".")
        if not node or not number.isdecimal():
            continue
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            temp = Path(json.loads((entry / SPEC_FILE).read_text())["temp_dir"]).name
            known = found.get(node, NodeFolders(temp, {}))
            found[node] = NodeFolders(temp, {**known.attempts, int(number): entry.name})
    return found


class NodeLogs:
    """Lists and reads the files, in threads of its own."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="node-logs")

    async def files(self, instance: InstanceId, record: InstanceRecord | None) -> list[NodeLog]:
        """All files, by node and name. ``record`` is None when it is damaged. Raises Unavailable."""
        return await self._in_thread(self._files, instance, record)

    async def read(
        self, instance: InstanceId, record: InstanceRecord | None, log: NodeLog, offset: int, size: int
    ) -> bytes | None:
        """A piece of a file; None when there is no such file. Raises Unavailable."""
        return await self._in_thread(self._read, instance, record, log, offset, size)

    def close(self) -> None:
        """Let the threads end. Nothing is read afterwards."""
        self._threads.shutdown(wait=False)

    async def _in_thread(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        def done() -> T:
            return work(*args, **kwargs)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, done)
        except OSError as error:
            raise Unavailable(f"the log files of the nodes cannot be read just now: {error.strerror}") from error

    def _folders(self, instance: InstanceId, record: InstanceRecord | None) -> Folders:
        if record is not None:
            return noted_folders(record)
        try:
            return found_folders(self._layout.instance(instance))
        except FileNotFoundError:
            return {}

    def _files(self, instance: InstanceId, record: InstanceRecord | None) -> list[NodeLog]:
        found: list[NodeLog] = []
        for node, folders in self._folders(instance, record).items():
            rows = [*self._shim_logs(instance, folders), *self._ray_logs(instance, folders)]
            found += (NodeLog(NodeId(node), name, facts.st_size, _moment(facts.st_mtime)) for name, facts in rows)
        return sorted(found, key=lambda file: (file.node, file.name))

    def _shim_logs(self, instance: InstanceId, folders: NodeFolders) -> Iterator[tuple[str, os.stat_result]]:
        for number in folders.attempts:
            name = f"shim.{number}.log" if number else LOG_FILE
            descriptor = self._open(instance, folders, name)
            if descriptor is not None:
                with _closing(descriptor):
                    yield name, os.fstat(descriptor)

    def _ray_logs(self, instance: InstanceId, folders: NodeFolders) -> Iterator[tuple[str, os.stat_result]]:
        left = FILES_PER_NODE
        waiting: deque[tuple[str, ...]] = deque([()])
        while waiting and left:
            inside = waiting.popleft()
            descriptor = _open_below(
                self._layout.real_temps(instance), (folders.temp, *_LOGS, *inside), os.O_RDONLY | os.O_DIRECTORY
            )
            if descriptor is None:
                continue
            with _closing(descriptor), os.scandir(descriptor) as entries:
                for entry in entries:
                    path = (*inside, entry.name)
                    if not left:
                        break
                    if not _printable(entry.name) or (not inside and _SHIM.fullmatch(entry.name)):
                        continue
                    with contextlib.suppress(FileNotFoundError):
                        if entry.is_dir(follow_symlinks=False):
                            if len(inside) < DEPTH and len(waiting) < FILES_PER_NODE:
                                waiting.append(path)
                        elif entry.is_file(follow_symlinks=False):
                            left -= 1
                            yield "/".join(path), entry.stat(follow_symlinks=False)

    def _read(
        self, instance: InstanceId, record: InstanceRecord | None, log: NodeLog, offset: int, size: int
    ) -> bytes | None:
        folders = self._folders(instance, record).get(log.node)
        descriptor = self._open(instance, folders, log.name) if folders is not None else None
        if descriptor is None:
            return None
        with _closing(descriptor):
            there = os.fstat(descriptor).st_size - offset  # a buffer of the size that is asked for would be made first
            return os.pread(descriptor, min(size, there), offset) if there > 0 else b""

    def _open(self, instance: InstanceId, folders: NodeFolders, name: str) -> int | None:
        """A regular file of a node, open for reading, or None when there is none of that name."""
        options: list[tuple[Path, tuple[str, ...]]]
        shim = _SHIM.fullmatch(name)
        if shim is not None:
            directory = folders.attempts.get(int(shim[1] or 0))
            if directory is None:
                return None
            own = self._layout.home(instance)
            options = [(own, (NODES, place, LOG_FILE)) for place in (directory, f"{directory}.fenced")]
        else:
            options = [(self._layout.real_temps(instance), (folders.temp, *_LOGS, *name.split("/")))]
        for base, path in options:
            descriptor = _open_below(base, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)  # a pipe must not block
            if descriptor is None:
                continue
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return descriptor
            os.close(descriptor)
        return None


def _open_below(base: Path, path: Sequence[str], flags: int) -> int | None:
    """Open what is at this path below a folder of ours, without following any link; None when it is not there.

    Raises OSError when that cannot be told (no descriptors left, an error of the disk).
    """
    if any(part in ("", ".", "..") or "/" in part or not _printable(part) for part in path):
        return None
    descriptors: list[int] = []
    try:
        descriptors.append(os.open(base, os.O_PATH | os.O_DIRECTORY))
        for part in path[:-1]:
            way = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
            descriptors.append(os.open(part, way, dir_fd=descriptors[-1]))
        return os.open(path[-1], flags | os.O_NOFOLLOW, dir_fd=descriptors[-1])
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _printable(name: str) -> bool:
    """Whether a file's name is text. Others (control characters, bytes that are no UTF-8) are nobody's log."""
    return name.isprintable()


def _moment(seconds: float) -> datetime:
    return moment(min(max(seconds, 0.0), _LATEST))


def _all_attempts(node: str, temp: str, last: int) -> NodeFolders:
    return NodeFolders(temp, {number: f"{node}.{number}" for number in range(last + 1)})


def _attempt(directory: str) -> int:
    return int(directory.rpartition(".")[2])
