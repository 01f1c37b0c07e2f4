"""Events in the database: append-only, read in pages by their growing ids.

A reader that follows events remembers the last id it saw, so an id must never become visible after a higher one. SQLite
has one writer and thus no such case; on PostgreSQL, transactions that add events to one workspace take turns from the
first event to their end.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, func, not_, select

from ..domain.ids import ClusterId, JobId, WorkspaceId
from ..domain.records import Event
from .schema import events, instances
from .statements import AnyRow, insert_new

_E = events.c


class Events:
    """The repository of events."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, event: Event) -> bool:
        """Stores it under a new id. False when the cluster has an event with this ``key``: nothing is stored."""
        if self._connection.dialect.name == "postgresql":
            turn = func.pg_advisory_xact_lock(func.hashtextextended(f"heliostat events {event.workspace}", 0))
            self._connection.execute(select(turn))
        return insert_new(
            self._connection,
            events,
            {
                "cluster": event.cluster,
                "workspace": event.workspace,
                "instance": event.instance,
                "at": event.at,
                "actor": event.actor,
                "reason": event.reason,
                "message": event.message,
                "warning": event.warning,
                "key": event.key,
                "job": event.job,
            },
        )

    def page(
        self, cluster: ClusterId, *, limit: int, before: int | None = None, after: int | None = None
    ) -> list[Event]:
        """Newest first, also of a purged cluster. ``before`` and ``after`` are ids, both exclusive.

        With ``after`` the oldest of the newer ones come first, so that a follower misses nothing.
        """
        return self._page(_E.cluster == cluster, limit, before, after)

    def of_job(self, job: JobId, *, limit: int, before: int | None = None, after: int | None = None) -> list[Event]:
        """As :meth:`page`, of one job."""
        return self._page(_E.job == job, limit, before, after)

    def remove_before(self, time: datetime, *, limit: int) -> int:
        """Removes up to ``limit`` events that are older, whatever they are about; says how many.

        What an instance that still runs has reported stays: engines report it again, and by its key it is known.
        """
        running = select(instances.c.id).where(instances.c.ended_at.is_(None))
        reported = and_(_E.key.is_not(None), _E.instance.is_not(None), _E.instance.in_(running))
        old = select(_E.id).where(_E.at < time, not_(reported)).order_by(_E.id).limit(limit)
        return self._connection.execute(delete(events).where(_E.id.in_(old))).rowcount

    def remove_of_job(self, job: JobId) -> None:
        """All that happened to a job whose record goes."""
        self._connection.execute(delete(events).where(_E.job == job))

    def of_workspace(
        self, workspace: WorkspaceId, *, limit: int, before: int | None = None, after: int | None = None
    ) -> list[Event]:
        """As :meth:`page`, of all clusters of a workspace."""
        return self._page(_E.workspace == workspace, limit, before, after)

    def _page(self, whose: ColumnElement[bool], limit: int, before: int | None, after: int | None) -> list[Event]:
        query = select(events).where(whose).limit(limit)
        if before is not None:
            query = query.where(_E.id < before)
        if after is not None:
            query = query.where(_E.id > after)
        query = query.order_by(_E.id.desc() if after is None else _E.id)
        return [_event(row) for row in self._connection.execute(query)]


def _event(row: AnyRow) -> Event:
    return Event(
        cluster=row.cluster,
        workspace=row.workspace,
        at=row.at,
        actor=row.actor,
        reason=row.reason,
        message=row.message,
        warning=row.warning,
        instance=row.instance,
        key=row.key,
        id=row.id,
        job=row.job,
    )
