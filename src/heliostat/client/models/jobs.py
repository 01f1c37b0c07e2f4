"""Jobs, and the log files of jobs and clusters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .clusters import Finding


@dataclass(frozen=True)
class JobCluster:
    """What a job runs on."""

    id: str
    name: str
    temporary: bool
    """It was made for the job and goes with it."""
    state: str
    """``Submitted``, ``Pending``, ``Running`` or ``Deleted``."""


@dataclass(frozen=True)
class JobProgress:
    """How far a job is."""

    step: str
    """``queued``, ``code``, ``environment``, ``cluster``, ``ray``, ``running`` or ``ended``."""
    detail: str = ""
    nodes_up: int = 0
    nodes_wanted: int = 0
    seconds: float = 0.0
    """How long the step has lasted; once the job has ended: from its submission to its end."""


@dataclass(frozen=True)
class Attempt:
    """One submission to Ray."""

    number: int
    submission_id: str
    instance: str
    status: str
    """Ray's: ``PENDING``, ``RUNNING``, ``STOPPED``, ``SUCCEEDED`` or ``FAILED``."""
    created_at: datetime
    cause: str | None = None
    message: str = ""
    exit_code: int | None = None
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    ray_job_id: str = ""
    log: str = ""
    """Name of its driver's log."""
    log_complete: bool = False


@dataclass(frozen=True)
class Usage:
    """What the nodes under a job took."""

    node_seconds: float = 0.0
    cpu_hours: float = 0.0
    memory_gib_hours: float = 0.0
    gpu_hours: float = 0.0
    cu_hours: float = 0.0
    peak_nodes: int = 0


@dataclass(frozen=True)
class NameCount:
    """How many tasks or actors of a name were in which state."""

    name: str
    states: Mapping[str, int]


@dataclass(frozen=True)
class WorkSummary:
    """Tasks and actors of a job."""

    tasks: tuple[NameCount, ...] = ()
    actors: tuple[NameCount, ...] = ()
    truncated: bool = False


@dataclass(frozen=True)
class JobLinks:
    dashboard_url: str
    """A link that opens the dashboard of its cluster in a browser; good for an hour."""


@dataclass(frozen=True)
class JobSecret:
    """Which secret of the workspace a job gets, and where."""

    group: str
    key: str
    version: str = ""
    variables: tuple[str, ...] = ()
    file: str = ""


@dataclass(frozen=True)
class JobInfo:
    """A job as it was when the server was asked."""

    id: str
    workspace: str
    name: str
    status: str
    """``Submitted``, ``Pending``, ``Running``, ``Succeeded``, ``Failed``, ``Cancelling``, ``Cancelled`` or ``Timeout``."""
    message: str
    """What it waits for, or how it ended."""
    entrypoint: str
    cluster: JobCluster
    creator: str
    submitted_at: datetime
    progress: JobProgress
    cause: str | None = None
    """Why it failed: ``user_error``, ``out_of_memory`` or ``infrastructure``."""
    exit_code: int | None = None
    """Of its entry point."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    run_seconds: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    usage: Usage = field(default_factory=Usage)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    runtime_env: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """In lists, and for viewers, with ``******`` in place of each value."""
    secrets: tuple[JobSecret, ...] = ()
    """Those of the workspace whose values it gets."""
    deadline_seconds: float | None = None
    ttl_seconds: float = 0.0
    shutdown_after_finish: bool = True
    logs_complete: bool = False
    settled: bool = False
    """It has ended, and nothing remains to be done for it."""
    cluster_spec: Mapping[str, Any] | None = field(default=None, repr=False)
    """Of the cluster made for it. None in lists, as the next three."""
    working_dir: str | None = None
    summary: WorkSummary | None = None
    links: JobLinks | None = None
    findings: tuple[Finding, ...] | None = None
    """Fields of ``cluster_spec`` that the engine does not honour literally; None in lists."""
    cancelled: bool | None = None
    """In the answer to ``cancel``: False when it had ended already."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class LogFile:
    """One log file, as much of it as is stored by now."""

    owner: str
    """Id of the job, or of the run of a cluster."""
    name: str
    size: int
    modified_at: datetime
    complete: bool = False
    note: str = ""
    """What is missing, if anything is."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
