"""Whole things at URLs, wherever those lead: folders of this machine, buckets, anything that fsspec has a driver for.

Beside :class:`~heliostat.storage.base.Storage`, which keeps our own under keys, this is for what others read and write, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from heliostat.domain.errors import HeliostatError, InvalidRequest, NotReady, Unavailable
from heliostat.domain.masking import hidden, of_settings, shown_url

from .drivers import PACKAGES, opened
from .files import COPY_BYTES, make_folders, replacing
from .workers import Workers

SECONDS = 30.0
CAUSE_CHARACTERS = 300
PLACES = 100
"""Buckets whose drivers are kept at hand."""
SCHEMES = frozenset(("file", "memory", "abfs", "abfss", *PACKAGES))
"""Users name URLs, and the server goes there with its own rights: so not to web servers of its network, nor by a driver that is
one for local files by another name. More are let in by giving them options."""
T = TypeVar("T")


class Blobs:
    """Every method raises Unavailable when it cannot do its work now, InvalidRequest for a URL that never leads anywhere."""

    def __init__(
        self,
        options: Mapping[str, Mapping[str, Any]],
        *,
        seconds: float = SECONDS,  # by scheme; each driver's own
    ) -> None:
        self._options = options
        self._seconds = seconds
        self._workers: dict[str, Workers] = {}
        self._opened: dict[str, Any] = {}  # file systems of fsspec, which has no types
        self._lock = threading.Lock()

    async def read(self, url: str, limit: int) -> bytes | None:
        """What is there, None when there is nothing. Raises InvalidRequest when it has more than ``limit`` bytes."""
        return await self._run(url, self._read, limit)

    async def size(self, url: str) -> int | None:
        """Bytes; None when there is nothing."""
        return await self._run(url, self._size)

    async def write(self, url: str, data: bytes) -> None:
        """Make it this, all or nothing."""
        await self._run(url, self._write, data)

    async def put_file(self, url: str, source: Path) -> None:
        """Make it a copy of a local file, all or nothing."""
        await self._run(url, self._put, source)

    async def get_file(self, url: str, target: Path, limit: int) -> bool:
        """Make a local file a copy of it; False when there is nothing. Raises InvalidRequest beyond ``limit`` bytes."""
        return await self._run(url, self._get, target, limit)

    async def remove_folder(self, url: str) -> None:
        """Remove everything below; no error when there is nothing."""
        await self._run(url, self._remove)

    async def close(self) -> None:
        await asyncio.gather(*(workers.close() for workers in self._workers.values()))

    async def _run(self, url: str, call: Callable[..., T], *arguments: object) -> T:
        scheme = _scheme(url)
        if scheme not in SCHEMES and scheme not in self._options:
            raise InvalidRequest(
                f"{shown_url(url)}: the server reads nothing of {scheme}:// unless its operator adds a table "
                f"[storage.options.{scheme}]"
            )
        workers = self._workers.get(scheme)
        if workers is None:
            workers = self._workers[scheme] = Workers(f"what is behind {scheme}://", seconds=self._seconds)
        return await workers.run(partial(self._told, url, scheme, call, *arguments))

    def _told(self, url: str, scheme: str, call: Callable[..., T], *arguments: object) -> T:
        try:
            return call(url, scheme, *arguments)
        except NotReady as error:
            raise InvalidRequest(error.message) from error
        except HeliostatError:
            raise
        except Exception as error:  # drivers have errors of many libraries
            secrets = of_settings(self._options.get(scheme, {}))
            # What follows a question mark may be what opens it, and drivers write it in forms of their own.
            told = type(error).__name__ if "?" in url else f"{type(error).__name__}: {error}"
            cause = hidden(told[:CAUSE_CHARACTERS], secrets)
            raise Unavailable(f"{shown_url(url)} cannot be used now: {cause}") from error

    def _read(self, url: str, scheme: str, limit: int) -> bytes | None:
        try:
            with self._file(url, scheme) as file:
                data = bytes(file.read(limit + 1))
        except (FileNotFoundError, NotADirectoryError):
            return None
        if len(data) > limit:
            raise InvalidRequest(f"{shown_url(url)} has more than {limit} bytes")
        return data

    def _size(self, url: str, scheme: str) -> int | None:
        try:
            if scheme == "file":
                return _path(url).stat().st_size
            files, path = self._files(url, scheme)
            return int(files.info(path)["size"])
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _write(self, url: str, scheme: str, data: bytes) -> None:
        if scheme == "file":
            target = _path(url)
            make_folders(target.parent)
            with replacing(target) as file:
                file.write(data)
            return
        files, path = self._files(url, scheme)
        files.pipe_file(path, data)

    def _put(self, url: str, scheme: str, source: Path) -> None:
        if scheme == "file":
            target = _path(url)
            make_folders(target.parent)
            with source.open("rb") as content, replacing(target) as file:
                shutil.copyfileobj(content, file, COPY_BYTES)
            return
        files, path = self._files(url, scheme)
        files.put_file(str(source), path)

    def _get(self, url: str, scheme: str, target: Path, limit: int) -> bool:
        try:
            with self._file(url, scheme) as content, replacing(target) as file:
                left = limit
                while data := content.read(min(COPY_BYTES, left + 1)):
                    left -= len(data)
                    if left < 0:
                        raise InvalidRequest(f"{shown_url(url)} has more than {limit} bytes")
                    file.write(data)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _remove(self, url: str, scheme: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            if scheme == "file":
                shutil.rmtree(_path(url))
            else:
                files, path = self._files(url, scheme)
                files.rm(path, recursive=True)

    def _file(self, url: str, scheme: str) -> Any:  # a file of whatever kind, opened for reading
        if scheme == "file":
            descriptor = os.open(_path(url), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise InvalidRequest(f"{url} is no plain file")
            return os.fdopen(descriptor, "rb")
        files, path = self._files(url, scheme)
        return files.open(path, "rb")

    def _files(self, url: str, scheme: str) -> tuple[Any, str]:  # a file system of fsspec
        place = f"{scheme}://{urlsplit(url).netloc}"
        with self._lock:
            files = self._opened.pop(place, None) or opened(url, self._options.get(scheme, {}))[0]
            self._opened[place] = files  # the one that was used last is the last
            while len(self._opened) > PLACES:
                del self._opened[next(iter(self._opened))]
        return files, str(files._strip_protocol(url))


def _scheme(url: str) -> str:
    if url.startswith("/"):
        return "file"
    scheme, separator, _ = url.partition("://")
    if not separator or not scheme.isalnum() or "::" in url or "\0" in url:
        raise InvalidRequest(f"{shown_url(url)!r} is neither an absolute path nor a URL")
    return scheme.lower()


def _path(url: str) -> Path:
    """The local path of ``file://`` or of an absolute path: as fsspec reads them, without any decoding."""
    path = url if url.startswith("/") else url[len("file://") :]
    if not path.startswith("/"):
        raise InvalidRequest(f"{url!r} names no file of this machine; write file:///folder/name")
    return Path(path)
