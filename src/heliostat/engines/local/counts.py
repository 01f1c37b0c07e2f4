"""How many nodes of a group there shall be, which of them may start, and which goes first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from heliostat.domain.engine import GroupPlan, InstancePlan

from .autoscaling.config import greatest
from .plans import groups
from .records import InstanceRecord, Kind, NodeRecord


def scaled(plan: InstancePlan, record: InstanceRecord) -> bool:
    """Whether Ray's autoscaler decides how many workers there are.

    It does where the head was begun with it; a plan that says otherwise later needs another head for that.
    """
    for node in record.nodes:
        if node.kind == "head" and node.launched_at:
            return node.scaler
    return plan.scaling is not None


def places(record: InstanceRecord, kind: Kind, group: str) -> list[NodeRecord]:
    """The nodes of a group that are wanted, whether they are there yet or not."""
    return [node for node in record.nodes if (node.kind, node.group) == (kind, group) and not node.leaving]


def wanted(plan: InstancePlan, record: InstanceRecord, group: GroupPlan) -> int:
    """How many nodes a worker group shall have. Under the autoscaler a lowered maximum counts at once."""
    if not scaled(plan, record):
        return group.replicas
    return min(record.wanted.get(group.name, group.replicas), most(plan, group))


def most(plan: InstancePlan, group: GroupPlan) -> int:
    """How many nodes an autoscaler may want of a group."""
    return group.replicas if plan.scaling is None else greatest(group)


def held(plan: InstancePlan, record: InstanceRecord) -> frozenset[str]:
    """The places that may not start yet since their group's queue has made no room for them."""
    found: set[str] = set()
    for kind, group in groups(plan):
        if group.granted is None:
            continue
        nodes = [node for node in record.nodes if (node.kind, node.group) == (kind, group.name)]
        room = max(0, group.granted - sum(bool(node.launched_at) for node in nodes))
        found.update(node.node for node in [node for node in nodes if not node.launched_at][room:])
    return frozenset(found)


def awaited(plan: InstancePlan, record: InstanceRecord) -> list[NodeRecord]:
    """The nodes that make an instance complete: all but those that go, and those that wait for their queue."""
    waiting = held(plan, record)
    return [node for node in record.nodes if not node.leaving and node.node not in waiting]


def surplus(
    nodes: Sequence[NodeRecord], number: int, registered: Callable[[NodeRecord], bool], idle: Mapping[str, float]
) -> list[NodeRecord]:
    """Which nodes go when there are this many too many: not started ones, then the longest idle, then the youngest."""

    def order(node: NodeRecord) -> tuple[bool, bool, float, float]:
        return registered(node), bool(node.launched_at), -idle.get(node.node, 0.0), -node.created_at

    return sorted(nodes, key=order)[: max(0, number)]
