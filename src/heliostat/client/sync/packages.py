"""``client.packages``: code that is uploaded once, whatever the number of jobs that use it.

Derived from ``aio/packages.py`` by ``python -m heliostat.client.derive``: change that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import protocol
from ..packing import Packed, packed_from

if TYPE_CHECKING:
    from .client import Client


class Packages:
    """Zips in the client's workspace, known by their SHA-256."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def upload(self, path: str | Path, *, excludes: Sequence[str] = ()) -> str:
        """The URL (``package://...``) of a local folder or zip, which is uploaded if the server does not have it.

        A folder is packed without what ``.gitignore`` and ``.rayignore`` files and ``excludes`` (patterns of the same
        kind) name. Raises InvalidRequest when there is nothing to pack, or too much.
        """
        packed = self._client.work(packed_from, path, excludes)
        try:
            return self.send(packed)
        finally:
            packed.close()

    def send(self, packed: Packed) -> str:
        """The same of what is packed already."""
        url = self._client.in_workspace(f"/packages/{packed.sha256}")
        if not self._has(url):
            self._client.upload(url, packed.path, packed.size)
        return f"package://{packed.sha256}"

    def has(self, sha256: str) -> bool:
        """Whether the server has the zip with this SHA-256; it keeps it for the job that is to come."""
        return self._has(self._client.in_workspace(f"/packages/{protocol.segment(sha256)}"))

    def _has(self, url: str) -> bool:
        try:
            self._client.send(protocol.Request("HEAD", url))
        except protocol.NotFound:
            return False
        return True
