"""Jobs: what a user asked for, and what has come of it.

Times are aware datetimes in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from .errors import NOT_COLLECTED
from .ids import ClusterId, InstanceId, JobId, PrincipalId, WorkspaceId
from .job_states import JobClusterState, JobGoal, JobStatus
from .ray_jobs import Cause, RayStatus, WorkSummary
from .secrets import JobSecret
from .spec import ClusterSpec

PACKAGE = "package://"
"""Scheme of a working directory that was uploaded: followed by the SHA-256 of the zip in hex."""
EXPIRED = datetime(1970, 1, 1, tzinfo=UTC)
"""The time of log files whose owner was deleted: retention takes them next."""


@dataclass(frozen=True)
class Retries:
    """How often a failed job is tried again: ``limit`` times in all, and per cause at most as often as given."""

    limit: int = 0
    user_error: int | None = None
    """None = as often as ``limit`` allows."""
    out_of_memory: int | None = None
    infrastructure: int | None = None

    def allow(self, failures: Sequence[Cause]) -> bool:
        """Whether there is another attempt after these failures, the last of which has just happened."""
        if not failures or len(failures) > self.limit:
            return False
        last = failures[-1]
        bounds = {
            Cause.USER_ERROR: self.user_error,
            Cause.OUT_OF_MEMORY: self.out_of_memory,
            Cause.INFRASTRUCTURE: self.infrastructure,
        }
        bound = bounds[last]
        return bound is None or failures.count(last) <= bound


@dataclass(frozen=True)
class EntrypointResources:
    """What the entry point itself takes. Without any of it, Ray runs it on the head."""

    cpus: float | None = None
    gpus: float | None = None
    memory: int | None = None
    """Bytes."""
    custom: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Code:
    """Where the files of a job come from; all URLs, which may hold what opens them, so that none is shown in a repr."""

    working_dir: str | None = field(default=None, repr=False)
    """A zip: ``package://<sha256>``, or ``https``, ``file``, ``s3``, ``gs``, ``oss``."""
    files: tuple[str, ...] = field(default=(), repr=False)
    """Single files that are laid into the working directory."""
    requirements: str | None = field(default=None, repr=False)
    """A requirements file whose lines are installed by pip."""

    @property
    def empty(self) -> bool:
        return self == Code()


@dataclass(frozen=True)
class JobSpec:
    name: str
    entrypoint: str
    """A shell command."""
    cluster_spec: ClusterSpec
    """What it runs on: the definition of its temporary cluster, or of the existing one as it was at submission."""
    cluster: ClusterId | None = None
    """The existing cluster to run on; None = one is made for the job."""
    runtime_env: Mapping[str, Any] = field(default_factory=dict, repr=False)  # JSON
    """Ray's runtime environment, without ``working_dir`` when ``code`` has one. May hold secrets."""
    code: Code = Code()
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    resources: EntrypointResources = EntrypointResources()
    deadline: timedelta | None = None
    """From submission, the making of its cluster included; afterwards the job is stopped."""
    retries: Retries = Retries()
    shutdown_after_finish: bool = True
    """Remove the temporary cluster after the job."""
    ttl: timedelta = timedelta(0)
    """How long the temporary cluster stays after the end."""
    extras: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Fields that only one dialect knows, kept and given back, as in :class:`ClusterSpec`."""
    secrets: tuple[JobSecret, ...] = ()
    """Those of the workspace whose values it gets; they win over variables of the same name in ``runtime_env``."""

    @property
    def temporary(self) -> bool:
        return self.cluster is None

    @property
    def public(self) -> frozenset[str]:
        """Values that every reader of the job is shown."""
        return frozenset((self.name, *self.tags.values(), *self.metadata.values()))


@dataclass(frozen=True)
class Attempt:
    """One submission to Ray."""

    number: int
    """From 1."""
    submission_id: str
    """The job's id for the first, ``<id>-<number>`` for later ones: ours, so that a repeated submit changes nothing."""
    instance: InstanceId
    head: str
    """Ray's node id of the head that it was opened for, then of the one that was given it: another head means that a
    driver on that one is dead."""
    created_at: datetime
    submitted_at: datetime | None = None
    """When Ray acknowledged it."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    status: RayStatus = RayStatus.PENDING
    """Ray's at the last look; FAILED too when what it ran on was lost."""
    cause: Cause | None = None
    message: str = ""
    exit_code: int | None = None
    ray_job_id: str = ""
    driver_node: str = ""
    stop_asked_at: datetime | None = None
    loose: bool = False
    """It was given up without Ray having confirmed its end: it is stopped again should it turn up."""
    log_complete: bool = False
    """All of its driver's log is in the log storage, or was lost with the instance."""

    @property
    def open(self) -> bool:
        return self.ended_at is None


