"""How many nodes of each worker group there are and shall be, and what work still waits for nodes, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .engine import Demand, NodeState, Want
from .quantities import format_memory
from .records import Instance
from .spec import WorkerGroup

LONGEST_LIST = 5
"""So many kinds of work are told of in words."""


@dataclass(frozen=True)
class GroupCount:
    """The nodes of one worker group now."""

    name: str
    wanted: int
    """How many there shall be: the spec's number, or what Ray's autoscaler has asked for."""
    alive: int
    starting: int
    """Also those that wait for room."""
    draining: int
    """Finish what they run, and go; nobody counts on them."""
    min_replicas: int | None = None
    """The autoscaler's bounds; None without it."""
    max_replicas: int | None = None


def group_counts(instance: Instance) -> tuple[GroupCount, ...]:
    """In the order of the spec, then those that were removed and still have nodes."""
    found = [_count(instance, group.name, group) for group in instance.spec.workers]
    known = {group.name for group in instance.spec.workers}
    removed = dict.fromkeys(node.group for node in instance.nodes if node.kind != "head" and node.group not in known)
    rest = (_count(instance, name, None) for name in removed)
    return (*found, *(row for row in rest if row.alive or row.starting or row.draining))


def nodes_wanted(instance: Instance) -> int:
    """All of it, the head included."""
    return 1 + sum(row.wanted for row in group_counts(instance))


def demand_in_words(demand: Demand | None) -> tuple[str, ...]:
    """What waits for nodes and what never fits: ``2 x {CPU: 4} wait for workers``."""
    if demand is None:
        return ()
    found = [f"{_work(row)} for workers" for row in demand.pending[:LONGEST_LIST]]
    found += [f"{_work(row)} in vain: no node of any group is large enough" for row in demand.infeasible[:LONGEST_LIST]]
    more = sum(max(0, len(rows) - LONGEST_LIST) for rows in (demand.pending, demand.infeasible))
    if more:
        found.append(f"and work of {more} more kinds")
    return (*found, f"the autoscaler gets no workers: {demand.problem}") if demand.problem else tuple(found)


def _count(instance: Instance, name: str, group: WorkerGroup | None) -> GroupCount:
    states = [node.state for node in instance.nodes if node.kind != "head" and node.group == name]
    alive = states.count(NodeState.ALIVE)
    starting = states.count(NodeState.STARTING) + states.count(NodeState.PENDING)
    draining = states.count(NodeState.DRAINING)
    if group is None:
        return GroupCount(name, 0, alive, starting, draining)
    if not instance.spec.autoscaling.enabled:
        return GroupCount(name, group.replicas, alive, starting, draining)
    begun = bool(states) or instance.running_at is not None
    wanted = alive + starting if begun else group.replicas
    return GroupCount(name, wanted, alive, starting, draining, group.min_replicas, group.max_replicas)


def _work(want: Want) -> str:
    one = want.count == 1
    return f"{want.count} x {{{', '.join(_resources(want))}}} ({want.source}) {'waits' if one else 'wait'}"


def _resources(want: Want) -> Iterable[str]:
    for name, amount in sorted(want.resources.items()):
        yield f"{name}: {format_memory(int(amount)) if name == 'memory' and amount >= 1 else f'{amount:g}'}"
