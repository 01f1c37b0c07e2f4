"""The queues of a workspace: shares of its capacity. The rules are those of :mod:`heliostat.domain.queue_rules`.

Every change locks the workspace's queues first, as admission does, so that neither decides upon what the other changes;
then admission is woken, since there may be room now.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from heliostat.domain import queue_rules as rules
from heliostat.domain.errors import Conflict, NotFound
from heliostat.domain.ids import ClusterId, InstanceId, JobId, WorkspaceId
from heliostat.domain.quota import ROOT, Charge, Claim, groups
from heliostat.domain.records import Amount, Queue, Role
from heliostat.store import Store, Transaction

from .caller import Caller, authorise
from .seams import Clock, WakeQueues

NAMED_CLUSTERS = 5
"""How many clusters an error names."""
_ROWS = 500
_ALL = 1 << 30
log = structlog.get_logger()


@dataclass(frozen=True)
class QueueView:
    """A queue as a reader sees it."""

    queue: Queue
    used: Amount
    """What counts against its maximum; for the root, what is held of all queues."""
    waiting: int
    """Runs of clusters that wait for nodes charged to it."""
    notes: tuple[str, ...]
    """What is allowed and may surprise."""


@dataclass(frozen=True)
class Holder:
    """A run that holds nodes of a queue."""

    instance: InstanceId
    cluster: ClusterId
    name: str
    """The cluster's; its id when it is gone."""
    job: JobId | None
    """The job that the cluster was made for."""
    nodes: int
    held: Charge
    milli_cu: int
    """Thousandths of compute units."""


class QueueService:
    """The use cases on queues. Every method may raise NotFound (workspace, queue) and Forbidden."""

    def __init__(self, store: Store, clock: Clock, wake: WakeQueues) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake

    async def list(self, caller: Caller, workspace: WorkspaceId) -> builtins.list[QueueView]:
        """All of the workspace, by name."""

        def work(tx: Transaction) -> builtins.list[QueueView]:
            authorise(tx, caller, workspace, Role.VIEWER, "see queues")
            queues = tx.queues.list(workspace)
            return _views(tx, workspace, queues, queues)

        return await self._store.read(work)

    async def get(self, caller: Caller, workspace: WorkspaceId, name: str) -> QueueView:
        def work(tx: Transaction) -> QueueView:
            authorise(tx, caller, workspace, Role.VIEWER, "see queues")
            return _view(tx, workspace, name)

        return await self._store.read(work)

    async def holders(self, caller: Caller, workspace: WorkspaceId, name: str) -> builtins.list[Holder]:
        """The runs that hold nodes charged to the queue, largest first."""

        def work(tx: Transaction) -> builtins.list[Holder]:
            authorise(tx, caller, workspace, Role.VIEWER, "see queues")
            if tx.queues.get(workspace, name) is None:
                raise NotFound("queue", name)
            return _holders(tx, tx.claims.holders(workspace, name, limit=_ALL))

        return await self._store.read(work)

    async def create(self, caller: Caller, workspace: WorkspaceId, wish: Queue) -> QueueView:
        """A new queue. Raises AlreadyExists and InvalidRequest. Time and creator of ``wish`` are set here."""

        def work(tx: Transaction) -> QueueView:
            authorise(tx, caller, workspace, Role.OWNER, "create queues")
            others = tx.queues.lock(workspace)
            queue = replace(
                wish, workspace=workspace, created_at=self._clock.now(), creator=caller.principal.id, held=rules.NOTHING
            )
            rules.check(queue, [row for row in others.values() if row.name != queue.name])
            tx.queues.add(queue)
            return _view(tx, workspace, queue.name)

        view = await self._store.write(work)
        self._changed("queue created", caller, view.queue)
        return view

    async def edit(
        self, caller: Caller, workspace: WorkspaceId, name: str, change: Callable[[Queue], Queue]
    ) -> QueueView:
        """Replace the queue by ``change`` of it, which may not touch its name. Raises InvalidRequest.

        A maximum below what is held is allowed: nothing is ended, and nothing more is let in (see the view's notes).
        ``change`` must be pure: it may run more than once.
        """

        def work(tx: Transaction) -> tuple[QueueView, bool]:
            authorise(tx, caller, workspace, Role.OWNER, "change queues")
            queues = tx.queues.lock(workspace)
            before = queues.get(name)
            if before is None:
                raise NotFound("queue", name)
            after = change(before)
            if after == before:
                return _view(tx, workspace, name), False
            rules.check(after, [row for row in queues.values() if row.name != name])
            tx.queues.save(after)
            return _view(tx, workspace, name), True

        view, changed = await self._store.write(work)
        if changed:
            self._changed("queue changed", caller, view.queue)
        return view

    async def delete(self, caller: Caller, workspace: WorkspaceId, name: str) -> None:
        """Raises Conflict while anything holds or waits for nodes of it, or a cluster's definition names it."""

        def work(tx: Transaction) -> Queue:
            authorise(tx, caller, workspace, Role.OWNER, "delete queues")
            if name == ROOT:
                raise Conflict(f"{ROOT} stands for its whole workspace and cannot be deleted")
            queue = tx.queues.lock(workspace).get(name)
            if queue is None:
                raise NotFound("queue", name)
            if tx.claims.any_in(workspace, name):
                raise Conflict(f"queue {name} is in use{_by(_holding(tx, workspace, name))}; stop what uses it first")
            naming = _naming(tx, workspace, name)
            if naming:
                raise Conflict(
                    f"queue {name} is named by the definition of {_names(naming)}; have them name another one, or delete "
                    "them, first"
                )
            tx.queues.delete(workspace, name)
            return queue

        self._changed("queue deleted", caller, await self._store.write(work))

    def _changed(self, what: str, caller: Caller, queue: Queue) -> None:
        log.info(
            what, workspace=queue.workspace, queue=queue.name, principal=caller.principal.name, request=caller.request,
            minimum=_plain(queue.minimum), maximum=_plain(queue.maximum), priority=queue.priority, backfill=queue.backfill,
        )  # fmt: skip
        self._wake(queue.workspace)


