"""The steps by which nodes go: in order, by a loss, or with the whole instance."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import structlog

from heliostat.domain.engine import Incident

from . import owner
from .actions import Bury, Drain, EndProcess, Fail, Leave, RenewHead, Replace, Retire, Revive
from .losses import calm, losses_with, node_key
from .nodes import Nodes
from .notes import end_all
from .records import InstanceRecord, NodeRecord, moment
from .renewal import RENEWED
from .world import World

IDLE = re.compile(r"idle for ([\d.]+) sec")
"""How Ray's autoscaler words the reason of a drain."""

log = structlog.get_logger(__name__)


class Owner(owner.Owner, Protocol):
    """The supervisor, as it is needed here."""

    @property
    def idle(self) -> Mapping[str, float]: ...


class Endings:
    """Of one instance."""

    def __init__(self, world: World, nodes: Nodes, owner: Owner) -> None:
        self._world = world
        self._nodes = nodes
        self._owner = owner

    # --- in order -----------------------------------------------------------------------------------------------------

    def note_leaving(self, step: Leave) -> None:
        """Note that workers go. Those that take work are drained, the others need not be."""
        record, now = self._owner.record, self._world.now()
        drained = 0
        for name in step.nodes:
            node = record.node(name)
            drained += bool(node.alive_at)
            since = now if node.alive_at else 0.0
            record = record.with_node(dataclasses.replace(node, leaving=step.why, draining_since=since))
        minutes = self._world.settings.drain_deadline.total_seconds() / 60
        text = f"{workers_in_words(len(step.nodes))} of group {step.group} removed: {step.why}."
        text += f" What they run may finish within {minutes:.3g} minutes." if drained else ""
        incident = Incident(f"removed/{step.nodes[0]}", moment(now), "WorkersRemoved", text, warning=False)
        self._owner.save(record.with_incident(incident))

    async def drain(self, step: Drain) -> None:
        """Have Ray asked, in the background."""
        node = self._owner.record.node(step.node)
        deadline = node.draining_since + self._world.settings.drain_deadline.total_seconds()
        self._nodes.drain(node, self._environment(), deadline, f"Removed by Heliostat: {node.leaving}.")

    async def retire(self, step: Retire) -> None:
        """End a leaving node."""
        node = self._owner.record.node(step.node)
        await self._nodes.end(node, grace=self._world.settings.grace.total_seconds())
        self._mourn(node, "It was not wanted any more and did not stop in time.")
        record = self._owner.record.without_node(node.node)
        if step.timed_out:
            seconds = self._world.settings.drain_deadline.total_seconds()
            text = f"Worker {node.node} of group {node.group} still ran work {seconds:.0f} seconds after it was to go."
            record = record.with_incident(
                Incident(f"drain/{node.node}", moment(self._world.now()), "DrainTimedOut", f"{text} It was ended.")
            )
        await self._lay_to_rest(record, node)

    async def bury(self, step: Bury) -> None:
        """Note that a worker has ended that nothing takes the place of."""
        node = self._owner.record.node(step.node)
        await self._nodes.end(node)
        if step.lost:
            self._mourn(node, step.message)
        record, now = self._owner.record, self._world.now()
        node = record.node(step.node)  # the autoscaler may have given it back meanwhile
        record = record.without_node(node.node)
        if not node.leaving:
            record = self._without_wish(record, node, now, step)
        await self._lay_to_rest(record, node)

    def _without_wish(self, record: InstanceRecord, node: NodeRecord, now: float, step: Bury) -> InstanceRecord:
        """The autoscaler counts one less by itself; it is told why."""
        record = less_wanted(record, node.group)
        left = record.wanted.get(node.group, 0)
        worker = f"Worker {node.node} of group {node.group}"
        if not step.lost:
            losses = {key: count for key, count in record.losses.items() if key != node_key(node)}
            if calm(node, now, self._world.settings):
                record = dataclasses.replace(record, losses=losses)
            said = IDLE.search(step.message)
            seconds = float(said[1]) if said else self._owner.idle.get(node.node, 0.0)
            why = f"idle for {seconds:.0f} s" if seconds else step.message.rstrip(".")
            text = f"{worker}: {why}, down to {left}"
            return record.with_incident(
                Incident(f"removed/{node.node}", moment(now), "WorkerRemoved", text, warning=False)
            )
        what = "WorkerLost" if node.alive_at else "NodeStartFailed"
        text = f"{worker}: {step.message} {left} left; Ray's autoscaler asks for another one if it needs it."
        return self._with_loss(record, node, now).with_incident(
            Incident(f"{what}/{node.node}", moment(now), what, text)
        )

    async def renew_head(self, step: RenewHead) -> None:
        """End a head in order, and note that it is started again as the plan has it now."""
        node = self._owner.record.node(step.node)
        await self._nodes.end(node, grace=self._world.settings.grace.total_seconds())
        record, now = self._owner.record, self._world.now()
        again = dataclasses.replace(
            _again(node), down_since=now, restarts=node.restarts + 1, reason=RENEWED, message="It is renewed."
        )
        text = "The head is started again as the plan has it now; jobs that ran on the head itself end."
        incident = Incident(f"renewed-head/{node.directory}", moment(now), "GroupRenewed", text, warning=False)
        self._owner.save(record.with_node(again).with_incident(incident))

    # --- losses -------------------------------------------------------------------------------------------------------

    async def replace(self, step: Replace) -> None:
        """A new node in the place of a lost one."""
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
            generation=self._owner.plan.generation,
            request=node.request,
            replaces=node.replaces,
            leaving=record.node(node.node).leaving,
        )
        nodes = tuple(substitute if other.node == node.node else other for other in record.nodes)
        record = dataclasses.replace(self._with_loss(record, node, now), nodes=nodes, next_worker=number + 1)
        what = "WorkerLost" if node.alive_at else "NodeStartFailed"
        text = f"Worker {node.node} of group {node.group}: {step.message}"
        record = record.with_incident(Incident(f"{what}/{node.node}", moment(now), what, text))
        text = f"Worker {name} takes the place of {node.node} in group {node.group}."
        record = record.with_incident(
            Incident(f"replaced/{node.node}", moment(now), "WorkerReplaced", text, warning=False)
        )
        await self._keep_grave(record, node)

    async def revive(self, step: Revive) -> None:
        """The head once more."""
        node = self._owner.record.node(step.node)
        await self._nodes.end(node)
        record, now = self._owner.record, self._world.now()
        was_up = bool(node.alive_at)
        again = dataclasses.replace(
            _again(node),
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

    async def end_process(self, step: EndProcess) -> None:
        await self._nodes.end(self._owner.record.node(step.node))

    async def fail(self, step: Fail) -> None:
        """Note the cause with the node's log, and end all processes."""
        record, now = self._owner.record, self._world.now()
        logs = self._nodes.logs(record.node(step.node)) if step.node is not None and record.has(step.node) else ""
        failure = f"{step.message}\n{logs}" if logs else step.message
        log.warning("instance failed", instance=record.instance, cause=step.message)
        self._owner.save(dataclasses.replace(end_all(record, now), failure=failure, failed_at=now))
        await asyncio.gather(*(self._nodes.end(node) for node in record.nodes if node.launched_at))

    # --- common -------------------------------------------------------------------------------------------------------

    def _with_loss(self, record: InstanceRecord, node: NodeRecord, now: float) -> InstanceRecord:
        count = losses_with(record, node, now, self._world.settings)
        return dataclasses.replace(record, losses={**record.losses, node_key(node): count})

    def _environment(self) -> Path | None:
        return self._world.environments.find(self._owner.plan.release)

    def _mourn(self, node: NodeRecord, reason: str) -> None:
        environment = self._environment()
        if environment is not None:
            self._nodes.mourn(node, environment, reason)

    async def _lay_to_rest(self, record: InstanceRecord, node: NodeRecord) -> None:
        """Save a record that has lost a node for good; its ports are free."""
        if node.launched_at:
            await self._keep_grave(record, node)
        else:
            self._owner.save(record)
        self._world.ports.release(node.ports.values())

    async def _keep_grave(self, record: InstanceRecord, node: NodeRecord) -> None:
        """Keep the files of the last few dead nodes for their logs."""
        graves = (*record.graves, self._nodes.grave(node))
        kept = graves[-self._world.settings.keep_dead_nodes :] if self._world.settings.keep_dead_nodes else ()
        self._owner.save(dataclasses.replace(record, graves=kept))
        for old in graves[: len(graves) - len(kept)]:
            await asyncio.to_thread(self._nodes.remove, old)


def less_wanted(record: InstanceRecord, group: str) -> InstanceRecord:
    """The record with one node less wanted of a group that the autoscaler decides about."""
    if group not in record.wanted:
        return record
    return dataclasses.replace(record, wanted={**record.wanted, group: max(0, record.wanted[group] - 1)})


def _again(node: NodeRecord) -> NodeRecord:
    """The next try at the same place."""
    return NodeRecord(
        node.node,
        node.kind,
        node.group,
        node.temp,
        node.created_at,
        attempt=node.attempt + 1,
        ports=node.ports,
        object_store_bytes=node.object_store_bytes,
        generation=node.generation,
    )


def workers_in_words(count: int) -> str:
    return f"{count} worker" if count == 1 else f"{count} workers"
