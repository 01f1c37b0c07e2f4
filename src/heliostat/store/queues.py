"""Queues in the database."""

from __future__ import annotations

import builtins
from decimal import Decimal

import orjson
from sqlalchemy import BigInteger, Connection, bindparam, cast, delete, func, select, update

from ..domain.errors import AlreadyExists, NotFound
from ..domain.ids import WorkspaceId
from ..domain.records import Amount, Queue
from .codec import dump
from .schema import claims, queues
from .statements import AnyRow, Values, changed, insert_new

_Q = queues.c
_HELD = select(
    *(
        cast(func.sum(claims.c[f"node_{name}"] * claims.c.held), BigInteger).label(name)
        for name in ("cpu", "memory", "gpu")
    )
).where(claims.c.workspace == bindparam("place"), claims.c.queue == bindparam("queue"))


class Queues:
    """The repository of queues."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, queue: Queue) -> None:
        """Raises AlreadyExists when the workspace has a queue of that name.

        What claims hold of an earlier queue of that name, which can be left of a start that met its deletion, counts.
        """
        values = {"workspace": queue.workspace, "name": queue.name, **_values(queue)}
        held = self._connection.execute(_HELD, {"place": queue.workspace, "queue": queue.name}).one()
        values |= {"held_cpu": held.cpu or 0, "held_memory": held.memory or 0, "held_gpu": held.gpu or 0}
        if not insert_new(self._connection, queues, values):
            raise AlreadyExists("queue", queue.name)

    def get(self, workspace: WorkspaceId, name: str) -> Queue | None:
        query = select(queues).where(_Q.workspace == workspace, _Q.name == name)
        row = self._connection.execute(query).first()
        return None if row is None else _queue(row)

    def list(self, workspace: WorkspaceId) -> builtins.list[Queue]:
        """All of a workspace, by name."""
        query = select(queues).where(_Q.workspace == workspace).order_by(_Q.name)
        return [_queue(row) for row in self._connection.execute(query)]

    def save(self, queue: Queue) -> None:
        """Replaces all fields but workspace, name and what is held of it. Raises NotFound."""
        statement = update(queues).where(_Q.workspace == queue.workspace, _Q.name == queue.name)
        if not changed(self._connection, statement.values(_values(queue))):
            raise NotFound("queue", queue.name)

    def delete(self, workspace: WorkspaceId, name: str) -> bool:
        """Whether there was one. That nothing is charged to it any more is the caller's to check."""
        return changed(self._connection, delete(queues).where(_Q.workspace == workspace, _Q.name == name))

    def lock(self, workspace: WorkspaceId) -> dict[str, Queue]:
        """All of a workspace, kept from other writers until this transaction ends. Lock before claims and events."""
        query = select(queues).where(_Q.workspace == workspace).order_by(_Q.name).with_for_update()
        return {row.name: _queue(row) for row in self._connection.execute(query)}


def _values(queue: Queue) -> Values:
    return {
        "created_at": queue.created_at,
        "creator": queue.creator,
        "description": queue.description,
        "priority": queue.priority,
        "backfill": queue.backfill,
        "extras": dump(dict(queue.extras)) if queue.extras else "",
        **_amount_values("minimum", queue.minimum),
        **_amount_values("maximum", queue.maximum),
    }


def _amount_values(prefix: str, amount: Amount) -> Values:
    return {
        f"{prefix}_cpu": None if amount.cpu is None else str(amount.cpu),
        f"{prefix}_memory": amount.memory,
        f"{prefix}_gpu": amount.gpu,
    }


def _queue(row: AnyRow) -> Queue:
    return Queue(
        workspace=row.workspace,
        name=row.name,
        created_at=row.created_at,
        minimum=_amount(row.minimum_cpu, row.minimum_memory, row.minimum_gpu),
        maximum=_amount(row.maximum_cpu, row.maximum_memory, row.maximum_gpu),
        description=row.description,
        creator=row.creator,
        priority=row.priority,
        backfill=row.backfill,
        held=Amount(Decimal(row.held_cpu) / 1000, row.held_memory, row.held_gpu),
        extras=orjson.loads(row.extras) if row.extras else {},
    )


def _amount(cpu: str | None, memory: int | None, gpu: int | None) -> Amount:
    return Amount(None if cpu is None else Decimal(cpu), memory, gpu)
