"""The words between the control loop and an engine: the plan that it is given, and what it reports to be there.

An engine's :class:`Observation` carries causes in words that a user understands; the loop turns it into states and
events, and never looks behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from .ids import ClusterId, InstanceId, NodeId
from .releases import Release
from .secret import Secret


@dataclass(frozen=True)
class GpuType:
    """A row of the GPU catalogue: what a dialect's ``gpuSpec`` name stands for."""

    name: str
    accelerator: str
    """Ray's accelerator type, e.g. ``T4``."""
    count: int
    listed: bool = True
    """Whether lists of what there is to choose from name it. A row that only one dialect's names lead to is not."""


@dataclass(frozen=True)
class Volume:
    """A directory of the installation that clusters may ask for by id."""

    id: str
    path: str
    """Where it is on this machine."""


class Upscaling(StrEnum):
    """How eagerly Ray's autoscaler asks for workers (KubeRay's ``upscalingMode``)."""

    DEFAULT = "Default"
    CONSERVATIVE = "Conservative"
    """At most as many at once as there are already."""
    AGGRESSIVE = "Aggressive"


@dataclass(frozen=True)
class Scaling:
    """Ray's own autoscaler decides how many workers there are."""

    idle_seconds: float = 60.0
    """How long a worker must be idle before it goes, where its group says nothing."""
    upscaling: Upscaling = Upscaling.DEFAULT


@dataclass(frozen=True)
class GroupPlan:
    """Nodes of one shape, resolved: nothing is left to look up."""

    name: str
    replicas: int
    """How many there shall be; where the autoscaler decides, how many the instance begins with."""
    cpus: float
    memory_bytes: int
    gpu: GpuType | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    ray_params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Parsed and validated ``ray start`` options (see ``heliostat_node.options``)."""
    release: Release | None = None
    """Other than the instance's; None means the same."""
    min_replicas: int = 0
    """Bounds of the autoscaler; without one they mean nothing."""
    max_replicas: int | None = None
    idle_seconds: float | None = None
    """The group's own idle time; None means the instance's."""
    granted: int | None = None
    """How many nodes the group's queue has made room for: no more are started. None = without bound."""


@dataclass(frozen=True)
class InstancePlan:
    """One run of a cluster as the engine shall make it."""

    instance: InstanceId
    cluster: ClusterId
    name: str
    generation: int
    release: Release
    head: GroupPlan
    workers: tuple[GroupPlan, ...] = ()
    ray_token: Secret | None = None
    """Ray's own token of this instance; never leaves the engine and the gateway."""
    labels: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[Volume, ...] = ()
    scaling: Scaling | None = None
    """None = every group has its ``replicas``."""
    renew: int = 0
    """Nodes that were begun with an older generation than this are replaced one after the other, group by group, the
    head last and only if its own part of the plan is another one."""
    metrics: bool = True
    """Whether nodes that are begun from now on collect and export figures."""


class Verdict(StrEnum):
    """What an engine does with a field of a spec."""

    MAPPED = "mapped"
    """Honoured in another way than the field says; the message tells how."""
    IGNORED = "ignored"
    """Stored and given back, without effect on this engine."""
    REFUSED = "refused"
    """Cannot be: the request is answered with a client error."""


@dataclass(frozen=True)
class Finding:
    """A field that is not honoured literally (invariant 7). Fields without a finding are."""

    path: str
    """Native path, e.g. ``head.gpu``."""
    verdict: Verdict
    message: str


class NodeState(StrEnum):
    PENDING = "pending"
    """Wanted; no process yet."""
    STARTING = "starting"
    ALIVE = "alive"
    """Ray lists it as alive."""
    DRAINING = "draining"
    """Takes no new work and goes when its running work is done, or at a deadline."""
    EXITED = "exited"


