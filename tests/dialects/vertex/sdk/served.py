"""A server in a room, and the people who use it there: the SDK's scripts, and our own command line.

A script runs with the environment that ``heliostat login --vertex`` has printed and nothing else of ours, as in the
documentation: a shell reads the lines, then becomes the script.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .room import Program, Room, Word

SCRIPTS = Path(__file__).parent / "scripts"
CHECKOUT = Path(__file__).parents[4]
HELIOSTAT = Path(sys.executable).parent / "heliostat"
START_SECONDS = 60
SOURCE = '. "$1"; shift; exec "$@"'


class Seen(NamedTuple):
    """What a script reported, and what it said before."""

    report: Any
    said: str


@dataclass(frozen=True)
class Served:
    """A server that answers in a room, with a key for one of its projects."""

    room: Room
    home: Path
    sdk: Path
    """The interpreter of the SDK's environment."""
    server: Program
    project: str = "default"

    @property
    def environment(self) -> Path:
        """What the login printed."""
        return self.home / "vertex.sh"

    @property
    def key(self) -> Path:
        """The file of the key that the login made."""
        return Path(self._variable("GOOGLE_APPLICATION_CREDENTIALS"))

    def _variable(self, name: str) -> str:
        words = ["sh", "-c", f'. "$1"; printf %s "${name}"', "sh", self.environment]
        return subprocess.run(words, capture_output=True, text=True, check=True, env=clean(self.home)).stdout

    @property
    def credentials(self) -> dict[str, str]:
        """What the server made at its first start."""
        made: dict[str, str] = json.loads((self.home / "credentials.json").read_text())
        return made

    def heliostat(self, *words: Word) -> str:
        """What our command line printed."""
        done = self.room.run(HELIOSTAT, *words, env=clean(self.home) | {"HELIOSTAT_HOME": str(self.home)})
        assert done.returncode == 0, done.stderr
        return done.stdout

    def look(self, *words: Word) -> Any:
        """The same with ``-o json``, parsed."""
        return json.loads(self.heliostat(*words, "-o", "json"))

    def command(self, script: str, *arguments: Word) -> list[Word]:
        """How a script is run by somebody who has the printed environment."""
        return ["sh", "-c", SOURCE, "sh", self.environment, self.sdk, SCRIPTS / script, self.project, *arguments]

    def script(self, script: str, *arguments: Word, seconds: float = 60) -> Seen:
        """Its report is the last line of what it said."""
        words = self.command(script, *arguments)
        done = self.room.run(*words, env=clean(self.home), timeout=seconds)
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}\n{self.log[-1500:]}"
        said, _, report = done.stdout.strip().rpartition("\n")
        return Seen(json.loads(report), said)

    @contextlib.contextmanager
    def talk(self, script: str) -> Iterator[subprocess.Popen[str]]:
        """A script that answers lines with lines."""
        with (self.home / f"{script}.log").open("w") as log:
            process = subprocess.Popen(
                self.room.command(*self.command(script)), env=clean(self.home), text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        try:
            yield process
        finally:
            process.communicate()  # it ends when its input does

    @property
    def log(self) -> str:
        return (self.home / "server.log").read_text(errors="replace")


def clean(home: Path) -> dict[str, str]:
    """The environment of somebody whose machine knows nothing of Google, of a proxy, or of us."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "PYTHONPATH": ""}


@contextlib.contextmanager
def served(room: Room, home: Path, sdk: Path, words: Sequence[Word]) -> Iterator[Served]:
    """Start a server by ``words``, wait until it is up, and log in as the documentation tells."""
    environment = clean(home) | {"PYTHONPATH": str(CHECKOUT)}
    with (home / "server.log").open("wb") as log, room.program(words, log, environment) as program:
        found = Served(room, home, sdk, program)
        deadline = time.monotonic() + START_SECONDS
        while not (home / "ready").exists() and "heliostat is up" not in found.log:
            if program.ended or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not come up: {found.log[-4000:]}")
            time.sleep(0.05)
        found.environment.write_text(found.heliostat("login", "--vertex"))
        yield found
