"""Operations in the database. They outlive their clusters, so nothing refers to those by foreign key."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Sequence
from datetime import datetime

import orjson
from sqlalchemy import Connection, and_, bindparam, delete, or_, select, update

from ..domain.errors import AlreadyExists, InvalidRequest, NotFound
from ..domain.ids import ClusterId, OperationId, WorkspaceId
from ..domain.operations import Failure, Kind, Operation
from .codec import decode_spec, dump, encode_spec
from .schema import operations
from .shared import Shared
from .statements import AnyRow, batches, changed, insert_new

_O = operations.c
_FIND = select(operations).where(_O.id == bindparam("operation"))
_OPEN = select(operations).where(_O.cluster == bindparam("cluster"), _O.ended_at.is_(None))
"""Put into order elsewhere, so that the index of the few that are open serves it and not that of all."""
_OPEN_AMONG = select(operations).where(_O.cluster.in_(bindparam("clusters", expanding=True)), _O.ended_at.is_(None))
_BUSY = select(_O.cluster).where(_O.ended_at.is_(None)).distinct()
_END = update(operations).where(_O.id == bindparam("operation"), _O.ended_at.is_(None))


class Operations:
    """The repository of operations."""

    def __init__(self, connection: Connection, shared: Shared) -> None:
        self._connection = connection
        self._shared = shared

    def add(self, operation: Operation) -> None:
        """Raises AlreadyExists when there is one with the id."""
        values = {
            "id": operation.id,
            "workspace": operation.workspace,
            "cluster": operation.cluster,
            "kind": operation.kind,
            "creator": operation.creator,
            "created_at": operation.created_at,
            "generation": operation.generation,
            "cluster_created_at": operation.cluster_created_at,
            "label": dump(dict(operation.label)),
            "ended_at": operation.ended_at,
            "failure": operation.failure,
            "message": operation.message,
            "spec": encode_spec(operation.spec, self._shared.sealer, operation.cluster),
        }
        if not insert_new(self._connection, operations, values):
            raise AlreadyExists("operation", operation.id)

    def get(self, workspace: WorkspaceId, id: OperationId) -> Operation | None:
        row = self._connection.execute(_FIND, {"operation": id}).first()
        return None if row is None or row.workspace != workspace else self._operation(row)

    def open(self, cluster: ClusterId) -> builtins.list[Operation]:
        """Those of a cluster that have not ended, oldest first."""
        return self._in_order(self._connection.execute(_OPEN, {"cluster": cluster}))

    def open_among(self, clusters: Sequence[ClusterId]) -> builtins.list[Operation]:
        """The same for many clusters."""
        found: builtins.list[AnyRow] = []
        for some in batches(clusters, 500):
            found += self._connection.execute(_OPEN_AMONG, {"clusters": some}).all()
        return self._in_order(found)

    def busy(self) -> builtins.list[ClusterId]:
        """The clusters that have one that has not ended."""
        return [ClusterId(id) for id in self._connection.execute(_BUSY).scalars()]

    def page(
        self,
        workspace: WorkspaceId,
        *,
        limit: int,
        cluster: ClusterId | None = None,
        before: OperationId | None = None,
        open: bool | None = None,
    ) -> builtins.list[Operation]:
        """Newest first, following on ``before`` of an earlier page. Raises InvalidRequest when that is not there."""
        query = select(operations).where(_O.workspace == workspace)
        if cluster is not None:
            query = query.where(_O.cluster == cluster)
        if open is not None:
            query = query.where(_O.ended_at.is_(None) if open else _O.ended_at.is_not(None))
        if before is not None:
            known = select(_O.created_at).where(_O.id == before, _O.workspace == workspace)
            last = self._connection.execute(known).first()
            if last is None:
                raise InvalidRequest("continues after an operation that does not exist", path="before")
            query = query.where(
                or_(_O.created_at < last.created_at, and_(_O.created_at == last.created_at, _O.id < before))
            )
        query = query.order_by(_O.created_at.desc(), _O.id.desc()).limit(limit)
        return [self._operation(row) for row in self._connection.execute(query)]

    def end(self, operation: Operation) -> None:
        """Write down how an open one has ended. Raises NotFound when it is not there or has ended before."""
        values = {
            "operation": operation.id,
            "ended_at": operation.ended_at,
            "failure": operation.failure,
            "message": operation.message,
        }
        if not changed(self._connection, _END, values):
            raise NotFound("open operation", operation.id)

    def remove(self, id: OperationId) -> None:
        self._connection.execute(delete(operations).where(_O.id == id))

    def remove_before(self, ended: datetime, *, limit: int) -> int:
        """Remove those that ended before; says how many."""
        old = select(_O.id).where(_O.ended_at < ended).order_by(_O.ended_at).limit(limit)
        ids = [row.id for row in self._connection.execute(old)]
        if ids:
            self._connection.execute(delete(operations).where(_O.id.in_(ids)))
        return len(ids)

    def _in_order(self, rows: Iterable[AnyRow]) -> builtins.list[Operation]:
        """Oldest first. Nothing can follow a deletion, so of the same moment that is the last."""
        found = [self._operation(row) for row in rows]
        return sorted(found, key=lambda row: (row.created_at, row.kind is Kind.DELETE, row.id))

    def _operation(self, row: AnyRow) -> Operation:
        return Operation(
            id=row.id,
            workspace=row.workspace,
            cluster=row.cluster,
            kind=Kind(row.kind),
            creator=row.creator,
            created_at=row.created_at,
            generation=row.generation,
            spec=decode_spec(row.spec, self._shared.sealer, row.cluster),
            cluster_created_at=row.cluster_created_at,
            label=orjson.loads(row.label),
            ended_at=row.ended_at,
            failure=None if row.failure is None else Failure(row.failure),
            message=row.message,
        )