@dataclass(frozen=True)
class NodeObservation:
    node: NodeId
    kind: str
    """``head`` or ``worker``."""
    group: str
    state: NodeState
    created_at: datetime
    started_at: datetime | None = None
    """When it became alive."""
    ray_node_id: str = ""
    pid: int | None = None
    reason: str = ""
    """CamelCase word for machines, e.g. ``OOMKilled``."""
    message: str = ""
    exit_code: int | None = None
    restarts: int = 0
    generation: int = 0
    """Of the plan that it was begun with."""
    metrics: tuple[str, ...] = ()
    """Where Prometheus may read its figures, ``host:port``: the node's own, of a head then the dashboard's and the
    autoscaler's. Empty where it exports none."""


class Step(StrEnum):
    """What an instance that is on its way up is busy with, in this order."""

    QUEUED = "queued"
    """Waits for its turn; starts are bounded by what the machine can bear."""
    ENVIRONMENT = "environment"
    """The release's environment is being built."""
    HEAD = "head"
    WORKERS = "workers"
    UP = "up"
    FAILED = "failed"


@dataclass(frozen=True)
class Progress:
    """One step of a start, for progress bars."""

    step: Step
    started_at: datetime
    ended_at: datetime | None = None
    detail: str = ""
    """e.g. ``installing ray 2.60.0 (41 of 58 packages)``."""


@dataclass(frozen=True)
class Incident:
    """Something that happened to an instance and that users shall find in its events. Recorded once per ``key``."""

    key: str
    """Unique within the instance, stable over restarts of the server."""
    at: datetime
    reason: str
    """CamelCase word, e.g. ``WorkerLost``."""
    message: str
    warning: bool = True


@dataclass(frozen=True)
class Endpoints:
    """Where the instance answers, for the gateway only. ``host:port``."""

    dashboard: str
    client: str | None = None


@dataclass(frozen=True)
class NodeLog:
    """A log file that a node of an instance has written."""

    node: NodeId
    name: str
    """Path below the node's log folder, e.g. ``raylet.out`` or ``job-driver-rj-0123456789abcdef.log``."""
    size: int
    """Bytes, when it was listed."""
    modified_at: datetime


@dataclass(frozen=True)
class Want:
    """Work of one shape that Ray cannot place at present."""

    resources: Mapping[str, float]
    """By Ray's names, e.g. ``{"CPU": 1.0}``."""
    count: int
    source: str = "tasks and actors"
    """``tasks and actors``, ``placement group`` or ``request_resources``."""


@dataclass(frozen=True)
class Demand:
    """What Ray's autoscaler reports of an instance."""

    pending: tuple[Want, ...] = ()
    """Waits for workers; largest count first."""
    infeasible: tuple[Want, ...] = ()
    """Fits no node of any group, so nothing will ever come of it."""
    problem: str = ""
    """Why the autoscaler gets no workers, in words; empty when nothing is wrong."""


@dataclass(frozen=True)
class Observation:
    """What there is of an instance now."""

    instance: InstanceId
    present: bool
    """False = ABSENT: no process, no port, no folder of it is left."""
    step: Step = Step.QUEUED
    generation: int = 0
    """Of the plan that the engine works on."""
    progress: tuple[Progress, ...] = ()
    head_ready: bool = False
    """The head is alive in its own view."""
    jobs_ready: bool = False
    """The Jobs API answers."""
    nodes: tuple[NodeObservation, ...] = ()
    endpoints: Endpoints | None = None
    failure: str | None = None
    """Why the instance cannot be (or be again) what the plan says, with the log's tail; None while there is hope."""
    trouble: str = ""
    """What is wrong at present but being worked on."""
    incidents: tuple[Incident, ...] = ()
    wanted: Mapping[str, int] = field(default_factory=dict)
    """Worker group -> how many nodes Ray's autoscaler wants of it now; empty where it does not decide."""
    demand: Demand | None = None
    """None where no autoscaler reports."""
    ray_token: Secret | None = None
    """Ray's token, when it is another one than the plan's (the instance was started before it was asked for)."""

    @property
    def alive(self) -> int:
        """Nodes that take work."""
        return sum(node.state is NodeState.ALIVE for node in self.nodes)

    @property
    def complete(self) -> bool:
        """Everything that the plan wants is there and answers."""
        up = (NodeState.ALIVE, NodeState.DRAINING)
        return self.head_ready and self.jobs_ready and all(node.state in up for node in self.nodes)
