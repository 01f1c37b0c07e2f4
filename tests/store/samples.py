"""Records to store. Each has every field set to something that its default is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from heliostat.domain.engine import Demand, Endpoints, NodeObservation, NodeState, Progress, Step, Upscaling, Want
from heliostat.domain.ids import (
    ClusterId,
    JobId,
    NodeId,
    PrincipalId,
    WorkspaceId,
    new_cluster_id,
    new_instance_id,
    new_job_id,
    random_text,
)
from heliostat.domain.job_states import JobClusterState, JobGoal, JobStatus
from heliostat.domain.jobs import (
    Attempt,
    Code,
    EntrypointResources,
    Job,
    JobSpec,
    LogFile,
    Prepared,
    Retries,
    Usage,
    submission_id,
)
from heliostat.domain.ray_jobs import Cause, NameCount, RayStatus, WorkSummary
from heliostat.domain.records import Activity, Cluster, Event, Instance, Workspace
from heliostat.domain.secret import Secret
from heliostat.domain.secrets import JobSecret
from heliostat.domain.spec import Autoscaling, ClusterSpec, FaultTolerance, Lifetime, NfsMount, NodeShape, WorkerGroup
from heliostat.domain.states import State, Wanted
from heliostat.store import Store

NOW = datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=UTC)
HOME = WorkspaceId("w-0123456789abcdef")
AWAY = WorkspaceId("w-fedcba9876543210")
ANNA = PrincipalId("1000000000000001")


async def make_workspaces(store: Store) -> None:
    """HOME and AWAY."""
    await store.write(lambda tx: tx.workspaces.add(Workspace(HOME, "home", NOW)))
    await store.write(lambda tx: tx.workspaces.add(Workspace(AWAY, "away", NOW + timedelta(seconds=1))))


def a_spec(name: str = "sample") -> ClusterSpec:
    head = NodeShape(
        "root_queue", Decimal("2.50"), 8 << 30, "ecs.gn7", {"TOKEN": "head-env"}, "--num-cpus=0", "ray-1.0.0"
    )
    return ClusterSpec(
        name=name,
        release="ray-1.3.1 (Ray 2.60.0, Python 3.11)",
        head=head,
        workers=(
            WorkerGroup("plain", NodeShape("root_queue", Decimal(1), 1 << 30)),
            WorkerGroup("large", replace(head, env={"TOKEN": "worker-env"}), 3, 0, 9, "GPU", 45),
        ),
        description="ein Beispiel \N{SUN BEHIND CLOUD}",
        autoscaling=Autoscaling(True, 90, Upscaling.CONSERVATIVE),
        lifetime=Lifetime(600, 3600),
        priority=7,
        fault_tolerance=FaultTolerance(True, "redis://cache:6379", "ray", Secret("redis-password")),
        network_service="net-1",
        volumes=("vol-1", "vol-2"),
        nfs_mounts=(NfsMount("10.0.0.2", "/exports", "data"),),
        metrics=False,
        collect_logs=False,
        labels={"team": "vision"},
        unhonoured={"vertex.network": "it has none"},
        extras={"emr.extraParam": "extra-value"},
        spellings={"head.memory": "8GB"},
    )


def a_cluster(name: str = "sample", *, age: timedelta = timedelta(0), workspace: WorkspaceId = HOME) -> Cluster:
    """At rest, as after its creation."""
    return Cluster(
        id=new_cluster_id(),
        workspace=workspace,
        spec=a_spec(name),
        generation=1,
        wanted=Wanted.STOPPED,
        state=State.STOPPED,
        message="ok",
        modified=False,
        instance=None,
        creator=ANNA,
        creator_name="anna",
        modifier=ANNA,
        modifier_name="anna",
        created_at=NOW - age,
        modified_at=NOW - age,
    )


def an_instance(cluster: Cluster) -> Instance:
    """On its way up."""
    return Instance(
        id=new_instance_id(cluster.id),
        cluster=cluster.id,
        workspace=cluster.workspace,
        spec=cluster.spec,
        generation=cluster.generation,
        created_at=NOW,
        submit_token=Secret(random_text(32)),
        ray_token=Secret(random_text(64)),
    )


def seen(instance: Instance) -> Instance:
    """The same, running, with all that is observed of it."""
    head = NodeObservation(
        NodeId("head"),
        "head",
        "head",
        NodeState.ALIVE,
        NOW,
        NOW + timedelta(seconds=3),
        "abc123",
        4711,
        "OOMKilled",
        "was killed once",
        137,
        2,
        3,
        ("127.0.0.1:1", "127.0.0.1:2"),
    )
    return replace(
        instance,
        running_at=NOW + timedelta(seconds=5),
        nodes=(head, replace(head, node=NodeId("worker"), kind="worker", state=NodeState.PENDING, started_at=None)),
        progress=(Progress(Step.HEAD, NOW, NOW + timedelta(seconds=3), "one"), Progress(Step.WORKERS, NOW)),
        endpoints=Endpoints("127.0.0.1:8265", "127.0.0.1:10001"),
        renew=2,
        demand=Demand((Want({"CPU": 1.5}, 3, "placement group"),), (Want({"GPU": 1.0}, 1),), "no room"),
        activity=Activity(("3 tasks are running",), NOW),
    )


JOB_SECRETS = {
    "value of a variable": "variable-4711",
    "address of the working directory": "zip-signature-4711",
    "address of a file": "file-signature-4711",
    "address of the requirements": "requirements-signature-4711",
    "field of a dialect": "extra-4711",
    "line for pip": "index-password-4711",
    "variable of the cluster": "head-env",
    "password of the cluster's Redis": "redis-password",
}
"""What of the sample may be read by nobody who has only the database."""


def a_job(
    name: str = "sample",
    *,
    age: timedelta = timedelta(0),
    workspace: WorkspaceId = HOME,
    cluster: ClusterId | None = None,
) -> Job:
    """Just submitted, with a cluster made for it unless one is given."""
    spec = JobSpec(
        name=name,
        entrypoint="python main.py",
        cluster_spec=a_spec(name),
        cluster=cluster,
        runtime_env={"env_vars": {"KEY": JOB_SECRETS["value of a variable"]}, "pip": ["requests"], "config": {"x": 1}},
        code=Code(
            f"https://example.org/code.zip?sig={JOB_SECRETS['address of the working directory']}",
            (f"https://example.org/data.csv?sig={JOB_SECRETS['address of a file']}",),
            f"https://example.org/requirements.txt?sig={JOB_SECRETS['address of the requirements']}",
        ),
        metadata={"owner": "anna"},
        tags={"team": "vision"},
        resources=EntrypointResources(1.5, 0.5, 1 << 30, {"disk": 2.0}),
        deadline=timedelta(hours=1, microseconds=1),
        retries=Retries(3, 1, 2, 3),
        shutdown_after_finish=False,
        ttl=timedelta(minutes=5),
        extras={"emr.extraParam": JOB_SECRETS["field of a dialect"]},
        secrets=(JobSecret("db", "password", "2", ("PASSWORD", "PGPASSWORD"), "db/password"),),
    )
    return Job(
        id=new_job_id(),
        workspace=workspace,
        spec=spec,
        status=JobStatus.SUBMITTED,
        message="accepted",
        goal=JobGoal.RUN,
        cluster=cluster or new_cluster_id(),
        cluster_state=JobClusterState.SUBMITTED,
        creator=ANNA,
        creator_name="anna",
        submitted_at=NOW - age,
    )


def an_ended_job() -> Job:
    """With all that can have come of it."""
    job = a_job()
    attempt = Attempt(
        number=1,
        submission_id=submission_id(job.id, 1),
        instance=new_instance_id(job.cluster),
        head="abc123",
        created_at=NOW,
        submitted_at=NOW + timedelta(seconds=1),
        started_at=NOW + timedelta(seconds=2),
        ended_at=NOW + timedelta(seconds=3),
        status=RayStatus.FAILED,
        cause=Cause.OUT_OF_MEMORY,
        message="it had no room",
        exit_code=137,
        ray_job_id="02000000",
        driver_node="def456",
        stop_asked_at=NOW + timedelta(seconds=2, microseconds=1),
        loose=True,
        log_complete=True,
    )
    again = replace(attempt, number=2, submission_id=submission_id(job.id, 2), cause=Cause.USER_ERROR)
    return replace(
        job,
        status=JobStatus.FAILED,
        message="its entry point failed",
        goal=JobGoal.CANCEL,
        cluster_state=JobClusterState.DELETED,
        started_at=NOW + timedelta(seconds=2),
        ended_at=NOW + timedelta(seconds=9),
        attempts=(attempt, again),
        not_before=NOW + timedelta(seconds=4),
        prepared=Prepared("a" * 64, (f"--index-url https://u:{JOB_SECRETS['line for pip']}@example.org", "requests")),
        cause=Cause.OUT_OF_MEMORY,
        exit_code=137,
        summary=WorkSummary(
            (NameCount("train", {"FINISHED": 3, "FAILED": 1}),), (NameCount("Trainer", {"DEAD": 1}),), True
        ),
        usage=Usage(1.5, 2.5, 3.5, 4.5, 5.5, 6),
        released_at=NOW + timedelta(seconds=11),
        settled=True,
    )


def a_log_file(owner: str = "rj-0123456789abcdef", name: str = "driver.log", *, size: int = 10) -> LogFile:
    return LogFile(owner, HOME, name, size, size + 1, NOW, False, "a note")


def an_event(cluster: ClusterId, reason: str = "Started", *, key: str | None = None, job: JobId | None = None) -> Event:
    return Event(cluster, HOME, NOW, "anna", reason, "it was started", True, None, key, job=job)
