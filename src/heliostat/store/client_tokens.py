"""Client tokens: how a client repeats a request after a lost reply without doing the thing twice."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, select

from ..domain.errors import IdempotencyMismatch
from ..domain.ids import PrincipalId
from .schema import Instant, client_tokens
from .statements import changed, upsert

_T = client_tokens.c
_SWEEP_ROWS = 16
_EXPIRED = _T.expires_at <= bindparam("now", type_=Instant)
_SWEEP = select(_T.principal, _T.token).where(_EXPIRED).limit(_SWEEP_ROWS).with_for_update(skip_locked=True)


class ClientTokens:
    """The repository of client tokens. Each principal has tokens of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def remember(
        self, principal: PrincipalId, token: str, action: str, target: str, now: datetime, keep: timedelta
    ) -> str | None:
        """None when the token is new: do it. Else the target for which it is remembered: compare, and answer as then.

        Raises IdempotencyMismatch when it is remembered for another action. Also drops up to 16 expired rows.
        """
        values = {
            "principal": principal,
            "token": token,
            "action": action,
            "target": target,
            "expires_at": now + keep,
            "now": now,
        }
        self._sweep(now)
        statement = upsert(client_tokens, self._connection.dialect.name, _EXPIRED)
        if changed(self._connection, statement, values):
            return None
        query = select(_T.action, _T.target).where(_T.principal == principal, _T.token == token)
        earlier = self._connection.execute(query).one()
        if earlier.action != action:
            raise IdempotencyMismatch(
                f"the client token was used for {earlier.action} of {earlier.target}; use a new one for {action}"
            )
        remembered: str = earlier.target
        return remembered

    def _sweep(self, now: datetime) -> None:
        for row in self._connection.execute(_SWEEP, {"now": now}).all():
            self._connection.execute(delete(client_tokens).where(_T.principal == row.principal, _T.token == row.token))
