"""What tasks read and write outside of their cluster: inputs, outputs, uploaded code, at URLs below one root or anywhere.

For dialects' own use; who may see what is for them to say.
"""

from __future__ import annotations

from pathlib import Path

from heliostat.domain.errors import InvalidRequest
from heliostat.storage.blobs import Blobs

LIMIT = 64 << 20
"""Bytes that are read into memory."""


class DataService:
    """Methods raise Unavailable when what is behind a URL does not answer, InvalidRequest when it leads nowhere."""

    def __init__(self, blobs: Blobs, root: str, scratch: Path) -> None:
        self._blobs = blobs
        self.root = root.rstrip("/")
        """URL below which is what we make ourselves; tasks can read and write there."""
        self.scratch = scratch
        """A folder for files on their way."""

    async def read(self, url: str, limit: int = LIMIT) -> bytes | None:
        """What is at a URL, None when there is nothing."""
        return await self._blobs.read(url, limit)

    async def size(self, url: str) -> int | None:
        """Bytes; None when there is nothing."""
        return await self._blobs.size(url)

    async def fetch(self, url: str, target: Path, limit: int) -> bool:
        """Make a local file a copy; False when there is nothing."""
        return await self._blobs.get_file(url, target, limit)

    async def write(self, url: str, data: bytes) -> None:
        """Make this what is at a URL below the root, all or nothing."""
        await self._blobs.write(self._own(url), data)

    async def store(self, url: str, source: Path) -> None:
        """The same from a local file."""
        await self._blobs.put_file(self._own(url), source)

    async def remove(self, url: str) -> None:
        """Remove everything below a URL, which is below the root."""
        await self._blobs.remove_folder(self._own(url))

    def _own(self, url: str) -> str:
        rest = url.removeprefix(f"{self.root}/")
        if rest == url or any(part in ("", ".", "..") for part in rest.split("/")):
            raise InvalidRequest(f"{url} is not below {self.root}")
        return url
