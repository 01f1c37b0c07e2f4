"""The words between us and Ray's own Jobs API: what is handed in, what is seen, and why an attempt failed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class RayStatus(StrEnum):
    """Ray's states of a job (Ray contract, section 5)."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def terminal(self) -> bool:
        return self not in (RayStatus.PENDING, RayStatus.RUNNING)


class Absence(StrEnum):
    """Why there is no sighting."""

    NOT_ASKED = "not asked"
    UNKNOWN = "unknown"
    """Ray answers, and has no such job."""
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class RaySighting:
    """One job as Ray's Jobs API shows it."""

    status: RayStatus
    message: str = ""
    """At most a few hundred characters: Ray puts up to 20,000 of log into it, which have their own place here."""
    error_type: str = ""
    exit_code: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    ray_job_id: str = ""
    """Of the driver (``02000000``); empty until ``ray.init`` was called."""
    driver_node: str = ""
    """Ray's id of the node on which the entry point runs."""


@dataclass(frozen=True)
class RaySubmission:
    """What Ray is asked to run."""

    submission_id: str
    entrypoint: str
    runtime_env: Mapping[str, Any] = field(default_factory=dict, repr=False)  # JSON
    metadata: Mapping[str, str] = field(default_factory=dict)
    cpus: float | None = None
    gpus: float | None = None
    memory_bytes: int | None = None
    resources: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class NameCount:
    """How many tasks or actors of a name are (or were) in which state."""

    name: str
    states: Mapping[str, int]


@dataclass(frozen=True)
class WorkSummary:
    """The tasks and actors of a job, counted by name and state, as Ray's state API last told."""

    tasks: tuple[NameCount, ...] = ()
    actors: tuple[NameCount, ...] = ()
    truncated: bool = False
    """Ray counted a part only, or there were more names than are kept."""


class Cause(StrEnum):
    """Why an attempt failed: retries are counted by it."""

    USER_ERROR = "user_error"
    OUT_OF_MEMORY = "out_of_memory"
    INFRASTRUCTURE = "infrastructure"


_INFRASTRUCTURE_TYPES = frozenset(
    {
        "JOB_SUPERVISOR_ACTOR_START_TIMEOUT",
        "JOB_SUPERVISOR_ACTOR_START_FAILURE",
        "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE",
        "JOB_SUPERVISOR_ACTOR_DIED",
        "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE",
        "JOB_ENTRYPOINT_COMMAND_START_ERROR",
    }
)
_USER_TYPES = frozenset({"RUNTIME_ENV_SETUP_FAILURE", "JOB_ENTRYPOINT_COMMAND_ERROR"})
_OUT_OF_MEMORY = re.compile(
    r"OutOfMemoryError|out of memory|OOM[- ]?kill|memory on the node .* was|exceeds the memory usage threshold|\bMemoryError\b",
    re.IGNORECASE,
)
_KILLED = (137, -9)
"""Exit codes of an entry point that was killed with -9, which on Linux is what running out of memory looks like."""


def cause_of(seen: RaySighting, text: str = "") -> Cause:
    """Why a FAILED attempt failed. ``text`` is Ray's whole message or the end of the log; the sighting's own if empty."""
    words = text or seen.message
    if seen.exit_code in _KILLED or _OUT_OF_MEMORY.search(words):
        return Cause.OUT_OF_MEMORY
    if seen.error_type in _USER_TYPES:
        return Cause.USER_ERROR
    if seen.error_type in _INFRASTRUCTURE_TYPES or "job supervisor" in words.lower():
        return Cause.INFRASTRUCTURE
    return Cause.USER_ERROR if seen.exit_code is not None else Cause.INFRASTRUCTURE
