"""Watches a store from within its transactions: whatever is committed, the queues' rules hold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar, cast

from heliostat.domain.engine import NodeState
from heliostat.domain.ids import InstanceId, WorkspaceId
from heliostat.domain.quota import HEAD, ROOT, Charge, Claim, Limit
from heliostat.domain.records import Amount, Queue
from heliostat.engines.simulated import World
from heliostat.store import Store, Transaction
from heliostat.testing.clock import ManualClock

T = TypeVar("T")
Held = dict[tuple[InstanceId, str], Claim]
EVERYTHING = 100_000
EVER = datetime(2000, 1, 1), datetime(2100, 1, 1)


class QuotaWatch:
    """What it has seen outlives the server: one watch for all stores that are opened on a database."""

    def __init__(self, world: World, clock: ManualClock) -> None:
        self.world = world
        self.clock = clock
        self.workspace: WorkspaceId | None = None
        self.lock = threading.Lock()
        """Time stands still within a transaction."""
        self.accrued = 0.0
        """Node milliseconds held so far."""
        self._since = clock.now()
        self.admitted = 0
        """Nodes that were admitted."""
        self.broken: list[str] = []

    def advance(self, milliseconds: int) -> None:
        with self.lock:
            self.clock.advance(milliseconds=milliseconds)

    def checked(self, work: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
        """The same unit of work, and a look at what it has done before it is committed."""

        def watched(tx: Transaction) -> T:
            if self.workspace is None:
                return work(tx)
            with self.lock:
                begun = self._begun()
                before, queues = _claims(tx, self.workspace), _queues(tx, self.workspace)
                value = work(tx)
                after = _claims(tx, self.workspace)
                self._tell(self._problems(tx, before, after, queues, begun, self._begun()))
                return value

        return watched

    def check_ledger(self, tx: Transaction) -> None:
        """What is in the ledger, and what is not metered yet, is what was held."""
        assert self.workspace is not None
        since, until = (moment.replace(tzinfo=self.clock.now().tzinfo) for moment in EVER)
        rows = tx.ledger.sums(self.workspace, since=since, until=until)
        metered = sum(row.node_hours for row in rows) * 3_600_000
        claims = _claims(tx, self.workspace).values()
        left = sum(row.held * ((self.clock.now() - row.metered_until) / timedelta(milliseconds=1)) for row in claims)
        assert abs(metered + left - self._total(claims)) < 0.01, (metered, left, self._total(claims))

    def _total(self, claims: object) -> float:
        held = sum(row.held for row in cast("list[Claim]", claims))
        return self.accrued + held * ((self.clock.now() - self._since) / timedelta(milliseconds=1))

    def _tell(self, problems: list[str]) -> None:
        self.broken += problems
        assert not problems, problems

    def _problems(
        self,
        tx: Transaction,
        before: Held,
        after: Held,
        earlier: Mapping[str, Queue],
        begun_before: Mapping[tuple[InstanceId, str], int],
        begun: Mapping[tuple[InstanceId, str], int],
    ) -> list[str]:
        now = self.clock.now()
        self.accrued += sum(row.held for row in before.values()) * ((now - self._since) / timedelta(milliseconds=1))
        self._since = now
        assert self.workspace is not None
        queues = _queues(tx, self.workspace)
        found = []
        old, new = _sums(before, earlier), _sums(after, queues)
        self.admitted += sum(
            max(0, row.held - (before[key].held if key in before else 0)) for key, row in after.items()
        )
        for name, queue in queues.items():
            if _charge(queue.held) != new[name]:
                found.append(f"the row of {name} says {queue.held}, its claims {new[name]}")
            found += _beyond(name, Limit.of(queue.maximum), old.get(name, Charge()), new[name])
        if ROOT in queues:
            most = Limit.of(queues[ROOT].maximum)
            found += _beyond("the workspace", most, _all(old.values()), _all(new.values()))
            if {name: row.minimum for name, row in earlier.items()} == {
                name: row.minimum for name, row in queues.items()
            }:
                kept_before = _all(_kept(row, old[row.name]) for row in earlier.values())
                found += _beyond(
                    "the guarantees", most, kept_before, _all(_kept(row, new[row.name]) for row in queues.values())
                )
        for key, nodes in begun.items():
            held = after[key].held if key in after else 0
            if nodes > held and begun_before.get(key, 0) > held:
                found.append(f"{nodes} nodes of {key} were begun, {held} are held")
        return found

    def _begun(self) -> dict[tuple[InstanceId, str], int]:
        """Nodes with a process, by run and group. The world goes on in another thread."""
        while True:
            try:
                found: dict[tuple[InstanceId, str], int] = {}
                for instance, known in list(self.world.instances.items()):
                    for node in list(known.nodes.values()):
                        if node.state is not NodeState.PENDING:
                            key = (instance, HEAD if node.kind == "head" else node.group)
                            found[key] = found.get(key, 0) + 1
                return found
            except RuntimeError:
                continue


class WatchedStore:
    """A store whose transactions are watched."""

    def __init__(self, store: Store, watch: QuotaWatch) -> None:
        self._store = store
        self._watch = watch

    def derived_key(self, purpose: str) -> bytes:
        return self._store.derived_key(purpose)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self._store.read(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        return await self._store.write(self._watch.checked(work))

    @property
    def as_store(self) -> Store:
        return cast(Store, self)


def _claims(tx: Transaction, workspace: WorkspaceId) -> Held:
    rows = [*tx.claims.holders(workspace, None, limit=EVERYTHING), *tx.claims.lacking(workspace)]
    return {(row.instance, row.group): row for row in rows}


def _queues(tx: Transaction, workspace: WorkspaceId) -> dict[str, Queue]:
    return {row.name: row for row in tx.queues.list(workspace)}


def _sums(claims: Held, queues: Mapping[str, Queue]) -> dict[str, Charge]:
    found = dict.fromkeys(queues, Charge())
    for row in claims.values():
        found[row.queue] = found.get(row.queue, Charge()) + row.node * row.held
    return found


def _beyond(what: str, most: Limit, before: Charge, after: Charge) -> list[str]:
    """Growth past a limit; what was past it already may stay."""
    rows = zip(_values(before), _values(after), (most.milli_cpu, most.memory, most.gpu), strict=True)
    passed = [(old, new, limit) for old, new, limit in rows if limit is not None and new > limit and new > old]
    return [f"{what}: grew from {old} to {new}, {limit} are allowed" for old, new, limit in passed]


def _kept(queue: Queue, held: Charge) -> Charge:
    sure = Charge() if queue.name == ROOT else _charge(queue.minimum)
    return Charge(*map(max, _values(held), _values(sure)))


def _charge(amount: Amount) -> Charge:
    return Charge(int((amount.cpu or 0) * 1000), amount.memory or 0, amount.gpu or 0)


def _all(charges: object) -> Charge:
    total = Charge()
    for row in cast("list[Charge]", charges):
        total = total + row
    return total


def _values(charge: Charge) -> tuple[int, int, int]:
    return charge.milli_cpu, charge.memory, charge.gpu
