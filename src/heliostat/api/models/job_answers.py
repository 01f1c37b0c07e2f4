"""What answers about jobs, logs and packages look like. ``job_documents`` writes them; a test compares the two."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, JsonValue

from heliostat.domain.job_states import JobClusterState, JobStatus
from heliostat.domain.ray_jobs import Cause, RayStatus

from ..job_progress import JobStep
from .answers import FindingAnswer, UnnamedSpecAnswer
from .base import Answer
from .secret_answers import JobSecretAnswer


class JobClusterAnswer(Answer):
    """What a job runs on."""

    id: str
    name: str = Field(description="At submission; a cluster made for the job has the job's id as its name.")
    temporary: bool = Field(description="It was made for the job and goes with it.")
    state: JobClusterState


class JobResourcesAnswer(Answer):
    """What the entry point itself takes; without any of it, it runs on the head."""

    cpus: float | None
    gpus: float | None
    memory: str | None = Field(examples=["4Gi"])
    custom: dict[str, float]


class JobRetriesAnswer(Answer):
    limit: int
    user_error: int | None
    out_of_memory: int | None
    infrastructure: int | None


class AttemptAnswer(Answer):
    """One submission to Ray."""

    number: int
    submission_id: str
    instance: str
    status: RayStatus
    cause: Cause | None
    message: str
    exit_code: int | None
    created_at: datetime
    submitted_at: datetime | None = Field(description="When Ray acknowledged it.")
    started_at: datetime | None
    ended_at: datetime | None
    ray_job_id: str
    log: str = Field(description="Name of its driver's log.")
    log_complete: bool


class UsageAnswer(Answer):
    """What the nodes under the job took; those of a temporary cluster count from their start to their end."""

    node_seconds: float
    cpu_hours: float
    memory_gib_hours: float
    gpu_hours: float
    cu_hours: float
    peak_nodes: int


class NameCountAnswer(Answer):
    name: str
    states: dict[str, int]


class SummaryAnswer(Answer):
    """Tasks and actors, counted by name and state."""

    tasks: list[NameCountAnswer]
    actors: list[NameCountAnswer]
    truncated: bool


class JobProgressAnswer(Answer):
    step: JobStep
    detail: str
    nodes_up: int
    nodes_wanted: int
    seconds: float = Field(
        description="How long the step has lasted; once the job has ended: from its submission to its end."
    )


class JobLinksAnswer(Answer):
    dashboard_url: str = Field(description="A link for a browser, good for an hour.")


class JobListed(Answer):
    """A job in a list: without its code and what may hold secrets."""

    id: str = Field(examples=["rj-0123456789abcdef"])
    workspace: str
    name: str
    status: JobStatus
    message: str = Field(description="What it waits for, or how it ended.")
    cause: Cause | None = Field(description="Why it failed.")
    exit_code: int | None
    entrypoint: str
    cluster: JobClusterAnswer
    runtime_env: dict[str, JsonValue] = Field(
        description="In lists and for viewers with `******` in place of each value; names of variables stay."
    )
    secrets: list[JobSecretAnswer] = Field(description="By name; values are shown to nobody.")
    metadata: dict[str, str]
    tags: dict[str, str]
    resources: JobResourcesAnswer
    deadline_seconds: float | None
    retries: JobRetriesAnswer
    shutdown_after_finish: bool
    ttl_seconds: float
    creator: str
    submitted_at: datetime
    started_at: datetime | None = Field(description="When its entry point first ran.")
    ended_at: datetime | None
    run_seconds: float
    attempts: list[AttemptAnswer]
    usage: UsageAnswer
    logs_complete: bool
    settled: bool = Field(description="It has ended, and nothing remains to be done for it.")
    progress: JobProgressAnswer


class JobAnswer(JobListed):
    """A job. Viewers see `******` in place of what may hold secrets."""

    cluster_spec: UnnamedSpecAnswer | None = Field(
        description="Of the cluster made for it; null when it runs on another."
    )
    working_dir: str | None
    files: list[str]
    requirements: str | None
    summary: SummaryAnswer | None
    links: JobLinksAnswer | None = Field(description="Only while its cluster is Running.")
    findings: list[FindingAnswer] = Field(
        description="Fields of `cluster_spec` that the engine does not honour literally."
    )


class JobCancelAnswer(JobAnswer):
    """The job after the call."""

    cancelled: bool = Field(description="False: it had ended already, and nothing was set off.")


class JobPage(Answer):
    jobs: list[JobListed]
    next_page_token: str | None = Field(description="For `page_token` of the next call; null at the end.")


class LogFileAnswer(Answer):
    """One log file, as much of it as is stored by now."""

    owner: str = Field(description="Id of the job, or of the run of a cluster.")
    name: str = Field(examples=["rj-0123456789abcdef_driver.log"])
    size: int = Field(description="Bytes.")
    modified_at: datetime
    complete: bool = Field(description="Nothing will be added.")
    note: str = Field(description="What is missing, if anything is.")


class LogFileList(Answer):
    files: list[LogFileAnswer]


class PackageAnswer(Answer):
    """Uploaded code; good as `package://<sha256>` for `working_dir`."""

    sha256: str
    size: int = Field(description="Bytes.")
