"""Storage in any place that fsspec has a driver for: ``s3://bucket/prefix``, ``gs://``, ``oss://``, ``memory://``.

Objects can be written as a whole only. A log is therefore a row of segments of one size: segment ``i`` is the object
``<key>/<i, 8 digits>`` and holds the bytes from ``i * SEGMENT`` on; all but the last are full. Reading is arithmetic, appending
writes the last segment anew, whose bytes are remembered while a log grows and read again after a restart. A file is the
one object ``<key>/file``.

Only one server may append to a log at a time, as the leases of jobs and instances see to.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from heliostat.domain.errors import Unavailable
from heliostat.domain.masking import hidden, of_settings

from .base import BytesLost, checked
from .drivers import opened
from .files import COPY_BYTES, replacing
from .workers import SECONDS, Workers

SEGMENT = 4 << 20
REMEMBERED_BYTES = 64 << 20
"""Of last segments, of all logs together."""
FILE = "file"
CAUSE_CHARACTERS = 300

_SEGMENT_NAME = re.compile(r"[0-9]{8}")

T = TypeVar("T")


class ObjectStorage:
    """A :class:`~heliostat.storage.base.Storage` of objects. Raises NotReady when the driver is missing or refuses."""

    def __init__(
        self,
        url: str,
        options: Mapping[str, Any],  # the driver's own
        *,
        segment: int = SEGMENT,
        remembered_bytes: int = REMEMBERED_BYTES,
        seconds: float = SECONDS,
    ) -> None:
        self._files, root = opened(url, options)
        self._root = root.rstrip("/")
        self._name = f"the storage {hidden(url)}"
        self._secrets = of_settings(options)
        self._segment = segment
        self._workers = Workers(self._name, seconds=seconds)
        self._ends = _Ends(remembered_bytes)

    async def append(self, key: str, offset: int, data: bytes) -> None:
        call = partial(self._append, checked(key), offset, data)
        await self._workers.ordered(key, partial(self._told, call))

    async def read(self, key: str, offset: int, size: int) -> bytes:
        call = partial(self._read, checked(key), offset, size)
        return await self._workers.run(partial(self._told, call))

    async def put_file(self, key: str, path: Path) -> None:
        call = partial(self._put, checked(key), path)
        await self._workers.ordered(key, partial(self._told, call))

    async def get_file(self, key: str, path: Path) -> bool:
        return await self._workers.run(partial(self._told, partial(self._get, checked(key), path)))

    async def delete(self, key: str) -> None:
        await self._workers.ordered(key, partial(self._told, partial(self._delete, checked(key))))

    async def close(self) -> None:
        await self._workers.close()

    def _told(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except Unavailable:
            raise
        except Exception as error:  # drivers have errors of many libraries
            cause = hidden(f"{type(error).__name__}: {error}"[:CAUSE_CHARACTERS], self._secrets)
            raise Unavailable(f"{self._name} cannot be used now: {cause}") from error

    def _path(self, key: str, name: str | int) -> str:
        return f"{self._root}/{key}/{name if isinstance(name, str) else f'{name:08d}'}"

    def _append(self, key: str, offset: int, data: bytes) -> None:
        index, within = divmod(offset, self._segment)
        before = self._ends.pop(key, offset)  # put back when all is written: what a failure leaves is not known
        if before is None:
            before = self._before(key, offset)
            self._cut(key, index if within or data else index - 1)
        rest = memoryview(data)
        if not data and within == 0 and index:  # nothing to write; the segment before is full
            self._ends.put(key, offset, b"")
            return
        content = before
        while True:
            room = self._segment - len(content)
            content = b"".join((content, rest[:room]))
            rest = rest[room:]
            self._files.pipe_file(self._path(key, index), content)
            if not rest:
                break
            index, content = index + 1, b""
        self._ends.put(key, offset + len(data), content if len(content) < self._segment else b"")

    def _cut(self, key: str, last: int) -> None:
        """Remove the segments after ``last``, the final one first: a crash in between leaves no hole."""
        for number in sorted((number for number in self._segments(key) if number > last), reverse=True):
            self._files.rm_file(self._path(key, number))

    def _before(self, key: str, offset: int) -> bytes:
        """What the segment of ``offset`` holds before it. Raises BytesLost."""
        index, within = divmod(offset, self._segment)
        if within:
            content = self._part(key, index, 0, within)
            present = index * self._segment + len(content)
        elif index:
            content = b""
            present = (index - 1) * self._segment + self._size(key, index - 1)
        else:
            return b""
        if present < offset:
            raise BytesLost(self._name, key, offset, self._length(key))
        return content

    def _length(self, key: str) -> int:
        """Bytes without a hole from the beginning on."""
        there = self._segments(key)
        length = index = 0
        while index in there:
            size = self._size(key, index)
            length, index = length + size, index + 1
            if size < self._segment:
                break
        return length

    def _segments(self, key: str) -> set[int]:
        try:
            names = self._files.ls(f"{self._root}/{key}", detail=False)
        except FileNotFoundError:
            return set()
        last = (str(name).rstrip("/").rpartition("/")[2] for name in names)
        return {int(name) for name in last if _SEGMENT_NAME.fullmatch(name)}

    def _size(self, key: str, index: int) -> int:
        try:
            return int(self._files.info(self._path(key, index))["size"])
        except FileNotFoundError:
            return 0

    def _part(self, key: str, index: int, start: int, end: int) -> bytes:
        """Bytes of a segment, fewer at its end, none when it is not there."""
        path = self._path(key, index)
        try:
            return bytes(self._files.cat_file(path, start=start, end=end))
        except FileNotFoundError:
            return b""
        except Exception:  # a range beyond the end is an error to some services, each with a name of its own
            if self._size(key, index) <= start:
                return b""
            raise

    def _read(self, key: str, offset: int, size: int) -> bytes:
        parts = []
        while size > 0:
            index, start = divmod(offset, self._segment)
            end = min(start + size, self._segment)
            part = self._part(key, index, start, end)
            parts.append(part)
            if len(part) < end - start:
                break
            offset, size = offset + len(part), size - len(part)
        return b"".join(parts)

    def _put(self, key: str, source: Path) -> None:
        self._files.put_file(str(source), self._path(key, FILE))

    def _get(self, key: str, target: Path) -> bool:
        path = self._path(key, FILE)
        try:
            self._files.info(path)
        except FileNotFoundError:
            return False
        with contextlib.closing(self._files.open(path, "rb")) as content, replacing(target) as file:
            shutil.copyfileobj(content, file, COPY_BYTES)
        return True

    def _delete(self, key: str) -> None:
        self._ends.forget(key)
        self._cut(key, -1)
        with contextlib.suppress(FileNotFoundError):
            self._files.info(
                self._path(key, FILE)
            )  # some services remove what is not there without a word, some do not
            self._files.rm_file(self._path(key, FILE))


class _Ends:
    """Where logs end and what their last segments hold, of the logs that were appended to last."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._bytes = 0
        self._ends: OrderedDict[str, tuple[int, bytes]] = OrderedDict()

    def pop(self, key: str, offset: int) -> bytes | None:
        """Forget a log; the bytes of its last segment if it ends at ``offset``."""
        with self._lock:
            end, content = self._ends.pop(key, (-1, b""))
            self._bytes -= len(content)
            return content if end == offset else None

    def put(self, key: str, end: int, content: bytes) -> None:
        with self._lock:
            self._ends[key] = (end, content)
            self._bytes += len(content)
            while self._bytes > self._limit or len(self._ends) > 4096:
                _, (_, old) = self._ends.popitem(last=False)
                self._bytes -= len(old)

    def forget(self, key: str) -> None:
        self.pop(key, 0)
