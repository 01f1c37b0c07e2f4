"""Storage in a folder: one plain file per key, readable by the server's user alone.

The folder is made at the first use. Should it be gone later, that is an error and no reason to make it again: a disk that is
not mounted must not lead to logs being written beneath its mount point.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from heliostat.domain.errors import Unavailable

from .base import BytesLost, checked
from .files import COPY_BYTES, copy, make_folders, replacing, sync_folder
from .workers import SECONDS, Workers

INCOMING = ".incoming"
"""Folder of files that are being put; what is old in it was left by a crash."""
INCOMING_SECONDS = 86400
TRIES = 10
"""Times that a folder may be removed, for being empty, between its making and its use."""

T = TypeVar("T")


class FolderStorage:
    """A :class:`~heliostat.storage.base.Storage` below a folder."""

    def __init__(self, path: Path, *, seconds: float = SECONDS) -> None:
        self._root = path
        self._name = f"the folder {path}"
        self._workers = Workers(self._name, seconds=seconds)
        self._made = False

    async def append(self, key: str, offset: int, data: bytes) -> None:
        call = partial(self._append, key, self._path(key), offset, data)
        await self._workers.ordered(key, partial(self._told, call))

    async def read(self, key: str, offset: int, size: int) -> bytes:
        return await self._workers.run(partial(self._told, partial(self._read, self._path(key), offset, size)))

    async def put_file(self, key: str, path: Path) -> None:
        call = partial(self._put, self._path(key), path)
        await self._workers.ordered(key, partial(self._told, call))

    async def get_file(self, key: str, path: Path) -> bool:
        return await self._workers.run(partial(self._told, partial(self._get, self._path(key), path)))

    async def delete(self, key: str) -> None:
        await self._workers.ordered(key, partial(self._told, partial(self._delete, self._path(key))))

    async def close(self) -> None:
        await self._workers.close()

    def open(self) -> None:
        """Make the folder and try whether it can be written to. Blocking. Raises Unavailable."""
        self._told(self._try)

    def _path(self, key: str) -> Path:
        if checked(key).split("/")[0] == INCOMING:
            raise ValueError(f"not a storage key: {key!r}")
        return self._root / key

    def _told(self, call: Callable[[], T]) -> T:
        try:
            if not self._made:
                make_folders(self._root)
                self._made = True
            return call()
        except OSError as error:
            raise Unavailable(f"{self._name}: {error.strerror or error}") from error

    def _try(self) -> None:
        incoming = self._root / INCOMING
        incoming.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=incoming):
            _remove_old(incoming)

    def _append(self, key: str, path: Path, offset: int, data: bytes) -> None:
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            if offset:
                self._root.stat()
                raise BytesLost(self._name, key, offset, 0) from None
            file = self._below(path, lambda: os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            sync_folder(path.parent)
        try:
            present = os.fstat(file).st_size
            if present < offset:
                raise BytesLost(self._name, key, offset, present)
            os.ftruncate(file, offset)
            left = memoryview(data)
            while left:
                written = os.pwrite(file, left, offset)
                left, offset = left[written:], offset + written
            os.fdatasync(file)
        finally:
            os.close(file)

    def _below(self, path: Path, call: Callable[[], T]) -> T:
        """The result of a call that needs the folder of ``path``, which a deletion may remove in between."""
        for _ in range(TRIES):
            self._root.stat()
            try:
                make_folders(path.parent, self._root)
                return call()
            except FileNotFoundError as error:
                last = error
        raise last

    def _read(self, path: Path, offset: int, size: int) -> bytes:
        try:
            with path.open("rb") as file:
                file.seek(offset)
                return file.read(size)
        except FileNotFoundError:
            self._root.stat()  # a storage that is gone is no key that is missing
            return b""

    def _put(self, path: Path, source: Path) -> None:
        incoming = self._root / INCOMING
        self._root.stat()
        make_folders(incoming, self._root)
        _remove_old(incoming)

        def put() -> None:
            with source.open("rb") as content, replacing(path, incoming) as file:
                shutil.copyfileobj(content, file, COPY_BYTES)

        self._below(path, put)

    def _get(self, path: Path, target: Path) -> bool:
        if not path.exists():
            self._root.stat()
            return False
        copy(path, target)
        return True

    def _delete(self, path: Path) -> None:
        self._root.stat()
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self._root:
                break
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:  # not empty
                break


def _remove_old(folder: Path) -> None:
    for path in folder.iterdir():
        try:
            if path.stat().st_mtime < time.time() - INCOMING_SECONDS:
                path.unlink()
        except FileNotFoundError:  # another put has ended
            continue
