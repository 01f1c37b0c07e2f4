"""How many workers come up at once. No I/O.

Turns (see :mod:`.turns`) bound the instances that start; a single one may still want fifty workers, and one that is up may
want ten more at any time, without a turn. So each looks how many workers are coming up on this machine before it launches
further ones (instances take it in turns), and for those that no turn has reserved memory for, whether they fit into what is
free. Heads never wait here: workers that are coming up wait for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from heliostat.domain.ids import InstanceId

from .actions import Start, Step
from .facts import Seen
from .limits import WORKER_BYTES, bytes_at_rest
from .records import InstanceRecord, NodeRecord
from .turns import Need, memory_words

COMING_SECONDS = 60.0
"""A worker that is not alive so long after its launch does not hold up others any more: it hangs, or waits for a head."""
LOOK_SECONDS = 1.0
"""Between two looks at the free memory."""


@dataclass(frozen=True)
class Room:
    """For workers to be launched now."""

    slots: int
    memory_bytes: int | None = None
    """None: the instance's turn has seen to that."""


class Line:
    """Instances whose workers wait for slots, served in turn: whoever got some goes to the end."""

    def __init__(self) -> None:
        self._waiting: dict[InstanceId, None] = {}

    def share(self, instance: InstanceId, free: int) -> int:
        """How many of the free slots an instance may take: one is left for each of the others, those before it first."""
        waiting = list(self._waiting)
        before = waiting.index(instance) if instance in waiting else len(waiting)
        behind = max(0, len(waiting) - before - 1)
        mine = free - before
        return max(1, mine - behind) if mine > 0 else 0

    def note(self, instance: InstanceId, admitted: Admitted) -> None:
        """What became of an instance's wish."""
        if admitted.started or not admitted.slots_short:
            self._waiting.pop(instance, None)
        if admitted.slots_short:
            self._waiting[instance] = None

    def leave(self, instance: InstanceId) -> None:
        self._waiting.pop(instance, None)


@dataclass(frozen=True)
class Admitted:
    steps: tuple[Step, ...]
    waiting: Need
    """Workers that would be started if there were memory for them."""
    started: int
    slots_short: int
    """Workers that would be started if there were slots for them."""


def admitted(steps: Sequence[Step], record: InstanceRecord, room: Room) -> Admitted:
    """The steps without the starts of workers that there is no room for; those are decided upon anew later."""
    workers = [
        step.node for step in steps if isinstance(step, Start) and record.has(step.node) and _is_worker(record, step)
    ]
    slots, fitting = max(0, room.slots), len(workers)
    if room.memory_bytes is not None:
        fitting = min(fitting, max(0, room.memory_bytes // WORKER_BYTES))
    started = min(slots, fitting)
    chosen = set(workers[:started])
    kept = tuple(
        step for step in steps if not isinstance(step, Start) or step.node in chosen or step.node not in workers
    )
    short = len(workers) - fitting
    return Admitted(kept, Need(short, short * WORKER_BYTES), started, fitting - started)


def coming(record: InstanceRecord, seen: Mapping[str, Seen], now: float) -> list[NodeRecord]:
    """Workers that were launched a moment ago and are not alive yet."""
    if record.failure:
        return []
    young = (node for node in record.nodes if node.launched_at and 0 <= now - node.launched_at < COMING_SECONDS)
    return [node for node in young if node.kind == "worker" and not _registered(node, seen)]


def need(nodes: Iterable[NodeRecord]) -> Need:
    """What nodes take at rest."""
    sizes = [bytes_at_rest(node.kind) for node in nodes]
    return Need(len(sizes), sum(sizes))


def words(waiting: Need, spare: int) -> str:
    """``2 workers wait for memory: ...``, or empty."""
    if not waiting.nodes:
        return ""
    workers = "1 worker waits" if waiting.nodes == 1 else f"{waiting.nodes} workers wait"
    return f"{workers} for memory: {memory_words(waiting, spare)}"


def _is_worker(record: InstanceRecord, step: Start) -> bool:
    return record.node(step.node).kind == "worker"


def _registered(node: NodeRecord, seen: Mapping[str, Seen]) -> bool:
    return node.node in seen and seen[node.node].registered
