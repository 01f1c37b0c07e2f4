"""Leases: which server works on what, so that two servers on one database never do the same work at once.

A lease that is not renewed ends by itself. Servers compare it with their own clocks, so it must be given for longer
than their clocks may differ.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, or_, select

from .schema import Instant, Words, leases
from .statements import changed, upsert

_L = leases.c
_OURS_OR_OVER = or_(_L.until <= bindparam("now", type_=Instant), _L.holder == bindparam("me", type_=Words))

_OTHERS = select(_L.key).where(
    _L.key == bindparam("key", type_=Words),
    _L.holder != bindparam("me", type_=Words),
    _L.until > bindparam("now", type_=Instant),
)


class Leases:
    """The repository of leases."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def acquire(self, key: str, holder: str, now: datetime, until: datetime) -> bool:
        """Takes the lease or renews our own. False while another holder's lasts."""
        statement = upsert(leases, self._connection.dialect.name, _OURS_OR_OVER)
        values = {"key": key, "holder": holder, "until": until, "now": now, "me": holder}
        return changed(self._connection, statement, values)

    def others(self, key: str, holder: str, now: datetime) -> bool:
        """Whether another holder's lease lasts: a look that costs no write."""
        return self._connection.execute(_OTHERS, {"key": key, "me": holder, "now": now}).first() is not None

    def release(self, key: str, holder: str) -> None:
        """Gives our own back; another's stays."""
        self._connection.execute(delete(leases).where(_L.key == key, _L.holder == holder))

    def release_all(self, holder: str) -> None:
        """At a clean shutdown, and at a start under the same name."""
        self._connection.execute(delete(leases).where(_L.holder == holder))
