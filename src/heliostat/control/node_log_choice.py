"""Which log files of an instance's nodes are worth keeping when it ends, and how much of each. Pure.

Kept is what one needs to find out why a node, a task or an environment failed, the most telling first, until there is
enough. The drivers' logs of our own jobs are kept already, with the jobs (:mod:`log_keeper`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from heliostat.domain.engine import NodeLog

SMALLEST = 64 << 10
"""Where less room than this is left, the end of a longer file is not worth its row."""


@dataclass(frozen=True)
class NodeLogLimits:
    """What is kept of one instance at most."""

    file_bytes: int = 8 << 20
    """Of one file: its end, which tells how it came out."""
    bytes: int = 64 << 20
    files: int = 500


@dataclass(frozen=True)
class Chosen:
    """A file to keep."""

    log: NodeLog
    begin: int
    """Bytes at its beginning that are left out."""

    @property
    def note(self) -> str:
        if not self.begin:
            return ""
        return f"only the last {_size(self.log.size - self.begin)} of {_size(self.log.size)} are kept"


@dataclass(frozen=True)
class Choice:
    files: tuple[Chosen, ...]
    """The most telling first."""
    left_out: int
    """How many would have mattered, but for the limits."""


_NUMBERED = r"(?:\.[0-9]{1,3})?"
"""Ray's rotation: ``raylet.out.1``, and the names of a second raylet in one folder, ``raylet.1.out``."""
_END = rf"{_NUMBERED}\.(?:log|out|err){_NUMBERED}"
_ID = r"[A-Za-z0-9_-]+"

_KINDS: tuple[tuple[str, str], ...] = (
    (rf"(?:shim|raylet|gcs_server|ray_process_exit){_END}", "why a node or the whole cluster died or did not come up"),
    (rf"(?:runtime_env_setup-{_ID}|runtime_env_agent){_END}", "why an environment could not be made"),
    (rf"job-driver-{_ID}\.log", "what jobs printed that were submitted straight to Ray's API"),
    (rf"ray_client_server(?:_{_ID})?{_END}", "why a ray:// session ended"),
    (rf"monitor{_END}", "why workers were added, removed or not to be had"),
    (
        rf"(?:dashboard(?:_{_ID})?|agent-{_ID}){_END}",
        "why the dashboard, the Jobs API or a node's agent did not answer",
    ),
    (rf"worker-{_ID}\.err{_NUMBERED}", "tracebacks of tasks and actors"),
    (rf"worker-{_ID}\.out{_NUMBERED}", "what tasks and actors printed"),
    (rf"python-core-(?:worker|driver)-{_ID}\.log{_NUMBERED}", "why a task's process died"),
    (rf"serve/[A-Za-z0-9_#-]+\.log{_NUMBERED}", "why a Serve application failed"),
    (rf"log_monitor{_END}", "why output did not reach a driver"),
)
_PATTERNS = [re.compile(pattern) for pattern, _ in _KINDS]
_OURS = re.compile(r"job-driver-rj-[a-z0-9]{16}(?:-[0-9]+)?\.log")


def choose(logs: Iterable[NodeLog], limits: NodeLogLimits = NodeLogLimits()) -> Choice:
    """The files to keep. By importance, within one kind those first that were written last."""
    ranked = sorted(
        ((rank, log) for log in logs if (rank := _rank(log)) is not None),
        key=lambda row: (row[0], -row[1].modified_at.timestamp(), row[1].node, row[1].name),
    )
    chosen: list[Chosen] = []
    room = limits.bytes
    for _, log in ranked:
        size = min(log.size, limits.file_bytes)
        if len(chosen) == limits.files:
            break
        if size > room:
            if room < SMALLEST:
                continue
            size = room
        room -= size
        chosen.append(Chosen(log, log.size - size))
    return Choice(tuple(chosen), len(ranked) - len(chosen))


def _rank(log: NodeLog) -> int | None:
    """0 = matters most; None = not at all."""
    if not log.size or _OURS.fullmatch(log.name):
        return None
    return next((rank for rank, pattern in enumerate(_PATTERNS) if pattern.fullmatch(log.name)), None)


def _size(number: int) -> str:
    return f"{number / (1 << 20):.1f} MiB" if number >= 1 << 20 else f"{number / 1024:.1f} KiB"
