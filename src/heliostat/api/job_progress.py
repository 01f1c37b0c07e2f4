"""How far a job is: one pure reading of what is stored about it, its cluster and that cluster's start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from heliostat.domain.engine import NodeState, Step
from heliostat.domain.jobs import Job
from heliostat.domain.ray_jobs import RayStatus
from heliostat.domain.records import Cluster, Instance
from heliostat.domain.states import State


class JobStep(StrEnum):
    """What a job is busy with, in this order."""

    QUEUED = "queued"
    """Accepted, or waiting to be tried again, or its cluster waits for its turn."""
    CODE = "code"
    """Its code is being fetched."""
    ENVIRONMENT = "environment"
    """The environment of its cluster's release is being built."""
    CLUSTER = "cluster"
    """Its cluster is coming up."""
    RAY = "ray"
    """Ray has it, prepares its runtime environment or looks for room."""
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True)
class JobProgress:
    step: JobStep
    detail: str
    """For people."""
    nodes_up: int
    """Of the cluster that it runs on; 0 when it is not up or gone."""
    nodes_wanted: int
    since: datetime
    """When the step began, as far as that is known."""
    until: datetime | None = None
    """Set once it has ended."""

    def seconds(self, now: datetime) -> float:
        """How long the step has lasted; of a job that has ended: from its submission to its end."""
        return max(0.0, ((self.until or now) - self.since).total_seconds())


def progress_of(job: Job, cluster: Cluster | None, instance: Instance | None) -> JobProgress:
    """The step at hand. ``cluster`` and ``instance`` are what the job runs on while that exists."""
    up = 0 if instance is None else sum(node.state is NodeState.ALIVE for node in instance.nodes)
    wanted = (job.spec.cluster_spec if instance is None else instance.spec).node_count
    step, since, detail = _step(job, cluster, instance)
    return JobProgress(step, detail, up, wanted, since, job.ended_at if step is JobStep.ENDED else None)


def _step(job: Job, cluster: Cluster | None, instance: Instance | None) -> tuple[JobStep, datetime, str]:
    if job.status.final:
        return JobStep.ENDED, job.submitted_at, job.message
    attempt = job.attempt
    if attempt is not None:
        if attempt.status is RayStatus.RUNNING:
            return JobStep.RUNNING, attempt.started_at or attempt.submitted_at or attempt.created_at, job.message
        return JobStep.RAY, attempt.submitted_at or attempt.created_at, job.message
    if job.not_before is not None and job.attempts:
        return JobStep.QUEUED, job.attempts[-1].ended_at or job.submitted_at, job.message
    if job.prepared is None:
        return JobStep.QUEUED if job.spec.code.empty else JobStep.CODE, job.submitted_at, job.message
    if instance is None or cluster is None:
        return JobStep.QUEUED, job.submitted_at, job.message
    if cluster.state is State.RUNNING:
        return JobStep.RAY, instance.running_at or instance.created_at, job.message
    return _start(job, instance)


def _start(job: Job, instance: Instance) -> tuple[JobStep, datetime, str]:
    """The step of a cluster on its way up."""
    if not instance.progress:
        return JobStep.QUEUED, instance.created_at, job.message
    last = instance.progress[-1]
    step = {Step.QUEUED: JobStep.QUEUED, Step.ENVIRONMENT: JobStep.ENVIRONMENT}.get(last.step, JobStep.CLUSTER)
    since = next(row.started_at for row in instance.progress if row.step in (Step.HEAD, last.step))
    return step, since if step is JobStep.CLUSTER else last.started_at, last.detail or job.message
