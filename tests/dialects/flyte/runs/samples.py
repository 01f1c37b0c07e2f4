"""Jobs in every state, and what is around them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from heliostat.domain.ids import ClusterId, InstanceId, JobId, PrincipalId, WorkspaceId
from heliostat.domain.job_states import JobClusterState, JobGoal, JobStatus
from heliostat.domain.jobs import Attempt, Job, JobSpec, Prepared, Usage
from heliostat.domain.quantities import GIB
from heliostat.domain.ray_jobs import RayStatus
from heliostat.domain.records import Cluster
from heliostat.domain.spec import ClusterSpec, NodeShape
from heliostat.domain.states import State, Wanted
from heliostat.services import JobView

START = datetime(2026, 1, 1, tzinfo=UTC)
JOB = JobId("rj-0123456789abcdef")
CLUSTER = ClusterId("ray-0123456789abcdef")
WORKSPACE = WorkspaceId("w-0123456789abcdef")
SPEC = ClusterSpec("c", "flyte-1.3.1", NodeShape("root_queue", Decimal(1), GIB))


def job(status: JobStatus, *, prepared: bool = True) -> Job:
    ended = START + timedelta(minutes=1) if status.final else None
    ray = RayStatus.FAILED if status is JobStatus.FAILED else RayStatus.RUNNING
    begun = status not in (JobStatus.SUBMITTED, JobStatus.PENDING)
    attempt = Attempt(
        1, JOB, InstanceId(f"{CLUSTER}-01234567"), "h", START, status=ray, ended_at=ended, log_complete=True
    )
    return Job(
        id=JOB, workspace=WORKSPACE, spec=JobSpec("j", "true", SPEC), status=status, message=f"it is {status}",
        goal=JobGoal.CANCEL if status in (JobStatus.CANCELLING, JobStatus.CANCELLED) else JobGoal.RUN, cluster=CLUSTER,
        cluster_state=JobClusterState.SUBMITTED, creator=PrincipalId("1"), creator_name="ann", submitted_at=START,
        ended_at=ended, attempts=(attempt,) if begun else (), prepared=Prepared() if prepared else None,
    )  # fmt: skip


def seen(given: Job, state: State | None = None, message: str = "ok") -> JobView:
    cluster = None if state is None else Cluster(
        id=CLUSTER, workspace=WORKSPACE, spec=SPEC, generation=1, wanted=Wanted.RUNNING, state=state, message=message,
        modified=False, instance=None, creator=given.creator, creator_name="ann", modifier=given.creator,
        modifier_name="ann", created_at=START, modified_at=START, job=given.id,
    )  # fmt: skip
    return JobView(given, cluster, None, Usage())
