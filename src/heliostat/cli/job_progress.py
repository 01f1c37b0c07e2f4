"""The way of a job to its start, as a board shows it: the steps it has come through, and what it waits for now."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .progress import Line, Sight

if TYPE_CHECKING:
    from heliostat.client.models import JobInfo

WAITING = ("Submitted", "Pending")
FINAL = ("Succeeded", "Failed", "Cancelled", "Timeout")
SILENT = ("running", "ended")
"""Steps that are no part of the way."""
MARKS = {"Running": "done", "Succeeded": "done", "Failed": "failed", "Cancelled": "failed", "Timeout": "failed"}
STYLES = {"Running": "green", "Succeeded": "green", "Failed": "red", "Cancelled": "red", "Timeout": "red"}


@dataclass
class _Stage:
    step: str
    began: float
    ended: float | None = None
    detail: str = ""


class Story:
    """Remembers which step took how long; :meth:`sight` is what a board reads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stages: list[_Stage] = []
        self._last: JobInfo | None = None

    def sight(self, info: JobInfo, since_report: float) -> Sight:
        """What to show; ``since_report`` is not needed, since the times are those of this machine."""
        if info is not self._last:
            self._last = info
            self._hear(info)
        failed = info.status in FINAL and MARKS[info.status] == "failed"
        return Sight(
            self._lines(failed), info.status, words(info), STYLES.get(info.status, ""), MARKS.get(info.status, "")
        )

    def _hear(self, info: JobInfo) -> None:
        now, step = self._clock(), info.progress.step
        present = self._stages[-1] if self._stages and self._stages[-1].ended is None else None
        if present is not None and present.step != step and (step != "ended" or info.status == "Succeeded"):
            present.ended = now
            present = None
        if step in SILENT:
            return
        if present is None:
            # Whoever begins to look in the middle of a step is told how long it has lasted.
            present = _Stage(step, now if self._stages else now - info.progress.seconds)
            self._stages.append(present)
        present.detail = detail(info)

    def _lines(self, failed: bool) -> list[Line]:
        now, going = self._clock(), "failed" if failed else "going"
        return [
            Line(row.step, going, now - row.began, row.detail)
            if row.ended is None
            else Line(row.step, "done", row.ended - row.began, "")
            for row in self._stages
        ]


def words(info: JobInfo) -> str:
    """``waiting for its cluster, 1 of 3 nodes up``, or the status."""
    if info.status in WAITING and info.progress.step == "cluster" and info.progress.nodes_wanted:
        return f"{info.progress.nodes_up} of {info.progress.nodes_wanted} nodes up"
    return info.status.lower()


def detail(info: JobInfo) -> str:
    """What a step waits for, in one line."""
    return (info.progress.detail or "").strip().partition("\n")[0]
