"""The ends of a node's logs, for the message of a failure."""

from __future__ import annotations

import os
from pathlib import Path

from heliostat_node.protocol import LOG_FILE

SESSION = "s"
LINES = 12
READ_BYTES = 8192


def tail_of_node(directory: Path, temp: Path) -> str:
    """The ends of the logs that tell why a node died: the shim's, the GCS's, the raylet's. Empty when there is none."""
    logs = temp / SESSION / "logs"
    parts = []
    for path in (directory / LOG_FILE, *(_written(logs, name) for name in ("gcs_server", "raylet"))):
        text = tail(path)
        if text:
            parts.append(f"--- {path.name} ends with ---\n{text}")
    return "\n".join(parts)


def tail(path: Path, lines: int = LINES) -> str:
    """The last lines of a text file; empty when it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - READ_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-lines:])


def _written(logs: Path, name: str) -> Path:
    errors = logs / f"{name}.err"
    return errors if errors.exists() and errors.stat().st_size else logs / f"{name}.out"
