"""What a user wants a cluster to be: the spec that all dialects translate to and from.

A spec is immutable; each stored version has a generation. Values are typed (cores, bytes, maps), and where a dialect
allows several spellings of one value (``"8Gi"`` or ``"8GB"``), the user's own is kept in :attr:`ClusterSpec.spellings`,
so that what was written comes back as written (invariant 6) for as long as the value itself is unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeVar

from .engine import Upscaling
from .secret import Secret

T = TypeVar("T")
MASK = "******"
"""Stands for a value that its reader may not see."""


@dataclass(frozen=True)
class NodeShape:
    """What one node gets."""

    queue: str
    """The queue of the workspace that pays for the node."""
    cpu: Decimal
    """Cores, as Ray's ``CPU`` resource."""
    memory: int
    """Bytes, as Ray's ``memory`` resource."""
    gpu: str | None = None
    """Name of a row of the GPU catalogue."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """May hold secrets, so it is not shown in a repr."""
    ray_start_params: str = field(default="", repr=False)
    """Options of ``ray start`` as text (``--num-cpus=0``) or as a JSON object."""
    release: str | None = None
    """Display text of the node's own release; None means the cluster's."""


@dataclass(frozen=True)
class WorkerGroup:
    """Nodes of one shape."""

    name: str
    shape: NodeShape
    replicas: int = 1
    min_replicas: int | None = None
    max_replicas: int | None = None
    type: str = "CPU"
    """``CPU`` or ``GPU``: a label that one dialect knows."""
    idle_timeout_seconds: int | None = None
    """The group's own idle time with autoscaling; None means the cluster's."""


@dataclass(frozen=True)
class Autoscaling:
    enabled: bool = False
    idle_timeout_seconds: int | None = None
    """How long a worker must be idle before it goes; None means the default, 60."""
    upscaling: Upscaling = Upscaling.DEFAULT


@dataclass(frozen=True)
class Lifetime:
    """When a run of the cluster ends by itself. None = never."""

    idle_stop_seconds: int | None = None
    """It is stopped when nothing has been going on on it for this long."""
    max_seconds: int | None = None
    """It is stopped when this long has passed since its start, whatever it does."""


@dataclass(frozen=True)
class FaultTolerance:
    """Where the head keeps its state so that a new head can take over (EMR's ``gftConfig``)."""

    enabled: bool = False
    redis_url: str = field(default="", repr=False)
    """May hold a password."""
    redis_username: str = ""
    redis_password: Secret | None = None


@dataclass(frozen=True)
class NfsMount:
    """A network file system that nodes shall see below :data:`NFS_ROOT`."""

    server: str
    """Host name or address."""
    path: str
    """Absolute path of the export on the server."""
    mount_point: str
    """Relative path below :data:`NFS_ROOT`."""


NFS_ROOT = "/mnt/nfs"
"""Where nodes see network file systems (Vertex contract, section 9.3)."""


@dataclass(frozen=True)
class ClusterSpec:
    name: str
    release: str
    """Display text of a row of the release catalogue."""
    head: NodeShape
    workers: tuple[WorkerGroup, ...] = ()
    description: str = ""
    autoscaling: Autoscaling = Autoscaling()
    lifetime: Lifetime = Lifetime()
    priority: int = 0
    """Among starts that wait for one queue, those with a higher one go first; -1000 to 1000."""
    fault_tolerance: FaultTolerance | None = None
    network_service: str | None = None
    volumes: tuple[str, ...] = ()
    nfs_mounts: tuple[NfsMount, ...] = ()
    metrics: bool = True
    """Whether its nodes export figures, and Prometheus is told where."""
    collect_logs: bool = True
    """Whether logs of its nodes and jobs are brought home, to be read when it is gone."""
    labels: Mapping[str, str] = field(default_factory=dict)
    extras: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Fields that only one dialect knows, kept and given back: key ``emr.extraParam``, value as written."""
    unhonoured: Mapping[str, str] = field(default_factory=dict)
    """Of those, the ones that have no effect here: the dialect's path -> why. Shown as findings by all dialects."""
    spellings: Mapping[str, str] = field(default_factory=dict)
    """Native path (``workers[0].memory``) -> the text that the user wrote for it."""

    def spelled(self, path: str, value: T, parse: Callable[[str], T], plain: Callable[[T], str]) -> str:
        """The user's own spelling of ``value`` if it still means that, else the plain one."""
        written = self.spellings.get(path)
        if written is not None:
            try:
                if parse(written) == value:
                    return written
            except ValueError:
                pass
        return plain(value)

    @property
    def node_count(self) -> int:
        """Nodes wanted without autoscaling, head included."""
        return 1 + sum(group.replicas for group in self.workers)


def masked(spec: ClusterSpec) -> ClusterSpec:
    """``spec`` as those may see it who may not run code: where users put secrets, that there is something and no more.

    Names of variables stay. ``extras``, which only their dialect understands, are left out.
    """

    def shape(given: NodeShape) -> NodeShape:
        return replace(
            given, env=dict.fromkeys(given.env, MASK), ray_start_params=MASK if given.ray_start_params else ""
        )

    tolerance = spec.fault_tolerance
    if tolerance is not None:
        tolerance = replace(tolerance, redis_url=MASK if tolerance.redis_url else "")
    groups = tuple(replace(group, shape=shape(group.shape)) for group in spec.workers)
    return replace(spec, head=shape(spec.head), workers=groups, fault_tolerance=tolerance, extras={})
