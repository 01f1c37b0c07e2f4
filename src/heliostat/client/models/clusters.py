"""Clusters: their definition, their present run, and what a change would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Step:
    """One step of a start: ``queued``, ``environment``, ``head``, ``workers``, ``up`` or ``failed``."""

    step: str
    started_at: datetime
    elapsed_seconds: float
    """Until now while it lasts."""
    ended_at: datetime | None = None
    detail: str = ""
    """e.g. ``installing ray 2.60.0 (41 of 58 packages)``."""


@dataclass(frozen=True)
class GroupCount:
    """The nodes of a worker group now."""

    name: str
    wanted: int
    """The definition's number, or what the autoscaler has asked for."""
    alive: int
    starting: int = 0
    draining: int = 0
    """Finish what they run, and go."""
    min_replicas: int | None = None
    max_replicas: int | None = None


@dataclass(frozen=True)
class Want:
    """Work of one shape that Ray cannot place at present."""

    resources: Mapping[str, float]
    count: int
    source: str = ""


@dataclass(frozen=True)
class Demand:
    """What Ray's autoscaler reports."""

    pending: tuple[Want, ...] = ()
    """Waits for workers."""
    infeasible: tuple[Want, ...] = ()
    """Fits no node of any group."""
    problem: str = ""


@dataclass(frozen=True)
class Activity:
    """Whether anything goes on."""

    reasons: tuple[str, ...] = ()
    idle_since: datetime | None = None


@dataclass(frozen=True)
class Instance:
    """One run of a cluster."""

    id: str
    generation: int
    started_at: datetime
    nodes_up: int
    nodes_wanted: int
    running_at: datetime | None = None
    steps: tuple[Step, ...] = ()
    groups: tuple[GroupCount, ...] = ()
    waiting_work: tuple[str, ...] = ()
    """What waits for workers or fits none, in words."""
    demand: Demand | None = None
    activity: Activity | None = None
    renewing: int = 0
    """Nodes that a rolling restart has still to replace."""


@dataclass(frozen=True)
class Endpoints:
    """The addresses of a running instance."""

    dashboard_url: str
    """A link that opens the dashboard in a browser; good for an hour, then read the cluster again."""
    job_url: str
    """For ``ray job submit --address`` and ``JobSubmissionClient``, with the header ``ray-token: <submit_token>``."""
    ray_url: str | None = None
    """For ``ray.init``; None while Ray's client server does not answer. ``heliostat.ray_init`` does all of it."""
    submit_token: str | None = field(default=None, repr=False)
    """None for viewers."""


@dataclass(frozen=True)
class Finding:
    """A field that the engine does not honour literally."""

    path: str
    verdict: str
    """``mapped`` or ``ignored``."""
    message: str


@dataclass(frozen=True)
class ClusterInfo:
    """A cluster as it was when the server was asked."""

    id: str
    workspace: str
    name: str
    state: str
    """``Stopped``, ``Starting``, ``Running``, ``Stopping`` or ``Error``."""
    message: str
    """Why it is in its state; ``ok`` when all is well."""
    wanted: str
    generation: int
    modified: bool
    """What runs is older than what is stored; restart it to apply the change."""
    release: str
    spec: Mapping[str, Any]
    """The definition as JSON, in the form that create takes (in lists: without what may hold secrets)."""
    creator: str
    created_at: datetime
    modified_at: datetime
    modifier: str = ""
    description: str = ""
    started_at: datetime | None = None
    instance: Instance | None = None
    endpoints: Endpoints | None = None
    findings: tuple[Finding, ...] | None = None
    """None in lists, where they are left out."""
    job: str | None = None
    """The job that it was made for and goes with."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class FieldChange:
    """A field that would be another one; what may be a secret is masked."""

    path: str
    before: str | int | bool | None
    after: str | int | bool | None
    effect: str
    """``in_place``, ``new_nodes``, ``restart``, ``next_start`` or ``cosmetic``."""
    note: str = ""


@dataclass(frozen=True)
class Refusal:
    path: str
    message: str


@dataclass(frozen=True)
class Plan:
    """What a change would do."""

    action: str
    """``create``, ``change`` or ``nothing``."""
    name: str
    cluster: str | None = None
    state: str | None = None
    generation: int | None = None
    """For ``expected_generation`` of the change itself."""
    changes: tuple[FieldChange, ...] = ()
    pending: tuple[FieldChange, ...] = ()
    """Stored before, and waiting for a restart."""
    restart: bool = False
    """A restart would be needed for all to take effect."""
    beyond_rolling: tuple[FieldChange, ...] = ()
    """What a rolling restart could not bring."""
    refused: tuple[Refusal, ...] = ()
    """Why the change would be refused."""
    findings: tuple[Finding, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Progress:
    """What a wait reports whenever something changed."""

    cluster: ClusterInfo
    state: str
    message: str
    steps: tuple[Step, ...]
    nodes_up: int
    nodes_wanted: int
    elapsed_seconds: float
    """Since the wait began."""


@dataclass(frozen=True)
class Node:
    """One Ray node of the present instance."""

    node: str
    kind: str
    """``head`` or ``worker``."""
    group: str
    state: str
    """``pending``, ``starting``, ``alive``, ``draining`` or ``exited``."""
    created_at: datetime
    started_at: datetime | None = None
    ray_node_id: str = ""
    pid: int | None = None
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    restarts: int = 0
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Event:
    """A fact about a cluster or a job."""

    id: int
    at: datetime
    actor: str
    reason: str
    message: str
    warning: bool = False
    instance: str | None = None
    job: str | None = None
    """The job that it is about, if it is."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Explanation:
    """Why a cluster is in its state."""

    summary: str
    evidence: tuple[str, ...]
    remedy: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
