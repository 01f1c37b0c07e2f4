"""What Ray's autoscaler may see and ask of one instance (:class:`.autoscaling.base.ScalerTarget`).

It asks for nodes and gives them back; what it was granted is noted on disk at once, and the supervisor's next round acts
on it. How often it may try again when nodes of a group keep dying is decided here, since it asks every second.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

import structlog

from heliostat.domain.engine import Demand, Incident, Want

from . import owner
from .autoscaling.base import ScalerNode, TooMany
from .counts import most, places, scaled, wanted
from .endings import less_wanted, workers_in_words
from .losses import calm, pause
from .plans import group_key
from .records import MAX_REQUESTS, InstanceRecord, NodeRecord, moment
from .world import World

GIVEN_BACK = "Ray's autoscaler has given it back"
GIB = 1 << 30

log = structlog.get_logger(__name__)


class Owner(owner.Owner, Protocol):
    """The supervisor, as its autoscaler's side needs it."""

    @property
    def doomed(self) -> bool: ...


class Scaler:
    """The autoscaler's side of one supervisor. ``alive`` looks at a node's process, ``add`` makes places for nodes."""

    def __init__(
        self,
        world: World,
        owner: Owner,
        alive: Callable[[NodeRecord], bool],
        add: Callable[[str, int, str, float], InstanceRecord],
    ) -> None:
        self._world = world
        self._owner = owner
        self._alive = alive
        self._add = add
        self.demand: Demand | None = None
        """What was reported last; a new server waits for the next report."""
        self.idle: Mapping[str, float] = {}
        """Node -> seconds without work, as it was reported last."""

    def nodes(self) -> list[ScalerNode]:
        """Everything that is not gone or going."""
        record = self._owner.record
        if record.failure or self._owner.doomed:
            return []
        return [
            ScalerNode(node.node, node.kind, node.group, node.request, running=bool(node.launched_at))
            for node in record.nodes
            if not node.leaving and self._there(node)
        ]

    def up(self, request: str, group: str, count: int) -> bool:
        """Take on a request for more nodes; whether that changed anything.

        Raises KeyError for an unknown group, and TooMany.
        """
        record, plan = self._owner.record, self._owner.plan
        known = {row.name: row for row in plan.workers}[group]
        if not self._open() or count <= 0 or request in record.requests:
            return False
        have = sum(self._there(node) for node in places(record, "worker", group))
        if have + count > most(plan, known):
            raise TooMany(f"group {group} has {workers_in_words(have)} and may have {most(plan, known)}")
        before = record.wanted.get(group, wanted(plan, record, known))
        more = self._add(group, count, request, self._not_before(group))
        text = f"{workers_in_words(count)} added to group {group}: {asked_for(self.demand, known.min_replicas, have)}"
        incident = Incident(f"added/{request}", moment(self._world.now()), "WorkersAdded", text, warning=False)
        try:
            self._owner.save(
                dataclasses.replace(
                    more.with_incident(incident),
                    wanted={**record.wanted, group: before + count},
                    requests=(*record.requests, request)[-MAX_REQUESTS:],
                )
            )
        except OSError:
            self._world.ports.release(port for node in more.nodes[len(record.nodes) :] for port in node.ports.values())
            raise
        log.info("workers added", instance=record.instance, group=group, count=count, request=request)
        return True

    def down(self, nodes: Collection[str]) -> bool:
        """Take note that these workers go; whether there were any."""
        record = self._owner.record
        going = [node for node in record.nodes if node.node in nodes and node.kind == "worker" and not node.leaving]
        if not self._open() or not going:
            return False
        for node in going:
            record = record.with_node(dataclasses.replace(node, leaving=GIVEN_BACK))
            record = less_wanted(record, node.group)
        for group in dict.fromkeys(node.group for node in going):
            gone = [node.node for node in going if node.group == group]
            text = (
                f"{workers_in_words(len(gone))} of group {group} removed by Ray's autoscaler, "
                f"down to {record.wanted.get(group, 0)}: {', '.join(gone)}"
            )
            record = record.with_incident(
                Incident(f"removed/{gone[0]}", moment(self._world.now()), "WorkersRemoved", text, warning=False)
            )
        self._owner.save(record)
        return True

    def report(self, demand: Demand, idle: Mapping[str, float]) -> bool:
        """Take note of what waits and what is idle; whether the demand is another one than before."""
        self.idle = dict(idle)
        changed = demand != self.demand
        self.demand = demand
        return changed

    def _open(self) -> bool:
        record = self._owner.record
        return not record.failure and not self._owner.doomed and scaled(self._owner.plan, record)

    def _there(self, node: NodeRecord) -> bool:
        """It lives or waits for its turn. One that has died is gone for the autoscaler, though it still has its place."""
        return not node.launched_at or self._alive(node)

    def _not_before(self, group: str) -> float:
        """The pause that a group needs whose nodes died one after the other, unless one of them lives calmly since."""
        record, now, rules = self._owner.record, self._world.now(), self._world.settings
        if any(calm(node, now, rules) for node in places(record, "worker", group)):
            return 0.0
        wait = pause(record.losses.get(group_key("worker", group), 0), rules)
        return now + wait if wait else 0.0


def asked_for(demand: Demand | None, minimum: int, have: int) -> str:
    """Why workers are added, in words."""
    totals: dict[str, float] = {}
    for want in demand.pending if demand is not None else ():
        for name, amount in _visible(want).items():
            totals[name] = totals.get(name, 0.0) + amount * want.count
    if totals:
        return ", ".join(_amount(name, amount) for name, amount in sorted(totals.items())) + " demanded"
    return f"its minimum is {minimum}" if have < minimum else "Ray's autoscaler asks for it"


def _visible(want: Want) -> Mapping[str, float]:
    """Without the marks that Ray puts on the bundles of placement groups."""
    return {name: amount for name, amount in want.resources.items() if "_group_" not in name and amount}


def _amount(name: str, amount: float) -> str:
    return f"{amount / GIB:.3g} GiB memory" if name == "memory" else f"{amount:.6g} {name}"
