"""The narrow effects on one node: make its folder, start its process, look at it, end it. Each may be repeated."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import shutil
import signal
from collections.abc import Collection
from pathlib import Path

import structlog

from heliostat.domain.engine import InstancePlan
from heliostat.domain.errors import HeliostatError
from heliostat.domain.ids import InstanceId
from heliostat.domain.masking import hidden
from heliostat_node.protocol import DRAIN_FILE, STATUS_FILE, NodeSpec, NodeStatus, start_ticks

from .facts import Seen
from .logs import tail_of_node
from .node_specs import HOST, node_spec
from .processes import Shim, kill_tree, members
from .records import NODES, Grave, NodeRecord, boot_id
from .world import World

KILL_TIMEOUT_SECONDS = 10.0

log = structlog.get_logger(__name__)


class Nodes:
    """The nodes of one instance on this machine. ``secrets`` are kept out of what is told of them."""

    def __init__(self, world: World, instance: InstanceId, secrets: Collection[str]) -> None:
        self._world = world
        self._instance = instance
        self._secrets = secrets
        self._boot = boot_id()
        self._folder = world.layout.instance(instance)
        self._asked: dict[str, float] = {}
        """When the nodes in these directories were to be drained. Asking once more after a restart of the server is fine."""
        self._statuses: dict[Path, tuple[tuple[int, int], NodeStatus]] = {}

    def hide(self, secrets: Collection[str]) -> None:
        """Keep these out of what is told of nodes, too."""
        self._secrets = {*self._secrets, *secrets}

    def look(self, node: NodeRecord) -> Seen:
        """The node's process and status now. Cheap: the status is parsed only when the file is another one."""
        status = self._status(self._directory(node))
        shim = self._shim(node, status)
        if node.sizing and status is not None and status.phase == "registered":
            status = dataclasses.replace(status, phase="starting")
        alive = shim is not None and shim.alive
        if not node.draining_since:
            return Seen(alive, status)
        return Seen(alive, status, self._drain_accepted(node), self._asked.get(node.directory, 0.0))

    async def start(self, plan: InstancePlan, node: NodeRecord, head: NodeRecord, environment: Path) -> NodeRecord:
        """Start a node that was noted as launched; returns it with its process, or with the reason why it has none."""
        layout = self._world.layout
        try:
            layout.ensure_temps(self._instance)
            temp = layout.temps(self._instance) / node.temp
            for folder in (temp, temp / "tmp", self._directory(node)):
                folder.mkdir(mode=0o700, exist_ok=True)
            node_spec(
                plan, node, head, self._folder, layout.temps(self._instance), self._world.base_environment
            ).write()
            pid = await self._world.zygotes.start(environment, self._directory(node))
        except (HeliostatError, OSError) as error:
            log.warning("node cannot be started", node=node.node, cause=str(error))
            return dataclasses.replace(node, message=f"The node cannot be started: {error}")
        return dataclasses.replace(node, pid=pid, start_ticks=start_ticks(pid) or 0)

    def shim(self, node: NodeRecord) -> Shim | None:
        """The node's root process as far as it is known."""
        return self._shim(node, self._status(self._directory(node)))

    async def end(self, node: NodeRecord, grace: float = 0.0) -> set[int]:
        """End everything of a node; SIGTERM and some seconds of grace first if given. Pids that are left."""
        shim = self.shim(node)
        if grace and shim is not None and shim.send(signal.SIGTERM):
            deadline = self._world.now() + grace
            while shim.alive and self._world.now() < deadline:
                await self._world.clock.sleep(0.05)
        if shim is None:
            self.fence(node)
            shim = self.shim(node)
        if shim is not None:
            self._world.exits.forget(shim)
        left = await asyncio.to_thread(kill_tree, node.node, shim, self._folders(node), KILL_TIMEOUT_SECONDS)
        if left:
            log.error("processes survive SIGKILL", node=node.node, processes=sorted(left))
        return left

    def mourn(self, node: NodeRecord, environment: Path, reason: str) -> None:
        """Have Ray told that a worker is dead that it knew, unless the worker's shim did so.

        Ray would notice by missed health checks only, and send it work until then. For a worker whose processes were
        ended.
        """
        directory = self._directory(node)
        status = self._status(directory)
        if status is None or not status.ray_node_id or status.phase == "exited":
            return
        with contextlib.suppress(OSError, ValueError, TypeError):  # damaged files: Ray's own checks are left
            spec = NodeSpec.read(directory)
            self._world.zygotes.mourn(
                environment, f"{HOST}:{spec.gcs_port}", status.ray_node_id, spec.token_path, reason
            )

    def drain(self, node: NodeRecord, environment: Path | None, deadline: float, reason: str) -> None:
        """Have Ray asked to give the node no new work and to end it when it is idle; ``deadline`` is Unix time.

        Without an environment nobody can ask; that counts as a request without an answer.
        """
        self._asked[node.directory] = self._world.now()
        if environment is None:
            log.warning("node cannot be drained without its environment", node=node.node)
            return
        self._world.zygotes.drain(environment, self._directory(node), int(deadline * 1000), reason)

    def _drain_accepted(self, node: NodeRecord) -> bool:
        try:
            return json.loads((self._directory(node) / DRAIN_FILE).read_text())["accepted"] is True
        except (OSError, ValueError, KeyError, TypeError):  # not there yet, or damaged: it is asked for again
            return False

    def members(self, node: NodeRecord) -> set[int]:
        """Live pids of a node, its shim's or what the shim left."""
        return members(node.node, self.shim(node), self._folders(node))

    def fence(self, node: NodeRecord) -> None:
        """Make sure that a shim that was asked for, but of which nothing is known, can no longer begin.

        Its directory is moved away and back: a shim that has not written its status by then fails to, before it starts
        anything; the status of one that has is read afterwards.
        """
        directory = self._directory(node)
        away = directory.with_name(directory.name + ".fenced")
        if directory.exists():
            shutil.rmtree(away, ignore_errors=True)
            directory.rename(away)
        if (away / STATUS_FILE).exists():
            away.rename(directory)

    def logs(self, node: NodeRecord) -> str:
        """The ends of the logs of a node."""
        temp = self._world.layout.real_temps(self._instance) / node.temp
        return hidden(tail_of_node(self._directory(node), temp), self._secrets)

    def grave(self, node: NodeRecord) -> Grave:
        return Grave(node.node, node.directory, node.temp)

    def remove(self, grave: Grave) -> None:
        """Remove the files of a node that is gone."""
        self._statuses.pop(self._folder / NODES / grave.directory, None)
        self._asked.pop(grave.directory, None)
        for folder in (
            self._folder / NODES / grave.directory,
            self._folder / NODES / f"{grave.directory}.fenced",
            self._world.layout.real_temps(self._instance) / grave.temp,
        ):
            shutil.rmtree(folder, ignore_errors=True)

    def _folders(self, node: NodeRecord) -> list[Path]:
        temps = (self._world.layout.temps(self._instance), self._world.layout.real_temps(self._instance))
        home = self._world.layout.home(self._instance)
        return [home / NODES / node.directory, *(folder / node.temp for folder in temps)]

    def _directory(self, node: NodeRecord) -> Path:
        return self._folder / NODES / node.directory

    def _status(self, directory: Path) -> NodeStatus | None:
        try:
            facts = (directory / STATUS_FILE).stat()
        except FileNotFoundError:
            return None
        stamp = (facts.st_ino, facts.st_mtime_ns)
        known = self._statuses.get(directory)
        if known is None or known[0] != stamp:
            try:
                status = NodeStatus.read(directory)
            except (ValueError, TypeError):  # damaged, as a machine that lost power may leave it
                status = None
            if status is None:
                return None
            status = dataclasses.replace(status, exit_reason=hidden(status.exit_reason, self._secrets))
            known = self._statuses[directory] = (stamp, status)
        return known[1]

    def _shim(self, node: NodeRecord, status: NodeStatus | None) -> Shim | None:
        """What the shim says of itself, else what the zygote answered."""
        if node.boot != self._boot:
            return None
        if status is not None:
            return Shim(status.pid, status.start_ticks)
        return Shim(node.pid, node.start_ticks) if node.pid and node.start_ticks else None
