"""What a wait shows: every step of a start with the time it took, redrawn on a terminal, one line per fact on a pipe.

The server tells how long each step has lasted; between two reports the clock of this machine carries on, so that the
two clocks need not agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import click

from .app import App
from .durations import seconds

if TYPE_CHECKING:
    from heliostat.client.models import ClusterInfo

Info = TypeVar("Info", contravariant=True)
"""What the server tells of the thing that is waited for."""
STEPS = ("queued", "environment", "head", "workers")
"""In this order; head and workers overlap. ``up`` is their end and ``failed`` is told by the message."""
MARKS = {"done": ("✓", "green"), "failed": ("✗", "red"), "waiting": ("·", "dim")}
"""A sign and its colour; what is going on has a spinner."""
SETTLED = {"Running": "done", "Stopped": "done", "Error": "failed"}
DETAIL_COLUMN = 32
"""Where the details of steps begin on a terminal, at the most."""
SILENCE_SECONDS = 15.0
"""A pipe hears of a step that is still going on this often."""


@dataclass(frozen=True)
class Line:
    """One step on the screen."""

    step: str
    state: str
    """``done``, ``going``, ``waiting`` or ``failed``."""
    elapsed: float
    detail: str


def lines(info: ClusterInfo, since_report: float) -> list[Line]:
    """The steps of the present start, ``since_report`` seconds after the server told of it. Skipped ones are left out.

    An end has no steps: those of the start before it are no news.
    """
    if info.state in ("Stopping", "Stopped"):
        return []
    rows = {row.step: row for row in info.instance.steps} if info.instance is not None else {}
    last = max((index for index, step in enumerate(STEPS) if step in rows), default=0)
    found = []
    for index, step in enumerate(STEPS):
        row = rows.get(step)
        if row is None and index < last:
            continue
        if row is None:
            found.append(Line(step, "waiting", 0.0, ""))
        elif row.ended_at is not None:
            found.append(Line(step, "done", row.elapsed_seconds, row.detail))
        else:
            state = "failed" if info.state == "Error" else "going"
            found.append(Line(step, state, row.elapsed_seconds + since_report, row.detail))
    return found


def count(info: ClusterInfo) -> str:
    """``2 of 3 nodes up``."""
    return f"{info.instance.nodes_up} of {info.instance.nodes_wanted} nodes up" if info.instance is not None else ""


@dataclass(frozen=True)
class Sight:
    """What a board shows at one moment."""

    lines: Sequence[Line]
    state: str
    words: str
    """Stand behind the title."""
    style: str = ""
    """Of these words."""
    mark: str = ""
    """``done`` or ``failed`` when the wait is at its end; a key of :data:`MARKS`."""


def cluster_sight(info: ClusterInfo, since_report: float) -> Sight:
    words = count(info) if info.state in ("Starting", "Running") else info.state.lower()
    style = {"Running": "green", "Error": "red"}.get(info.state, "")
    return Sight(lines(info, since_report), info.state, words, style, SETTLED.get(info.state, ""))


class Board(Protocol[Info]):
    """Where progress is shown, as a context manager around the wait."""

    def show(self, info: Info) -> None:
        """Here is what the server told just now."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def board(app: App, title: str, note: str = "") -> Board[ClusterInfo]:
    """The board for a wait for a cluster; ``note`` stands behind the title in a quieter voice."""
    return board_of(app, title, cluster_sight, note)


def board_of(app: App, title: str, read: Callable[[Any, float], Sight], note: str = "") -> Board[Any]:
    """The board that fits where stderr leads: lively on a terminal, lines on a pipe, nothing with ``--quiet``.

    ``read`` tells what to show of what was heard so many seconds ago.
    """
    if app.quiet:
        return NoBoard()
    return LiveBoard(title, note, read=read) if app.lively else LineBoard(f"{title}  {note}".rstrip(), read=read)


