"""Admission to queues: who waits is let in, in one transaction per workspace, whenever there may be room.

Every server may try at any time. A transaction locks the workspace's queues first, so that no two of them give the same
room away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby

from heliostat.domain.admission import (
    PATIENCE,
    Grant,
    Outcome,
    QueueState,
    Request,
    Shortage,
    admit,
    amount,
    in_words,
    shortages,
)
from heliostat.domain.claiming import is_waiting
from heliostat.domain.ids import ClusterId, InstanceId, WorkspaceId
from heliostat.domain.quota import HEAD, ROOT, Claim
from heliostat.domain.records import Event, Queue
from heliostat.services.cluster_steps import queue_state
from heliostat.services.seams import Clock
from heliostat.store import Store, Transaction

ACTOR = "heliostat"
NAMED_HOLDERS = 3
LISTED_CLAIMS = 20
"""Claims that are looked through for them."""
WORTH_TELLING = timedelta(seconds=1)
"""Who waited no longer is not told about it."""


@dataclass(frozen=True)
class _Decision:
    """What shall be granted, and what that rests upon."""

    queues: Mapping[str, QueueState]
    claims: Mapping[InstanceId, tuple[Claim, ...]]
    """Of the runs that are granted something."""
    outcome: Outcome

    def holds(self, tx: Transaction, queues: Mapping[str, Queue]) -> bool:
        """Whether nothing of it has changed since."""
        if {name: queue_state(queue) for name, queue in queues.items()} != self.queues:
            return False
        rested_upon = [claim for run in sorted(self.claims) for claim in self.claims[run]]
        return tx.claims.of_instances(self.claims) == rested_upon


class Admission:
    """The subject of the loop of queues; its keys are workspaces."""

    kind = "workspace"

    def __init__(
        self, store: Store, clock: Clock, wake: Callable[[ClusterId], None], patience: timedelta = PATIENCE
    ) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake
        self._patience = patience

    def active(self, tx: Transaction) -> list[WorkspaceId]:
        return tx.claims.lacking_workspaces()

    def unsettled(self, tx: Transaction) -> list[WorkspaceId]:
        return tx.claims.lacking_workspaces()

    async def begin(self) -> None:
        """Nothing to prepare."""

    async def news(self) -> AsyncIterator[WorkspaceId]:
        """Whoever changes claims or queues wakes the loop."""
        return
        yield

    async def tell(self, key: WorkspaceId, message: str) -> None:
        """Those that wait say so already; the cause is in the server's log."""

    async def reconcile(self, key: WorkspaceId) -> timedelta | None:
        """Let in whom there is room for; says when the order of the others changes by itself."""
        decision = await self._store.read(lambda tx: self._decide(tx, tx.queues.list(key), key))
        if not decision.outcome.grants:
            return decision.outcome.again  # the usual end of a wake costs no lock
        admitted, again = await self._store.write(lambda tx: self._admit(tx, key, decision))
        for cluster in admitted:
            self._wake(cluster)
        return again

    def _decide(self, tx: Transaction, queues: Iterable[Queue], workspace: WorkspaceId) -> _Decision:
        states = {queue.name: queue_state(queue) for queue in queues}
        requests = requests_of(tx.claims.lacking(workspace))
        outcome = admit(states, requests, self._clock.now(), self._patience)
        granted = {grant.instance for grant in outcome.grants}
        rows = {row.instance: row.claims for row in requests if row.instance in granted}
        return _Decision(states, rows, outcome)

    def _admit(
        self, tx: Transaction, workspace: WorkspaceId, decision: _Decision
    ) -> tuple[list[ClusterId], timedelta | None]:
        """Store the grants, if all that they rest upon is as it was. Who has come to wait since then is served next time."""
        queues = tx.queues.lock(workspace)
        if not decision.holds(tx, queues):
            decision = self._decide(tx, queues.values(), workspace)
        now = self._clock.now()
        claims = {(claim.instance, claim.group): claim for rows in decision.claims.values() for claim in rows}
        outcome = decision.outcome
        changes = [(row, replace(row, held=row.held + nodes)) for row, nodes in _totals(claims, outcome.grants)]
        tx.claims.change(changes, now)
        for before, _ in changes:
            if before.group == HEAD and now - before.asked_at >= WORTH_TELLING:
                tx.events.add(_admitted(before, now))
        return list(dict.fromkeys(before.cluster for before, _ in changes)), outcome.again


def requests_of(claims: list[Claim]) -> list[Request]:
    """Claims, ordered by run, as what each run asks for."""
    rows = ((instance, tuple(group)) for instance, group in groupby(claims, key=lambda claim: claim.instance))
    return [Request(instance, group, whole=is_waiting(group)) for instance, group in rows]


def waits_for(tx: Transaction, claims: tuple[Claim, ...]) -> str:
    """What a run waits for and who has it, for people."""
    workspace = claims[0].workspace
    queues = {queue.name: queue_state(queue) for queue in tx.queues.list(workspace)}
    gone = sorted({claim.queue for claim in claims} - queues.keys())
    if gone:
        return f"waits for queue {gone[0]}, which does not exist any more; change the spec to name another one"
    lacks = shortages(queues, Request(claims[0].instance, claims, whole=is_waiting(claims)))
    if not lacks:
        names = ", ".join(sorted({claim.queue for claim in claims if claim.missing}))
        return f"waits for its turn in queue {names}: others asked earlier or have a higher priority"
    return "; ".join(_lack(tx, claims[0], short) for short in lacks)


def _lack(tx: Transaction, claim: Claim, short: Shortage) -> str:
    whose = None if short.queue == ROOT else short.queue
    holders: dict[ClusterId, int] = {}
    for row in tx.claims.holders(claim.workspace, whose, limit=LISTED_CLAIMS, by=short.resource):
        if row.instance != claim.instance:
            holders[row.cluster] = holders.get(row.cluster, 0) + amount(row.node * row.held, short.resource)
    names = []
    for id, held in sorted(holders.items(), key=lambda item: (-item[1], item[0]))[:NAMED_HOLDERS]:
        cluster = tx.clusters.find_any(id)
        if cluster is not None and held:
            names.append(f"{cluster.spec.name} ({in_words(short.resource, held)})")
    text = (
        f"waits for queue {short.queue}: needs {short.needs} {short.resource}, {short.free} of {short.of} "
        f"{'is' if short.free == '1' else 'are'} free"
    )
    return f"{text}; held by {', '.join(names)}" if names else text


def _totals(claims: dict[tuple[InstanceId, str], Claim], grants: tuple[Grant, ...]) -> list[tuple[Claim, int]]:
    totals: dict[tuple[InstanceId, str], int] = {}
    for grant in grants:
        place = (grant.instance, grant.group)
        totals[place] = totals.get(place, 0) + grant.nodes
    return [(claims[place], nodes) for place, nodes in totals.items()]


def _admitted(claim: Claim, now: datetime) -> Event:
    waited = (now - claim.asked_at).total_seconds()
    text = f"queue {claim.queue} has room: it goes on after waiting for {waited:.0f} s"
    return Event(claim.cluster, claim.workspace, now, ACTOR, "Admitted", text, False, claim.instance)
