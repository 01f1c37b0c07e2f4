"""Changes of a cluster's spec and restarts, inside a transaction that has the cluster's row locked.

What can be had without a restart is given to the present run in the same transaction as the spec is stored, so that the
control loop finds either both or neither. A restart is one wish: the present run is retired and the next one made in one
transaction, whatever dies between the end of the one and the start of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from heliostat.domain.admission import Room
from heliostat.domain.claiming import Change, is_waiting
from heliostat.domain.engine import Finding, GpuType
from heliostat.domain.errors import Conflict, QuotaExceeded
from heliostat.domain.quota import Charge, charge, groups
from heliostat.domain.records import Cluster, Instance
from heliostat.domain.spec import ClusterSpec
from heliostat.domain.states import State
from heliostat.domain.updates import (
    Effect,
    FieldChange,
    Reach,
    applied,
    beyond_renewal,
    edits,
    is_modified,
    shapes,
)
from heliostat.store import Transaction

from .cluster_steps import check_possible, note, queue_state

LONGEST_VALUE = 80
MOST_CHANGES = 12
"""So many fields are told of in an event."""
EFFECTS = {
    Effect.IN_PLACE: "in place",
    Effect.NEW_NODES: "for new nodes",
    Effect.RESTART: "at the next restart",
    Effect.NEXT_START: "at the next start",
    Effect.COSMETIC: "",
}


@dataclass(frozen=True)
class Refusal:
    """Why a change cannot be stored."""

    path: str
    message: str


@dataclass(frozen=True)
class Preview:
    """What a change would do, before it is made."""

    action: str
    """``create``, ``change`` or ``nothing``."""
    cluster: Cluster | None
    """As it is; None when it would be made."""
    spec: ClusterSpec
    """As it would be stored."""
    changes: tuple[FieldChange, ...] = ()
    pending: tuple[FieldChange, ...] = ()
    """What is stored already and waits for a restart."""
    restart: bool = False
    """The run would need a restart to be what is stored."""
    beyond_rolling: tuple[FieldChange, ...] = ()
    """Of what needs a restart, what a rolling one cannot bring."""
    refusals: tuple[Refusal, ...] = ()
    """Why it would be refused; nothing is changed then."""
    findings: tuple[Finding, ...] = ()
    """What the engine would not honour literally."""


def present_run(tx: Transaction, record: Cluster) -> Instance | None:
    """The run that a change may be given to."""
    if record.instance is None or record.state not in (State.STARTING, State.RUNNING):
        return None
    live = tx.instances.get(record.instance)
    return None if live is None or live.retired else live


def store_change(
    tx: Transaction, before: Cluster, after: Cluster, actor: str, now: datetime, gpus: Mapping[str, GpuType]
) -> Cluster:
    """Store ``after``, which has another spec and the next generation, and give the present run what it can have of it."""
    live = present_run(tx, before)
    rows = edits(before.spec, after.spec, None if live is None else live.spec)
    after = replace(after, modified=False)
    if live is not None and nothing_started(tx, live):
        check_possible(tx, live.workspace, after.spec, gpus)
        tx.instances.save(replace(live, spec=after.spec, generation=after.generation))
        rows = taken_whole(rows)
    elif live is not None:
        given = brought_up(live, after.spec, after.generation)
        tx.instances.save(given)
        after = replace(after, modified=is_modified(given, after.spec))
    tx.clusters.save(after)
    note(tx, after, actor, now, "Updated", f"changed to generation {after.generation}: {in_words(rows)}")
    return after


def nothing_started(tx: Transaction, live: Instance) -> bool:
    """Whether the run still waits to be admitted, and will until this transaction ends: it can have any spec."""
    if live.running_at is not None:
        return False
    tx.queues.lock(live.workspace)
    return is_waiting(tx.claims.of_instance(live.id))


def brought_up(live: Instance, spec: ClusterSpec, generation: int) -> Instance:
    """The run with what it can have of a stored spec without a restart."""
    given = applied(live.spec, spec)
    return replace(live, spec=given, generation=generation, shapes=shapes(live, given, generation))


def taken_whole(rows: Iterable[FieldChange]) -> tuple[FieldChange, ...]:
    """The effects of changes on a run of which nothing was started."""
    return tuple(
        row if row.effect is Effect.COSMETIC else replace(row, effect=Effect.IN_PLACE, note="") for row in rows
    )


def still_held(
    tx: Transaction, live: Instance | None, spec: ClusterSpec, gpus: Mapping[str, GpuType]
) -> Iterable[Refusal]:
    """Groups that are wanted anew and larger or smaller, while an earlier group of that name still holds its own of a queue."""
    if live is None:
        return
    known = {group.name for group in live.spec.workers}
    held = {claim.group: (claim.queue, claim.node) for claim in tx.claims.of_instance(live.id) if claim.held}
    for index, group in enumerate(spec.workers):
        taken = (group.shape.queue, charge(group.shape, gpus))
        if group.name not in known and held.get(group.name, taken) != taken:
            yield Refusal(
                f"workers[{index}].name",
                f"nodes of a group {group.name!r} that was removed still finish what they run; add it when they are gone, "
                "or under another name",
            )


def renew(
    tx: Transaction, record: Cluster, actor: str, now: datetime, gpus: Mapping[str, GpuType], reach: Reach
) -> Cluster:
    """Have the nodes of the present run replaced one after the other by such as are stored.

    Raises Conflict when it does not run, or when some of what is stored needs a full restart, and QuotaExceeded.
    """
    live = present_run(tx, record)
    if live is None or record.state is not State.RUNNING:
        raise Conflict(f"cluster {record.id} is {record.state}; only a running one has nodes to replace one by one")
    beyond = beyond_renewal(live.spec, record.spec, reach)
    if beyond:
        told = "; ".join(f"{row.path}: {row.note}" for row in beyond[:MOST_CHANGES])
        raise Conflict(f"a rolling restart cannot bring all of what is stored ({told}); restart the cluster as a whole")
    _hold_larger(tx, live, record.spec, now, gpus)
    generation = record.generation + 1
    given = replace(live, spec=record.spec, generation=generation, renew=generation, shapes={})
    tx.instances.save(given)
    after = replace(record, generation=generation, modified=is_modified(given, record.spec))
    tx.clusters.save(after)
    note(tx, after, actor, now, "RollingRestartRequested", "nodes are replaced one after the other, group by group")
    return after


def in_words(rows: Iterable[FieldChange]) -> str:
    """Field by field what happens, for an event."""
    rows = list(rows)
    told = [_told(row) for row in rows[:MOST_CHANGES]]
    more = len(rows) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")


def _told(row: FieldChange) -> str:
    if row.path == "description":
        return "description"
    effect = EFFECTS[row.effect]
    values = f"{_short(row.path)} {_short(row.before)} -> {_short(row.after)}"
    return f"{values} ({effect})" if effect else values


def _short(value: str | int | bool | None) -> str:
    text = "none" if value is None or value == "" else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def _hold_larger(
    tx: Transaction, live: Instance, spec: ClusterSpec, now: datetime, gpus: Mapping[str, GpuType]
) -> None:
    """Charge each node with what it takes before and after; the smaller of it is given back when the last is replaced."""
    queues = tx.queues.lock(live.workspace)
    room = Room({name: queue_state(queue) for name, queue in queues.items()})
    wanted = groups(spec, gpus)
    changes: list[Change] = []
    for claim in tx.claims.of_instance(live.id):
        if claim.group not in wanted or claim.queue not in queues:
            continue
        larger = _larger(claim.node, wanted[claim.group][1])
        more = (larger - claim.node) * claim.held
        lack = next(iter(room.shortages(claim.queue, more)), None)
        if lack is not None:
            raise QuotaExceeded(
                f"the new nodes of {claim.label} need {lack.needs} {lack.resource} more, and queue {lack.queue} has "
                f"{lack.free} of {lack.of} free; restart the cluster as a whole, which waits for room"
            )
        room.take(claim.queue, more)
        if larger != claim.node:
            changes += [(claim, None), (None, replace(claim, node=larger))]
    tx.claims.change(changes, now)


def _larger(one: Charge, other: Charge) -> Charge:
    return Charge(max(one.milli_cpu, other.milli_cpu), max(one.memory, other.memory), max(one.gpu, other.gpu))
