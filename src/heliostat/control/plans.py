"""From a stored instance to the plan that its engine is given: every name looked up, every text parsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from heliostat.domain.engine import GroupPlan, InstancePlan, Scaling
from heliostat.domain.errors import InvalidSpec
from heliostat.domain.installation import Installation
from heliostat.domain.records import Instance
from heliostat.domain.releases import Release
from heliostat.domain.spec import Autoscaling, NodeShape
from heliostat_node.options import parse_ray_start_params


def plan_of(instance: Instance, installation: Installation, granted: Mapping[str, int] | None = None) -> InstancePlan:
    """The plan of an instance. ``granted`` has the number of nodes that queues have made room for, by worker group.

    Raises InvalidSpec when the configuration no longer has what the spec names.
    """
    spec = instance.spec
    release = _release(spec.release, installation, "release")
    return InstancePlan(
        instance=instance.id,
        cluster=instance.cluster,
        name=spec.name,
        generation=instance.generation,
        release=release,
        head=_group("head", "head", 1, spec.head, release, installation),
        workers=tuple(
            replace(
                _group(f"workers[{index}]", group.name, group.replicas, group.shape, release, installation),
                min_replicas=group.min_replicas or 0,
                max_replicas=group.max_replicas,
                idle_seconds=None if group.idle_timeout_seconds is None else float(group.idle_timeout_seconds),
                granted=None if granted is None else granted.get(group.name, 0),
            )
            for index, group in enumerate(spec.workers)
        ),
        ray_token=instance.ray_token,
        labels=spec.labels,
        volumes=tuple(installation.volumes[name] for name in spec.volumes if name in installation.volumes),
        scaling=_scaling(spec.autoscaling),
        renew=instance.renew,
        metrics=spec.metrics,
    )


def _scaling(autoscaling: Autoscaling) -> Scaling | None:
    if not autoscaling.enabled:
        return None
    idle = autoscaling.idle_timeout_seconds
    return Scaling(Scaling.idle_seconds if idle is None else float(idle), autoscaling.upscaling)


def _group(
    path: str, name: str, replicas: int, shape: NodeShape, release: Release, installation: Installation
) -> GroupPlan:
    gpu = None
    if shape.gpu is not None:
        gpu = installation.gpus.get(shape.gpu)
        if gpu is None:
            raise InvalidSpec(f"{path}.gpu", f"no GPU type is named {shape.gpu!r} any more")
    own = None if shape.release is None else _release(shape.release, installation, f"{path}.release")
    return GroupPlan(
        name=name,
        replicas=replicas,
        cpus=float(shape.cpu),
        memory_bytes=shape.memory,
        gpu=gpu,
        env=shape.env,
        ray_params=_ray_params(path, shape),
        release=None if own == release else own,
    )


def _ray_params(path: str, shape: NodeShape) -> dict[str, Any]:  # as heliostat_node.options gives them
    try:
        return parse_ray_start_params(shape.ray_start_params, "head" if path == "head" else "worker")
    except ValueError as error:
        raise InvalidSpec(f"{path}.ray_start_params", str(error)) from error


def _release(text: str, installation: Installation, path: str) -> Release:
    found = installation.catalogue.find(text)
    if found is None:
        raise InvalidSpec(path, f"the release {text!r} is no longer offered by this installation")
    return found
