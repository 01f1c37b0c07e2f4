"""Queues, and what was used of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Amount:
    """Capacity; None = not limited, or not guaranteed."""

    cpu: str | None = None
    memory: str | None = None
    gpu: int | None = None


@dataclass(frozen=True)
class Holder:
    """A run of a cluster that holds nodes of a queue."""

    cluster: str
    """Id."""
    name: str
    instance: str
    nodes: int
    held: Amount = field(default_factory=Amount)
    job: str | None = None
    """The job that the cluster was made for."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Queue:
    """A share of a workspace's capacity."""

    workspace: str
    name: str
    created_at: datetime
    minimum: Amount = field(default_factory=Amount)
    """Guaranteed: kept free for it."""
    maximum: Amount = field(default_factory=Amount)
    description: str = ""
    priority: int = 0
    backfill: bool = True
    held: Amount = field(default_factory=Amount)
    """What runs hold of it now."""
    used: Amount = field(default_factory=Amount)
    """What counts against its maximum: of ``root_queue``, what is held of all queues."""
    waiting: int = 0
    """Runs of clusters that wait for nodes charged to it."""
    notes: tuple[str, ...] = ()
    """What is allowed and may surprise, such as a maximum below what is held."""
    holders: tuple[Holder, ...] = ()
    """Who holds most of it; only from ``get``."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Hours:
    """Hours of wall-clock time: 2 cores for half an hour are one CPU-hour."""

    node_hours: float
    cpu_hours: float
    memory_gib_hours: float
    gpu_hours: float
    cu_hours: float
    """Per node, a unit is one core or 4 GiB, whichever is more of it."""


@dataclass(frozen=True)
class UsageRow:
    """Usage of what it names; None where it was not asked for."""

    starting: Hours
    """Before the cluster was up."""
    useful: Hours
    """Something went on on the cluster."""
    idle: Hours
    total: Hours
    queue: str | None = None
    cluster: str | None = None
    """Id."""
    cluster_name: str | None = None
    """While the cluster is known."""
    principal: str | None = None
    """Id of who made the cluster."""
    principal_name: str | None = None
    hour: datetime | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class UsageReport:
    """What was used of a workspace's queues, in whole hours from ``since`` to ``until``."""

    since: datetime
    until: datetime
    by: tuple[str, ...]
    rows: tuple[UsageRow, ...]
    total: UsageRow
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
