"""Performing the steps of a decision. Each is safe to repeat after a crash at any point.

What is about to exist is noted before it does; what is gone is noted after. After every ``await`` the record is taken
anew from its owner, since notes may have been added meanwhile.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import structlog

from heliostat.domain.engine import Incident, InstancePlan
from heliostat.domain.engine import Step as Phase

from .decisions import (
    Add,
    AwaitTurn,
    EndProcess,
    Fail,
    Prepare,
    Replace,
    Retire,
    Revive,
    Start,
    Step,
    losses_with,
    node_key,
)
from .limits import grant_stores, wanted_stores
from .node_specs import group_of, port_names
from .nodes import Nodes
from .notes import begin, end_all
from .records import Grave, InstanceRecord, NodeRecord, boot_id, moment
from .world import World

log = structlog.get_logger(__name__)


class Owner(Protocol):
    """The supervisor, as the steps need it."""

    @property
    def record(self) -> InstanceRecord: ...

    @property
    def plan(self) -> InstancePlan: ...

    @property
    def environments(self) -> Mapping[str, Path]: ...

    def save(self, record: InstanceRecord) -> None: ...

    def prepare(self) -> None: ...

    def await_turn(self) -> None: ...


class Steps:
    """The effects of one instance's decisions."""

    def __init__(self, world: World, nodes: Nodes, owner: Owner) -> None:
        self._world = world
        self._nodes = nodes
        self._owner = owner

    async def perform(self, steps: Sequence[Step]) -> None:
        """Perform all steps; starts and ends of nodes go side by side, and all are tried before an error is raised."""
        self._note_starts([step.node for step in steps if isinstance(step, Start)])
        work: list[Coroutine[None, None, None]] = []
        for step in steps:
            match step:
                case Prepare():
                    self._owner.prepare()
                case AwaitTurn():
                    self._owner.await_turn()
                case Add():
                    self._add(step)
                case Start():
                    work.append(self._start(step))
                case Replace():
                    work.append(self._replace(step))
                case Revive():
                    work.append(self._revive(step))
                case Retire():
                    work.append(self._retire(step))
                case EndProcess():
                    work.append(self._end(step.node))
                case Fail():
                    work.append(self._fail(step))
        for result in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    # --- beginnings ---------------------------------------------------------------------------------------------------

    def more_workers(self, group: str, count: int, request: str, not_before: float) -> InstanceRecord:
        """The record with places for further workers, not saved yet. Raises Unavailable when there are no free ports."""
        return self._with_places(Add("worker", group, count), request, not_before)

    def _add(self, step: Add) -> None:
        self._owner.save(self._with_places(step))

    def _with_places(self, step: Add, request: str = "", not_before: float = 0.0) -> InstanceRecord:
        record, plan = self._owner.record, self._owner.plan
        number = record.next_worker
        made: list[NodeRecord] = []
        try:
            for index in range(number, number + step.count):
                name, temp = ("head", "h") if step.kind == "head" else (f"w{index}", f"w{index}")
                node = self._new_node(step, f"{record.instance}-{name}", temp)
                made.append(dataclasses.replace(node, request=request, not_before=not_before))
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

    def _new_node(self, step: Add, name: str, temp: str) -> NodeRecord:
        ports = self._world.ports.reserve(
            port_names(step.kind, self._owner.plan.release.ray, self._world.settings.client_server)
        )
        return NodeRecord(name, step.kind, step.group, temp, self._world.now(), ports=ports)

    def _note_starts(self, names: list[str]) -> None:
        if not names:
            return
        record, now = self._owner.record, self._world.now()
        for name in names:
            record = record.with_node(dataclasses.replace(record.node(name), launched_at=now, boot=boot_id()))
        if not record.started_at:
            record = begin(dataclasses.replace(record, started_at=now), Phase.HEAD, now)
            if any(node.kind == "worker" for node in record.nodes):
                record = begin(record, Phase.WORKERS, now)
        self._owner.save(record)

    async def _start(self, step: Start) -> None:
        record = self._owner.record
        head = next(node for node in record.nodes if node.kind == "head")
        node = record.node(step.node)
        environment = self._owner.environments[node_key(node)]
        started = await self._nodes.start(self._owner.plan, node, head, environment)
        self._owner.save(self._owner.record.with_node(started))

    # --- ends ---------------------------------------------------------------------------------------------------------

    async def _replace(self, step: Replace) -> None:
        node = self._owner.record.node(step.node)
        await self._nodes.end(node)
        self._mourn(node, step.message)
        record, now = self._owner.record, self._world.now()
        number = record.next_worker
        name = f"{record.instance}-w{number}"
        substitute = NodeRecord(
            name,
            "worker",
            node.group,
            f"w{number}",
            now,
            ports=node.ports,
            object_store_bytes=node.object_store_bytes,
            not_before=step.not_before,
            reason=step.reason,
            message=f"replaces {node.node}: {step.message}",
        )
        nodes = tuple(substitute if other.node == node.node else other for other in record.nodes)
        record = dataclasses.replace(self._with_loss(record, node, now), nodes=nodes, next_worker=number + 1)
        what = "WorkerLost" if node.alive_at else "NodeStartFailed"
        record = record.with_incident(
            Incident(
                f"{what}/{node.node}", moment(now), what, f"Worker {node.node} of group {node.group}: {step.message}"
            )
        )
        record = record.with_incident(
            Incident(
                f"replaced/{node.node}",
                moment(now),
                "WorkerReplaced",
                f"Worker {name} takes the place of {node.node} in group {node.group}.",
                warning=False,
            )
        )
        await self._bury(record, self._nodes.grave(node))

    async def _revive(self, step: Revive) -> None:
        node = self._owner.record.node(step.node)
        await self._nodes.end(node)
        record, now = self._owner.record, self._world.now()
        was_up = bool(node.alive_at)
        again = NodeRecord(
            node.node,
            node.kind,
            node.group,
            node.temp,
            node.created_at,
            attempt=node.attempt + 1,
            ports=node.ports,
            object_store_bytes=node.object_store_bytes,
            not_before=step.not_before,
            down_since=node.down_since or (now if was_up else 0.0),
            restarts=node.restarts + (1 if was_up or node.restarts else 0),
            reason=step.reason,
            message=step.message,
        )
        what = "HeadLost" if was_up else "NodeStartFailed"
        record = self._with_loss(record.with_node(again), node, now).with_incident(
            Incident(f"{what}/{node.directory}", moment(now), what, f"The head: {step.message} It is started again.")
        )
        self._owner.save(record)

    async def _retire(self, step: Retire) -> None:
        node = self._owner.record.node(step.node)
        await self._nodes.end(node, grace=self._world.settings.grace.total_seconds())
        self._mourn(node, "It was not wanted any more and did not stop in time.")
        record = self._owner.record
        nodes = tuple(other for other in record.nodes if other.node != node.node)
        record = dataclasses.replace(record, nodes=nodes)
        if node.launched_at:
            await self._bury(record, self._nodes.grave(node))
        else:
            self._owner.save(record)
        self._world.ports.release(node.ports.values())

    def _mourn(self, node: NodeRecord, reason: str) -> None:
        environment = self._world.environments.find(self._owner.plan.release)
        if environment is not None:
            self._nodes.mourn(node, environment, reason)

    async def _end(self, name: str) -> None:
        await self._nodes.end(self._owner.record.node(name))

    async def _fail(self, step: Fail) -> None:
        record, now = self._owner.record, self._world.now()
        logs = self._nodes.logs(record.node(step.node)) if step.node is not None and record.has(step.node) else ""
        failure = f"{step.message}\n{logs}" if logs else step.message
        log.warning("instance failed", instance=record.instance, cause=step.message)
        self._owner.save(dataclasses.replace(end_all(record, now), failure=failure, failed_at=now))
        await asyncio.gather(*(self._nodes.end(node) for node in record.nodes if node.launched_at))

    def _with_loss(self, record: InstanceRecord, node: NodeRecord, now: float) -> InstanceRecord:
        count = losses_with(record, node, now, self._world.settings)
        return dataclasses.replace(record, losses={**record.losses, node_key(node): count})

    async def _bury(self, record: InstanceRecord, grave: Grave) -> None:
        """Keep the files of the last few dead nodes for their logs."""
        graves = (*record.graves, grave)
        kept = graves[-self._world.settings.keep_dead_nodes :] if self._world.settings.keep_dead_nodes else ()
        self._owner.save(dataclasses.replace(record, graves=kept))
        for old in graves[: len(graves) - len(kept)]:
            await asyncio.to_thread(self._nodes.remove, old)
