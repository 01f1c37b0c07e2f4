"""Nonces of signed requests, remembered for as long as the signature would be accepted again.

This is on the way of every signed request, so a nonce is kept as 16 bytes of a hash and one statement both looks and
writes. It is in the database rather than in memory, because a restart must not make an old request acceptable again.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, select

from .schema import Instant, nonces
from .statements import changed, upsert

_N = nonces.c
_EXPIRED = _N.expires_at <= bindparam("now", type_=Instant)
_SWEEP_EVERY = 32
_SWEEP_ROWS = 128
_SWEEP = delete(nonces).where(
    _N.digest.in_(select(_N.digest).where(_EXPIRED).limit(_SWEEP_ROWS).with_for_update(skip_locked=True))
)


class Nonces:
    """The repository of nonces."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._calls = 0

    def remember(self, key: str, nonce: str, now: datetime, keep: timedelta) -> bool:
        """False when this ``nonce`` of this ``key`` was remembered before and not for longer than that one's ``keep``.

        Every 32nd call on a connection drops up to 128 expired rows, more than can have come in between.
        """
        text = f"{len(key)}:{key}:{nonce}".encode("utf-8", "replace")
        digest = hashlib.blake2b(text, digest_size=16).digest()
        values = {"digest": digest, "expires_at": now + keep, "now": now}
        fresh = changed(self._connection, upsert(nonces, self._connection.dialect.name, _EXPIRED), values)
        self._calls += 1
        if self._calls % _SWEEP_EVERY == 0:
            self._connection.execute(_SWEEP, {"now": now})
        return fresh
