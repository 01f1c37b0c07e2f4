"""What a wait shows, on a pipe and on a terminal."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from heliostat.cli.progress import LineBoard, LiveBoard, lines
from heliostat.client.decode import decode
from heliostat.client.models import ClusterInfo

from . import fakes


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def step(name: str, elapsed: float, *, ended: bool, detail: str = "") -> dict[str, Any]:
    end = "2026-03-01T11:58:05.000Z" if ended else None
    return {
        "step": name, "started_at": "2026-03-01T11:58:00.000Z", "ended_at": end, "elapsed_seconds": elapsed, "detail": detail,
    }  # fmt: skip


def seen(*steps: dict[str, Any], state: str = "Starting", up: int = 0) -> ClusterInfo:
    instance = fakes.cluster()["instance"] | {"steps": list(steps), "nodes_up": up}
    return decode(ClusterInfo, fakes.cluster(state=state, instance=instance))


STORY = (
    (0.0, seen()),
    (0.1, seen(step("environment", 0.1, ended=False, detail="starting"))),
    (3.0, seen(step("environment", 3.0, ended=False, detail="installing ray (3 of 58 packages)"))),
    (20.0, seen(step("environment", 20.0, ended=False, detail="installing ray (41 of 58 packages)"))),
    (31.0, seen(step("environment", 30.5, ended=True, detail="ready"), step("head", 0.5, ended=False))),
    (
        36.0,
        seen(
            step("environment", 30.5, ended=True, detail="ready"),
            step("head", 5.0, ended=True),
            step("workers", 4.0, ended=True, detail="2 of 2 workers are alive"),
            state="Running",
            up=3,
        ),
    ),
)


def test_a_pipe_gets_a_line_per_fact_and_few_about_what_goes_on() -> None:
    clock = Clock()
    told: list[str] = []
    with LineBoard("starting training", write=told.append, clock=clock) as board:
        for at, info in STORY:
            clock.now = 100.0 + at
            board.show(info)
    assert told == [
        "starting training",
        "  environment        ...  starting",
        "  environment     20.0 s  installing ray (41 of 58 packages)",
        "  environment     30.5 s  ready",
        "  head               ...",
        "  head             5.0 s",
        "  workers          4.0 s  2 of 2 workers are alive",
        "  running         36.0 s  3 of 3 nodes up",
    ]


def drawn(board: LiveBoard, console: Console) -> list[str]:
    with console.capture() as captured:
        console.print(board.draw())
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_terminal_sees_every_step_with_the_clock_running_on() -> None:
    clock = Clock()
    console = Console(file=io.StringIO(), width=80, color_system=None)
    board = LiveBoard("starting training", clock=clock, console=console)
    board.show(STORY[4][1])
    clock.now += 2.0
    told = drawn(board, console)
    assert told[0].split(maxsplit=1)[1] == "starting training     2.0 s  0 of 3 nodes up"
    assert told[1].split() == ["✓", "environment", "30.5", "s", "ready"]
    assert told[2].split()[1:] == ["head", "2.5", "s"]
    assert told[3].split() == ["·", "workers"]


def test_long_details_do_not_break_the_lines() -> None:
    console = Console(file=io.StringIO(), width=40, color_system=None)
    board = LiveBoard("starting", clock=Clock(), console=console)
    board.show(seen(step("environment", 1.0, ended=False, detail="installing " + "x" * 200)))
    assert len(drawn(board, console)) == 4


def test_steps_that_were_skipped_are_left_out() -> None:
    told = lines(seen(step("head", 1.0, ended=False)), 0.0)
    assert [(line.step, line.state) for line in told] == [("head", "going"), ("workers", "waiting")]


def test_the_step_that_was_under_way_when_it_failed_is_marked() -> None:
    told = lines(seen(step("environment", 1.0, ended=False), state="Error"), 0.0)
    assert told[1].state == "failed" or told[0].state == "failed"
    assert [line.step for line in told if line.state == "failed"] == ["environment"]


def test_a_stop_does_not_repeat_the_steps_of_the_start() -> None:
    told: list[str] = []
    with LineBoard("stopping training", write=told.append) as board:
        for state in ("Stopping", "Stopped"):
            board.show(seen(step("head", 5.0, ended=True), state=state))
    assert [line.split()[0] for line in told] == ["stopping", "stopped"]


def test_a_detail_that_is_too_long_leaves_the_other_columns_their_room() -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=60, force_terminal=True, color_system=None)
    told = "Job has not started yet. It may be waiting for the runtime environment to be set up. " * 3
    with LiveBoard("starting training", console=console) as board:
        board.show(seen(step("environment", 0.5, ended=True), step("head", 31.0, ended=False, detail=told)))
    line = [line for line in screen.getvalue().splitlines() if "Job has not" in line][-1]
    assert line.split()[1:4] == ["head", "31.0", "s"]
    assert line.rstrip().endswith("…")
