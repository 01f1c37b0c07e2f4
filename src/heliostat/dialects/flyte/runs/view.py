"""A run as its readers see it, from what is stored of it and of its job. Pure."""

from __future__ import annotations

from heliostat.domain.ids import ClusterId, JobId, WorkspaceId
from heliostat.domain.installation import Installation
from heliostat.domain.job_states import JobClusterState, JobGoal, JobStatus
from heliostat.domain.jobs import Job
from heliostat.domain.records import Cluster
from heliostat.domain.states import State
from heliostat.services import JobView

from .outcome import Outcome, job_lost
from .phases import Link, Phase, RunView
from .record import RunRecord

WAITS = "waits for "
"""How admission begins what it says of a cluster that has to wait."""
PAGE = "/console/runs/"
"""Before a run's id: where a browser, which has no token yet, is shown the run with its log."""
UNTOLD = "its outcome is being read"


def view(id: JobId, seen: JobView | None, record: RunRecord, place: Installation) -> RunView:
    """``seen`` is None once the job was deleted."""
    if record.outcome is not None:
        return _settled(id, record.outcome, seen, record, place)
    if seen is None:
        return _settled(id, job_lost(), seen, record, place)
    phase, message = _underway(seen)
    job = seen.job
    return RunView(
        id, phase, _with_warnings(message, record), links=links(id, job.cluster, place),
        info=_info(id, seen), started_at=job.started_at, ended_at=None, workspace=job.workspace,
    )  # fmt: skip


def links(job: JobId, cluster: ClusterId, place: Installation) -> tuple[Link, ...]:
    """The same from the first answer on, since Flyte takes them up with a change of phase only. They hold no credential:
    everybody who sees the task in Flyte sees them; the gateway asks a browser who it is."""
    dashboard = f"{place.gateway_scheme}://c-{cluster}.{place.gateway_domain}/#/jobs/{job}"
    page = f"{place.gateway_url}{PAGE}{job}"
    return (
        Link("Ray dashboard", dashboard, while_pending=True, hidden_when_finished=True),
        Link("Driver log", page, while_pending=True),
    )


def log_path(workspace: WorkspaceId, job: str) -> str:
    """Where its log itself is at this server, for who shows a token."""
    return f"/v1/workspaces/{workspace}/jobs/{job}/logs/driver"


def _settled(
    id: JobId, outcome: Outcome, seen: JobView | None, record: RunRecord, place: Installation
) -> RunView:  # fmt: skip
    job = seen.job if seen is not None else None
    return RunView(
        id, outcome.phase, _with_warnings(outcome.message, record), outcome.code, outcome.recoverable, outcome.origin,
        links=links(id, job.cluster, place) if job is not None else (),
        info=_info(id, seen), outputs=outcome.outputs,
        started_at=job.started_at if job is not None else None, ended_at=job.ended_at if job is not None else None,
        workspace=job.workspace if job is not None else None,
    )  # fmt: skip


def _underway(seen: JobView) -> tuple[Phase, str]:
    """How far a job is whose outcome is not known (Flyte contract, section 5.4)."""
    job = seen.job
    if job.status.final:
        return Phase.RUNNING, UNTOLD
    if job.goal is not JobGoal.RUN or job.status is JobStatus.RUNNING:
        return Phase.RUNNING, job.message
    if seen.cluster is not None and _waits_for_room(job, seen.cluster):
        return Phase.WAITING_FOR_RESOURCES, f"its cluster {seen.cluster.message}"
    if job.status is JobStatus.SUBMITTED and job.prepared is None:
        return Phase.QUEUED, job.message
    return Phase.INITIALIZING, job.message


def _waits_for_room(job: Job, cluster: Cluster) -> bool:
    """Its cluster's nodes wait for room in their queues. A cluster that was just asked for has not waited yet, and says so
    by its words alone."""
    asked = cluster.state is State.STARTING and job.cluster_state is JobClusterState.SUBMITTED
    return asked and cluster.message.startswith(WAITS)


def _info(id: JobId, seen: JobView | None) -> dict[str, str]:
    info = {"heliostatJobId": str(id)}
    if seen is None:
        return info
    last = seen.job.attempts[-1] if seen.job.attempts else None
    info["clusterName"] = seen.cluster.spec.name if seen.cluster is not None else seen.job.spec.cluster_spec.name
    info["rayJobId"] = last.ray_job_id if last is not None else ""
    info["rayStatus"] = str(last.status) if last is not None else ""
    return info


def _with_warnings(message: str, record: RunRecord) -> str:
    return "; ".join((message, *(f"warning: {text}" for text in record.warnings)))
