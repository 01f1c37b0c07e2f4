"""One server per state folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from heliostat.domain.errors import NotReady


class StateLock:
    """An exclusive flock on a file that names its holder; the kernel releases it with the holder's death."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raises NotReady naming the holder when another server has it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise NotReady(
                f"another heliostat server (process {holder}) uses the state folder {self._path.parent}; "
                "stop that one or choose another home folder"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
