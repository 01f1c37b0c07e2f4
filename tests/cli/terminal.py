"""A program on a terminal of its own, so that Ctrl-C is the key and not a signal sent by a test."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import sys
import time
from pathlib import Path

CTRL_C = b"\x03"


class Terminal:
    """``heliostat WORDS`` on a pseudo-terminal; stdout goes to a file when one is given."""

    def __init__(self, *words: str, out: Path | None = None) -> None:
        self.shown = ""
        """All that was on the screen."""
        self.pid, self._screen = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            if out is not None:
                os.dup2(os.open(out, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), 1)
            os.execv(sys.executable, [sys.executable, "-m", "heliostat.cli.main", *words])

    def until(self, text: str, seconds: float = 60.0) -> None:
        """Wait until this is on the screen, from where the last look ended."""
        deadline = time.monotonic() + seconds
        seen = ""
        while text not in seen:
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.shown}"
            more = self._read(0.5)
            assert more is not None or text in seen, f"it ended without {text!r}:\n{self.shown}"
            seen += more or ""

    def press(self, keys: bytes) -> None:
        os.write(self._screen, keys)

    def end(self, seconds: float = 60.0) -> int:
        """Its exit code."""
        deadline = time.monotonic() + seconds
        while self._read(0.1) is not None:
            assert time.monotonic() < deadline, self.shown
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def _read(self, seconds: float) -> str | None:
        """What came; None at the end."""
        ready, _, _ = select.select([self._screen], [], [], seconds)
        if not ready:
            return ""
        try:
            data = os.read(self._screen, 65536)
        except OSError:  # Linux tells the end of a terminal so
            return None
        self.shown += data.decode(errors="replace")
        return data.decode(errors="replace") if data else None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._screen)
