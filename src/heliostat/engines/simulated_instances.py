"""An instance in the simulated engine's world: which nodes it has, and how they come and go.

In small what a real engine does: grants hold places back, an autoscaler that the test plays decides within its bounds, and
old nodes are renewed one at a time. Nothing here waits: whoever calls :meth:`SimulatedInstance.converge` lets time pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from heliostat.domain.engine import (
    Demand,
    GroupPlan,
    Incident,
    InstancePlan,
    NodeObservation,
    NodeState,
    Want,
)
from heliostat.domain.ids import NodeId

WAITS = "waits for its queue"


@dataclass
class SimulatedInstance:
    """One instance in the world."""

    plan: InstancePlan
    since: datetime
    nodes: dict[NodeId, NodeObservation] = field(default_factory=dict)
    born: int = 0
    """How many nodes it ever had; numbers the next one."""
    failure: str | None = None
    incidents: list[Incident] = field(default_factory=list)
    dying: int = 0
    """Looks that still find it after a destroy."""
    scaled: bool = False
    """Its head was begun with an autoscaler."""
    wanted: dict[str, int] = field(default_factory=dict)
    """Worker group -> how many nodes the autoscaler wants."""
    head_part: tuple[object, ...] = ()
    """What the head was begun with."""

    def take(self, plan: InstancePlan) -> None:
        """Work on this plan instead, if it is not an older one."""
        if plan.generation >= self.plan.generation:
            self.plan = replace(plan, ray_token=self.plan.ray_token)

    def converge(self, demand: Mapping[str, int], now: datetime, log: Callable[[NodeId, str], None]) -> bool:
        """Add missing nodes, remove surplus ones, renew old ones; True when something changed."""
        before = (dict(self.nodes), dict(self.wanted), len(self.incidents))
        if not self.nodes:
            self.scaled = self.plan.scaling is not None
        self._count(demand, now)
        for kind, group, number in self._groups():
            have = self._of(kind, group.name)
            by_use = sorted(have, key=lambda node: (node.state is not NodeState.PENDING, node.created_at))
            for surplus in by_use[: max(0, len(have) - number)]:
                del self.nodes[surplus.node]
            for _ in range(number - len(have)):
                self._add(kind, group, now)
        names = {group.name for _, group, _ in self._groups()}
        for node in [node for node in self.nodes.values() if node.group not in names]:
            del self.nodes[node.node]
        self._renew(now)
        for node in self._startable():
            self.nodes[node.node] = replace(node, state=NodeState.STARTING, message="", generation=self.plan.generation)
            if node.kind == "head":
                self.head_part = self._head_part()
            log(node.node, f"{node.node} of group {node.group} starts\n")
        return before != (self.nodes, self.wanted, len(self.incidents))

    def come_alive(self, now: datetime) -> None:
        """All that starts is there."""
        for name, node in self.nodes.items():
            if node.state is NodeState.STARTING:
                where = self._metrics(node) if self.plan.metrics else ()
                self.nodes[name] = replace(
                    node, state=NodeState.ALIVE, started_at=now, ray_node_id=str(name), metrics=where
                )

    def lose(self, node: NodeObservation, now: datetime) -> None:
        """A node has died. Its number is the autoscaler's affair where there is one; a head takes the instance along."""
        text = f"{node.node} was killed"
        self.incidents.append(Incident(f"lost/{node.node}", now, f"{node.kind.title()}Lost", text))
        if node.kind == "head":
            self.failure = f"the head {node.node} was killed and cannot be brought back"
            self.nodes.clear()
        elif node.group in self.wanted:
            self.wanted[node.group] -= 1

    def unmet(self, demand: Mapping[str, int]) -> Demand | None:
        """What an autoscaler would report; None where there is none."""
        if not self.scaled:
            return None
        wants = []
        for group in self.plan.workers:
            alive = sum(node.state is NodeState.ALIVE for node in self._of("worker", group.name))
            if (missing := demand.get(group.name, 0) - alive) > 0:
                wants.append(Want({"CPU": group.cpus}, missing))
        return Demand(pending=tuple(wants))

    def _count(self, demand: Mapping[str, int], now: datetime) -> None:
        if not self.scaled:
            return
        known = {group.name: self.wanted.get(group.name) for group in self.plan.workers}
        self.wanted = {}
        for group in self.plan.workers:
            before = known[group.name]
            asked = demand.get(group.name, group.replicas if before is None else before)
            frozen = self.plan.scaling is None
            least = group.replicas if frozen else group.min_replicas
            most = group.replicas if frozen or group.max_replicas is None else group.max_replicas
            number = self.wanted[group.name] = max(least, min(asked, max(least, most)))
            if before is not None and number != before:
                self._tell_scaling(group.name, number - before, now)

    def _tell_scaling(self, group: str, more: int, now: datetime) -> None:
        key = f"scaled/{group}/{len(self.incidents)}"
        if more > 0:
            text = f"{more} workers added to group {group}: {more} CPU demanded"
            self.incidents.append(Incident(key, now, "WorkersAdded", text, warning=False))
        else:
            text = f"{-more} workers of group {group}: idle, down to {self.wanted[group]}"
            self.incidents.append(Incident(key, now, "WorkerRemoved", text, warning=False))

    def _groups(self) -> Iterator[tuple[str, GroupPlan, int]]:
        yield "head", self.plan.head, 1
        for group in self.plan.workers:
            yield "worker", group, self.wanted[group.name] if self.scaled else group.replicas

    def _of(self, kind: str, group: str) -> list[NodeObservation]:
        return [node for node in self.nodes.values() if (node.kind, node.group) == (kind, group)]

    def _add(self, kind: str, group: GroupPlan, now: datetime) -> None:
        self.born += 1
        name = NodeId(f"{self.plan.instance}-{kind}-{self.born}")
        self.nodes[name] = NodeObservation(name, kind, group.name, NodeState.PENDING, now, message=WAITS)

    def _startable(self) -> list[NodeObservation]:
        """The places that their queue has made room for; workers need a head that has begun."""
        found: list[NodeObservation] = []
        for kind, group, _ in self._groups():
            nodes = self._of(kind, group.name)
            begun = sum(node.state is not NodeState.PENDING for node in nodes)
            room = len(nodes) if group.granted is None else max(0, group.granted - begun)
            found += [node for node in nodes if node.state is NodeState.PENDING][:room]
            if kind == "head" and not begun and not found:
                return []
        return found

    def _renew(self, now: datetime) -> None:
        """Replace one old node, when all others are there."""
        renew = min(self.plan.renew, self.plan.generation)
        if not renew or any(node.state is NodeState.STARTING for node in self.nodes.values()):
            return
        for kind, group, _ in [*list(self._groups())[1:], *list(self._groups())[:1]]:
            begun = [node for node in self._of(kind, group.name) if node.state is not NodeState.PENDING]
            old = [node for node in begun if node.generation < renew]
            if kind == "worker" and old:
                del self.nodes[old[0].node]
                self._add(kind, group, now)
                if len(old) == 1:
                    text = f"Group {group.name} is renewed."
                    self.incidents.append(
                        Incident(f"renewed/{group.name}/{renew}", now, "GroupRenewed", text, warning=False)
                    )
                return
            if kind == "head" and old:
                changed = self.head_part != self._head_part()
                self.nodes[old[0].node] = replace(
                    old[0],
                    state=NodeState.PENDING if changed else old[0].state,
                    restarts=old[0].restarts + changed,
                    generation=self.plan.generation,
                )

    def _head_part(self) -> tuple[object, ...]:
        return (replace(self.plan.head, granted=None), self.plan.release, self.plan.volumes, self.plan.metrics)

    def _metrics(self, node: NodeObservation) -> tuple[str, ...]:
        """Addresses that nobody listens at."""
        number = int(str(node.node).rpartition("-")[2])
        ports = [number, *([10_000 + number, 20_000 + number] if node.kind == "head" else [])]
        return tuple(f"127.0.0.1:{port % 65_536}" for port in ports)
