"""Credentials in the database.

An access key's secret is sealed, since checking a signature takes the secret itself. Of a token only the SHA-256 is
kept, of a service account's key the public half. Lookups return revoked and expired credentials too: the caller says why
it refuses (``Credential.usable``).
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, or_, select, update

from ..domain.errors import AlreadyExists
from ..domain.ids import PrincipalId
from ..domain.records import Credential, CredentialKind, Principal
from ..domain.secret import Secret
from .instances import hash_token
from .principals import read_roles
from .schema import credentials, principals, roles
from .shared import Shared
from .statements import AnyRow, Values, changed, insert_new

_C = credentials.c
_USE_INTERVAL = timedelta(hours=1)
_WITH_PRINCIPAL = select(
    credentials, principals.c.name.label("principal_name"), principals.c.admin, roles.c.workspace, roles.c.role
).select_from(credentials.join(principals).outerjoin(roles, roles.c.principal == principals.c.id))
_ACCESS_KEY = _WITH_PRINCIPAL.where(_C.id == bindparam("key_id"), _C.kind == CredentialKind.ACCESS_KEY)
_TOKEN = _WITH_PRINCIPAL.where(_C.token_hash == bindparam("hash"))
_ANY = _WITH_PRINCIPAL.where(_C.id == bindparam("key_id"))
_SERVICE_ACCOUNT_KEY = _ANY.where(_C.kind == CredentialKind.SERVICE_ACCOUNT_KEY)


@dataclass(frozen=True)
class ServiceAccountKey:
    """What is needed to believe a text that is signed with such a key."""

    credential: Credential
    principal: Principal
    public_key: str
    """PEM."""
    subject: str
    """The e-mail address that signs with it."""


class Credentials:
    """The repository of credentials."""

    def __init__(self, connection: Connection, shared: Shared) -> None:
        self._connection = connection
        self._shared = shared

    def add_access_key(self, credential: Credential, secret: Secret) -> None:
        """Raises AlreadyExists when the id is taken."""
        self._add(credential, {"secret": self._shared.sealer.seal(secret.reveal(), _purpose(credential.id))})

    def add_token(self, credential: Credential, token: str) -> None:
        """``token``: the whole bearer text; it cannot be read back. Raises AlreadyExists when id or token is taken."""
        self._add(credential, {"token_hash": hash_token(token)})

    def add_service_account_key(self, credential: Credential, public_key: str, subject: str) -> None:
        """``public_key`` in PEM, ``subject`` the e-mail address that signs with it. Raises AlreadyExists."""
        self._add(credential, {"public_key": public_key, "subject": subject})

    def access_key(self, id: str) -> tuple[Credential, Principal, Secret] | None:
        """With what is needed to check a signature and to authorise, in one query."""
        rows = self._connection.execute(_ACCESS_KEY, {"key_id": id}).all()
        if not rows:
            return None
        secret = Secret(self._shared.sealer.open(rows[0].secret, _purpose(id)))
        return _credential(rows[0]), _principal(rows), secret

    def token(self, token: str) -> tuple[Credential, Principal] | None:
        """By the whole bearer text."""
        rows = self._connection.execute(_TOKEN, {"hash": hash_token(token)}).all()
        return (_credential(rows[0]), _principal(rows)) if rows else None

    def service_account_key(self, id: str) -> ServiceAccountKey | None:
        rows = self._connection.execute(_SERVICE_ACCOUNT_KEY, {"key_id": id}).all()
        if not rows:
            return None
        return ServiceAccountKey(_credential(rows[0]), _principal(rows), rows[0].public_key, rows[0].subject)

    def get(self, id: str) -> tuple[Credential, Principal] | None:
        """A credential of any kind."""
        rows = self._connection.execute(_ANY, {"key_id": id}).all()
        return (_credential(rows[0]), _principal(rows)) if rows else None

    def list(self, principal: PrincipalId | None = None) -> builtins.list[Credential]:
        """Newest first; of everybody when ``principal`` is None."""
        query = select(credentials).order_by(_C.created_at.desc(), _C.id)
        if principal is not None:
            query = query.where(_C.principal == principal)
        return [_credential(row) for row in self._connection.execute(query)]

    def revoke(self, id: str, at: datetime) -> bool:
        """False when there is no such credential or it was revoked before."""
        statement = update(credentials).where(_C.id == id, _C.revoked_at.is_(None)).values(revoked_at=at)
        return changed(self._connection, statement)

    def used(self, id: str, at: datetime) -> None:
        """Notes the use, at most once an hour; in between it costs a dictionary lookup.

        The memory of the last note is kept per server; losing it costs one more write.
        """
        noted = self._shared.used.get(id)
        if noted is not None and at - noted < _USE_INTERVAL:
            return
        self._shared.used.put(id, at)
        stale = or_(_C.last_used_at.is_(None), _C.last_used_at <= at - _USE_INTERVAL)
        self._connection.execute(update(credentials).where(_C.id == id, stale).values(last_used_at=at))

    def _add(self, credential: Credential, secret: Values) -> None:
        values = {
            "id": credential.id,
            "kind": credential.kind,
            "principal": credential.principal,
            "description": credential.description,
            "created_at": credential.created_at,
            "expires_at": credential.expires_at,
            "revoked_at": credential.revoked_at,
            "last_used_at": credential.last_used_at,
            **secret,
        }
        if not insert_new(self._connection, credentials, values):
            raise AlreadyExists("credential", credential.id)


def _credential(row: AnyRow) -> Credential:
    return Credential(
        id=row.id,
        kind=CredentialKind(row.kind),
        principal=row.principal,
        description=row.description,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )


def _principal(rows: Sequence[AnyRow]) -> Principal:
    first = rows[0]
    granted = read_roles((row.workspace, row.role) for row in rows)
    return Principal(first.principal, first.principal_name, first.admin, granted)


def _purpose(id: str) -> str:
    return f"access_key:{id}"
