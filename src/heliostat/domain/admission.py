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

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from .ids import InstanceId
from .quantities import format_cores, format_memory
from .quota import ROOT, Charge, Claim, Limit

PATIENCE = timedelta(minutes=10)
"""How long one that waits may be passed by others."""
_INFINITE = 1 << 62
_Nodes = tuple[tuple[str, Charge, int], ...]


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
    def nodes(self) -> _Nodes:
        """What it lacks: queue, charge of a node, and number."""
        return tuple((claim.queue, claim.node, claim.missing) for claim in self.lacking)

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

    def __init__(self, queues: Mapping[str, QueueState], held: Mapping[str, Charge] | None = None) -> None:
        """``held`` by queue, where it is not what the queues say."""
        self._queues = queues
        self._held = {name: queue.held for name, queue in queues.items()} if held is None else dict(held)
        root = queues.get(ROOT)
        self._root = root.maximum if root is not None else Limit()
        self._kept = Charge()
        """What of the root is taken or kept free for a queue's guarantee; not looked at where the root has no limit."""
        if not self._root.unlimited:
            for name in queues:
                self._kept = self._kept + self._share(name)

    @classmethod
    def empty(cls, queues: Mapping[str, QueueState]) -> Room:
        """As if nobody held anything."""
        return cls(queues, dict.fromkeys(queues, Charge()))

    def copy(self) -> Room:
        other = Room.__new__(Room)
        other._queues, other._root, other._kept = self._queues, self._root, self._kept
        other._held = dict(self._held)
        return other

    def become(self, other: Room) -> None:
        """As the other, a copy of this from which more was taken."""
        self._held, self._kept = other._held, other._kept

    def take(self, queue: str, charge: Charge) -> None:
        before = self._share(queue)
        self._held[queue] = self._held[queue] + charge
        self._kept = self._kept + self._share(queue) - before

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
        return self._queues[queue].maximum, self._root

    def _free(self, queue: str) -> tuple[Limit, Limit]:
        held = self._held[queue]
        own = _left(self._queues[queue].maximum, held)
        return own, Limit() if self._root.unlimited else _left(self._root, self._kept - self._share(queue) + held)

    def _share(self, queue: str) -> Charge:
        """What others cannot have of the root because of this queue."""
        held = self._held[queue]
        return held if queue == ROOT else _larger(held, self._queues[queue].minimum)


def admit(
    queues: Mapping[str, QueueState], waiting: Iterable[Request], now: datetime, patience: timedelta = PATIENCE
) -> Outcome:
    """Grants in the order in which they are made. Claims whose queue is gone wait."""
    room, empty = Room(queues), Room.empty(queues)
    closed: set[str] = set()
    known: dict[_Nodes, set[str]] = {}
    """What starts of this shape are short of, or nothing if they could never be had: while grants are made there only
    comes to be less room, so that one of a kind speaks for all."""
    grants: list[Grant] = []
    turns: list[timedelta] = []
    for request in sorted(waiting, key=lambda request: _order(queues, request)):
        if ROOT in closed:
            break
        names = {claim.queue for claim in request.lacking}
        if names <= closed or any(claim.queue not in queues for claim in request.claims):
            continue
        shape = request.nodes
        if request.whole and shape not in known and _short(empty.copy(), shape):
            known[shape] = set()
        if request.whole and known.get(shape) == set():
            continue
        if closed & names:
            short = names
        elif request.whole and shape in known:
            short = known[shape]
        else:
            made, short = _grant(room, request, {} if request.whole else _reachable(empty.copy(), request))
            grants += made
            if request.whole and short:
                known[shape] = short
        waited = now - request.asked_at
        closed |= {name for name in short if not queues[name].backfill or waited >= patience}
        if short - closed and ROOT not in closed:
            turns.append(patience - waited)
    return Outcome(tuple(grants), min(turns, default=None))


def impossible_nodes(
    queues: Mapping[str, QueueState], nodes: Iterable[tuple[str, Charge, int]]
) -> tuple[Shortage, ...]:
    """Why nodes (queue, charge of one, number) could not be had together even if nobody else had anything."""
    return _short(Room.empty(queues), tuple(row for row in nodes if row[0] in queues))


def shortages(queues: Mapping[str, QueueState], request: Request) -> tuple[Shortage, ...]:
    """What the request lacks at present; empty when it waits only for its turn."""
    known = [claim for claim in request.lacking if claim.queue in queues]
    return _short(
        Room(queues), tuple((claim.queue, claim.node, claim.missing if request.whole else 1) for claim in known)
    )


def _short(room: Room, nodes: _Nodes) -> tuple[Shortage, ...]:
    """What the room lacks for the nodes, which are taken from it."""
    found: dict[tuple[str, str], Shortage] = {}
    charges: dict[str, Charge] = {}
    for queue, node, count in nodes:
        charges[queue] = charges.get(queue, Charge()) + node * count
    for queue, charge in charges.items():
        for shortage in room.shortages(queue, charge):
            found.setdefault((shortage.queue, shortage.resource), shortage)
        room.take(queue, charge)
    return tuple(found.values())


def _reachable(empty: Room, request: Request) -> dict[str, int]:
    """How many of the nodes that each claim lacks could be had if nobody else held anything."""
    for claim in request.claims:
        empty.take(claim.queue, claim.node * claim.held)
    found = {}
    for claim in request.lacking:
        found[claim.group] = min(claim.missing, empty.nodes(claim.queue, claim.node))
        empty.take(claim.queue, claim.node * found[claim.group])
    return found


def _grant(room: Room, request: Request, reachable: Mapping[str, int]) -> tuple[list[Grant], set[str]]:
    """What of a request fits now, taken from the room, and the queues in which it is short of what it could have."""
    if request.whole:
        trial = room.copy()
        short = {shortage.queue for shortage in _short(trial, request.nodes)}
        if short:
            return [], short | {claim.queue for claim in request.lacking}
        room.become(trial)
        return [Grant(request.instance, claim.group, claim.missing) for claim in request.lacking], short
    grants, short = [], set()
    for claim in request.lacking:
        nodes = min(claim.missing, room.nodes(claim.queue, claim.node))
        if nodes:
            room.take(claim.queue, claim.node * nodes)
            grants.append(Grant(request.instance, claim.group, nodes))
        if nodes < reachable.get(claim.group, 0):
            short |= {claim.queue, *(row.queue for row in room.shortages(claim.queue, claim.node))}
    return grants, short


def _order(queues: Mapping[str, QueueState], request: Request) -> tuple[int, int, datetime, str]:
    lacking = request.lacking
    rank = max((queues[claim.queue].priority for claim in lacking if claim.queue in queues), default=0)
    return -rank, -max(claim.priority for claim in lacking), request.asked_at, request.instance


def _values(charge: Charge) -> tuple[int, int, int]:
    return charge.milli_cpu, charge.memory, charge.gpu


def _limits(limit: Limit) -> tuple[int | None, int | None, int | None]:
    return limit.milli_cpu, limit.memory, limit.gpu


def _left(limit: Limit, taken: Charge) -> Limit:
    return Limit(
        None if limit.milli_cpu is None else limit.milli_cpu - taken.milli_cpu,
        None if limit.memory is None else limit.memory - taken.memory,
        None if limit.gpu is None else limit.gpu - taken.gpu,
    )


def _larger(one: Charge, other: Charge) -> Charge:
    return Charge(max(one.milli_cpu, other.milli_cpu), max(one.memory, other.memory), max(one.gpu, other.gpu))


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
