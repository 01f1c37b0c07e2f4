"""Who may take what of the queues next: what is held and who waits in, grants out. No I/O, so that it can be searched.

The rules:

* Nothing is granted beyond a queue's maximum. :data:`~.quota.ROOT`'s maximum bounds all queues of the workspace together,
  and what a queue is guaranteed (its minimum) and does not use is kept free for it.
* A run starts whole or not at all; later growth may be granted in part.
* Those that wait are looked at by the priority of their queue, their own, and the time since when they wait.
* One that does not fit keeps its queue closed to those behind it. Where the queue allows back-fill they may pass it, but
  only for a while (``patience``): then the queue is closed for them too, so that what was passed gets its turn.
* What could not be had if nobody else held anything closes nothing; it waits for a larger queue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .ids import InstanceId
from .quantities import format_cores, format_memory
from .quota import ROOT, Charge, Claim, Limit

PATIENCE = timedelta(minutes=10)
"""How long one that waits may be passed by others."""
_INFINITE = 1 << 62


@dataclass(frozen=True)
class QueueState:
    """A queue as admission sees it."""

    name: str
    minimum: Charge = Charge()
    """Guaranteed: kept free for it within the maximum of the root."""
    maximum: Limit = Limit()
    priority: int = 0
    backfill: bool = True
    held: Charge = Charge()


@dataclass(frozen=True)
class Request:
    """What one run wants beyond what it holds."""

    instance: InstanceId
    claims: tuple[Claim, ...]
    """All of the run, also those that lack nothing."""
    whole: bool
    """All of it or nothing: a start."""

    @property
    def lacking(self) -> tuple[Claim, ...]:
        return tuple(claim for claim in self.claims if claim.missing)

    @property
    def asked_at(self) -> datetime:
        return min(claim.asked_at for claim in self.lacking)


@dataclass(frozen=True)
class Grant:
    instance: InstanceId
    group: str
    nodes: int


@dataclass(frozen=True)
class Outcome:
    grants: tuple[Grant, ...]
    again: timedelta | None
    """When the order of those that wait changes by itself; None = not before something is given back."""


@dataclass(frozen=True)
class Shortage:
    """Why a claim does not fit."""

    queue: str
    """Whose limit it is: the claim's own, or the root's."""
    resource: str
    needs: str
    free: str
    of: str


class Room:
    """What is free, while grants are taken from it."""

    def __init__(self, queues: Mapping[str, QueueState]) -> None:
        self._queues = queues
        self._held = {name: queue.held for name, queue in queues.items()}

    def copy(self) -> Room:
        other = Room(self._queues)
        other._held = dict(self._held)
        return other

    def take(self, queue: str, charge: Charge) -> None:
        self._held[queue] = self._held[queue] + charge

    def nodes(self, queue: str, node: Charge) -> int:
        """How many nodes of this charge fit."""
        fits = _INFINITE
        for free in self._free(queue):
            for need, left in zip(_values(node), _limits(free), strict=True):
                if left is not None and need:
                    fits = min(fits, max(0, left) // need)
        return fits

    def shortages(self, queue: str, charge: Charge) -> Iterator[Shortage]:
        """Every limit that the charge exceeds."""
        for name, free, total in zip((queue, ROOT), self._free(queue), self._totals(queue), strict=True):
            rows = zip(_NAMES, _values(charge), _limits(free), _limits(total), strict=True)
            for resource, need, left, whole in rows:
                if left is not None and whole is not None and need and need > left:
                    yield Shortage(name, *_words(resource, need, max(0, left), whole))

    def _totals(self, queue: str) -> tuple[Limit, Limit]:
        root = self._queues.get(ROOT)
        return self._queues[queue].maximum, root.maximum if root is not None else Limit()

    def _free(self, queue: str) -> tuple[Limit, Limit]:
        own, root = self._totals(queue)
        taken = Charge()
        if not root.unlimited:
            for name, other in self._queues.items():
                held = self._held[name]
                taken = taken + (held if name in (queue, ROOT) else _larger(held, other.minimum))
        return _left(own, self._held[queue]), _left(root, taken)


def admit(
    queues: Mapping[str, QueueState], waiting: Iterable[Request], now: datetime, patience: timedelta = PATIENCE
) -> Outcome:
    """Grants in the order in which they are made. Claims whose queue is gone wait."""
    room = Room(queues)
    closed: set[str] = set()
    grants: list[Grant] = []
    turns: list[timedelta] = []
    for request in sorted(waiting, key=lambda request: _order(queues, request)):
        if any(claim.queue not in queues for claim in request.claims) or impossible(queues, request):
            continue
        names = {claim.queue for claim in request.lacking}
        if closed & (names | {ROOT}):
            short = names
        else:
            made, short = _grant(room, request, _reachable(queues, request))
            grants += made
        waited = now - request.asked_at
        for name in short:
            if name in queues and (not queues[name].backfill or waited >= patience):
                closed.add(name)
            elif name in queues:
                turns.append(patience - waited)
    return Outcome(tuple(grants), min(turns, default=None))


def impossible(queues: Mapping[str, QueueState], request: Request) -> tuple[Shortage, ...]:
    """Why a start could not be had even if nobody else had anything; empty when it could. Growth always may wait."""
    if not request.whole:
        return ()
    return impossible_nodes(queues, ((claim.queue, claim.node, claim.wanted) for claim in request.claims))


def impossible_nodes(
    queues: Mapping[str, QueueState], nodes: Iterable[tuple[str, Charge, int]]
) -> tuple[Shortage, ...]:
    """The same for nodes by queue, charge of one, and number."""
    empty = Room({name: _emptied(queue) for name, queue in queues.items()})
    return _short(empty, [row for row in nodes if row[0] in queues])


def shortages(queues: Mapping[str, QueueState], request: Request) -> tuple[Shortage, ...]:
    """What the request lacks at present; empty when it waits only for its turn."""
    known = [claim for claim in request.lacking if claim.queue in queues]
    return _short(Room(queues), [(claim.queue, claim.node, claim.missing if request.whole else 1) for claim in known])


def _short(room: Room, nodes: Sequence[tuple[str, Charge, int]]) -> tuple[Shortage, ...]:
    found: dict[tuple[str, str], Shortage] = {}
    charges: dict[str, Charge] = {}
    for queue, node, count in nodes:
        charges[queue] = charges.get(queue, Charge()) + node * count
    for queue, charge in charges.items():
        for shortage in room.shortages(queue, charge):
            found.setdefault((shortage.queue, shortage.resource), shortage)
        room.take(queue, charge)
    return tuple(found.values())


def _reachable(queues: Mapping[str, QueueState], request: Request) -> dict[str, int]:
    """How many of the nodes that each claim lacks could be had if nobody else held anything."""
    room = Room({name: _emptied(queue) for name, queue in queues.items()})
    for claim in request.claims:
        room.take(claim.queue, claim.node * claim.held)
    found = {}
    for claim in request.lacking:
        found[claim.group] = min(claim.missing, room.nodes(claim.queue, claim.node))
        room.take(claim.queue, claim.node * found[claim.group])
    return found


def _grant(room: Room, request: Request, reachable: Mapping[str, int]) -> tuple[list[Grant], set[str]]:
    """What of a request fits now, taken from the room, and the queues in which it is short of what it could have."""
    if request.whole:
        lacking = [(claim.queue, claim.node, claim.missing) for claim in request.lacking]
        short = {shortage.queue for shortage in _short(room.copy(), lacking)}
        if short:
            return [], short | {claim.queue for claim in request.lacking}
    grants, short = [], set()
    for claim in request.lacking:
        nodes = min(claim.missing, room.nodes(claim.queue, claim.node))
        if nodes:
            room.take(claim.queue, claim.node * nodes)
            grants.append(Grant(request.instance, claim.group, nodes))
        if nodes < reachable[claim.group]:
            short |= {claim.queue, *(row.queue for row in room.shortages(claim.queue, claim.node))}
    return grants, short


def _order(queues: Mapping[str, QueueState], request: Request) -> tuple[int, int, datetime, str]:
    rank = max((queues[claim.queue].priority for claim in request.claims if claim.queue in queues), default=0)
    return -rank, -max(claim.priority for claim in request.lacking), request.asked_at, request.instance


def _emptied(queue: QueueState) -> QueueState:
    return QueueState(queue.name, queue.minimum, queue.maximum, queue.priority, queue.backfill)


def _values(charge: Charge) -> tuple[int, int, int]:
    return charge.milli_cpu, charge.memory, charge.gpu


def _limits(limit: Limit) -> tuple[int | None, int | None, int | None]:
    return limit.milli_cpu, limit.memory, limit.gpu


def _left(limit: Limit, taken: Charge) -> Limit:
    rest = (None if most is None else most - used for most, used in zip(_limits(limit), _values(taken), strict=True))
    return Limit(*rest)


def _larger(one: Charge, other: Charge) -> Charge:
    return Charge(*map(max, _values(one), _values(other)))


_NAMES = ("CPU", "memory", "GPU")


def amount(charge: Charge, resource: str) -> int:
    """Of one resource, by its name in a :class:`Shortage`."""
    return _values(charge)[_NAMES.index(resource)]


def in_words(resource: str, value: int) -> str:
    """An amount of a resource for people: ``4 CPU``."""
    return f"{_text(resource, value)} {resource}"


def _text(resource: str, value: int) -> str:
    if resource == "CPU":
        return format_cores(Charge(milli_cpu=value).cores)
    return format_memory(value) if resource == "memory" else str(value)


def _words(resource: str, needs: int, free: int, of: int) -> tuple[str, str, str, str]:
    return resource, _text(resource, needs), _text(resource, free), _text(resource, of)
