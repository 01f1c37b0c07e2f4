"""What a supervisor knows when it decides: the plan, the record, and what was seen of each process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from heliostat.domain.engine import InstancePlan
from heliostat_node.protocol import NodeStatus

from .records import InstanceRecord, NodeRecord


@dataclass(frozen=True)
class Seen:
    """One node's process, as it is now."""

    alive: bool
    status: NodeStatus | None = None
    drain_accepted: bool = False
    """Ray has taken the request to drain it."""
    drain_asked_at: float = 0.0
    """When Ray was asked last, by this run of the server."""

    @property
    def registered(self) -> bool:
        return self.alive and self.status is not None and self.status.phase == "registered"

    @property
    def jobs_ready(self) -> bool:
        return self.registered and self.status is not None and self.status.dashboard_ready_at > 0

    @property
    def client_ready(self) -> bool:
        """Nothing waits for it: it is offered once it is there."""
        return self.registered and self.status is not None and self.status.client_ready_at > 0

    @property
    def death(self) -> str:
        """Ray's word for why it ended the node in order; empty where it lives or failed."""
        return "" if self.alive or self.status is None else self.status.death


GONE = Seen(alive=False)


@dataclass(frozen=True)
class Facts:
    """Everything that a decision depends on. Times are Unix seconds."""

    plan: InstancePlan
    record: InstanceRecord
    seen: Mapping[str, Seen]
    """By node name, of every node that was launched."""
    environment_ready: bool
    environment_failure: str
    turn: bool
    """The instance has its turn in the queue of starts."""
    now: float
    idle: Mapping[str, float] = field(default_factory=dict)
    """By node name, seconds without work, where Ray's autoscaler has reported them."""
    unreachable: str = ""
    """What of the plan that was asked for cannot be had without a restart, in words."""

    def see(self, node: NodeRecord) -> Seen:
        return self.seen.get(node.node, GONE)

    def registered(self, node: NodeRecord) -> bool:
        return self.see(node).registered
