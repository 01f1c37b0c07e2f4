"""Small pure questions about plans."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator

from heliostat.domain.engine import GroupPlan, InstancePlan, Scaling
from heliostat.domain.releases import Release

from .records import Kind, encode_plan


def groups(plan: InstancePlan) -> Iterator[tuple[Kind, GroupPlan]]:
    """Every group with its kind, the head first."""
    yield "head", plan.head
    for group in plan.workers:
        yield "worker", group


def group_key(kind: Kind, group: str) -> str:
    """Names a group within its instance; a worker group may be called like the head's."""
    return f"{kind}/{group}"


def releases(plan: InstancePlan) -> dict[str, Release]:
    """The release of each group, by :func:`group_key`."""
    return {group_key(kind, group.name): group.release or plan.release for kind, group in groups(plan)}


def head_mark(plan: InstancePlan) -> str:
    """A mark of all that a head is begun with, to tell whether a running one is as the plan has it."""
    data = encode_plan(plan)
    head = {name: value for name, value in data["head"].items() if name not in COUNTS}
    part = [head, data["release"], data["volumes"], plan.scaling is not None]
    if not plan.metrics:  # the mark of all others is that of before there was such a setting
        part.append("no metrics")
    return hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()


COUNTS = ("replicas", "min_replicas", "max_replicas", "idle_seconds", "granted")
"""Fields of a group that no node is begun with."""


def merged(running: InstancePlan, newer: InstancePlan) -> InstancePlan:
    """The newer plan as far as it can be had without a restart.

    At once: how many nodes there shall be, by whose decision, within which bounds and grants; groups that are new or gone;
    and for the nodes that are begun from now on, their environment and labels. The shapes of groups, the head, the release,
    the volumes and the export of figures stay as they run, unless the newer plan has nodes renewed: then everything is as it
    says, but for what nodes that live together must agree on.
    """
    if newer.renew > running.renew:
        release = running.release if unreachable(running, newer) else newer.release
        return dataclasses.replace(newer, release=release, ray_token=running.ray_token)
    known = {group.name: group for group in running.workers}
    return dataclasses.replace(
        running,
        generation=newer.generation,
        head=dataclasses.replace(running.head, granted=newer.head.granted),
        workers=tuple(_group(known[group.name], group) if group.name in known else group for group in newer.workers),
        labels=newer.labels,
        scaling=newer.scaling,
        renew=newer.renew,
    )


def unreachable(running: InstancePlan, newer: InstancePlan) -> str:
    """What renewed nodes cannot get of the newer plan since the others have something else, in words; empty: nothing."""
    ours, theirs = running.release, newer.release
    if (ours.ray, ours.python) == (theirs.ray, theirs.python):
        return ""
    return (
        f"release {theirs.display} needs a restart of the cluster: all nodes must have one Ray and one Python, and these "
        f"have Ray {ours.ray} with Python {ours.python}"
    )


def for_scaler(plan: InstancePlan, running: bool) -> InstancePlan:
    """The plan as Ray's autoscaler is told of it. ``running`` = the head has one.

    A head that was begun with an autoscaler keeps it; where the plan wants none any more, it may neither add nor remove.
    """
    if plan.scaling is not None or not running:
        return plan
    fixed = (
        dataclasses.replace(group, min_replicas=group.replicas, max_replicas=group.replicas) for group in plan.workers
    )
    return dataclasses.replace(plan, scaling=Scaling(), workers=tuple(fixed))


def _group(running: GroupPlan, newer: GroupPlan) -> GroupPlan:
    params = {name: value for name, value in running.ray_params.items() if name != "labels"}
    if "labels" in newer.ray_params:
        params["labels"] = newer.ray_params["labels"]
    return dataclasses.replace(
        running,
        replicas=newer.replicas,
        env=newer.env,
        ray_params=params,
        min_replicas=newer.min_replicas,
        max_replicas=newer.max_replicas,
        idle_seconds=newer.idle_seconds,
        granted=newer.granted,
    )