def _view(tx: Transaction, workspace: WorkspaceId, name: str) -> QueueView:
    queues = tx.queues.list(workspace)
    found = [queue for queue in queues if queue.name == name]
    if not found:
        raise NotFound("queue", name)
    return _views(tx, workspace, found, queues)[0]


def _views(tx: Transaction, workspace: WorkspaceId, shown: Sequence[Queue], queues: Sequence[Queue]) -> list[QueueView]:
    waiting: dict[str, set[InstanceId]] = {}
    for claim in tx.claims.lacking(workspace):
        if claim.missing:
            waiting.setdefault(claim.queue, set()).add(claim.instance)
    return [
        QueueView(queue, rules.used(queue, queues), len(waiting.get(queue.name, ())), tuple(rules.notes(queue, queues)))
        for queue in shown
    ]


def _holders(tx: Transaction, claims: Sequence[Claim]) -> list[Holder]:
    runs: dict[InstanceId, list[Claim]] = {}
    for claim in claims:
        runs.setdefault(claim.instance, []).append(claim)
    found = []
    for instance, rows in runs.items():
        cluster = tx.clusters.find_any(rows[0].cluster)
        held = Charge()
        for claim in rows:
            held = held + claim.node * claim.held
        found.append(
            Holder(
                instance=instance,
                cluster=rows[0].cluster,
                name=rows[0].cluster if cluster is None else cluster.spec.name,
                job=None if cluster is None else cluster.job,
                nodes=sum(claim.held for claim in rows),
                held=held,
                milli_cu=sum(claim.node.milli_cu * claim.held for claim in rows),
            )
        )
    return sorted(found, key=lambda row: (-row.milli_cu, row.instance))


def _holding(tx: Transaction, workspace: WorkspaceId, name: str) -> list[str]:
    """Names of clusters whose runs hold or wait for nodes of the queue."""
    claims = [*tx.claims.holders(workspace, name, limit=_ROWS), *tx.claims.lacking(workspace)]
    clusters = dict.fromkeys(claim.cluster for claim in claims if claim.queue == name)
    found = (tx.clusters.find_any(cluster) for cluster in clusters)
    return [cluster.spec.name for cluster in found if cluster is not None]


def _naming(tx: Transaction, workspace: WorkspaceId, name: str) -> list[str]:
    """Names of clusters, also of those made for jobs, whose stored definition names the queue; enough for an error.

    Definitions are stored as a whole, so this reads those of the workspace one page after the other; it is rare.
    """
    found: list[str] = []
    last: ClusterId | None = None
    while len(found) <= NAMED_CLUSTERS:
        page = tx.clusters.page(workspace, limit=_ROWS, before=last, temporary=True)
        found += [row.spec.name for row in page if name in {queue for queue, _, _ in groups(row.spec, {}).values()}]
        if len(page) < _ROWS:
            break
        last = page[-1].id
    return found


def _by(names: Sequence[str]) -> str:
    return f" by {_names(names)}" if names else ""


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED_CLUSTERS])
    return f"{shown} and others" if len(names) > NAMED_CLUSTERS else shown


def _plain(amount: Amount) -> dict[str, str]:
    return {name: str(value) for name, value in vars(amount).items() if value is not None}
