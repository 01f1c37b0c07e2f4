"""Running uv so that people see how far it is.

uv reports progress to terminals only, so it gets one: a pseudo terminal whose frames are read here and reduced to a
phrase (``installing 41 of 58 packages``). What is no frame is kept as the end of its output, for error messages.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import pty
import re
import signal
import termios
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from heliostat.domain.masking import hidden

TAIL_LINES = 12
END_TIMEOUT_SECONDS = 5.0

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-B0-2]")
_ENDS = re.compile(r"[\r\n]+")
_PREPARING = re.compile(r"Preparing packages\.\.\. \((\d+)/(\d+)\)")
_INSTALLING = re.compile(r"\[(\d+)/(\d+)\]")
_DOWNLOAD = re.compile(r"(\S+)\s+-{3,}\s+([\d.]+ ?[KMGi]*B)/([\d.]+ ?[KMGi]*B)")
_FRAME = re.compile(r"^[\u2800-\u28ff]|[\u2588\u2591]|-{20,}\s+[\d.]+ ?[KMGi]*B/|Preparing packages\.\.\.|^\[\d+/\d+\]")


class UvFailed(Exception):
    """uv ended with an error; the message is the end of what it printed."""


async def run(
    command: list[str], environment: Mapping[str, str], folder: Path, progress: Callable[[str], None]
) -> None:
    """Run uv to its end. ``progress`` gets a phrase at every change. Raises UvFailed. Cancelling it ends uv."""
    ours, theirs = pty.openpty()
    reading = _Reading(progress)
    loop = asyncio.get_running_loop()
    try:
        with contextlib.suppress(OSError):
            termios.tcsetwinsize(theirs, (50, 200))
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=theirs, stderr=theirs,
                env=environment, cwd=folder, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise UvFailed(f"{command[0]} cannot be run: {error.strerror}") from error
        finally:
            os.close(theirs)
        os.set_blocking(ours, False)
        loop.add_reader(ours, lambda: _drain(ours, reading) or loop.remove_reader(ours))
        try:
            await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            raise
        _drain(ours, reading)
    finally:
        loop.remove_reader(ours)
        os.close(ours)
    if process.returncode != 0:
        raise UvFailed(reading.tail() or f"uv ended with status {process.returncode} and said nothing")


class _Reading:
    """Turns a terminal's bytes into a phrase about the progress and the last lines that are none."""

    def __init__(self, progress: Callable[[str], None]) -> None:
        self._progress = progress
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)
        self._phrase = ""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = _ENDS.split(self._rest + self._decoder.decode(data))
        for line in lines:
            text = _CONTROL.sub("", line).strip()
            said = phrase(text)
            if said and said != self._phrase:
                self._phrase = said
                self._progress(said)
            if text and not _FRAME.search(text):
                self._lines.append(text)

    def tail(self) -> str:
        """The last lines, without the passwords of index addresses."""
        self.feed(b"\n")
        return hidden("\n".join(self._lines))


def phrase(text: str) -> str:
    """What a line or frame of uv says about the progress, for people; empty for most lines."""
    if match := _PREPARING.search(text):
        download = _DOWNLOAD.search(text)
        now = f" ({download[1]}, {download[2]} of {download[3]})" if download else ""
        return f"downloading {match[1]} of {match[2]} packages{now}"
    if match := _INSTALLING.search(text):
        return f"installing {match[1]} of {match[2]} packages"
    if "Resolving dependencies" in text:
        return "resolving dependencies"
    if text.startswith("Installed "):
        return "compiling bytecode"
    return ""


def _drain(descriptor: int, reading: _Reading) -> bool:
    """Read what there is; False at the end."""
    while True:
        try:
            data = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return True
        except OSError:  # a terminal whose other side is closed
            return False
        if not data:
            return False
        reading.feed(data)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End uv and what it started (it may be building a package)."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_TIMEOUT_SECONDS):
                await process.wait()
                return
