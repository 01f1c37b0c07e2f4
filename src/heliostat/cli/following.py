"""Follow a job on this terminal: its way to the start on stderr, its log on stdout, its end as an exit code.

Two threads listen to the server, one for the job and one for its log; this one shows what they bring. So the question
that Ctrl-C asks interrupts nothing: what arrives meanwhile is shown after the answer. Signals are brought the same way,
that they never cut a piece of the log in two.
"""

from __future__ import annotations

import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from heliostat.client.errors import NotCollected, Unavailable

from .app import App
from .durations import seconds
from .exits import ExitCode
from .job_progress import FINAL, WAITING, Story
from .progress import Board, board_of

if TYPE_CHECKING:
    from heliostat.client import Client, Job
    from heliostat.client.models import JobInfo

MOST_PIECES = 64
"""So many pieces of log wait to be shown; a server that is faster waits, too."""
LAST_WORDS_SECONDS = 60.0
"""After the end of a job its log is waited for so long without a sign of it."""


@dataclass(frozen=True)
class _Told:
    info: JobInfo


@dataclass(frozen=True)
class _Text:
    text: str


@dataclass(frozen=True)
class _Over:
    """A listener has ended; ``error`` is why, when it did not end by itself."""

    listener: str
    error: Exception | None = None


class _Interrupt:
    """Ctrl-C."""


class Terminated(BaseException):
    """SIGTERM. Not an Exception, so that nothing in between takes it for an error."""


class Follower:
    """Shows one job until its end.

    ``log``: also its log, on stdout. ``ends_with_us``: SIGTERM cancels the job; otherwise it goes on.
    """

    def __init__(
        self,
        app: App,
        client: Client,
        job: Job,
        *,
        log: bool = True,
        ends_with_us: bool = False,
        asks: Callable[[], bool] | None = None,
    ) -> None:
        self._app = app
        self._client = client
        self._job = job
        self._log = log
        self._ends_with_us = ends_with_us
        self._asks = asks or (lambda: sys.stdin.isatty() and sys.stderr.isatty())
        self._items: queue.SimpleQueue[_Told | _Text | _Over | _Interrupt] = queue.SimpleQueue()
        self._room = threading.Semaphore(MOST_PIECES)
        self._left = threading.Event()
        self._interrupted = False
        self._cancelling = False
        self._info = job.info
        self._board: Board[JobInfo] | None = None
        self._attempt = 0
        self._spoken = False
        self._story = Story()

    def follow(self) -> JobInfo:
        """Until the job is final and its log was shown. Raises KeyboardInterrupt or Terminated when the user leaves."""
        before = _handled({signal.SIGINT: self._on_interrupt, signal.SIGTERM: self._on_end})
        try:
            self._listen("job", self._watch)
            if self._log:
                self._listen("log", self._read)
            self._show()
        except Terminated:
            self._close_board()
            self._end()
            raise
        except (KeyboardInterrupt, BrokenPipeError, Unavailable):
            self._close_board()
            self._app.say(self._goes_on())
            raise
        finally:
            self._left.set()
            self._close_board()
            _handled(before)
        return self._info

    # --- what is shown ----------------------------------------------------------------------------------------------

    def _show(self) -> None:
        listening = {"job", "log"} if self._log else {"job"}
        quiet_since = time.monotonic()
        self._tell(self._info)
        while listening and not (listening == {"log"} and time.monotonic() - quiet_since > LAST_WORDS_SECONDS):
            try:
                item = self._items.get(timeout=1.0)
            except queue.Empty:
                continue
            quiet_since = time.monotonic()
            match item:
                case _Told(info):
                    self._tell(info)
                case _Text(text):
                    self._close_board()
                    self._spoken = True
                    click.echo(text, nl=False)
                    sys.stdout.flush()
                    self._room.release()
                case _Over(listener, error):
                    listening.discard(listener)
                    if listener == "log" and isinstance(error, NotCollected):
                        self._app.say(str(error))
                    elif error is not None:
                        raise error
                    self._check(listener)
                case _Interrupt():
                    self._ask()
        if listening:
            self._app.say(f"the end of its log is not there yet; read it with: heliostat job logs {self._job.id}")

    def _tell(self, info: JobInfo) -> None:
        self._info = info
        number = attempt_at_hand(info)
        if number != self._attempt:
            self._attempt, self._story, self._spoken = number, Story(), False
        # Once an attempt has said something its log tells how it goes on: Ray's own words come before the program's.
        if self._board is None and info.status in WAITING and not self._spoken:
            note = f"attempt {number}" if number > 1 else ""
            self._board = board_of(self._app, title(info), self._story.sight, note)
            self._board.__enter__()
        if self._board is not None:
            self._board.show(info)
            if info.status not in WAITING:
                self._close_board()

    def _close_board(self) -> None:
        board, self._board = self._board, None
        if board is not None:
            failed = self._info.status in FINAL and self._info.status != "Succeeded"
            board.__exit__(RuntimeError if failed else None, None, None)

    def _check(self, listener: str) -> None:
        """A listener to the job that ended before the job: it was deleted."""
        if listener == "job" and self._info.status not in FINAL:
            from .failures import Failure

            raise Failure(f"job {self._job.id} is gone", code=ExitCode.NOT_FOUND)

    # --- what the user wants in between -----------------------------------------------------------------------------

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        self._items.put(_Interrupt())

    def _on_end(self, number: int, frame: FrameType | None) -> None:
        raise Terminated

    def _ask(self) -> None:
        if self._info.status in FINAL or self._cancelling or not self._asks():
            raise KeyboardInterrupt
        self._close_board()
        click.echo("\nCancel the job? [y/N] ", nl=False, err=True)
        answer = sys.stdin.readline().strip().lower()
        self._interrupted = False  # before a word is said, so that whoever reads it may ask again
        if answer in ("y", "yes"):
            self._cancel()
            self._app.say("it is being cancelled; Ctrl-C leaves it alone")
        else:
            self._app.say("it goes on")

    def _cancel(self) -> None:
        self._cancelling = True
        self._client.jobs.cancel(self._job.id)

    def _end(self) -> None:
        if not self._ends_with_us or self._info.status in FINAL:
            self._app.say(self._goes_on())
            return
        if not self._cancelling:
            self._cancel()
        self._app.say(f"{self._job.id} is being cancelled, because this program was ended")

    def _goes_on(self) -> str:
        if self._info.status in FINAL:
            return f"{self._job.id} has ended; read its log with: heliostat job logs {self._job.id}"
        verb = "is being cancelled" if self._cancelling else "goes on"
        return f"{self._job.id} {verb}; follow it with: heliostat job logs {self._job.id} --follow"

    # --- who listens ------------------------------------------------------------------------------------------------

    def _listen(self, name: str, work: Callable[[], None]) -> None:
        def listen() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the boundary of a thread: it is raised in the main one
                self._items.put(_Over(name, error))
            else:
                self._items.put(_Over(name))

        threading.Thread(target=listen, name=f"follows the {name}", daemon=True).start()

    def _watch(self) -> None:
        for seen in self._client.jobs.watch(self._job.id):
            self._items.put(_Told(seen.info))
            if seen.info.status in FINAL or self._left.is_set():
                return

    def _read(self) -> None:
        for text in self._pieces():
            self._room.acquire()
            if self._left.is_set():
                return
            self._items.put(_Text(text))

    def _pieces(self) -> Iterable[str]:
        return self._client.jobs.follow_log(self._job.id)


