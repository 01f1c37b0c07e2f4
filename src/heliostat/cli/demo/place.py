"""The demo's private folder: whose it is just now, and what may be removed of it.

Only one demo uses the folder at a time (a lock), a note in it tells which server runs there (for ``--stop``, and for the
next demo when this one was killed), and the Ray environments in it stay, since building them is the slow part.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

NOTE = "demo.json"
ENVIRONMENTS = Path("local") / "environments"
"""Below the folder: what the local engine builds and the next demo uses again."""


class Busy(Exception):
    """Another demo works in the folder at this moment."""


@dataclass(frozen=True)
class Note:
    """The server of a demo, as written down for later."""

    pid: int
    born: int
    """Start of the process in clock ticks since boot: a number that is given again to another process is noticed."""
    endpoint: str
    kept: bool = False
    """The user asked for it to go on."""

    @property
    def alive(self) -> bool:
        return birth(self.pid) == self.born


@dataclass(frozen=True)
class Place:
    root: Path

    @classmethod
    def chosen(cls, home: str | None) -> Place:
        """``demo`` below the home folder that was asked for (or that folder, if it is a demo's), else in the cache folder."""
        if home:
            folder = Path(home).expanduser().absolute()
            return cls(folder if _is_ours(folder) else folder / "demo")
        import platformdirs

        return cls(Path(platformdirs.user_cache_dir("heliostat")) / "demo")

    @property
    def log(self) -> Path:
        return self.root / "server.log"

    @property
    def credentials(self) -> Path:
        return self.root / "credentials.json"

    @property
    def environments(self) -> Path:
        return self.root / ENVIRONMENTS

    @property
    def _note(self) -> Path:
        return self.root / NOTE

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """The folder for this process alone. Raises Busy."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.root / "demo.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor, self.root)
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # it holds environments or a kept demo
                    self.root.rmdir()
        finally:
            os.close(descriptor)

    def note(self) -> Note | None:
        """What an earlier demo left word of."""
        try:
            return Note(**json.loads(self._note.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, note: Note) -> None:
        partial = self._note.with_suffix(".new")
        partial.write_text(json.dumps(asdict(note)))
        partial.replace(self._note)

    def clear(self) -> None:
        """Remove everything but the environments (and the lock, which goes last)."""
        kept = self.root / ENVIRONMENTS.parts[0]
        for entry in [*_entries(self.root), *_entries(kept)]:
            if entry == kept or entry == self.environments or entry.name == "demo.lock":
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        for folder in (self.environments, kept):
            with contextlib.suppress(OSError):  # it holds environments, or was never made
                folder.rmdir()

    def log_tail(self, lines: int = 8) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").rstrip().splitlines()[-lines:])
        except OSError:
            return ""


def birth(pid: int) -> int | None:
    """When a living process began, in clock ticks since boot; None when there is none (zombies do not count)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def wait_until_gone(note: Note, seconds: float) -> bool:
    """Whether the process ended within that time."""
    end = time.monotonic() + seconds
    while note.alive:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _is_ours(folder: Path) -> bool:
    """Whether it is a demo's own folder, as the user was told to name it in ``HELIOSTAT_HOME``; never a real server's."""
    return (folder / NOTE).exists() or (folder.name == "demo" and not (folder / "credentials.json").exists())


def _lock(descriptor: int, root: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Busy(f"another demo is running in {root}") from error
    if os.fstat(descriptor).st_nlink == 0:  # its last owner took it away between our two calls
        raise Busy(f"another demo has just ended in {root}")


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
