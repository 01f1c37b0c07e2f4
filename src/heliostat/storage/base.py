"""The seam: bytes under keys. Keys are ``/``-separated names without a leading slash, ``.`` or ``..``.

A key is either a log (``append``, ``read``) or a file (``put_file``, ``get_file``), and no key is the folder of another.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from heliostat.domain.errors import Unavailable


class BytesLost(Unavailable):
    """The storage holds less of a log than was stored: somebody or something else has shortened it."""

    def __init__(self, storage: str, key: str, offset: int, present: int) -> None:
        super().__init__(
            f"bytes of {key} were lost: {storage} holds {present} of the {offset} that were stored there; was it emptied, "
            "or is a disk not mounted?"
        )
        self.present = present
        """Bytes that are there."""


def checked(key: str) -> str:
    """The key itself. Raises ValueError when it is none: keys are made by us, so that is a bug."""
    if not key or "\0" in key or "\\" in key or any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError(f"not a storage key: {key!r}")
    return key


class Storage(Protocol):
    """Every method raises Unavailable, naming the storage, when it cannot do its work now. Safe to use concurrently for
    different keys."""

    async def append(self, key: str, offset: int, data: bytes) -> None:
        """Make ``data`` the bytes of ``key`` from ``offset`` on; whatever was beyond is cut off.

        ``offset`` is the length that the caller knows to be there. Repeating a call, also after a crash in its middle, leads
        to the same bytes; what was there before ``offset`` is never lost. Raises BytesLost when the log is shorter.
        """

    async def read(self, key: str, offset: int, size: int) -> bytes:
        """At most ``size`` bytes from ``offset``; fewer at the end, none when there is no such key."""

    async def put_file(self, key: str, path: Path) -> None:
        """Make ``key`` a copy of a local file, all or nothing."""

    async def get_file(self, key: str, path: Path) -> bool:
        """Make ``path`` a local copy, all or nothing; False when there is no such key."""

    async def delete(self, key: str) -> None:
        """Remove a key that was appended to or put; no error when there is none."""

    async def close(self) -> None: ...
