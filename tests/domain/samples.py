"""Records to decide on, made without a store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from heliostat.domain.engine import Endpoints, NodeObservation, NodeState, Observation, Step
from heliostat.domain.ids import ClusterId, InstanceId, NodeId, PrincipalId, WorkspaceId
from heliostat.domain.quantities import GIB
from heliostat.domain.records import Cluster, Instance
from heliostat.domain.secret import Secret
from heliostat.domain.spec import ClusterSpec, NodeShape, WorkerGroup
from heliostat.domain.states import State, Wanted

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLUSTER = ClusterId("ray-aaaaaaaaaaaaaaaa")
WORKSPACE = WorkspaceId("w-0123456789abcdef")
ANN = PrincipalId("1000000000000001")
SHAPE = NodeShape("root_queue", Decimal(1), GIB)
SPEC = ClusterSpec("sample", "ray-1.3.1", SHAPE, (WorkerGroup("g", SHAPE, replicas=2),))


def cluster(state: State, wanted: Wanted, instance: InstanceId | None) -> Cluster:
    message = "the cause" if state is State.ERROR else "ok"
    return Cluster(
        CLUSTER, WORKSPACE, SPEC, 1, wanted, state, message, False, instance, ANN, "ann", ANN, "ann", NOW, NOW
    )


def instance(name: str, *, retired: bool = False) -> Instance:
    secret = Secret("0" * 32)
    return Instance(InstanceId(f"{CLUSTER}-{name}"), CLUSTER, WORKSPACE, SPEC, 1, NOW, secret, secret, retired=retired)


def node(index: int, state: NodeState) -> NodeObservation:
    return NodeObservation(NodeId(f"n{index}"), "worker" if index else "head", "g", state, NOW)


def absent(run: InstanceId) -> Observation:
    return Observation(run, present=False)


def starting(run: InstanceId) -> Observation:
    return Observation(run, present=True, nodes=tuple(node(index, NodeState.STARTING) for index in range(3)))


def complete(run: InstanceId) -> Observation:
    nodes = tuple(node(index, NodeState.ALIVE) for index in range(3))
    endpoints = Endpoints("127.0.0.1:8265")
    return Observation(run, present=True, head_ready=True, jobs_ready=True, nodes=nodes, endpoints=endpoints)


def without_workers(run: InstanceId) -> Observation:
    seen = complete(run)
    return replace(seen, nodes=(seen.nodes[0], node(1, NodeState.EXITED)), trouble="a worker is being replaced")


def grown(run: InstanceId) -> Observation:
    """It was up, and its autoscaler wants one more than its queue has room for."""
    seen = complete(run)
    return replace(seen, step=Step.UP, nodes=(*seen.nodes, node(3, NodeState.PENDING)))


def without_jobs(run: InstanceId) -> Observation:
    return replace(complete(run), jobs_ready=False)


def without_endpoints(run: InstanceId) -> Observation:
    return replace(complete(run), endpoints=None)


def without_nodes(run: InstanceId) -> Observation:
    return replace(complete(run), nodes=())


def failed(run: InstanceId) -> Observation:
    return Observation(run, present=True, failure="the head died and could not be brought back")


def stuck(run: InstanceId) -> Observation:
    return Observation(run, present=True, trouble="process 4711 does not end")
