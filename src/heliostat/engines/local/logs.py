"""The ends of a node's logs, for the message of a failure, and what of a plan must not stand in such a message."""

from __future__ import annotations

import os
import re
from pathlib import Path

from heliostat.domain.engine import InstancePlan
from heliostat_node.protocol import LOG_FILE

SESSION = "s"
LINES = 10
LINE_CHARACTERS = 400
READ_BYTES = 16384
AGENT_FAILED = "Ray agent failed"
"""What a raylet says when it ends because an agent of its has."""
AGENTS = ("dashboard_agent", "runtime_env_agent")
SECRET_CHARACTERS = 8
"""Values of variables that are shorter (``1``, ``true``, ``info``) are words of any log and hide nothing."""

_SERIOUS = re.compile(r"^\[[^\]]* [WEFC] \d+ \d+\]")
"""What Ray's own format marks as a warning or worse; the rest of an .out file is chatter."""


def secrets(plan: InstancePlan) -> frozenset[str]:
    """What may be secret of an instance: its token, and the values of its variables but for paths."""
    values = {value for group in (plan.head, *plan.workers) for value in group.env.values()}
    found = {value for value in values if len(value) >= SECRET_CHARACTERS and not value.startswith("/")}
    return frozenset(found if plan.ray_token is None else found | {plan.ray_token.reveal()})


def tail_of_node(directory: Path, temp: Path) -> str:
    """The ends of the logs that tell why a node died: the shim's, the GCS's, the raylet's, and those of its agents when it
    died with one. Empty when there is none."""
    logs = temp / SESSION / "logs"
    parts = []
    for path in (directory / LOG_FILE, *(_written(logs, name) for name in ("gcs_server", "raylet"))):
        lines = tail(path)
        if path.suffix == ".out":
            lines = [line for line in lines if _SERIOUS.match(line)]
        parts += _part(path, lines)
    if any(AGENT_FAILED in part for part in parts):
        for name in AGENTS:
            parts += _part(logs / f"{name}.log", tail(logs / f"{name}.log"))
    return "\n".join(parts)


def _part(path: Path, lines: list[str]) -> list[str]:
    """The end of one log; nothing when it is empty."""
    shown = "\n".join(line[:LINE_CHARACTERS] for line in lines[-LINES:])
    return [f"--- {path.name} ends with ---\n{shown}"] if shown else []


def tail(path: Path) -> list[str]:
    """The last lines of a text file; none when it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - READ_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return text.rstrip().splitlines()


def _written(logs: Path, name: str) -> Path:
    errors = logs / f"{name}.err"
    return errors if errors.exists() and errors.stat().st_size else logs / f"{name}.out"
