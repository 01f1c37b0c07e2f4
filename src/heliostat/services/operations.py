"""Operations: look at them, wait for them, forget or cancel them. They are opened by the use cases on clusters."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from heliostat.domain.errors import Conflict, NotFound
from heliostat.domain.ids import ClusterId, OperationId, WorkspaceId, new_operation_id
from heliostat.domain.operations import Failure, Kind, Operation
from heliostat.domain.records import Cluster, Instance, Role
from heliostat.domain.states import State, Wanted
from heliostat.store import Store, Transaction

from .caller import Caller, authorise
from .cluster_steps import remove
from .news import News
from .seams import Clock, Wake

LOOK_SECONDS = 1.0
"""Between two looks of one who waits: another server's loop may have ended what is waited for."""


@dataclass(frozen=True)
class Track:
    """Have a change of a cluster be an operation."""

    label: Mapping[str, str] = field(default_factory=dict)
    """What the dialect needs to name it."""
    id: OperationId = field(default_factory=new_operation_id)


@dataclass(frozen=True)
class OperationView:
    """An operation with what there is of its cluster."""

    operation: Operation
    cluster: Cluster | None = None
    """None when it is gone."""
    instance: Instance | None = None


def open_operation(
    tx: Transaction, track: Track, kind: Kind, record: Cluster, caller: Caller, now: datetime, *, ended: bool = False
) -> None:
    """Store an operation for the change that this transaction makes; ``record`` is the cluster after it.

    ``ended``: there was nothing to do.
    """
    tx.operations.add(
        Operation(
            track.id, record.workspace, record.id, kind, caller.principal.id, now, record.generation, record.spec,
            record.created_at, track.label, now if ended else None,
        )
    )  # fmt: skip


def check_idle(tx: Transaction, record: Cluster) -> None:
    """Raises Conflict unless the cluster runs and no operation on it is under way."""
    if record.state is not State.RUNNING or record.wanted is not Wanted.RUNNING:
        raise Conflict(f"{record.spec.name} is {record.state}; it must be Running for this")
    going_on = tx.operations.open(record.id)
    if going_on:
        raise Conflict(f"the {going_on[0].kind} of {record.spec.name} is still under way (operation {going_on[0].id})")


class OperationService:
    """Every method may raise NotFound (workspace, operation) and Forbidden."""

    def __init__(self, store: Store, clock: Clock, wake: Wake, news: News) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake
        self._news = news

    async def get(self, caller: Caller, workspace: WorkspaceId, id: OperationId) -> OperationView:
        def work(tx: Transaction) -> OperationView:
            authorise(tx, caller, workspace, Role.VIEWER, "see operations")
            found = tx.operations.get(workspace, id)
            if found is None:
                raise NotFound("operation", id)
            present = tx.clusters.get_with_instance(workspace, found.cluster)
            return OperationView(found) if present is None else OperationView(found, *present)

        return await self._store.read(work)

    async def list(
        self,
        caller: Caller,
        workspace: WorkspaceId,
        *,
        limit: int,
        cluster: ClusterId | None = None,
        before: OperationId | None = None,
        open: bool | None = None,
    ) -> Sequence[OperationView]:
        """Newest first; ``before`` continues after that one."""

        def work(tx: Transaction) -> Sequence[OperationView]:
            authorise(tx, caller, workspace, Role.VIEWER, "see operations")
            rows = tx.operations.page(workspace, limit=limit, cluster=cluster, before=before, open=open)
            clusters = {row.cluster for row in rows}
            known = {cluster: tx.clusters.get_with_instance(workspace, cluster) for cluster in clusters}
            return [OperationView(row, *(known[row.cluster] or (None, None))) for row in rows]

        return await self._store.read(work)

    async def open_of(
        self, caller: Caller, workspace: WorkspaceId, clusters: Sequence[ClusterId]
    ) -> Mapping[ClusterId, Operation]:
        """The operation that is under way on each of these clusters, where there is one: the newest."""

        def work(tx: Transaction) -> Mapping[ClusterId, Operation]:
            authorise(tx, caller, workspace, Role.VIEWER, "see operations")
            return {row.cluster: row for row in tx.operations.open_among(clusters) if row.workspace == workspace}

        return await self._store.read(work)

    async def wait(self, caller: Caller, workspace: WorkspaceId, id: OperationId, seconds: float) -> OperationView:
        """The operation when it has ended, or after ``seconds``."""
        now = asyncio.get_running_loop().time
        deadline = now() + seconds
        while True:
            view = await self.get(caller, workspace, id)
            left = deadline - now()
            if not view.operation.open or left <= 0:
                return view
            await self._news.wait(view.operation.cluster, min(LOOK_SECONDS, left))

    async def changed(self, cluster: ClusterId, seconds: float) -> None:
        """Wait until something may have changed of a cluster, at most ``seconds``."""
        await self._news.wait(cluster, seconds)

    async def forget(self, caller: Caller, workspace: WorkspaceId, id: OperationId) -> None:
        """Remove the record of one that has ended. Raises Conflict while it goes on."""

        def work(tx: Transaction) -> None:
            authorise(tx, caller, workspace, Role.EDITOR, "remove operations")
            found = tx.operations.get(workspace, id)
            if found is None:
                raise NotFound("operation", id)
            if found.open:
                raise Conflict(f"the operation {id} is under way; it can be removed when it has ended")
            tx.operations.remove(id)

        await self._store.write(work)

    async def cancel(self, caller: Caller, workspace: WorkspaceId, id: OperationId) -> None:
        """Take back what an operation asked for, where that is possible: a cluster that is being made is removed.

        Others go on, which a client sees from the operation itself.
        """

        def work(tx: Transaction) -> ClusterId | None:
            now = self._clock.now()
            authorise(tx, caller, workspace, Role.EDITOR, "cancel operations")
            found = tx.operations.get(workspace, id)
            if found is None:
                raise NotFound("operation", id)
            if not found.open or found.kind is not Kind.CREATE:
                return None
            record = tx.clusters.lock(found.cluster)
            if record is None or record.deleted_at or record.wanted is Wanted.DELETED:
                return None
            tx.operations.end(replace(found, ended_at=now, failure=Failure.CANCELLED, message="it was cancelled"))
            remove(tx, record, caller.principal.name, now)
            return record.id

        cluster = await self._store.write(work)
        if cluster is not None:
            self._wake(cluster)
