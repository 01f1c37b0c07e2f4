"""What the provider reports of a cluster, in the domain's words. Pure.

Ray calls unplaceable also what only finds no room at present; here that is so only for what no group could ever take:
it fits none, or fits one that may have more nodes and Ray has none for it all the same (labels, bundles that must be together).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from heliostat.domain.engine import Demand, InstancePlan, Want

from .base import ScalerNode
from .config import greatest, offered

TASKS = "tasks and actors"
GROUPS = "placement group"
REQUESTED = "request_resources"

FAILURE_SECONDS = 60.0
"""Ray keeps failures for ever; older ones say nothing about now."""

_INSIDE = re.compile(r".+_group_(\d+_)?[0-9a-f]{36}")
"""Resources that exist only in a placement group: work that waits for it, or in it, wants no node."""

Shape = tuple[tuple[str, float], ...]

MOST_OF_A_SHAPE = 1_000_000_000

# What comes in was written by whoever runs code on the head, so everything has an end.
Finite = Annotated[float, Field(allow_inf_nan=False)]
Amounts = Annotated[Mapping[str, Annotated[Finite, Field(ge=0, le=1e18)]], Field(max_length=1000)]
Count = Annotated[int, Field(ge=0, le=MOST_OF_A_SHAPE)]
Words = Annotated[str, Field(max_length=2000)]


@dataclass(frozen=True)
class Row:
    """Requests of one shape."""

    resources: Amounts
    count: Count


Rows = Annotated[Sequence[Row], Field(max_length=1000)]


@dataclass(frozen=True)
class Failure:
    """Nodes that the autoscaler asked for in vain."""

    group: Words
    count: Count
    reason: Words
    at: Finite
    """Unix seconds."""


@dataclass(frozen=True)
class NodeReport:
    idle: Finite
    """Seconds; 0 while it is busy."""
    resources: Amounts
    """All that it offers."""


@dataclass(frozen=True)
class Report:
    """As it comes in: :func:`heliostat_node.provider.report_of`."""

    tasks: Rows = ()
    groups: Rows = ()
    requested: Rows = ()
    unplaceable_tasks: Annotated[Sequence[Row], Field(max_length=10_000)] = ()
    unplaceable_groups: Annotated[Sequence[Row], Field(max_length=10_000)] = ()
    failures: Annotated[Sequence[Failure], Field(max_length=100)] = ()
    nodes: Annotated[Mapping[str, NodeReport], Field(max_length=10_000)] = field(default_factory=dict)
    """By node id."""


def demand(report: Report, plan: InstancePlan, nodes: Collection[ScalerNode] | None, now: float) -> Demand:
    """What waits for workers of this plan. ``nodes`` are those that Ray knew of when it decided; None = it has not yet."""
    tasks = [row for row in report.tasks if not any(_INSIDE.fullmatch(name) for name in row.resources)]
    groups = _Groups(plan, nodes)
    pending: list[Want] = []
    infeasible: list[Want] = []
    for source, rows, unplaceable in (
        (TASKS, tasks, report.unplaceable_tasks),
        (GROUPS, report.groups, report.unplaceable_groups),
        (REQUESTED, _unmet(report.requested, [node.resources for node in report.nodes.values()]), ()),
    ):
        refused = {_shape(row.resources) for row in unplaceable}
        for row in rows:
            want = Want(dict(row.resources), row.count, source)
            hopeless = not groups.fit(row) or (_shape(row.resources) in refused and groups.could_grow_for(row))
            (infeasible if hopeless else pending).append(want)
    return Demand(_largest_first(pending), _largest_first(infeasible), _problem(report.failures, now))


def idle(report: Report) -> dict[str, float]:
    """For how many seconds each node has been idle."""
    return {name: node.idle for name, node in report.nodes.items()}


class _Groups:
    """What a plan could offer."""

    def __init__(self, plan: InstancePlan, nodes: Collection[ScalerNode] | None) -> None:
        there = Counter(node.group for node in nodes or () if node.kind == "worker")
        self._head = offered(plan.head)
        self._workers = [
            (offered(group), nodes is not None and there[group.name] < greatest(group)) for group in plan.workers
        ]

    def fit(self, row: Row) -> bool:
        """One node of some group could take one of the requests."""
        return _fits(row.resources, self._head) or any(_fits(row.resources, offer) for offer, _ in self._workers)

    def could_grow_for(self, row: Row) -> bool:
        """The same, and the group may have one more node."""
        return any(growing and _fits(row.resources, offer) for offer, growing in self._workers)


def _fits(wanted: Mapping[str, float], offer: Mapping[str, float]) -> bool:
    return all(offer.get(name, 0) >= amount for name, amount in wanted.items())


def _unmet(rows: Iterable[Row], nodes: Iterable[Mapping[str, float]]) -> list[Row]:
    """What ``request_resources`` still lacks: Ray keeps the request for as long as it stands, met or not."""
    free = [dict(resources) for resources in nodes]
    unmet = []
    for row in sorted(rows, key=lambda row: -sum(row.resources.values())):
        left = row.count
        for place in free:
            taken = min(left, _times(row.resources, place))
            for name, amount in row.resources.items():
                place[name] = place.get(name, 0.0) - amount * taken
            left -= taken
        if left:
            unmet.append(Row(row.resources, left))
    return unmet


def _times(wanted: Mapping[str, float], free: Mapping[str, float]) -> int:
    """How often a request fits into what is free; as often as anybody may ask for it where it wants nothing."""
    fitting = (free.get(name, 0.0) / amount + 1e-9 for name, amount in wanted.items() if amount > 0)
    return max(0, int(min((MOST_OF_A_SHAPE, *fitting))))


def _shape(resources: Mapping[str, float]) -> Shape:
    return tuple(sorted(resources.items()))


def _largest_first(wants: Iterable[Want]) -> tuple[Want, ...]:
    return tuple(sorted(wants, key=lambda want: (-want.count, want.source, _shape(want.resources))))


def _problem(failures: Sequence[Failure], now: float) -> str:
    recent = [failure for failure in failures if now - failure.at < FAILURE_SECONDS]
    if not recent:
        return ""
    last = max(recent, key=lambda failure: failure.at)
    return f"Ray's autoscaler got no nodes of group {last.group}: {last.reason.strip().rstrip('.')}."
