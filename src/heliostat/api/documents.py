"""Records as JSON documents: the only place that says what the API's answers look like (described in ``models/answers``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from heliostat.domain.engine import NodeObservation, NodeState, Progress
from heliostat.domain.ids import ClusterId
from heliostat.domain.quantities import format_cores, format_memory, parse_cores, parse_memory
from heliostat.domain.records import (
    Amount,
    Cluster,
    Credential,
    Event,
    Instance,
    NetworkService,
    Principal,
    Queue,
    Workspace,
)
from heliostat.domain.spec import ClusterSpec, NodeShape
from heliostat.services import Caller, ClusterView, Explanation, ReleaseView, Services

Document = dict[str, Any]
"""A JSON object; ``Any`` because it is JSON."""
_KEPT = 5000


class Documents:
    """Writes documents. Keeps the written specs of clusters, since most lists show specs that did not change."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._specs: dict[ClusterId, tuple[ClusterSpec, orjson.Fragment]] = {}

    def cluster(self, caller: Caller, view: ClusterView, *, findings: bool = True) -> Document:
        """A cluster as ``caller`` may see it. ``findings`` are left out of lists, where they were not asked for."""
        cluster, instance = view.cluster, view.instance
        spec = cluster.spec
        links = self._services.access.links(caller.principal, cluster, instance)
        document: Document = {
            "id": cluster.id,
            "workspace": cluster.workspace,
            "name": spec.name,
            "description": spec.description,
            "state": cluster.state,
            "message": cluster.message,
            "wanted": cluster.wanted,
            "generation": cluster.generation,
            "modified": cluster.modified,
            "release": spec.release,
            "spec": self._spec(cluster),
            "instance": None if instance is None else self._instance(instance),
            "endpoints": links
            and {
                "dashboard_url": links.dashboard_url,
                "job_url": links.job_url,
                "submit_token": links.submit_token and links.submit_token.reveal(),
            },
            "creator": cluster.creator_name,
            "modifier": cluster.modifier_name,
            "created_at": moment(cluster.created_at),
            "modified_at": moment(cluster.modified_at),
            "started_at": moment(cluster.started_at),
        }
        if findings:
            document["findings"] = [
                {"path": row.path, "verdict": row.verdict, "message": row.message} for row in view.findings
            ]
        return document

    def _spec(self, cluster: Cluster) -> orjson.Fragment:
        kept = self._specs.get(cluster.id)
        if kept is not None and kept[0] is cluster.spec:
            return kept[1]
        written = orjson.Fragment(orjson.dumps(spec_document(cluster.spec)))
        if len(self._specs) >= _KEPT:
            self._specs.pop(next(iter(self._specs)))
        self._specs[cluster.id] = (cluster.spec, written)
        return written

    def _instance(self, instance: Instance) -> Document:
        now = self._services.clock.now()
        return {
            "id": instance.id,
            "generation": instance.generation,
            "started_at": moment(instance.created_at),
            "running_at": moment(instance.running_at),
            "nodes_up": sum(node.state is NodeState.ALIVE for node in instance.nodes),
            "nodes_wanted": instance.spec.node_count,
            "steps": [_step(row, now) for row in instance.progress],
        }


def moment(at: datetime | None) -> str | None:
    """RFC 3339 in UTC with milliseconds: ``2026-01-02T03:04:05.678Z``."""
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def spec_document(spec: ClusterSpec) -> Document:
    """A definition in the form that create takes, without what is write-only; quantities as their user wrote them."""
    tolerance = spec.fault_tolerance
    return {
        "name": spec.name,
        "description": spec.description,
        "release": spec.release,
        "head": _shape(spec, spec.head, "head"),
        "workers": [
            {
                "name": group.name,
                "replicas": group.replicas,
                "min_replicas": group.min_replicas,
                "max_replicas": group.max_replicas,
                "type": group.type,
                **_shape(spec, group.shape, f"workers[{index}]"),
            }
            for index, group in enumerate(spec.workers)
        ],
        "autoscaling": {
            "enabled": spec.autoscaling.enabled,
            "idle_timeout_seconds": spec.autoscaling.idle_timeout_seconds,
        },
        "fault_tolerance": tolerance
        and {
            "enabled": tolerance.enabled,
            "redis_url": tolerance.redis_url,
            "redis_username": tolerance.redis_username,
        },
        "network_service": spec.network_service,
        "volumes": list(spec.volumes),
        "labels": dict(spec.labels),
    }


