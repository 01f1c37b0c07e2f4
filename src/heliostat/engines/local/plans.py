"""Small pure questions about plans."""

from __future__ import annotations

import dataclasses

from heliostat.domain.engine import GroupPlan, InstancePlan
from heliostat.domain.releases import Release

from .records import Kind


def groups(plan: InstancePlan) -> list[tuple[Kind, GroupPlan, int]]:
    """Every group with its kind and the number of nodes that it wants."""
    workers: list[tuple[Kind, GroupPlan, int]] = [("worker", group, group.replicas) for group in plan.workers]
    return [("head", plan.head, 1), *workers]


def group_key(kind: Kind, group: str) -> str:
    """Names a group within its instance; a worker group may be called like the head's."""
    return f"{kind}/{group}"


def releases(plan: InstancePlan) -> dict[str, Release]:
    """The release of each group, by :func:`group_key`."""
    return {group_key(kind, group.name): group.release or plan.release for kind, group, _ in groups(plan)}


def merged(running: InstancePlan, newer: InstancePlan) -> InstancePlan:
    """The newer plan as far as it can be had without a restart: the number of nodes of the groups that exist.

    Everything else stays as it runs; the control plane tells users that the rest waits for the next start.
    """
    replicas = {group.name: group.replicas for group in newer.workers}
    workers = tuple(
        dataclasses.replace(group, replicas=replicas.get(group.name, group.replicas)) for group in running.workers
    )
    return dataclasses.replace(running, generation=newer.generation, workers=workers)
