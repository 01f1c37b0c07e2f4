"""What Ray's autoscaler is told of an instance: its groups, their bounds, and the way to the engine's door.

Ray reads the file again every round, so bounds, idle times and groups of a running instance change by its being replaced.
It is written as JSON, which is YAML. What a node of a group offers must be exactly what the engine starts it with: with
more, Ray would wait for ever for nodes that fit, and start one after the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from heliostat.domain.engine import GroupPlan, InstancePlan, Scaling, Upscaling
from heliostat.domain.ids import InstanceId
from heliostat_node.protocol import replace_json

from ..layout import AUTOSCALING_FILE, AUTOSCALING_SECRET_FILE, Layout
from ..node_specs import head_type, whole_cores

PROVIDER = "heliostat_node.provider.HeliostatNodeProvider"

SPEEDS = {Upscaling.CONSERVATIVE: 1, Upscaling.DEFAULT: 1000, Upscaling.AGGRESSIVE: 1000}
"""Ray's ``upscaling_speed``, as KubeRay sets it: how many nodes may be begun for each that there is."""

NODE_GROUP_LABEL = "ray.io/node-group"
"""Ray gives it to every node itself; tasks may select by it."""

EMPTY: dict[str, object] = {
    "auth": {},
    "file_mounts": {},
    "cluster_synced_files": [],
    "file_mounts_sync_continuously": False,
    "initialization_commands": [],
    "setup_commands": [],
    "head_setup_commands": [],
    "worker_setup_commands": [],
    "head_start_ray_commands": [],
    "worker_start_ray_commands": [],
}
"""Means nothing here, but without any of it Ray's monitor ends with a KeyError (ray-engine 4.1)."""


def offered(group: GroupPlan) -> dict[str, int]:
    """Ray's resources of a node of the group, by Ray's names: what :func:`node_spec` and the shim make of it."""
    params = group.ray_params
    resources: dict[str, int] = {}
    if group.gpu is not None:
        resources[f"accelerator_type:{group.gpu.accelerator}"] = 1
    resources.update(params.get("resources", {}))
    gpus = params.get("num_gpus", group.gpu.count if group.gpu is not None else 0)
    if gpus:
        resources["GPU"] = gpus
    return {
        "CPU": params.get("num_cpus", whole_cores(group.cpus)),
        "memory": params.get("memory", group.memory_bytes),
        **resources,
    }


def greatest(group: GroupPlan) -> int:
    """How many nodes Ray may want of the group; a group without a bound stays as it is."""
    return max(group.min_replicas, group.replicas if group.max_replicas is None else group.max_replicas)


def autoscaling_config(plan: InstancePlan, scaling: Scaling, door: Path, secret: Path) -> dict[str, Any]:
    """The file's content. ``door`` and ``secret`` are paths; no groups at all are right as well."""
    workers = {group.name: _node_type(group, scaling) for group in plan.workers}
    head = {"resources": offered(plan.head), "min_workers": 0, "max_workers": 0, "node_config": {}}
    return {
        "cluster_name": plan.instance,
        "max_workers": sum(greatest(group) for group in plan.workers),
        "idle_timeout_minutes": scaling.idle_seconds / 60,
        "upscaling_speed": SPEEDS[scaling.upscaling],
        "provider": {
            "type": "external",
            "module": PROVIDER,
            "door": str(door),
            "instance": plan.instance,
            "secret_file": str(secret),
            "head_type": head_type(plan),
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "use_internal_ips": True,
        },
        "head_node_type": head_type(plan),
        "available_node_types": {head_type(plan): head, **workers},
        **EMPTY,
    }


def _node_type(group: GroupPlan, scaling: Scaling) -> dict[str, Any]:
    return {
        "resources": offered(group),
        "labels": {NODE_GROUP_LABEL: group.name, **group.ray_params.get("labels", {})},
        "min_workers": group.min_replicas,
        "max_workers": greatest(group),
        "idle_timeout_s": scaling.idle_seconds if group.idle_seconds is None else group.idle_seconds,
        "node_config": {},
    }


def write_config(layout: Layout, plan: InstancePlan) -> None:
    """Have the instance's file say what the plan says; to be called before the head starts and at every change.

    Nothing is written for a plan without autoscaling: a head that has begun with it keeps it until it is restarted. Where
    the file is a link (a head from the warm pool knows another path), what it points to is replaced. Raises OSError.
    """
    if plan.scaling is None:
        return
    folder = layout.home(plan.instance)
    secret = _make_secret(folder)
    wanted = autoscaling_config(plan, plan.scaling, layout.door, secret)
    path = (folder / AUTOSCALING_FILE).resolve()
    try:
        if json.loads(path.read_text()) == wanted:
            return
    except (OSError, ValueError):
        pass  # not there yet, or damaged
    replace_json(path, wanted)


def read_secret(layout: Layout, instance: InstanceId) -> str:
    """The secret of an instance's provider, or of a head's that is kept ready; empty when it has none."""
    for folder in (layout.home(instance), layout.pool().instance(instance)):
        with contextlib.suppress(OSError):
            return (folder / AUTOSCALING_SECRET_FILE).read_text()
    return ""


def _make_secret(folder: Path) -> Path:
    """Made once, and once more where a machine that lost power has left it empty."""
    path = folder / AUTOSCALING_SECRET_FILE
    if not path.exists() or not path.stat().st_size:
        coming = path.with_name(path.name + ".new")
        descriptor = os.open(coming, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
        coming.replace(path)
    return path
