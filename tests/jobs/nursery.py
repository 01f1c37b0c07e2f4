"""Server processes that start at once: forked from one that has the server's code imported already, which takes longest.

Each is a process of its own, with the same command line parsed as by the program, and can be killed like one. That the
program itself starts is shown elsewhere (``tests/cli/test_serve.py``, ``tests/control/test_crashes_real.py``).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FORKING = """
import json, os, sys
import heliostat.server
from heliostat.cli.main import run

for line in sys.stdin:
    words, log = json.loads(line)
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.close(file)
        sys.exit(run(words))
    print(pid, flush=True)  # it is never waited for, so that its number stays its own
"""


class Forked:
    """A server process; what the tests use of :class:`subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid)

    def poll(self) -> bool | None:
        """None while it runs. What it ended with, only its parent knows."""
        return True if select.select([self._handle], [], [], 0)[0] else None

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def wait(self, timeout: float | None = None) -> None:
        if not select.select([self._handle], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)


class Nursery:
    """Forks servers with the environment that it was made with."""

    def __init__(self, environment: dict[str, str]) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, "-c", FORKING], stdin=pipe, stdout=pipe, text=True, env=environment
        )

    def start(self, words: Sequence[object], log: Path) -> Forked:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(json.dumps([[str(word) for word in words], str(log)]) + "\n")
        stdin.flush()
        return Forked(int(stdout.readline()))

    def close(self) -> None:
        self._process.communicate()