def _shape(spec: ClusterSpec, shape: NodeShape, path: str) -> Document:
    return {
        "cpu": spec.spelled(f"{path}.cpu", shape.cpu, parse_cores, format_cores),
        "memory": spec.spelled(f"{path}.memory", shape.memory, parse_memory, format_memory),
        "gpu": shape.gpu,
        "queue": shape.queue,
        "env": dict(shape.env),
        "ray_start_params": shape.ray_start_params,
        "release": shape.release,
    }


def _step(row: Progress, now: datetime) -> Document:
    return {
        "step": row.step,
        "started_at": moment(row.started_at),
        "ended_at": moment(row.ended_at),
        "elapsed_seconds": round(max(0.0, ((row.ended_at or now) - row.started_at).total_seconds()), 3),
        "detail": row.detail,
    }


def node(row: NodeObservation) -> Document:
    return {
        "node": row.node,
        "kind": row.kind,
        "group": row.group,
        "state": row.state,
        "created_at": moment(row.created_at),
        "started_at": moment(row.started_at),
        "ray_node_id": row.ray_node_id,
        "pid": row.pid,
        "reason": row.reason,
        "message": row.message,
        "exit_code": row.exit_code,
        "restarts": row.restarts,
    }


def event(row: Event) -> Document:
    return {
        "id": row.id,
        "at": moment(row.at),
        "actor": row.actor,
        "reason": row.reason,
        "message": row.message,
        "warning": row.warning,
        "instance": row.instance,
    }


def explanation(row: Explanation) -> Document:
    return {"summary": row.summary, "evidence": list(row.evidence), "remedy": row.remedy}


def release(view: ReleaseView) -> Document:
    row = view.release
    return {
        "name": row.name,
        "display": row.display,
        "ray": row.ray,
        "python": row.python,
        "stable": row.stable,
        "default": view.default,
        "packages": list(row.packages),
        "environment": view.environment,
        "detail": view.detail,
        "problem": view.problem,
    }


def workspace(caller: Caller, row: Workspace) -> Document:
    return {
        "id": row.id,
        "name": row.name,
        "created_at": moment(row.created_at),
        "role": caller.principal.role_in(row.id),
        "tags": dict(row.tags),
    }


def queue(row: Queue) -> Document:
    return {
        "workspace": row.workspace,
        "name": row.name,
        "description": row.description,
        "created_at": moment(row.created_at),
        "minimum": _amount(row.minimum),
        "maximum": _amount(row.maximum),
    }


def _amount(row: Amount) -> Document:
    return {"cpu": _cores(row.cpu), "memory": None if row.memory is None else format_memory(row.memory), "gpu": row.gpu}


def _cores(cpu: Decimal | None) -> str | None:
    return None if cpu is None else format_cores(cpu)


def network_service(row: NetworkService) -> Document:
    return {"id": row.id, "name": row.name, "vpc_id": row.vpc_id, "vswitch_ids": list(row.vswitch_ids)}


def key(row: Credential) -> Document:
    return {
        "id": row.id,
        "kind": row.kind,
        "principal": row.principal,
        "description": row.description,
        "created_at": moment(row.created_at),
        "expires_at": moment(row.expires_at),
        "revoked_at": moment(row.revoked_at),
    }


def me(caller: Caller, workspaces: Sequence[Workspace]) -> Mapping[str, Any]:
    principal: Principal = caller.principal
    return {
        "id": principal.id,
        "name": principal.name,
        "admin": principal.admin,
        "workspaces": [workspace(caller, row) for row in workspaces],
    }
