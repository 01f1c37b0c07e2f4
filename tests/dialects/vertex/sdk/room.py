"""A room without a way out: a network namespace that has only ``lo``, with process and mount namespaces of its own.

Programs are started in it from outside, and talk to each other by loopback as ever. The kernel counts every attempt to
reach anything else (:meth:`Room.attempts`), name lookups too. At the end all processes in it are killed, daemons
included. Without the right to make one the tests fail, since what they prove could not be proved.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

NAMESPACES = ("--net", "--pid", "--mount")
USER = () if os.geteuid() == 0 else ("--user",)
FIRST = Path(__file__).with_name("first_process.py")
Word = str | Path


@dataclass(frozen=True)
class Room:
    """A room that is open."""

    first: int
    """Its first process, as it is numbered outside."""

    def command(self, *words: Word) -> list[str]:
        """``words`` so that they run in the room; paths must be absolute."""
        user = [*USER, "--preserve-credentials"] if USER else []
        return ["nsenter", "--target", str(self.first), *user, *NAMESPACES, "--", *map(str, words)]

    def run(
        self, *words: Word, env: Mapping[str, str] | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """What a program said and how it ended. What hangs is left to the room's end."""
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, timeout=timeout, env=env, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    @contextlib.contextmanager
    def program(self, words: Sequence[Word], log: IO[bytes], env: Mapping[str, str] | None = None) -> Iterator[Program]:
        """A program that runs for the length of the block and is then told to end."""
        process = subprocess.Popen(self.command(*words), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env)
        program = Program(process)
        try:
            yield program
        finally:
            program.end()

    def attempts(self) -> int:
        """How often anything in the room has tried to reach something outside it: packets for which there is no route."""
        names, values = (
            line.split()
            for line in Path(f"/proc/{self.first}/net/snmp").read_text().splitlines()
            if line.startswith("Ip:")
        )
        six = dict(line.split() for line in Path(f"/proc/{self.first}/net/snmp6").read_text().splitlines())
        return int(values[names.index("OutNoRoutes")]) + int(six["Ip6OutNoRoutes"])


@dataclass(frozen=True)
class Program:
    """One that runs in the room. ``process`` is what has entered the room and waits for it there."""

    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """As it is numbered outside. Raises RuntimeError when it has ended."""
        while self.process.poll() is None:  # it takes a moment to enter
            if found := children(self.process.pid):
                return found[0]
            time.sleep(0.005)
        raise RuntimeError(f"ended with {self.process.returncode}")

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def end(self) -> None:
        """In order if it does so within a while. Nothing to do when it has ended."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(RuntimeError, ProcessLookupError, subprocess.TimeoutExpired):
                os.kill(self.pid, number)
                self.process.wait(20)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextlib.contextmanager
def opened() -> Iterator[Room]:
    """A room. Raises RuntimeError with the cause when this machine allows none."""
    user = (*USER, "--map-root-user") if USER else ()
    holder = subprocess.Popen(
        ["unshare", *user, *NAMESPACES, "--fork", "--kill-child", "--mount-proc", "--", sys.executable, "-I", FIRST],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        if holder.stdout is None or holder.stdout.readline() != "ready\n":
            told = holder.communicate(timeout=10)[1].strip()
            raise RuntimeError(
                "no network namespace can be made here, and without one it cannot be shown that nothing leaves this "
                f"machine: {told}. Run the tests as root, or allow unprivileged user namespaces."
            )
        (first,) = children(holder.pid)
        yield Room(first)
    finally:
        holder.kill()  # and with it its child, the first process, and with that everything in the room
        holder.communicate()
