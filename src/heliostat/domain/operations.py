"""Operations: long-running changes of clusters that a client may poll. What an operation is, and when it has ended.

An operation is stored together with the wish that it stands for, and ended by the control loop, by :func:`settled`, in the
transaction that records what came of the wish. So it is as crash-safe as they are, and can be read when its cluster is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from .engine import NodeState
from .ids import ClusterId, OperationId, PrincipalId, WorkspaceId
from .records import Cluster, Instance
from .spec import ClusterSpec, WorkerGroup
from .states import State, Wanted

UPDATE_PATIENCE = timedelta(seconds=840)
"""How long an update may take to get its nodes. Vertex AI's client gives up after 900 s (Vertex contract, section 1.1)."""


class Kind(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    REBOOT = "reboot"
    DELETE = "delete"


class Failure(StrEnum):
    """Why an operation has not brought what it was to bring."""

    FAILED = "failed"
    """The cluster did not come up, or broke."""
    NO_ROOM = "no_room"
    """Its nodes could not be had in time."""
    OVERTAKEN = "overtaken"
    """Somebody stopped or deleted the cluster meanwhile."""
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Operation:
    id: OperationId
    workspace: WorkspaceId
    cluster: ClusterId
    kind: Kind
    creator: PrincipalId
    created_at: datetime
    generation: int
    """Of the cluster, once what is asked for is stored."""
    spec: ClusterSpec = field(repr=False)
    """The cluster as it was asked for: what there is to show when it is gone."""
    cluster_created_at: datetime
    label: Mapping[str, str] = field(default_factory=dict)
    """What a dialect needs to name it, in the dialect's own words."""
    ended_at: datetime | None = None
    failure: Failure | None = None
    message: str = ""
    """Why it failed, for people."""

    @property
    def open(self) -> bool:
        return self.ended_at is None


def settled(operation: Operation, cluster: Cluster | None, instance: Instance | None, now: datetime) -> Operation:
    """The operation by what there is of its cluster now; itself while it goes on.

    ``cluster`` is None when nothing of it is left, ``instance`` is its present run.
    """
    if not operation.open:
        return operation
    if operation.kind is Kind.DELETE:
        return replace(operation, ended_at=now) if cluster is None else operation
    if cluster is None or cluster.wanted is Wanted.DELETED:
        return _failed(operation, now, Failure.OVERTAKEN, "the cluster was deleted before it was done")
    if cluster.state is State.ERROR:
        return _failed(operation, now, Failure.FAILED, cluster.message)
    if cluster.state in (State.STOPPED, State.STOPPING):
        return _failed(operation, now, Failure.OVERTAKEN, "the cluster was stopped before it was done")
    if cluster.state is State.RUNNING and instance is not None and _reached(operation, instance):
        return replace(operation, ended_at=now)
    if patience(operation, now) == timedelta(0):
        waits = "" if cluster.message == "ok" else f": {cluster.message}"
        message = f"its nodes are not all as asked for after {UPDATE_PATIENCE.seconds} s and are waited for on{waits}"
        return _failed(operation, now, Failure.NO_ROOM, message)
    return operation


def patience(operation: Operation, now: datetime) -> timedelta | None:
    """How much longer an operation may take; None = as long as it takes."""
    if not operation.open or operation.kind is not Kind.UPDATE:
        return None
    return max(operation.created_at + UPDATE_PATIENCE - now, timedelta(0))


def _reached(operation: Operation, instance: Instance) -> bool:
    """Whether a run that is up is what the operation asked for, or something newer. Nodes that drain are gone for it."""
    if instance.running_at is None or instance.generation < operation.generation:
        return False
    if operation.kind is not Kind.UPDATE:
        return True
    bounds = {group.name: _bounds(group, instance.spec.autoscaling.enabled) for group in instance.spec.workers}
    alive = Counter(node.group for node in instance.nodes if node.kind != "head" and node.state is NodeState.ALIVE)
    return alive.keys() <= bounds.keys() and all(least <= alive[name] <= most for name, (least, most) in bounds.items())


def _bounds(group: WorkerGroup, scales: bool) -> tuple[int, int]:
    """How many nodes of a group are right: whatever Ray's autoscaler may decide on, where there is one."""
    if not scales:
        return group.replicas, group.replicas
    least = group.min_replicas or 0
    return least, max(least, group.replicas if group.max_replicas is None else group.max_replicas)


def _failed(operation: Operation, now: datetime, failure: Failure, message: str) -> Operation:
    return replace(operation, ended_at=now, failure=failure, message=message)
