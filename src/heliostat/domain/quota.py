"""What nodes take of queues: charges, claims, and the amounts that queues allow.

A run of a cluster has one :class:`Claim` per node group. What it ``wants`` comes from the spec or from Ray's autoscaler,
what it ``holds`` was admitted (:mod:`admission`), and only what is held is started. All of it is given back when
nothing of the run is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum

from .engine import GpuType
from .ids import ClusterId, InstanceId, PrincipalId, WorkspaceId
from .quantities import format_cores, format_memory
from .records import Amount
from .spec import ClusterSpec, NodeShape

ROOT = "root_queue"
"""The queue that stands for its whole workspace: its maximum bounds what all queues hold together."""
HEAD = ""
"""The name of the head's claim; no worker group can have it."""
_GIB = 1 << 30


@dataclass(frozen=True)
class Charge:
    """An amount that is taken."""

    milli_cpu: int = 0
    """Thousandths of a core; what is finer counts as one."""
    memory: int = 0
    """Bytes."""
    gpu: int = 0

    def __add__(self, other: Charge) -> Charge:
        return Charge(self.milli_cpu + other.milli_cpu, self.memory + other.memory, self.gpu + other.gpu)

    def __sub__(self, other: Charge) -> Charge:
        return Charge(self.milli_cpu - other.milli_cpu, self.memory - other.memory, self.gpu - other.gpu)

    def __mul__(self, nodes: int) -> Charge:
        return Charge(self.milli_cpu * nodes, self.memory * nodes, self.gpu * nodes)

    def __str__(self) -> str:
        parts = [f"{format_cores(self.cores)} CPU"] if self.milli_cpu else []
        parts += [f"{format_memory(self.memory)} memory"] if self.memory else []
        parts += [f"{self.gpu} GPU"] if self.gpu else []
        return ", ".join(parts) or "nothing"

    @property
    def cores(self) -> Decimal:
        return Decimal(self.milli_cpu) / 1000

    @property
    def milli_cu(self) -> int:
        """Thousandths of a compute unit, for one node: a unit is one core or 4 GiB, whichever is more of it."""
        return max(self.milli_cpu, -(-self.memory * 1000 // (4 * _GIB)))


@dataclass(frozen=True)
class Limit:
    """What may be taken at most; None = without bound."""

    milli_cpu: int | None = None
    memory: int | None = None
    gpu: int | None = None

    @classmethod
    def of(cls, amount: Amount) -> Limit:
        return cls(None if amount.cpu is None else milli(amount.cpu), amount.memory, amount.gpu)

    @property
    def unlimited(self) -> bool:
        return self.milli_cpu is None and self.memory is None and self.gpu is None


class Phase(StrEnum):
    """What the time of a node goes into, for the ledger of usage."""

    STARTING = "starting"
    USEFUL = "useful"
    """Something goes on on its cluster."""
    IDLE = "idle"


@dataclass(frozen=True)
class Claim:
    """What one node group of a run holds, or waits to hold, of its queue."""

    instance: InstanceId
    group: str
    """:data:`HEAD` for the head."""
    workspace: WorkspaceId
    cluster: ClusterId
    queue: str
    principal: PrincipalId
    """Who made the cluster."""
    node: Charge
    """Of one node."""
    wanted: int
    """Nodes."""
    held: int
    priority: int
    asked_at: datetime
    """Since when it wants more than it holds; orders what waits."""
    phase: Phase
    metered_until: datetime
    """What it held up to then is in the ledger."""

    @property
    def missing(self) -> int:
        return max(0, self.wanted - self.held)

    @property
    def label(self) -> str:
        return "the head" if self.group == HEAD else f"group {self.group}"


def milli(cores: Decimal) -> int:
    """Cores as whole thousandths, rounded up."""
    return int((cores * 1000).to_integral_value(ROUND_CEILING))


def charge(shape: NodeShape, gpus: Mapping[str, GpuType]) -> Charge:
    """What one node of a shape takes. A GPU type that is no longer in the catalogue counts as one GPU."""
    known = None if shape.gpu is None else gpus.get(shape.gpu)
    return Charge(milli(shape.cpu), shape.memory, 0 if shape.gpu is None else known.count if known else 1)


def groups(spec: ClusterSpec, gpus: Mapping[str, GpuType]) -> dict[str, tuple[str, Charge, int]]:
    """Every group of a spec that it takes nodes for: its queue, the charge of a node, and how many it begins with."""
    found = {HEAD: (spec.head.queue, charge(spec.head, gpus), 1)}
    return found | {row.name: (row.shape.queue, charge(row.shape, gpus), row.replicas) for row in spec.workers}
