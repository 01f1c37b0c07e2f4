"""Records as JSON documents: the only place that says what the API's answers look like (described in ``models/answers``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from heliostat.domain.engine import Demand, NodeObservation, NodeState, Progress, Step, Want
from heliostat.domain.headcount import demand_in_words, group_counts, nodes_wanted
from heliostat.domain.ids import ClusterId
from heliostat.domain.quantities import (
    format_cores,
    format_duration,
    format_memory,
    parse_cores,
    parse_duration,
    parse_memory,
)
from heliostat.domain.records import (
    Activity,
    Cluster,
    Credential,
    Event,
    Instance,
    NetworkService,
    Principal,
    Role,
    Workspace,
)
from heliostat.domain.spec import ClusterSpec, NodeShape, masked
from heliostat.domain.updates import FieldChange, renewing
from heliostat.services import (
    Caller,
    ClusterView,
    Explanation,
    MetricsTarget,
    NewServiceAccountKey,
    Preview,
    ReleaseView,
    Services,
    Setup,
)

Document = dict[str, Any]
"""A JSON object; ``Any`` because it is JSON."""
_KEPT = 5000


@dataclass(frozen=True)
class _Written:
    """A cluster's document as far as neither time nor reader change it, as bytes."""

    cluster: Cluster
    instance: Instance | None
    full: bytes
    """The object without its last fields and its closing brace."""
    listed: bytes
    """The same for lists."""
    run: bytes | None
    """The field ``instance``; None while it must be written each time, since a step is going on."""


