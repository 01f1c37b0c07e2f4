"""``template.custom`` of a Ray task: a ``flyteidl.plugins.RayJob`` as a Struct (Flyte contract, section 2.6).

Read by names rather than into the message, so that whatever is wrong has its path, and what a newer plugin sends is no error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from heliostat.domain.engine import Upscaling
from heliostat.domain.spec import Autoscaling
from heliostat.domain.validation import MAX_REPLICAS

from .fields import Fields, Json
from .notes import Notes
from .pods import HEAD, WORKER, Overlay, read_overlay
from .runtime_env import RuntimeEnv, read_runtime_env
from .start_params import read_start_params

PATH = "template.custom"
_GROUP = re.compile(r"[A-Za-z0-9_-]{1,63}", re.ASCII)
_MODES = {
    "UPSCALING_MODE_UNSPECIFIED": Upscaling.DEFAULT,
    "UPSCALING_MODE_DEFAULT": Upscaling.DEFAULT,
    "UPSCALING_MODE_AGGRESSIVE": Upscaling.AGGRESSIVE,
    "UPSCALING_MODE_CONSERVATIVE": Upscaling.CONSERVATIVE,
}
_BY_NUMBER = tuple(_MODES)


@dataclass(frozen=True)
class Group:
    """One of ``workerGroupSpec``."""

    name: str
    replicas: int
    least: int
    most: int
    ray_start_params: str
    overlay: Overlay
    path: str


@dataclass(frozen=True)
class RayCustom:
    """A decoded ``RayJob``."""

    head: Overlay
    head_params: str
    groups: tuple[Group, ...]
    autoscaling: Autoscaling
    runtime_env: RuntimeEnv
    ttl: timedelta | None
    """How long the cluster stays after the job; None when the task does not say that it shall be shut down."""


def read_custom(custom: Json, notes: Notes) -> RayCustom:
    """Raises FlyteError."""
    job = Fields(custom, PATH)
    cluster = job.nested("rayCluster") or Fields({}, f"{PATH}.rayCluster")
    head = cluster.nested("headGroupSpec") or Fields({}, cluster.at("headGroupSpec"))
    groups = [_group(row, notes) for row in cluster.objects("workerGroupSpec")]
    seen: set[str] = set()
    for group in groups:
        if group.name in seen:
            raise Fields({}, group.path).error(
                "groupName", f"a second group is named {group.name!r}; names must be unique"
            )
        seen.add(group.name)
    if job.raw("reusePolicy") is not None:
        notes.unused(job.at("reusePolicy"), "label the task heliostat/reuse-idle to have it share its cluster")
    ttl = job.integer("ttlSecondsAfterFinished")
    if ttl < 0:
        raise job.error("ttlSecondsAfterFinished", f"must not be negative, given {ttl}")
    return RayCustom(
        head=read_overlay(head.nested("k8sPod"), HEAD, head.path, notes),
        head_params=read_start_params(head, "head", notes),
        groups=tuple(groups),
        autoscaling=_autoscaling(cluster, notes),
        runtime_env=read_runtime_env(job),
        ttl=timedelta(seconds=ttl) if job.flag("shutdownAfterJobFinishes") else None,
    )


def _group(fields: Fields, notes: Notes) -> Group:
    name = fields.text("groupName")
    if not _GROUP.fullmatch(name):
        raise fields.error("groupName", f"{name[:80]!r} must be 1 to 63 letters, digits, '-' or '_'")
    replicas = fields.integer("replicas")
    if not 0 <= replicas <= MAX_REPLICAS:
        raise fields.error("replicas", f"must be between 0 and {MAX_REPLICAS}, given {replicas}")
    least, most = fields.integer("minReplicas"), fields.integer("maxReplicas")
    if most > MAX_REPLICAS:
        notes.warn(f"{fields.at('maxReplicas')}: a group has at most {MAX_REPLICAS} nodes here")
    return Group(
        name,
        replicas,
        max(0, min(least, replicas)),
        min(MAX_REPLICAS, max(most, replicas)),
        read_start_params(fields, "worker", notes),
        read_overlay(fields.nested("k8sPod"), WORKER, fields.path, notes),
        fields.path,
    )


def _autoscaling(cluster: Fields, notes: Notes) -> Autoscaling:
    enabled = cluster.flag("enableAutoscaling")
    options = cluster.nested("autoscalerOptions") or Fields({}, cluster.at("autoscalerOptions"))
    idle, mode = options.integer("idleTimeoutSeconds"), _mode(options, notes)
    if not enabled:
        return Autoscaling()
    for key in ("image", "env", "resources"):
        if options.raw(key):
            notes.unused(options.at(key), "Ray's autoscaler runs with the head, in the head's environment")
    return Autoscaling(True, idle if idle > 0 else None, mode)


def _mode(options: Fields, notes: Notes) -> Upscaling:
    given = options.raw("upscalingMode")
    if isinstance(given, str):
        label = options.text("upscalingMode")
    else:
        number = options.integer("upscalingMode")
        label = _BY_NUMBER[number] if 0 <= number < len(_BY_NUMBER) else str(number)
    if label not in _MODES:
        notes.unused(options.at("upscalingMode"), "there is no such mode; the default is taken")
        return Upscaling.DEFAULT
    return _MODES[label]
