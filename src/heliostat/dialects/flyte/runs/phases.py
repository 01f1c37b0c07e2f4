"""How far a run is, in Flyte's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Literal

from heliostat.domain.ids import JobId, WorkspaceId

Origin = Literal["UNKNOWN", "USER", "SYSTEM"]
"""Whose fault an error is."""


class Phase(IntEnum):
    """``flyteidl.core.TaskExecution.Phase`` (Flyte contract, section 4.2)."""

    UNDEFINED = 0
    QUEUED = 1
    RUNNING = 2
    SUCCEEDED = 3
    ABORTED = 4
    FAILED = 5
    INITIALIZING = 6
    WAITING_FOR_RESOURCES = 7
    RETRYABLE_FAILED = 8

    @property
    def final(self) -> bool:
        return self in (Phase.SUCCEEDED, Phase.ABORTED, Phase.FAILED, Phase.RETRYABLE_FAILED)


@dataclass(frozen=True)
class Link:
    """Something to look at, for people."""

    name: str
    uri: str
    while_pending: bool = False
    """Shown before the task runs."""
    hidden_when_finished: bool = False


@dataclass(frozen=True)
class RunView:
    """A run as a reader sees it."""

    id: JobId
    phase: Phase
    message: str
    code: str = ""
    """Of its error."""
    recoverable: bool = False
    origin: Origin = "UNKNOWN"
    links: tuple[Link, ...] = ()
    info: Mapping[str, str] = field(default_factory=dict)
    """``heliostatJobId``, ``rayJobId``, ``clusterName``, ``rayStatus``."""
    outputs: bytes | None = field(default=None, repr=False)
    """A LiteralMap, where the one who asks cannot read what the task wrote; never an empty one."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    workspace: WorkspaceId | None = None
    """Of its job; None once that was deleted, and its log with it."""

    @property
    def settled(self) -> bool:
        """Nothing of it will change."""
        return self.phase.final
