"""Records to store. Each has every field set to something that its default is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from heliostat.domain.engine import Endpoints, NodeObservation, NodeState, Progress, Step
from heliostat.domain.ids import (
    ClusterId,
    NodeId,
    PrincipalId,
    WorkspaceId,
    new_cluster_id,
    new_instance_id,
    random_text,
)
from heliostat.domain.records import Cluster, Event, Instance, Workspace
from heliostat.domain.secret import Secret
from heliostat.domain.spec import Autoscaling, ClusterSpec, FaultTolerance, NodeShape, WorkerGroup
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
            WorkerGroup("large", replace(head, env={"TOKEN": "worker-env"}), 3, 0, 9, "GPU"),
        ),
        description="ein Beispiel \N{SUN BEHIND CLOUD}",
        autoscaling=Autoscaling(True, 90),
        fault_tolerance=FaultTolerance(True, "redis://cache:6379", "ray", Secret("redis-password")),
        network_service="net-1",
        volumes=("vol-1", "vol-2"),
        labels={"team": "vision"},
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
    )
    return replace(
        instance,
        running_at=NOW + timedelta(seconds=5),
        nodes=(head, replace(head, node=NodeId("worker"), kind="worker", state=NodeState.PENDING, started_at=None)),
        progress=(Progress(Step.HEAD, NOW, NOW + timedelta(seconds=3), "one"), Progress(Step.WORKERS, NOW)),
        endpoints=Endpoints("127.0.0.1:8265", "127.0.0.1:10001"),
    )


def an_event(cluster: ClusterId, reason: str = "Started", *, key: str | None = None) -> Event:
    return Event(cluster, HOME, NOW, "anna", reason, "it was started", True, None, key)
