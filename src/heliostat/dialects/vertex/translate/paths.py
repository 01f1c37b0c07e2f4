"""From our names of fields to this dialect's: ``workers[1].replicas`` is ``resourcePools[2].replicaCount`` here."""

from __future__ import annotations

import re

from heliostat.domain.spec import ClusterSpec

from .kept import Kept
from .labels import QUEUE_LABEL
from .pools import shown_pools

_RAY = "resourceRuntimeSpec.raySpec"
_WHOLE = {
    "name": "persistentResourceId",
    "description": "displayName",
    "release": f"{_RAY}.resourcePoolImages",
    "head": "resourcePools[0]",
    "workers": "resourcePools",
    "autoscaling": "resourcePools",
    "metrics": f"{_RAY}.rayMetricSpec.disabled",
    "collect_logs": f"{_RAY}.rayLogsSpec.disabled",
    "nfs_mounts": f"{_RAY}.nfsMounts",
}
_OF_NODES = {
    "name": "id",
    "cpu": "machineSpec.machineType",
    "memory": "machineSpec.machineType",
    "gpu": "machineSpec.acceleratorType",
    "replicas": "replicaCount",
    "min_replicas": "autoscalingSpec.minReplicaCount",
    "max_replicas": "autoscalingSpec.maxReplicaCount",
}
_GROUP = re.compile(r"workers\[([^\]]+)\](?:\.(.+))?")
_MOUNT = re.compile(r"nfs_mounts\[(\d+)\](?:\.(.+))?")


def vertex_path(native_path: str, spec: ClusterSpec | None) -> str:
    """The path of the same field here, in the order of the request that made ``spec``.

    What this dialect does not have stays as it is; without a spec, so do nodes.
    """
    if native_path in _WHOLE:
        return _WHOLE[native_path]
    mount = _MOUNT.fullmatch(native_path)
    if mount is not None:
        rest = {"mount_point": "mountPoint"}.get(mount[2], mount[2])
        return f"{_RAY}.nfsMounts[{mount[1]}]" + (f".{rest}" if rest else "")
    if spec is None:
        return native_path
    group = _GROUP.fullmatch(native_path)
    if group is not None:
        name = _group_name(group[1], spec)
        return native_path if name is None else _of_pool(spec, name, group[2])
    if native_path.startswith("head."):
        return _of_pool(spec, None, native_path.removeprefix("head."))
    return native_path


def _group_name(place: str, spec: ClusterSpec) -> str | None:
    """The name of a group that a path gives by place or by name."""
    if place.isdecimal() and int(place) < len(spec.workers):
        return spec.workers[int(place)].name
    return place if any(group.name == place for group in spec.workers) else None


def _of_pool(spec: ClusterSpec, group: str | None, field: str | None) -> str:
    """``group`` is None for the head."""
    kept = Kept.of(spec)
    pools = shown_pools(spec, kept)
    pool = next(row for row in pools if (row.is_head if group is None else row.group and row.group.name == group))
    order = [*kept.pools, *(row.id for row in pools if row.id not in kept.pools)]
    if field == "queue":
        return f"labels.{QUEUE_LABEL}"
    if field == "release":
        return f"{_RAY}.resourcePoolImages.{pool.id}"
    path = f"resourcePools[{order.index(pool.id)}]"
    return f"{path}.{_OF_NODES.get(field, field)}" if field else path
