"""Removing an instance without a trace: processes, then files. Works from the files alone, whatever state they are in."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from heliostat.domain.ids import InstanceId
from heliostat_node.protocol import SPEC_FILE, NodeStatus

from .processes import Shim, kill_tree
from .records import NODES, RECORD_FILE, boot_id
from .world import World

KILL_TIMEOUT_SECONDS = 10.0
AWAY = "nodes.gone"


async def demolish(world: World, instance: InstanceId) -> str:
    """End every process of an instance, then remove its folders. What is in the way as a sentence, or empty: all gone.

    Raises OSError when files cannot be removed. May be repeated.
    """
    problem = await asyncio.to_thread(_end_processes, world, instance)
    if not problem:
        await asyncio.to_thread(world.layout.remove, instance)
    return problem


def _end_processes(world: World, instance: InstanceId) -> str:
    folder = world.layout.instance(instance)
    folders = [world.layout.home(instance), world.layout.real_temps(instance), world.layout.temps(instance)]
    left: set[int] = set()
    for node, shim in _known(folder):
        left |= kill_tree(node, shim, folders, KILL_TIMEOUT_SECONDS)
    if left:
        return f"{len(left)} processes do not end, not even by SIGKILL: {', '.join(map(str, sorted(left)))}"
    return ""


def _known(folder: Path) -> list[tuple[str, Shim | None]]:
    """Every node that the files name, with its shim where one is known.

    The nodes' folder is moved away first: a shim that was just asked for then fails before it starts anything, and the
    status of one that was quicker is found here.
    """
    found: dict[tuple[str, Shim | None], None] = {}
    noted, gone = _noted(folder)
    nodes, away = folder / NODES, folder / AWAY
    if nodes.exists() and not away.exists():
        nodes.rename(away)
    for place in (away, nodes):
        for entry in sorted(place.iterdir()) if place.exists() else ():
            try:
                status = NodeStatus.read(entry)
            except (ValueError, TypeError):
                status = None
            node = status.node if status is not None else _name(entry)
            known = status is not None and node not in gone
            found[node, Shim(status.pid, status.start_ticks) if known and status is not None else None] = None
    return list(found | dict.fromkeys(noted))


def _noted(folder: Path) -> tuple[list[tuple[str, Shim | None]], set[str]]:
    """The processes that the record names, and the nodes that were started before this boot of the machine."""
    try:
        rows = json.loads((folder / RECORD_FILE).read_text())["nodes"]
        gone = {str(row["node"]) for row in rows if row["boot"] not in ("", boot_id())}
        shims = [(str(row["node"]), Shim(int(row["pid"]), int(row["start_ticks"]))) for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return [], set()
    return [(node, shim if shim.pid and shim.start_ticks and node not in gone else None) for node, shim in shims], gone


def _name(directory: Path) -> str:
    try:
        return str(json.loads((directory / SPEC_FILE).read_text())["node"])
    except (OSError, ValueError, KeyError, TypeError):
        return directory.name.removesuffix(".fenced").rpartition(".")[0]
