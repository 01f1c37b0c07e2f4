"""``client.packages``: code that is uploaded once, whatever the number of jobs that use it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import protocol
from ..packing import Packed, packed_from

if TYPE_CHECKING:
    from .client import AsyncClient


class AsyncPackages:
    """Zips in the client's workspace, known by their SHA-256."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def upload(self, path: str | Path, *, excludes: Sequence[str] = ()) -> str:
        """The URL (``package://...``) of a local folder or zip, which is uploaded if the server does not have it.

        A folder is packed without what ``.gitignore`` and ``.rayignore`` files and ``excludes`` (patterns of the same
        kind) name. Raises InvalidRequest when there is nothing to pack, or too much.
        """
        packed = await self._client.work(packed_from, path, excludes)
        try:
            return await self.send(packed)
        finally:
            packed.close()

    async def send(self, packed: Packed) -> str:
        """The same of what is packed already."""
        url = await self._client.in_workspace(f"/packages/{packed.sha256}")
        if not await self._has(url):
            await self._client.upload(url, packed.path, packed.size)
        return f"package://{packed.sha256}"

    async def has(self, sha256: str) -> bool:
        """Whether the server has the zip with this SHA-256; it keeps it for the job that is to come."""
        return await self._has(await self._client.in_workspace(f"/packages/{protocol.segment(sha256)}"))

    async def _has(self, url: str) -> bool:
        try:
            await self._client.send(protocol.Request("HEAD", url))
        except protocol.NotFound:
            return False
        return True