def title(info: JobInfo) -> str:
    return info.name if info.name == info.id else f"{info.name} ({info.id})"


def attempt_at_hand(info: JobInfo) -> int:
    """The number of the attempt that a waiting job waits for, from 1."""
    return len(info.attempts) + (not info.attempts or info.attempts[-1].ended_at is not None)


def exit_code(info: JobInfo) -> int:
    """How a job ended, as an exit code: that of its entry point, where there is one.

    A negative one is a signal, which a shell shows as 128 and its number.
    """
    if info.status in ENDS:
        return ENDS[info.status]
    code = info.exit_code
    if not code:
        return ExitCode.JOB_WITHOUT_CODE
    return 128 - code if code < 0 else code & 0xFF or ExitCode.FAILED


ENDS = {
    "Succeeded": ExitCode.OK, "Cancelled": ExitCode.JOB_CANCELLED, "Timeout": ExitCode.JOB_OUT_OF_TIME,
}  # fmt: skip


def finished(app: App, info: JobInfo) -> int:
    """Tell the end of a followed job, and return its exit code."""
    from .failures import Failure

    name = title(info)
    ran = info.ended_at - info.started_at if info.started_at is not None and info.ended_at is not None else None
    took = f" after {seconds(ran.total_seconds())}" if ran is not None else ""
    if info.status == "Succeeded":
        app.say(f"{name} succeeded{took}")
    else:
        told = "\n".join(line for line in info.message.strip().splitlines() if line.strip())
        word = {"Cancelled": "was cancelled", "Timeout": "ran out of time"}.get(info.status, "failed")
        Failure(f"{name} {word}{took}: {told}", remedy=f"heliostat job why {info.id}").show()
    return exit_code(info)


def _handled(handlers: dict[signal.Signals, Any]) -> dict[signal.Signals, Any]:
    """Take signals with these handlers; what took them before. Only the main thread of a program can."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, handler) for number, handler in handlers.items()}
