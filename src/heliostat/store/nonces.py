"""Nonces of signed requests, remembered for as long as the signature would be accepted again.

This is on the way of every signed request, so a nonce is kept as 16 bytes of a hash and one statement both looks and
writes. It is in the database rather than in memory, because a restart must not make an old request acceptable again.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, select

from .schema import nonces
from .statements import changed, upsert

_N = nonces.c
_SWEEP_EVERY = 32
_SWEEP_ROWS = 128


class Nonces:
    """The repository of nonces."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._calls = 0
        self._remember = upsert(
            nonces, connection.dialect.name, [_N.digest], _N.expires_at <= bindparam("now", type_=_N.expires_at.type)
        )

    def remember(self, key: str, nonce: str, now: datetime, keep: timedelta) -> bool:
        """False when this ``nonce`` of this ``key`` was remembered before and not for longer than that one's ``keep``.

        Every 32nd call on a connection drops up to 128 expired rows, more than can have come in between.
        """
        text = f"{len(key)}:{key}:{nonce}".encode("utf-8", "replace")
        digest = hashlib.blake2b(text, digest_size=16).digest()
        values = {"digest": digest, "expires_at": now + keep, "now": now}
        fresh = changed(self._connection, self._remember, values)
        self._calls += 1
        if self._calls % _SWEEP_EVERY == 0:
            expired = select(_N.digest).where(_N.expires_at <= now).limit(_SWEEP_ROWS)
            self._connection.execute(delete(nonces).where(_N.digest.in_(expired.with_for_update(skip_locked=True))))
        return fresh