class Documents:
    """Writes documents of clusters.

    What was written is kept until the record is another one: most of a list did not change since the last one, and the
    store hands out the very same records then.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._kept: dict[ClusterId, _Written] = {}

    def cluster(self, caller: Caller, view: ClusterView) -> orjson.Fragment:
        """A cluster as ``caller`` may see it, with its addresses and findings."""
        if caller.may(view.cluster.workspace, Role.EDITOR):
            written = self._written(view.cluster, view.instance)
        else:
            written = self._write(replace(view.cluster, spec=masked(view.cluster.spec)), view.instance)
        rows = [{"path": row.path, "verdict": row.verdict, "message": row.message} for row in view.findings]
        fields = (b',"endpoints":', self._endpoints(caller, view), b',"findings":', orjson.dumps(rows))
        return self._whole(written, written.full, fields)

    def listed(self, view: ClusterView) -> orjson.Fragment:
        """A cluster in a list, without what may be or hold a secret: addresses, environment variables, options of Ray,
        the place of its state."""
        written = self._written(view.cluster, view.instance)
        return self._whole(written, written.listed, ())

    def _whole(self, written: _Written, head: bytes, fields: Sequence[bytes]) -> orjson.Fragment:
        run = written.run or orjson.dumps(self._instance(written.instance))
        return orjson.Fragment(b"".join((head, b',"instance":', run, *fields, b"}")))

    def _written(self, cluster: Cluster, instance: Instance | None) -> _Written:
        kept = self._kept.get(cluster.id)
        if kept is not None and kept.cluster is cluster and kept.instance is instance:
            return kept
        written = self._write(cluster, instance)
        if len(self._kept) >= _KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept[cluster.id] = written
        return written

    def _write(self, cluster: Cluster, instance: Instance | None) -> _Written:
        busy = instance is not None and any(_goes_on(row) for row in instance.progress)
        spec = spec_document(cluster.spec)
        return _Written(
            cluster,
            instance,
            full=orjson.dumps(_head(cluster, spec))[:-1],
            listed=orjson.dumps(_head(cluster, _without_secrets(spec)))[:-1],
            run=None if busy else orjson.dumps(self._instance(instance)),
        )

    def _endpoints(self, caller: Caller, view: ClusterView) -> bytes:
        links = self._services.access.links(caller.principal, view.cluster, view.instance)
        if links is None:
            return b"null"
        token = None if links.submit_token is None else links.submit_token.reveal()
        shown = {"dashboard_url": links.dashboard_url, "job_url": links.job_url, "ray_url": links.ray_url}
        return orjson.dumps({**shown, "submit_token": token})

    def _instance(self, instance: Instance | None) -> Document | None:
        if instance is None:
            return None
        now = self._services.clock.now()
        return {
            "id": instance.id,
            "generation": instance.generation,
            "started_at": moment(instance.created_at),
            "running_at": moment(instance.running_at),
            "nodes_up": sum(node.state is NodeState.ALIVE for node in instance.nodes),
            "nodes_wanted": nodes_wanted(instance),
            "steps": [_step(row, now) for row in instance.progress],
            "groups": [asdict(row) for row in group_counts(instance)],
            "waiting_work": list(demand_in_words(instance.demand)),
            "demand": _demand(instance.demand),
            "activity": _activity(instance.activity),
            "renewing": renewing(instance),
        }


def _head(cluster: Cluster, document: Document) -> Document:
    spec = cluster.spec
    return {
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
        "spec": document,
        "creator": cluster.creator_name,
        "modifier": cluster.modifier_name,
        "created_at": moment(cluster.created_at),
        "modified_at": moment(cluster.modified_at),
        "started_at": moment(cluster.started_at),
        "job": cluster.job,
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
                "idle_timeout_seconds": group.idle_timeout_seconds,
                **_shape(spec, group.shape, f"workers[{index}]"),
            }
            for index, group in enumerate(spec.workers)
        ],
        "autoscaling": {
            "enabled": spec.autoscaling.enabled,
            "idle_timeout_seconds": spec.autoscaling.idle_timeout_seconds,
            "upscaling": spec.autoscaling.upscaling,
        },
        "idle_stop_after": _length(spec, "idle_stop_after", spec.lifetime.idle_stop_seconds),
        "max_lifetime": _length(spec, "max_lifetime", spec.lifetime.max_seconds),
        "priority": spec.priority,
        "fault_tolerance": tolerance
        and {
            "enabled": tolerance.enabled,
            "redis_url": tolerance.redis_url,
            "redis_username": tolerance.redis_username,
        },
        "network_service": spec.network_service,
        "volumes": list(spec.volumes),
        "nfs_mounts": [asdict(mount) for mount in spec.nfs_mounts],
        "metrics": spec.metrics,
        "collect_logs": spec.collect_logs,
        "labels": dict(spec.labels),
    }


def _demand(demand: Demand | None) -> Document | None:
    if demand is None:
        return None

    def rows(wants: Sequence[Want]) -> list[Document]:
        return [{"resources": dict(row.resources), "count": row.count, "source": row.source} for row in wants]

    return {"pending": rows(demand.pending), "infeasible": rows(demand.infeasible), "problem": demand.problem}


def _activity(activity: Activity | None) -> Document | None:
    return None if activity is None else {"reasons": list(activity.reasons), "idle_since": moment(activity.idle_since)}


def plan(row: Preview) -> Document:
    """What a change would do."""

    def changes(rows: Sequence[FieldChange]) -> list[Document]:
        return [asdict(change) for change in rows]

    return {
        "action": row.action,
        "cluster": None if row.cluster is None else row.cluster.id,
        "name": row.spec.name,
        "state": None if row.cluster is None else row.cluster.state,
        "generation": None if row.cluster is None else row.cluster.generation,
        "changes": changes(row.changes),
        "pending": changes(row.pending),
        "restart": row.restart,
        "beyond_rolling": changes(row.beyond_rolling),
        "refused": [asdict(refusal) for refusal in row.refusals],
        "findings": [{"path": one.path, "verdict": one.verdict, "message": one.message} for one in row.findings],
    }


def _without_secrets(spec: Document) -> Document:
    """A definition for lists: users put secrets into these fields, even where others than they can read them."""

    def open_part(shape: Document) -> Document:
        return {name: value for name, value in shape.items() if name not in ("env", "ray_start_params")}

    listed = {name: value for name, value in spec.items() if name != "fault_tolerance"}
    return listed | {"head": open_part(spec["head"]), "workers": [open_part(group) for group in spec["workers"]]}


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


def _length(spec: ClusterSpec, path: str, seconds: int | None) -> str | None:
    return None if seconds is None else spec.spelled(path, seconds, parse_duration, format_duration)


def _goes_on(row: Progress) -> bool:
    """Whether time passes in this step; the last ones are moments."""
    return row.ended_at is None and row.step not in (Step.UP, Step.FAILED)


def _step(row: Progress, now: datetime) -> Document:
    until = now if _goes_on(row) else row.ended_at or row.started_at
    return {
        "step": row.step,
        "started_at": moment(row.started_at),
        "ended_at": moment(row.ended_at),
        "elapsed_seconds": round(max(0.0, (until - row.started_at).total_seconds()), 3),
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
        "job": row.job,
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


def vertex_setup(setup: Setup) -> Document:
    return {
        "project_id": setup.project,
        "project_number": str(setup.workspace.number),
        "location": setup.location,
        "api_endpoint": setup.api_endpoint,
        "universe_domain": setup.universe,
        "token_uri": setup.token_uri,
        "auth_uri": setup.auth_uri,
        "ca_certificate": setup.ca_certificate,
    }


def google_key(made: NewServiceAccountKey) -> Document:
    """What makes a key file of a private key, and what its user needs besides."""
    setup = made.setup
    key_file = {
        "type": "service_account",
        "project_id": setup.project,
        "private_key_id": made.credential.id,
        "client_email": made.email,
        "client_id": made.principal.id,
        "auth_uri": setup.auth_uri,
        "token_uri": setup.token_uri,
        "universe_domain": setup.universe,
    }
    return {"key_file": key_file, "setup": vertex_setup(setup)}


def me(caller: Caller, workspaces: Sequence[Workspace]) -> Mapping[str, Any]:
    principal: Principal = caller.principal
    return {
        "id": principal.id,
        "name": principal.name,
        "admin": principal.admin,
        "workspaces": [workspace(caller, row) for row in workspaces],
    }


def metrics_targets(rows: Sequence[MetricsTarget]) -> list[Document]:
    """As Prometheus' HTTP service discovery wants it. Labels have a prefix: plain ones are Prometheus' own, or Ray's."""
    return [
        {
            "targets": [row.address],
            "labels": {
                "heliostat_workspace": row.cluster.workspace,
                "heliostat_cluster": row.cluster.id,
                "heliostat_cluster_name": row.cluster.spec.name,
                "heliostat_instance": row.instance.id,
                "heliostat_node": row.node.node,
                "heliostat_group": row.node.group,
                "heliostat_kind": row.node.kind,
                "heliostat_component": row.component,
                "ray_io_cluster": row.cluster.spec.name,
            },
        }
        for row in rows
    ]
