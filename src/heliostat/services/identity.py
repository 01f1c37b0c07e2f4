"""Principals and their keys: who a credential belongs to, and making, listing and revoking credentials."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from heliostat.domain.errors import Forbidden, InvalidRequest, NotFound, Unauthenticated
from heliostat.domain.ids import PrincipalId, WorkspaceId, new_principal_id, new_workspace_id, random_text
from heliostat.domain.quota import ROOT
from heliostat.domain.records import Credential, CredentialKind, Principal, Queue, Role, Workspace
from heliostat.domain.secret import Secret
from heliostat.store import Store, Transaction

from .caller import Caller, authorise
from .seams import Clock

TOKEN_PREFIX = "hlt_"
FIRST_WORKSPACE = "default"
_PRINCIPAL = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_PRINCIPAL_FORM = "must be 1 to 64 letters, digits, '.', '_', '@' or '-'"
NONCE_MEMORY = timedelta(minutes=30)
"""Twice the clock skew that a signature may have (EMR contract, section 3.3)."""

USE_INTERVAL = timedelta(hours=1)
MAX_LIFETIME = timedelta(days=36500)


@dataclass(frozen=True)
class KeyWish:
    """What every kind of key can be told."""

    principal: str | None = None
    """Whose it is: the caller's own when None; admins may name others, who are made when new."""
    description: str = ""
    lifetime: timedelta | None = None


@dataclass(frozen=True)
class NewAccessKey:
    """A fresh key pair; the secret is shown this once."""

    credential: Credential
    secret: Secret


@dataclass(frozen=True)
class NewToken:
    """A fresh bearer token; its text is shown this once."""

    credential: Credential
    token: Secret


@dataclass(frozen=True)
class FirstStart:
    """What the first start of an installation makes."""

    workspace: WorkspaceId
    token: Secret
    access_key_id: str
    access_key_secret: Secret

    @classmethod
    def fresh(cls, workspace: WorkspaceId) -> FirstStart:
        return cls(workspace, _new_token(), _new_key_id(), _new_secret())


