"""The ledger of usage: what was held of queues, summed up by the hour.

It grows with the claims: whenever one changes, and now and then while it does not, what it held since it was last
metered is added to its hours in the same transaction. So nothing is counted twice or lost, whenever a server dies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import Connection, delete, func, select, tuple_
from sqlalchemy.sql.dml import Insert

from ..domain.ids import ClusterId, WorkspaceId
from ..domain.quota import Claim, Phase
from .schema import usage_hours
from .statements import Values, insert_for

_U = usage_hours.c
_SUMMED = ("node_ms", "cpu", "memory", "gpu", "cu")
_HOUR = timedelta(hours=1)
_MILLISECOND = timedelta(milliseconds=1)
_MS_PER_HOUR = 3_600_000
GROUPINGS = ("queue", "cluster", "principal", "hour")
"""What usage can be listed by, beside its phase."""


@dataclass(frozen=True)
class UsageRow:
    """A sum of usage. Hours are of wall-clock time, e.g. 2 cores for half an hour are one CPU-hour."""

    keys: tuple[str, ...]
    """Values of the groupings that were asked for; hours as ISO 8601 in UTC."""
    phase: Phase
    node_hours: float
    cpu_hours: float
    memory_gib_hours: float
    gpu_hours: float
    cu_hours: float


class Ledger:
    """The repository of usage."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, claim: Claim, until: datetime) -> None:
        """What the claim held since it was last metered. The caller stores the claim with its new time."""
        if claim.held and until > claim.metered_until:
            statement = _add(self._connection.dialect.name)
            self._connection.execute(statement, list(_rows(claim, until)))

    def workspaces_before(self, time: datetime) -> list[WorkspaceId]:
        """Which have sums of hours that ended before."""
        query = select(_U.workspace).where(_U.hour <= time - _HOUR).distinct()
        return [WorkspaceId(id) for id in self._connection.execute(query).scalars()]

    def remove_before(self, workspace: WorkspaceId, time: datetime, *, limit: int) -> int:
        """Removes up to ``limit`` sums of hours that ended before; says how many."""
        keys = list(usage_hours.primary_key.columns)
        old = select(*keys).where(_U.workspace == workspace, _U.hour <= time - _HOUR).limit(limit)
        return self._connection.execute(delete(usage_hours).where(tuple_(*keys).in_(old))).rowcount

    def sums(
        self,
        workspace: WorkspaceId,
        *,
        since: datetime,
        until: datetime,
        by: Sequence[str] = (),
        queue: str | None = None,
        cluster: ClusterId | None = None,
    ) -> list[UsageRow]:
        """Sums over the hours that begin before ``until`` and end after ``since``, by phase and ``by`` (:data:`GROUPINGS`)."""
        keys = [_U[name] for name in by]
        summed = [func.sum(_U[name]).label(name) for name in _SUMMED]
        query = select(*keys, _U.phase, *summed).where(_U.workspace == workspace, _U.hour > since - _HOUR)
        query = query.where(_U.hour < until)
        if queue is not None:
            query = query.where(_U.queue == queue)
        if cluster is not None:
            query = query.where(_U.cluster == cluster)
        query = query.group_by(*keys, _U.phase).order_by(*keys, _U.phase)
        return [
            UsageRow(
                tuple(key.isoformat() if isinstance(key, datetime) else key for key in row[: len(keys)]),
                Phase(row.phase),
                float(row.node_ms) / _MS_PER_HOUR,
                float(row.cpu) / 1000 / _MS_PER_HOUR,
                float(row.memory) / 1024 / _MS_PER_HOUR,
                float(row.gpu) / _MS_PER_HOUR,
                float(row.cu) / 1000 / _MS_PER_HOUR,
            )
            for row in self._connection.execute(query)
        ]


def _rows(claim: Claim, until: datetime) -> Iterator[Values]:
    begin = claim.metered_until
    while begin < until:
        hour = begin.replace(minute=0, second=0, microsecond=0)
        end = min(until, hour + _HOUR)
        node_ms = ((end - begin) // _MILLISECOND) * claim.held
        yield {
            "workspace": claim.workspace,
            "hour": hour,
            "queue": claim.queue,
            "cluster": claim.cluster,
            "principal": claim.principal,
            "phase": claim.phase,
            "node_ms": node_ms,
            "cpu": node_ms * claim.node.milli_cpu,
            "memory": node_ms * (claim.node.memory >> 20),
            "gpu": node_ms * claim.node.gpu,
            "cu": node_ms * claim.node.milli_cu,
        }
        begin = end


@cache
def _add(dialect: str) -> Insert:
    statement = insert_for(dialect)(usage_hours)
    added = {name: _U[name] + statement.excluded[name] for name in _SUMMED}
    return statement.on_conflict_do_update(index_elements=list(usage_hours.primary_key.columns), set_=added)
