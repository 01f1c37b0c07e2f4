"""The shim's own picture of its node, written to ``status.json`` at each change."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

from heliostat_node.protocol import NodeStatus


class Status:
    """Holds the last :class:`NodeStatus` and rewrites the file at every change. Safe from any thread of the shim."""

    def __init__(self, directory: Path, first: NodeStatus) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._current = first
        first.write(directory)

    @property
    def current(self) -> NodeStatus:
        return self._current

    def update(self, **changes: Any) -> None:  # fields of NodeStatus, checked by dataclasses.replace
        """Set fields and write the file. Nothing changes any more once the node has exited."""
        with self._lock:
            if self._current.phase != "exited":
                self._current = dataclasses.replace(self._current, **changes)
                self._current.write(self._directory)