class IdentityService:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._noted: dict[str, datetime] = {}
        """When the last use of each token was written down."""

    async def principal(self, id: PrincipalId) -> Principal | None:
        """As it is now, roles included; for what goes on in the background in somebody's name."""
        return await self._store.read(lambda tx: tx.principals.get(id))

    async def by_token(self, text: str) -> Principal:
        """Who a bearer token belongs to. Raises Unauthenticated."""
        return (await self.token(text))[1]

    async def token(self, text: str) -> tuple[Credential, Principal]:
        """A bearer token that is good now, with its principal. Raises Unauthenticated."""

        def work(tx: Transaction) -> tuple[Credential, Principal] | None:
            return tx.credentials.token(text)

        found = await self._store.read(work) if text.startswith(TOKEN_PREFIX) else None
        now = self._clock.now()
        if found is None or not found[0].usable(now):
            raise Unauthenticated("this API token is unknown, expired or revoked; make one with: heliostat key create")
        await self.note_use(found[0].id, now)
        return found

    async def access_key(self, key_id: str) -> tuple[Credential, Principal, Secret] | None:
        """An access key with its secret, also a revoked or expired one (see ``Credential.usable``); None if unknown."""
        return await self._store.read(lambda tx: tx.credentials.access_key(key_id))

    async def remember_nonce(self, key_id: str, nonce: str) -> bool:
        """False when this key has used the nonce in the last 30 minutes. Call it after the signature was found good."""
        now = self._clock.now()

        def work(tx: Transaction) -> bool:
            tx.credentials.used(key_id, now)
            return tx.nonces.remember(key_id, nonce, now, NONCE_MEMORY)

        return await self._store.write(work)

    async def create_access_key(
        self, caller: Caller, *, principal: str | None = None, description: str = "", lifetime: timedelta | None = None
    ) -> NewAccessKey:
        """A key pair for the caller, or for another principal if the caller is an admin (made if it does not exist)."""
        secret, key_id = _new_secret(), _new_key_id()

        def keep(tx: Transaction, credential: Credential, owner: Principal) -> None:
            tx.credentials.add_access_key(credential, secret)

        wish = KeyWish(principal, description, lifetime)
        return NewAccessKey((await self._add(caller, key_id, CredentialKind.ACCESS_KEY, wish, keep))[0], secret)

    async def create_token(
        self, caller: Caller, *, principal: str | None = None, description: str = "", lifetime: timedelta | None = None
    ) -> NewToken:
        """A bearer token, likewise."""
        token = _new_token()

        def keep(tx: Transaction, credential: Credential, owner: Principal) -> None:
            tx.credentials.add_token(credential, token.reveal())

        wish = KeyWish(principal, description, lifetime)
        return NewToken((await self._add(caller, _token_id(token), CredentialKind.TOKEN, wish, keep))[0], token)

    async def add_service_account_key(
        self, caller: Caller, public_key: str, subject: Callable[[Principal], str], wish: KeyWish
    ) -> tuple[Credential, Principal]:
        """The public half (PEM, checked by the caller) of a key whose other half never comes here; ``subject`` names the
        address that signs with it."""

        def keep(tx: Transaction, credential: Credential, owner: Principal) -> None:
            tx.credentials.add_service_account_key(credential, public_key, subject(owner))

        return await self._add(caller, secrets.token_hex(20), CredentialKind.SERVICE_ACCOUNT_KEY, wish, keep)

    async def keys(self, caller: Caller) -> list[Credential]:
        """The caller's credentials; an admin sees everybody's."""
        whose = None if caller.principal.admin else caller.principal.id
        return await self._store.read(lambda tx: tx.credentials.list(whose))

    async def revoke(self, caller: Caller, credential: str) -> None:
        """End a credential at once. Raises NotFound (also for another's, unless the caller is an admin)."""

        def work(tx: Transaction) -> None:
            mine = tx.credentials.list(None if caller.principal.admin else caller.principal.id)
            if credential not in {row.id for row in mine}:
                raise NotFound("key", credential)
            tx.credentials.revoke(credential, self._clock.now())

        await self._store.write(work)

    async def grant(self, caller: Caller, workspace: WorkspaceId, principal: str, role: Role | None) -> None:
        """Give a principal a role in a workspace, or take it (None). Takes an owner."""

        def work(tx: Transaction) -> None:
            authorise(tx, caller, workspace, Role.OWNER, "change roles")
            found = tx.principals.by_name(principal)
            if found is None:
                raise NotFound("principal", principal, "make a key for that name first")
            tx.principals.grant(found.id, workspace, role)

        await self._store.write(work)

    async def first_start(self, user: str) -> FirstStart | None:
        """Make the admin ``user``, a workspace with ``root_queue`` and both kinds of keys; None if that was done."""
        now = self._clock.now()
        workspace = Workspace(new_workspace_id(), FIRST_WORKSPACE, now)
        admin = Principal(new_principal_id(), user, admin=True)
        keys = FirstStart.fresh(workspace.id)

        def work(tx: Transaction) -> FirstStart | None:
            if tx.principals.list():
                return None
            tx.principals.add(admin)
            tx.workspaces.add(replace(workspace, creator=admin.id))
            tx.queues.add(Queue(workspace.id, ROOT, now, description="all of this machine", creator=admin.id))
            _add_keys(tx, admin, keys, "first start", now)
            return keys

        return await self._store.write(work)

    async def robot(self, name: str) -> Principal:
        """The principal as which a door acts whose callers show no credentials; when there is none of this name, it is made,
        as an editor of the first workspace."""
        made = Principal(new_principal_id(), name)

        def work(tx: Transaction) -> Principal:
            found = tx.principals.by_name(name)
            if found is not None:
                return found
            if not _PRINCIPAL.fullmatch(name):
                raise InvalidRequest(_PRINCIPAL_FORM, path="principal")
            tx.principals.add(made)
            home = tx.workspaces.by_name(FIRST_WORKSPACE)
            if home is not None:
                tx.principals.grant(made.id, home.id, Role.EDITOR)
            return made

        return await self._store.write(work)

    async def renew_admin(self, user: str) -> FirstStart:
        """New keys for an admin whose credentials file is lost. Only for whoever can write the home folder anyway."""
        now = self._clock.now()

        def work(tx: Transaction) -> FirstStart:
            admins = [row for row in tx.principals.list() if row.admin]
            admin = next((row for row in admins if row.name == user), admins[0])
            workspace = tx.workspaces.by_name(FIRST_WORKSPACE) or tx.workspaces.list(limit=1)[0]
            keys = FirstStart.fresh(workspace.id)
            _add_keys(tx, admin, keys, "credentials file renewed", now)
            return keys

        return await self._store.write(work)

    async def note_use(self, credential: str, now: datetime) -> None:
        """At most once an hour, so that most requests write nothing; what is forgotten costs one more write."""
        noted = self._noted.get(credential)
        if noted is None or now - noted >= USE_INTERVAL:
            self._noted[credential] = now
            await self._store.write(lambda tx: tx.credentials.used(credential, now))

    async def _add(
        self, caller: Caller, key_id: str, kind: CredentialKind, wish: KeyWish,
        keep: Callable[[Transaction, Credential, Principal], None],
    ) -> tuple[Credential, Principal]:  # fmt: skip
        if wish.lifetime is not None and not timedelta(0) < wish.lifetime <= MAX_LIFETIME:
            raise InvalidRequest("must be more than nothing and at most 100 years", path="lifetime")

        def work(tx: Transaction) -> tuple[Credential, Principal]:
            now = self._clock.now()
            owner = self._owner(tx, caller, wish.principal)
            expires = now + wish.lifetime if wish.lifetime else None
            credential = Credential(key_id, kind, owner.id, wish.description, now, expires)
            keep(tx, credential, owner)
            return credential, owner

        return await self._store.write(work)

    def _owner(self, tx: Transaction, caller: Caller, name: str | None) -> Principal:
        if name is None or name == caller.principal.name:
            return caller.principal
        if not caller.principal.admin:
            raise Forbidden("make keys for others", caller.principal.name, "installation admin")
        found = tx.principals.by_name(name)
        if found is None:
            if not _PRINCIPAL.fullmatch(name):
                raise InvalidRequest(_PRINCIPAL_FORM, path="principal")
            found = Principal(new_principal_id(), name)
            tx.principals.add(found)
        return found


def _add_keys(tx: Transaction, owner: Principal, keys: FirstStart, description: str, now: datetime) -> None:
    access_key = Credential(keys.access_key_id, CredentialKind.ACCESS_KEY, owner.id, description, now)
    tx.credentials.add_access_key(access_key, keys.access_key_secret)
    token = Credential(_token_id(keys.token), CredentialKind.TOKEN, owner.id, description, now)
    tx.credentials.add_token(token, keys.token.reveal())


def _new_token() -> Secret:
    return Secret(TOKEN_PREFIX + secrets.token_urlsafe(32))


def _new_secret() -> Secret:
    return Secret(secrets.token_urlsafe(24))


def _new_key_id() -> str:
    return "HELI" + random_text(20).upper()


def _token_id(token: Secret) -> str:
    """A public name of a token that tells nothing of it."""
    return "tok-" + hashlib.sha256(b"id\0" + token.reveal().encode()).hexdigest()[:16]
