"""Cluster specs as versioned JSON documents.

``{"v": 1, "name": ..., "head": {...}, "workers": [...], ..., "sealed": "hs1:..."}``

Whatever may hold a user's secret is kept in one sealed part: environments, ``ray start`` options (they take a Redis
password), the place and credentials of the external Redis, and the fields that only one dialect knows. One part for
the whole spec means one decryption per decoded spec, about two microseconds, instead of one per variable. It is bound
to the cluster's id, so that it does not open in another cluster's row. A spec that has none of these has no such part.

Written by hand, since a spec of a head and two groups is then read in about 12 microseconds. The tests derive their
specs from the dataclasses' fields, so that a field that is forgotten here fails them. A new field is read with ``get``
and a default, so that older documents stay readable; only a changed meaning takes a new version.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson

from ..domain.engine import Upscaling
from ..domain.errors import InvalidRequest, NotReady
from ..domain.secret import Secret
from ..domain.spec import Autoscaling, ClusterSpec, FaultTolerance, Lifetime, NfsMount, NodeShape, WorkerGroup
from .sealing import Sealer

VERSION = 1

# Parsed JSON: its types are what encode_spec wrote.
Json = dict[str, Any]


def dump(value: object) -> str:
    """JSON text. Raises InvalidRequest for text that is not Unicode."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        raise InvalidRequest("a text in it is not valid Unicode; write it without lone surrogates") from error


def encode_spec(spec: ClusterSpec, sealer: Sealer, owner: str) -> str:
    """The document of a spec that belongs to the cluster ``owner``."""
    shapes = [spec.head, *(group.shape for group in spec.workers)]
    tolerance = spec.fault_tolerance
    private: Json = {}
    if any(shape.env for shape in shapes):
        private["env"] = [dict(shape.env) for shape in shapes]
    if any(shape.ray_start_params for shape in shapes):
        private["params"] = [shape.ray_start_params for shape in shapes]
    if tolerance is not None:
        password = tolerance.redis_password
        private["redis"] = [tolerance.redis_url, tolerance.redis_username, password and password.reveal()]
    if spec.extras:
        private["extras"] = dict(spec.extras)
    document: Json = {
        "v": VERSION,
        "name": spec.name,
        "release": spec.release,
        "description": spec.description,
        "head": _shape(spec.head),
        "workers": [
            {
                "name": group.name,
                "shape": _shape(group.shape),
                "replicas": group.replicas,
                "min": group.min_replicas,
                "max": group.max_replicas,
                "type": group.type,
                "idle": group.idle_timeout_seconds,
            }
            for group in spec.workers
        ],
        "autoscaling": [
            spec.autoscaling.enabled,
            spec.autoscaling.idle_timeout_seconds,
            spec.autoscaling.upscaling,
        ],
        "lifetime": [spec.lifetime.idle_stop_seconds, spec.lifetime.max_seconds],
        "priority": spec.priority,
        "fault_tolerance": None if tolerance is None else tolerance.enabled,
        "network_service": spec.network_service,
        "volumes": spec.volumes,
        "labels": dict(spec.labels),
        "spellings": dict(spec.spellings),
    }
    if spec.nfs_mounts:
        document["nfs"] = [[mount.server, mount.path, mount.mount_point] for mount in spec.nfs_mounts]
    if not spec.metrics or not spec.collect_logs:
        document["watched"] = [spec.metrics, spec.collect_logs]
    if spec.unhonoured:
        document["unhonoured"] = dict(spec.unhonoured)
    if private:
        document["sealed"] = sealer.seal(dump(private), _purpose(owner))
    return dump(document)


def decode_spec(text: str, sealer: Sealer, owner: str) -> ClusterSpec:
    """The inverse of :func:`encode_spec`. Raises NotReady for a document of a newer version or another key."""
    document: Json = orjson.loads(text)
    if document["v"] != VERSION:
        raise NotReady(f"a stored spec has the format {document['v']}; this server knows {VERSION}: upgrade it")
    sealed = document.get("sealed")
    private: Json = orjson.loads(sealer.open_bytes(sealed, _purpose(owner))) if sealed else {}
    workers = document["workers"]
    nodes = 1 + len(workers)
    env: list[dict[str, str]] = private.get("env") or [{} for _ in range(nodes)]
    params: list[str] = private.get("params") or [""] * nodes
    watched = document.get("watched", (True, True))
    tolerance = None
    if document["fault_tolerance"] is not None:
        url, username, password = private["redis"]
        secret = None if password is None else Secret(password)
        tolerance = FaultTolerance(document["fault_tolerance"], url, username, secret)
    return ClusterSpec(
        name=document["name"],
        release=document["release"],
        head=_read_shape(document["head"], env[0], params[0]),
        workers=tuple(
            WorkerGroup(
                group["name"],
                _read_shape(group["shape"], env[place], params[place]),
                group["replicas"],
                group["min"],
                group["max"],
                group["type"],
                group.get("idle"),
            )
            for place, group in enumerate(workers, start=1)
        ),
        description=document["description"],
        autoscaling=_read_autoscaling(*document["autoscaling"]),
        lifetime=Lifetime(*document.get("lifetime", ())),
        priority=document.get("priority", 0),
        fault_tolerance=tolerance,
        network_service=document["network_service"],
        volumes=tuple(document["volumes"]),
        nfs_mounts=tuple(NfsMount(*mount) for mount in document.get("nfs", ())),
        metrics=watched[0],
        collect_logs=watched[1],
        labels=document["labels"],
        extras=private.get("extras", {}),
        unhonoured=document.get("unhonoured", {}),
        spellings=document["spellings"],
    )


def _shape(shape: NodeShape) -> Json:
    return {
        "queue": shape.queue,
        "cpu": str(shape.cpu),
        "memory": shape.memory,
        "gpu": shape.gpu,
        "release": shape.release,
    }


def _read_shape(shape: Json, env: dict[str, str], params: str) -> NodeShape:
    return NodeShape(
        shape["queue"], Decimal(shape["cpu"]), shape["memory"], shape["gpu"], env, params, shape["release"]
    )


def _read_autoscaling(enabled: bool, idle: int | None, upscaling: str = Upscaling.DEFAULT) -> Autoscaling:
    return Autoscaling(enabled, idle, Upscaling(upscaling))


def _purpose(owner: str) -> str:
    return f"spec:{owner}"
