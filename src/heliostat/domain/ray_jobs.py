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


class Cause(StrEnum):
    """Why an attempt failed: retries are counted by it."""

    USER_ERROR = "user_error"
    OUT_OF_MEMORY = "out_of_memory"
    INFRASTRUCTURE = "infrastructure"


@dataclass(frozen=True)
class RaySighting:
    """One job as Ray's Jobs API shows it."""

    status: RayStatus
    message: str = ""
    """At most a few hundred characters: Ray puts up to 20,000 of log into it, which have their own place here."""
    error_type: str = ""
    """Ray's ``JobErrorType``; releases before it (2.47) leave it empty and say it in the message only."""
    exit_code: int | None = None
    started_at: datetime | None = None
    """Of an ended job, when Ray accepted it. Ray keeps no time of the entry point's own start, so there is none for a job
    that runs: who looks knows it better."""
    ended_at: datetime | None = None
    ray_job_id: str = ""
    """Of the driver (``02000000``); empty until ``ray.init`` was called."""
    driver_node: str = ""
    """Ray's id of the node on which the entry point runs."""
    cause: Cause | None = None
    """Why it FAILED, as judged by Ray's whole message, of which ``message`` is a part."""


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


_USER_TYPES = frozenset({"RUNTIME_ENV_SETUP_FAILURE", "JOB_ENTRYPOINT_COMMAND_ERROR"})
"""Of Ray's error types; all others are about its supervisor, the process that starts the entry point."""
_OUT_OF_MEMORY = re.compile(
    r"MemoryError\b|out of memory|running low on memory|exceeds the memory usage threshold"
    r"|memory on the node .* was|\boom[- _]?killed\b|\boom[- ]kill:|OOM kill reason",
    re.IGNORECASE,
)
"""Ray, Python, CUDA, the kernel, Kubernetes. "OOM killer" is not among them: Ray names it as a guess in every unexplained
death of a process."""
_KILLED = (137, -9)
"""Exit codes of an entry point that was killed with -9, which on Linux is what running out of memory looks like."""
_ERROR_LINE = re.compile(
    r"^(?:[A-Za-z_]\w*\.)*\w*(?:Error|Exception|Interrupt|Exit|Failure)(?:\([\w ]+\))?(?::.*)?$", re.MULTILINE
)
"""The last line of a Python traceback, which names the exception."""
_NODE_LOST = re.compile(
    r"\A(?:ray\.exceptions\.)?(?:NodeDiedError|LocalRayletDiedError|OwnerDiedError|ObjectLostError)\b|its node has died"
)
_PACKAGE_LOST = "Failed to download runtime_env file package gcs://"
"""What was uploaded to the head is gone: it is given to the head anew with the next attempt."""
_REJECTED = re.compile(
    r"^(?:ray\.exceptions\.)?(?:ValueError|TypeError|FileNotFoundError|NotADirectoryError|RuntimeEnvSetupError)\b",
    re.MULTILINE,
)
"""Ray takes a submission whose runtime environment or resources are nonsense and fails it with the traceback."""


def cause_of(seen: RaySighting, text: str = "") -> Cause:
    """Why a FAILED attempt failed. ``text`` is Ray's whole message or the end of the log; without it the sighting's own
    judgement counts."""
    if not text and seen.cause is not None:
        return seen.cause
    return failure_cause(seen.error_type, seen.exit_code, text or seen.message)


def failure_cause(error_type: str, exit_code: int | None, text: str) -> Cause:
    """The same from Ray's words alone: its error type (empty if the release has none), the entry point's exit code (None
    if it did not come to an end by itself) and the whole message."""
    if exit_code in _KILLED or _OUT_OF_MEMORY.search(text):
        return Cause.OUT_OF_MEMORY
    if exit_code is not None:
        return Cause.INFRASTRUCTURE if _NODE_LOST.search(last_error(text)) else Cause.USER_ERROR
    if _PACKAGE_LOST in text:
        return Cause.INFRASTRUCTURE
    if error_type in _USER_TYPES or text.startswith("runtime_env setup failed"):
        return Cause.USER_ERROR
    if text.startswith("Failed to start supervisor actor") and _REJECTED.search(text):
        return Cause.USER_ERROR
    return Cause.INFRASTRUCTURE


def last_error(text: str) -> str:
    """The last exception that a text names at the beginning of a line, and everything after it; empty without one."""
    start = -1
    for found in _ERROR_LINE.finditer(text):
        start = found.start()
    return text[start:] if start >= 0 else ""
