"""Making a cluster of an entry of the warm pool: its nodes get what their groups ask for, workers too many are ended.

Repeatable: amounts are totals, and until the last note of it is on disk the nodes count as starting. Where it fails, nothing
of the entry is used: the instance is started anew, cold.
"""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import signal
from pathlib import Path

import structlog

from heliostat.domain.engine import Incident

from .node_specs import GCS_FOLDER, HOST, group_of
from .nodes import Nodes
from .owner import Owner
from .records import TOKEN_FILE, NodeRecord, moment
from .warm import amounts
from .world import World

RESULT_FILE = "sized.json"

log = structlog.get_logger(__name__)


class Sizing:
    """Of one instance. ``problem`` says why it has failed, until :meth:`start_over`."""

    def __init__(self, world: World, nodes: Nodes, owner: Owner) -> None:
        self._world = world
        self._nodes = nodes
        self._owner = owner
        self.problem = ""

    @property
    def due(self) -> bool:
        """Whether the instance has nodes of the pool that are not its own in every way yet."""
        record = self._owner.record
        return bool(record.surplus) or (not record.failure and any(node.sizing for node in record.nodes))

    async def run(self) -> None:
        """Give the nodes their resources; another time, when the instance is up by that, end those that are too many."""
        if self._owner.record.failure or not any(node.sizing for node in self._owner.record.nodes):
            await self._end_surplus()
            return
        for node in self._owner.record.surplus:
            shim = self._nodes.shim(node)
            if shim is not None:
                shim.send(signal.SIGKILL)  # its raylet dies with it, so nothing more is placed there
        nodes = [node for node in self._owner.record.nodes if node.sizing and self._nodes.look(node).alive]
        if not nodes:
            return  # they have died, which is acted upon as ever
        self.problem = await self._resize(nodes)
        if self.problem:
            return
        record, now = self._owner.record, self._world.now()
        for node in nodes:
            current = record.node(node.node) if record.has(node.node) else None
            if current is not None and current.directory == node.directory:
                record = record.with_node(dataclasses.replace(current, sizing=False, alive_at=now))
        self._owner.save(record)

    async def start_over(self) -> None:
        """End all that came from the pool and begin with nothing, as a start without a pool does. Raises OSError."""
        record = self._owner.record
        log.warning("warm start failed", instance=record.instance, cause=self.problem)
        old = (*record.nodes, *record.surplus)
        await asyncio.gather(*(self._nodes.end(node) for node in old if node.launched_at))
        folder = self._world.layout.instance(record.instance) / GCS_FOLDER
        await asyncio.to_thread(_empty, folder.resolve())
        for node in old:
            await asyncio.to_thread(self._nodes.remove, self._nodes.grave(node))
        record, now = self._owner.record, self._world.now()
        dropped = (*record.nodes, *record.surplus)
        text = f"The cluster that was kept ready could not be used, so this one is started anew: {self.problem}"
        record = record.with_incident(Incident("warm-start-failed", moment(now), "WarmStartFailed", text))
        self._owner.save(dataclasses.replace(record, nodes=(), surplus=(), losses={}, started_at=0.0))
        self._world.ports.release(port for node in dropped for port in node.ports.values())
        self.problem = ""

    async def _resize(self, nodes: list[NodeRecord]) -> str:
        plan, world = self._owner.plan, self._world
        heads = [node for node in self._owner.record.nodes if node.kind == "head"]
        environment = world.environments.find(plan.release)
        if not heads:
            return "it has no head"
        if environment is None:
            return "its environment was removed"
        step: dict[str, dict[str, float]] = {}
        for node in nodes:
            status = self._nodes.look(node).status
            if status is not None:
                step[status.ray_node_id] = amounts(group_of(plan, node))
        folder = world.layout.instance(plan.instance)
        token = folder / TOKEN_FILE if plan.ray_token is not None else None
        gcs = f"{HOST}:{heads[0].ports['gcs_port']}"
        return await world.zygotes.resize(environment, gcs, token, [step], folder / RESULT_FILE)

    async def _end_surplus(self) -> None:
        surplus = self._owner.record.surplus
        environment = self._world.environments.find(self._owner.plan.release)
        if environment is not None:
            for node in surplus:
                self._nodes.mourn(node, environment, "It was kept ready and is not needed.")
        await asyncio.gather(*(self._nodes.end(node) for node in surplus))
        for node in surplus:
            await asyncio.to_thread(self._nodes.remove, self._nodes.grave(node))
        self._owner.save(dataclasses.replace(self._owner.record, surplus=()))
        self._world.ports.release(port for node in surplus for port in node.ports.values())


def _empty(folder: Path) -> None:
    """Remove all that is in a folder, which others link to."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, exist_ok=True)