class NoBoard:
    def show(self, info: Any) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class LineBoard(NoBoard):
    """For pipes and logs: a line when a step begins, has news after a while, or ends."""

    def __init__(
        self,
        title: str,
        *,
        read: Callable[[Any, float], Sight] = cluster_sight,
        write: Callable[[str], None] = lambda text: click.echo(text, err=True),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = title
        self._read = read
        self._write = write
        self._clock = clock
        self._told: dict[str, tuple[str, str]] = {}
        self._began = clock()
        self._last = self._began
        self._state = ""

    def __enter__(self) -> Self:
        self._write(self._title)
        return self

    def show(self, info: Any) -> None:
        now = self._clock()
        sight = self._read(info, 0.0)
        for line in sight.lines:
            before = self._told.get(line.step, ("waiting", ""))
            changed = line.state != before[0]
            news = line.state == "going" and line.detail != before[1] and now - self._last >= SILENCE_SECONDS
            if changed or news:
                self._told[line.step] = (line.state, line.detail)
                self._last = now
                detail = f"  {line.detail}" if line.detail else ""
                took = f"{'...' if changed and line.state == 'going' else seconds(line.elapsed):>10}"
                self._write(f"  {line.step:<12}{took}{detail}")
        if sight.state != self._state:
            self._state = sight.state
            if sight.mark:
                words = "" if sight.words == sight.state.lower() else sight.words
                self._write(f"  {sight.state.lower():<12}{seconds(now - self._began):>10}  {words}".rstrip())


class LiveBoard(NoBoard):
    """For terminals: the steps, redrawn in place until the wait ends."""

    def __init__(
        self,
        title: str,
        note: str = "",
        *,
        read: Callable[[Any, float], Sight] = cluster_sight,
        clock: Callable[[], float] = time.monotonic,
        console: Any = None,
    ) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner

        self._title = title
        self._note = note
        self._clock = clock
        self._began = clock()
        self._read = read
        self._info: Any = None
        self._heard = self._began
        self._mark: tuple[str, str] | None = None
        self._spinner = Spinner("dots", style="cyan")
        self._console = console or Console(stderr=True, highlight=False)
        self._live = Live(
            console=self._console, get_renderable=self.draw, refresh_per_second=8, transient=False,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip

    def show(self, info: Any) -> None:
        self._info, self._heard = info, self._clock()

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mark = MARKS["done"] if kind is None else MARKS["failed"]
        self._live.__exit__(kind, error, trace)

    def draw(self) -> Any:  # a rich renderable; rich is not imported at the top of this module
        from rich.table import Table
        from rich.text import Text

        now = self._clock()
        sight = self._read(self._info, now - self._heard) if self._info is not None else Sight((), "", "")
        steps = _grid(5, 11, 7)
        for line in sight.lines if any(line.state != "waiting" for line in sight.lines) else ():
            mark = MARKS.get(line.state)
            style = "dim" if line.state == "waiting" else ""
            elapsed = "" if line.state == "waiting" else seconds(line.elapsed)
            steps.add_row(
                Text(*mark) if mark else self._spinner,
                Text(line.step, style),
                Text(elapsed, style),
                Text(f" {_cut(line.detail, self._console.width - DETAIL_COLUMN)}", "dim"),
            )
        head = _grid(3, 11, 9)
        mark = self._mark or MARKS.get(sight.mark)
        head.add_row(
            Text(*mark) if mark else self._spinner,
            Text(self._title),
            Text(seconds(now - self._began)),
            Text.assemble(
                " ", (sight.words, sight.style), "  " if sight.words and self._note else "", (self._note, "dim")
            ),
        )
        whole = Table.grid()
        whole.add_row(head)
        whole.add_row(steps)
        return whole


def _cut(text: str, room: int) -> str:
    """So much of a text, since a table that is too wide for its terminal takes the room from all columns."""
    return text if len(text) <= max(room, 1) else f"{text[: max(room, 1) - 1]}…"


def _grid(indent: int, title: int, elapsed: int) -> Any:  # a rich Table
    """Mark, name, time, words: columns at least so wide."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=indent, justify="right")
    grid.add_column(min_width=title)
    grid.add_column(min_width=elapsed, justify="right")
    grid.add_column(overflow="ellipsis", no_wrap=True)
    return grid
