"""Clusters as this dialect shows them (EMR contract, sections 6.1 and 6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import orjson

from heliostat.domain.engine import NodeObservation, NodeState
from heliostat.domain.headcount import group_counts
from heliostat.domain.ids import ClusterId
from heliostat.domain.quantities import format_cores, parse_cores, parse_memory
from heliostat.domain.records import Cluster, Instance
from heliostat.domain.spec import MASK, ClusterSpec, NodeShape
from heliostat.domain.states import State
from heliostat.services import ClusterView, Links

from .environment import format_environment, parse_environment
from .spec import EXTRA_PARAM, HEAD_ENV, format_memory, group_extra

Json = dict[str, object]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(time: datetime) -> int:
    """Unix time, rounded down, so that a time filter of the shown value finds what it was shown for."""
    return (time - _EPOCH) // timedelta(milliseconds=1)


class Writer:
    """Writes clusters. Remembers the rows of lists, as the store hands out the same object until a cluster changes."""

    def __init__(self, remembered: int = 4096) -> None:
        self._limit = remembered
        self._rows: dict[ClusterId, tuple[Cluster, Instance | None, bytes]] = {}

    def summary(self, view: ClusterView, links: Links | None) -> orjson.Fragment:
        """One of ``rayClusters[]``, as JSON text."""
        cluster = view.cluster
        known = self._rows.get(cluster.id)
        if known is None or known[0] is not cluster or known[1] is not view.instance:
            known = cluster, view.instance, orjson.dumps(_row(view))
            if len(self._rows) >= self._limit:
                self._rows.clear()
            self._rows[cluster.id] = known
        if links is None:
            return orjson.Fragment(known[2])
        # The address holds a token that lasts an hour, so it is not remembered but put before the closing brace.
        shown = orjson.dumps(_addresses(links))
        return orjson.Fragment(b"%b,%b" % (known[2][:-1], shown[1:]))

    def detail(self, view: ClusterView, links: Links | None) -> Json:
        """The body of GetRayCluster, without ``requestId``."""
        cluster, spec = view.cluster, view.cluster.spec
        shown = _common(cluster)
        shown["headSpec"] = head_row(spec) | _head_detail(spec)
        shown["workerSpec"] = [row | _worker_detail(spec, place) for place, row in enumerate(live_rows(view))]
        put(shown, "extraParam", spec.extras.get(EXTRA_PARAM))
        if spec.volumes:
            shown["volumeIds"] = list(spec.volumes)
        if links is not None:
            shown |= _addresses(links)
            shown["jobUrl"] = shown["jobUrlInner"] = links.job_url
            if links.submit_token is not None:
                shown["submitToken"] = links.submit_token.reveal()
        if view.instance is not None and cluster.state is State.RUNNING:
            shown["instances"] = [_node(node) for node in view.instance.nodes]
        return shown


def _addresses(links: Links) -> Json:
    """What lists show, too."""
    shown: Json = {"dashboardUrl": links.dashboard_url}
    put(shown, "grpcEndpoint", links.ray_url)
    return shown


def _row(view: ClusterView) -> Json:
    shown = _common(view.cluster)
    shown["headSpec"] = head_row(view.cluster.spec)
    shown["workerSpec"] = live_rows(view)
    return shown


def live_rows(view: ClusterView) -> list[Json]:
    """``workerSpec`` as in lists, where ``replica`` is how many nodes Ray's autoscaler wants while it decides.

    That lies within the bounds, so that a client may send it back: it says how many the next run begins with.
    """
    cluster, instance = view.cluster, view.instance
    rows = worker_rows(cluster.spec)
    if instance is None or cluster.state is not State.RUNNING or not instance.spec.autoscaling.enabled:
        return rows
    wanted = {row.name: row.wanted for row in group_counts(instance)}
    for row, group in zip(rows, cluster.spec.workers, strict=True):
        if group.name in wanted:
            least = 1 if group.min_replicas is None else group.min_replicas
            most = wanted[group.name] if group.max_replicas is None else group.max_replicas
            row["replica"] = max(least, min(wanted[group.name], most))
    return rows


def _common(cluster: Cluster) -> Json:
    spec = cluster.spec
    shown: Json = {
        "clusterId": cluster.id,
        "name": spec.name,
        "description": spec.description,
        "displayReleaseVersion": spec.release,
        "state": cluster.state,
        "message": cluster.message,
        "createTime": milliseconds(cluster.created_at),
        "modifiedTime": milliseconds(cluster.modified_at),
        "creator": cluster.creator,
        "creatorName": cluster.creator_name,
        "modifier": cluster.modifier,
        "modifierName": cluster.modifier_name,
        "userId": cluster.creator,
        "modified": cluster.modified,
    }
    put(shown, "networkServiceName", spec.network_service)
    put(shown, "instanceId", cluster.instance)
    if cluster.started_at is not None:
        shown["startTime"] = milliseconds(cluster.started_at)
    return shown


def head_row(spec: ClusterSpec) -> Json:
    """``headSpec`` as in lists."""
    shown = _shape(spec, spec.head, "head")
    shown["enableAutoScaling"] = spec.autoscaling.enabled
    shown["replica"] = 1
    put(shown, "idleTimeoutSeconds", spec.autoscaling.idle_timeout_seconds)
    return shown


def worker_rows(spec: ClusterSpec) -> list[Json]:
    """``workerSpec`` as in lists."""
    rows = []
    for index, group in enumerate(spec.workers):
        shown = _shape(spec, group.shape, f"workers[{index}]")
        shown["groupName"] = group.name
        shown["workerType"] = group.type
        shown["replica"] = group.replicas
        put(shown, "minReplica", group.min_replicas)
        put(shown, "maxReplica", group.max_replicas)
        rows.append(shown)
    return rows


def _shape(spec: ClusterSpec, shape: NodeShape, path: str) -> Json:
    shown: Json = {
        "queueName": shape.queue,
        "cpu": spec.spelled(f"{path}.cpu", shape.cpu, parse_cores, format_cores),
        "memory": spec.spelled(f"{path}.memory", shape.memory, parse_memory, format_memory),
    }
    put(shown, "gpuSpec", shape.gpu)
    return shown


def _head_detail(spec: ClusterSpec) -> Json:
    shown = _shape_detail(spec.head, spec.extras.get(HEAD_ENV))
    tolerance = spec.fault_tolerance
    if tolerance is not None:
        shown["gftEnabled"] = tolerance.enabled
        config: Json = {}
        put(config, "redisUrl", tolerance.redis_url)
        put(config, "redisUsername", tolerance.redis_username)
        put(config, "redisPassword", MASK if tolerance.redis_password else None)
        if config:
            shown["gftConfig"] = config
    return shown


def _worker_detail(spec: ClusterSpec, place: int) -> Json:
    group = spec.workers[place]
    shown = _shape_detail(group.shape, spec.extras.get(group_extra(group.name, "env")))
    put(shown, "extraParam", spec.extras.get(group_extra(group.name, "extraParam")))
    return shown


def _shape_detail(shape: NodeShape, written_env: str | None) -> Json:
    shown: Json = {}
    put(shown, "displayReleaseVersion", shape.release)
    put(shown, "env", _env(shape.env, written_env))
    put(shown, "rayStartParams", shape.ray_start_params)
    return shown


def _env(variables: Mapping[str, str], written: str | None) -> str:
    """As written, if that still means these variables."""
    if written is not None:
        try:
            if parse_environment(written) == dict(variables):
                return written
        except ValueError:
            pass
    return format_environment(variables)


_PHASE = {
    NodeState.PENDING: "Pending",
    NodeState.STARTING: "Pending",
    NodeState.ALIVE: "Running",
    NodeState.DRAINING: "Running",
}
_CONTAINER = {
    NodeState.PENDING: "Waiting",
    NodeState.STARTING: "Waiting",
    NodeState.ALIVE: "Running",
    NodeState.DRAINING: "Running",
}


def _node(node: NodeObservation) -> Json:
    """One of ``instances[]``, in the words of a pod with one container."""
    ended = "Succeeded" if node.exit_code == 0 else "Failed"
    shown: Json = {
        "instanceId": node.node,
        "type": "Head" if node.kind == "head" else "Worker",
        "phase": _PHASE.get(node.state, ended),
        "containerState": _CONTAINER.get(node.state, "Terminated"),
        "createTime": milliseconds(node.created_at),
    }
    put(shown, "reason", node.reason)
    put(shown, "message", node.message)
    put(shown, "containerStateReason", node.reason)
    put(shown, "containerStateMessage", node.message)
    put(shown, "containerExitCode", node.exit_code)
    if node.started_at is not None:
        shown["startTime"] = milliseconds(node.started_at)
    return shown


def put(shown: Json, key: str, value: str | int | None) -> None:
    """Add a field unless it has no value."""
    if value is not None and value != "":
        shown[key] = value
