"""The steps by which nodes come to be: places, their processes, and successors of old nodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from heliostat.domain.engine import Step as Phase

from . import owner
from .actions import Add, Renew, Start, Vouch
from .limits import grant_stores, wanted_stores
from .losses import node_key
from .node_specs import group_of, port_names
from .nodes import Nodes
from .notes import begin
from .plans import head_mark
from .records import InstanceRecord, NodeRecord, boot_id
from .renewal import OUTDATED
from .world import World


class Owner(owner.Owner, Protocol):
    """The supervisor, as it is needed here."""

    @property
    def environments(self) -> Mapping[str, Path]: ...


class Beginnings:
    """Of one instance."""

    def __init__(self, world: World, nodes: Nodes, owner: Owner) -> None:
        self._world = world
        self._nodes = nodes
        self._owner = owner

    def add(self, step: Add) -> None:
        """Note places for nodes."""
        self._owner.save(self.with_places(step))

    def with_places(self, step: Add, request: str = "", not_before: float = 0.0, replaces: str = "") -> InstanceRecord:
        """The record with further places. Raises Unavailable when there are not enough free ports."""
        record, plan, now = self._owner.record, self._owner.plan, self._world.now()
        number = record.next_worker
        ports = port_names(step.kind, plan.release.ray, self._world.settings.client_server)
        made: list[NodeRecord] = []
        try:
            for index in range(number, number + step.count):
                name, temp = ("head", "h") if step.kind == "head" else (f"w{index}", f"w{index}")
                node = NodeRecord(f"{record.instance}-{name}", step.kind, step.group, temp, now)
                made.append(
                    dataclasses.replace(
                        node,
                        ports=self._world.ports.reserve(ports),
                        not_before=not_before,
                        generation=plan.generation,
                        request=request,
                        replaces=replaces,
                    )
                )
            stores = grant_stores(
                wanted_stores([group_of(plan, node) for node in made]), self._world.machine, self._world.promised()
            )
            sized = [
                dataclasses.replace(node, object_store_bytes=size) for node, size in zip(made, stores, strict=True)
            ]
            used = 0 if step.kind == "head" else step.count
            return dataclasses.replace(record, nodes=(*record.nodes, *sized), next_worker=record.next_worker + used)
        except BaseException:
            self._world.ports.release(port for node in made for port in node.ports.values())
            raise

    def note_renewal(self, step: Renew) -> None:
        """Note that an old worker leaves, and the place of its successor; both at once."""
        node = self._owner.record.node(step.node)
        record = self.with_places(Add("worker", node.group, 1), replaces=node.node)
        going = dataclasses.replace(node, leaving=OUTDATED, draining_since=self._world.now() if node.alive_at else 0.0)
        count = record.renewing.get(node.group, 0) + 1
        self._owner.save(dataclasses.replace(record.with_node(going), renewing={**record.renewing, node.group: count}))

    def vouch(self, step: Vouch) -> None:
        """Note that a head of an older generation is as the plan has it."""
        record = self._owner.record
        node = dataclasses.replace(record.node(step.node), generation=self._owner.plan.generation)
        self._owner.save(record.with_node(node))

    def note_starts(self, names: list[str]) -> None:
        """Note that processes are about to exist, and what they are begun with."""
        if not names:
            return
        record, plan, now = self._owner.record, self._owner.plan, self._world.now()
        for name in names:
            node = dataclasses.replace(
                record.node(name),
                launched_at=now,
                boot=boot_id(),
                generation=plan.generation,
                metrics=plan.metrics,
            )
            if node.kind == "head":
                node = dataclasses.replace(node, born=head_mark(plan), scaler=plan.scaling is not None)
            record = record.with_node(node)
        if not record.started_at:
            record = begin(dataclasses.replace(record, started_at=now), Phase.HEAD, now)
            if any(node.kind == "worker" for node in record.nodes):
                record = begin(record, Phase.WORKERS, now)
        self._owner.save(record)

    async def start(self, step: Start) -> None:
        """Start the process of a node that was noted."""
        record = self._owner.record
        head = next(node for node in record.nodes if node.kind == "head")
        node = record.node(step.node)
        environment = self._owner.environments[node_key(node)]
        started = await self._nodes.start(self._owner.plan, node, head, environment)
        record = self._owner.record
        if record.has(node.node):
            current = dataclasses.replace(
                record.node(node.node), pid=started.pid, start_ticks=started.start_ticks, message=started.message
            )
            self._owner.save(record.with_node(current))
