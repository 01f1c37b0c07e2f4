"""Why a job is in its state: a pure reading of what is stored about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from heliostat.domain.engine import NodeState
from heliostat.domain.job_states import JobStatus
from heliostat.domain.jobs import Job
from heliostat.domain.ray_jobs import Cause
from heliostat.domain.records import Cluster, Event, Instance
from heliostat.domain.states import State

from .why import Explanation

_REMEDIES = {
    Cause.USER_ERROR: "Read its log, mend the program or its runtime environment, and submit it again.",
    Cause.OUT_OF_MEMORY: "Give its nodes (or its entry point) more memory, or have it hold less at once.",
    Cause.INFRASTRUCTURE: "Submit it again; with retries, Heliostat does so by itself.",
}


def explain_job(
    job: Job, cluster: Cluster | None, instance: Instance | None, events: Sequence[Event], now: datetime
) -> Explanation:
    """Read the status from the wish, what was last seen, and the newest events (``events`` newest first)."""
    evidence = [*_attempts(job), *_cluster(cluster, instance, now)]
    evidence += [f"{event.at:%Y-%m-%d %H:%M:%S} {event.actor}: {event.reason}: {event.message}" for event in events[:8]]
    summary, remedy = _summary(job, cluster, instance, now)
    return Explanation(summary, tuple(evidence), remedy)


def _summary(job: Job, cluster: Cluster | None, instance: Instance | None, now: datetime) -> tuple[str, str]:
    name = job.spec.name
    waited = f"{(now - job.submitted_at).total_seconds():.0f} s after its submission"
    ran = f"{job.run_seconds(now):.1f} s"
    match job.status:
        case JobStatus.SUBMITTED:
            return f"{name} was accepted {waited.removesuffix(' after its submission')} ago; {job.message}.", ""
        case JobStatus.PENDING:
            return f"{name} waits, {waited}: {job.message.rstrip('.')}.{_nodes_up(cluster, instance)}", ""
        case JobStatus.RUNNING:
            return f"{name} has been running for {ran} (attempt {len(job.attempts)}): {job.message}.", ""
        case JobStatus.CANCELLING:
            return f"{name} is being cancelled: {job.message}.", ""
        case JobStatus.SUCCEEDED:
            return f"{name} succeeded after {ran}.", ""
        case JobStatus.CANCELLED:
            return f"{name} was cancelled: {job.message}.", ""
        case JobStatus.TIMEOUT:
            return f"{name} ran out of time: {job.message}.", "Give it a longer deadline, or more to run on."
        case JobStatus.FAILED:
            cause = f" ({job.cause.replace('_', ' ')})" if job.cause else ""
            return f"{name} failed{cause}: {job.message}", _remedy(job)


def _remedy(job: Job) -> str:
    if job.cause is Cause.INFRASTRUCTURE and not job.spec.temporary:
        return "See to its cluster, then submit it again."
    return "" if job.cause is None else _REMEDIES[job.cause]


def _nodes_up(cluster: Cluster | None, instance: Instance | None) -> str:
    if cluster is None or instance is None or cluster.state is not State.STARTING:
        return ""
    up = sum(node.state is NodeState.ALIVE for node in instance.nodes)
    doing = instance.progress[-1].step if instance.progress else "queued"
    return f" {up} of {instance.spec.node_count} nodes are up (step {doing})."


def _attempts(job: Job) -> list[str]:
    rows = []
    for row in job.attempts:
        ended = f", ended {row.ended_at:%Y-%m-%d %H:%M:%S}" if row.ended_at else ""
        code = f", exit code {row.exit_code}" if row.exit_code is not None else ""
        cause = f", {row.cause.replace('_', ' ')}" if row.cause else ""
        told = f": {row.message}" if row.message else ""
        rows.append(f"attempt {row.number} ({row.submission_id}) is {row.status}{ended}{code}{cause}{told}")
    return rows


def _cluster(cluster: Cluster | None, instance: Instance | None, now: datetime) -> list[str]:
    if cluster is None:
        return []
    rows = [f"cluster {cluster.id} is {cluster.state}: {cluster.message}"]
    if instance is not None:
        rows += [
            f"step {row.step} took {((row.ended_at or now) - row.started_at).total_seconds():.1f} s"
            + ("" if row.ended_at else " so far")
            + (f" ({row.detail})" if row.detail else "")
            for row in instance.progress
        ]
    return rows