@dataclass(frozen=True)
class Usage:
    """What the nodes under a job took, over the time for which they are counted to it.

    A temporary cluster's nodes count for as long as they are held of their queue, an existing one's while the job ran.
    """

    node_seconds: float = 0.0
    cpu_hours: float = 0.0
    memory_gib_hours: float = 0.0
    gpu_hours: float = 0.0
    cu_hours: float = 0.0
    """Sum over nodes of max(cores, GiB / 4) x hours (EMR contract, section 8)."""
    peak_nodes: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Of two runs, one after the other."""
        return Usage(
            self.node_seconds + other.node_seconds,
            self.cpu_hours + other.cpu_hours,
            self.memory_gib_hours + other.memory_gib_hours,
            self.gpu_hours + other.gpu_hours,
            self.cu_hours + other.cu_hours,
            max(self.peak_nodes, other.peak_nodes),
        )


@dataclass(frozen=True)
class Prepared:
    """The code of a job, fetched and checked."""

    package: str | None = None
    """SHA-256 of the zip that becomes its working directory; None = it has none."""
    requirements: tuple[str, ...] = field(default=(), repr=False)
    """Lines for pip. May hold secrets, in URLs of packages and indexes."""


@dataclass(frozen=True)
class Job:
    id: JobId
    workspace: WorkspaceId
    spec: JobSpec
    status: JobStatus
    message: str
    """What it waits for, or how it ended, for people; never empty."""
    goal: JobGoal
    cluster: ClusterId
    """The existing cluster or the one made for it."""
    cluster_state: JobClusterState
    creator: PrincipalId
    creator_name: str
    submitted_at: datetime
    started_at: datetime | None = None
    """When the entry point first ran."""
    ended_at: datetime | None = None
    attempts: tuple[Attempt, ...] = ()
    """In order; only the last may be open."""
    not_before: datetime | None = None
    """When the next attempt may begin."""
    prepared: Prepared | None = None
    cause: Cause | None = None
    """Why it failed."""
    exit_code: int | None = None
    """Of the entry point, of the last attempt."""
    summary: WorkSummary | None = None
    usage: Usage = Usage()
    """At the last record; until the job is settled it is reckoned anew at each reading."""
    released_at: datetime | None = None
    """When its temporary cluster was gone."""
    settled: bool = False
    """Final, and nothing remains to be done for it."""

    @property
    def attempt(self) -> Attempt | None:
        """The open attempt."""
        return self.attempts[-1] if self.attempts and self.attempts[-1].open else None

    @property
    def failures(self) -> tuple[Cause, ...]:
        return tuple(row.cause for row in self.attempts if row.cause is not None)

    @property
    def logs_complete(self) -> bool:
        return all(row.log_complete for row in self.attempts)

    @property
    def deadline_at(self) -> datetime | None:
        return None if self.spec.deadline is None else self.submitted_at + self.spec.deadline

    def run_seconds(self, now: datetime) -> float:
        """How long it ran, in seconds; 0 before the start (EMR contract, section 8)."""
        return 0.0 if self.started_at is None else max(0.0, ((self.ended_at or now) - self.started_at).total_seconds())


@dataclass(frozen=True)
class LogFile:
    """One file in the log storage, as the database knows it."""

    owner: str
    """Id of the job or of the instance."""
    workspace: WorkspaceId
    name: str
    """Path below the owner's folder, ``rj-..._driver.log`` or ``nodes/<node>/raylet.out``."""
    size: int
    """Bytes stored."""
    source_offset: int
    """Bytes of the source that are in it; differs from ``size`` where secrets were masked."""
    modified_at: datetime
    complete: bool = False
    note: str = ""
    """What is missing, e.g. that only the end was kept."""

    @property
    def uncollected(self) -> bool:
        """It stands for a log that was not to be collected: there is nothing in it."""
        return self.complete and not self.size and self.note == NOT_COLLECTED

    @property
    def expired(self) -> bool:
        """What it belongs to was deleted: it waits for its removal, and nobody is shown it any more."""
        return self.modified_at == EXPIRED

    @property
    def key(self) -> str:
        """Where it is in the log storage (EMR contract, section 8, log layout); no leading slash."""
        return f"{folder_of(self.workspace, self.owner)}{self.name}"


def folder_of(workspace: WorkspaceId, owner: str) -> str:
    """``w-.../ray/logs/rj-..._default/`` for a job, ``w-.../ray/logs/<instance>/`` for an instance."""
    return f"{workspace}/ray/logs/{owner}{'_default' if owner.startswith('rj-') else ''}/"


def driver_log(job: JobId, attempt: int = 1) -> str:
    """Name of the driver's log of an attempt below the job's folder."""
    return f"{submission_id(job, attempt)}_driver.log"


def submission_id(job: JobId, attempt: int) -> str:
    """What Ray calls an attempt."""
    return job if attempt == 1 else f"{job}-{attempt}"
