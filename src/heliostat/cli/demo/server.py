"""The demo's server: ``heliostat serve`` as a process of its own, on a free port of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from heliostat.client import Client
from heliostat.client.errors import Unavailable

from ..failures import Failure
from .place import Note, Place, birth, wait_until_gone

START_SECONDS = 60.0
"""Longer than it takes on a busy machine."""
STOP_SECONDS = 15.0
POLL_SECONDS = 0.05
INHERITED = {"HELIOSTAT_ENGINE", "HELIOSTAT_CONFIG", "HELIOSTAT_LOG_LEVEL", "HELIOSTAT_DEBUG"}
"""Of our variables only these reach the demo's server: it shall not open the user's own database."""


@dataclass(frozen=True)
class DemoServer:
    """A demo's server: started by this process, or found as an earlier demo left it."""

    place: Place
    note: Note
    process: subprocess.Popen[bytes] | None = None
    """None when an earlier demo started it."""

    @classmethod
    def start(cls, place: Place, environ: Mapping[str, str]) -> DemoServer:
        """Start one. It has a session of its own, so that Ctrl-C reaches the demo alone."""
        port = free_port()
        command = [
            sys.executable, "-m", "heliostat.cli.main", "serve", "--quiet",
            "--home", str(place.root), "--host", "127.0.0.1", "--port", str(port), "--log-format", "console",
        ]  # fmt: skip
        passed = {key: value for key, value in environ.items() if not key.startswith("HELIOSTAT_") or key in INHERITED}
        descriptor = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=passed, start_new_session=True
            )
        note = Note(process.pid, birth(process.pid) or 0, f"http://127.0.0.1:{port}")
        place.write(note)
        return cls(place, note, process)

    @property
    def endpoint(self) -> str:
        return self.note.endpoint

    def client(self) -> Client:
        """A client, as soon as the server answers. Raises Failure with the log's tail."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            self.check()
            made = self._credentials()
            if made is not None:
                client = Client(made["endpoint"], made["token"], made["workspace_id"], retries=0)
                try:
                    client.version()
                    return client
                except Unavailable:
                    client.close()
            time.sleep(POLL_SECONDS)
        raise self.failure(f"the server did not answer within {START_SECONDS:g} s")

    def check(self) -> None:
        """Raise Failure when the server is gone."""
        code = self.process.poll() if self.process is not None else None
        if code is not None or not self.note.alive:
            raise self.failure(f"the server ended by itself{f' with code {code}' if code is not None else ''}")

    def failure(self, message: str) -> Failure:
        """The message after the end of the server's log."""
        tail = self.place.log_tail()
        return Failure(message, context=f"the server's log ends with:\n{tail}" if tail else "")

    def stop(self) -> None:
        """End it: politely, then by force."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self.note.alive:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.note.pid, number)
            if wait_until_gone(self.note, STOP_SECONDS):
                break
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)

    def _credentials(self) -> dict[str, str] | None:
        try:
            found: dict[str, str] = json.loads(self.place.credentials.read_text())
        except (OSError, ValueError):
            return None
        return found if found.get("endpoint") == self.endpoint else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
