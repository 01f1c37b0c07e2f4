"""Identity for Google's clients: keys of service accounts, the tokens that they sign, and access tokens.

A client holds a private key that was made on its side and never came here. It either signs a token for each hour by
itself, or has one exchanged at the token endpoint for an access token (:mod:`heliostat.domain.access_tokens`). Both
name their credential, which is looked up at every use, so that revoking it ends everything that was made of it.

A token has no audience of ours, so it would be good at any other server that knows the key: keys are for one server,
and tokens of keys that Google issued are refused with the reason.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from heliostat.domain import access_tokens
from heliostat.domain.access_tokens import AccessToken
from heliostat.domain.errors import MissingField, NotReady, Unauthenticated
from heliostat.domain.installation import Installation
from heliostat.domain.records import Credential, Principal, Workspace
from heliostat.domain.secret import Secret
from heliostat.domain.service_accounts import email, project_id
from heliostat.store import ServiceAccountKey, Store
from heliostat.store.cache import Recent

from .caller import Caller
from .directory import DirectoryService
from .identity import TOKEN_PREFIX, IdentityService, KeyWish
from .seams import Clock
from .signed_tokens import (
    GOOGLES_TOKEN_ENDPOINT,
    PRODUCTS,
    SCOPE,
    SKEW,
    Claims,
    Opened,
    check_self_signed,
    checked,
    opened,
    usable_public_key,
)

LIFETIME = timedelta(hours=1)
LOCATION = "us-central1"
"""What clients are told to name; an installation is one place, whatever they call it."""
REMEMBERED = 2048
"""Signed tokens whose signatures are not checked again. A client shows the same one for an hour."""


@dataclass(frozen=True)
class Setup:
    """What a client of Google's must be told to work with this server and one project of it."""

    workspace: Workspace
    api_endpoint: str
    """``host:port``, TLS."""
    universe: str
    ca_certificate: str | None
    """PEM of our own authority; None when the certificate was given by the operator."""
    location: str = LOCATION

    @property
    def project(self) -> str:
        return project_id(self.workspace)

    @property
    def token_uri(self) -> str:
        return f"https://{self.api_endpoint}/token"

    @property
    def auth_uri(self) -> str:
        return f"https://{self.api_endpoint}/o/oauth2/auth"


@dataclass(frozen=True)
class NewServiceAccountKey:
    """A registered key: everything that a key file holds but the private key."""

    credential: Credential
    principal: Principal
    email: str
    setup: Setup


@dataclass(frozen=True)
class Issued:
    """An access token; its text is shown this once."""

    token: Secret
    lifetime: timedelta


class GoogleIdentity:
    def __init__(
        self,
        store: Store,
        identity: IdentityService,
        directory: DirectoryService,
        installation: Installation,
        clock: Clock,
    ) -> None:
        self._store = store
        self._identity = identity
        self._directory = directory
        self._installation = installation
        self._clock = clock
        self._key = store.derived_key("access tokens")
        self._audiences = frozenset((*PRODUCTS, *_own_urls(installation, "")))
        self._token_audiences = frozenset((GOOGLES_TOKEN_ENDPOINT, *_own_urls(installation, "token")))
        self._good: Recent[bytes, tuple[str, datetime]] = Recent(REMEMBERED)
        """By the hash of a token whose signature and claims are good: its key and its end. Forgetting costs a check."""

    async def setup(self, caller: Caller, project: str | None = None) -> Setup:
        """For a project (number, id or name), or the only one of the caller's. Raises NotReady without TLS."""
        workspace = await self._workspace(caller, project)
        place, universe = self._installation.tls_place, self._installation.universe
        if place is None or universe is None:
            raise NotReady(
                "this server has no port with TLS, and Google's clients speak nothing else: start it again with "
                "--tls-port PORT, or with --tls-cert and --tls-key"
            )
        return Setup(workspace, place, universe, await self._authority())

    async def create_key(
        self, caller: Caller, public_key: str, project: str | None, wish: KeyWish
    ) -> NewServiceAccountKey:
        """Register a key for the caller, or for another principal if the caller is an admin (made if it does not exist)."""
        kept = usable_public_key(public_key)
        setup = await self.setup(caller, project)

        def subject(owner: Principal) -> str:
            return email(owner.name, setup.project)

        credential, owner = await self._identity.add_service_account_key(caller, kept, subject, wish)
        return NewServiceAccountKey(credential, owner, subject(owner), setup)

    async def principal_of(self, text: str, *, grace: timedelta = timedelta(0)) -> tuple[Principal, datetime]:
        """Who a self-signed token or an access token is of, and until when it is good by itself.

        With ``grace`` one that has ended is still told for so long. Raises Unauthenticated.
        """
        if text.startswith(access_tokens.PREFIX):
            return await self.principal_of_access_token(text, grace=grace)
        return await self.principal_of_jwt(text, grace=grace)

    async def principal_of_jwt(self, text: str, *, grace: timedelta = timedelta(0)) -> tuple[Principal, datetime]:
        """The same of a token that a client signed by itself (Vertex contract, section 5.2)."""
        digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        good = self._good.get(digest)
        if good is None:
            claims, key = await self._checked(opened(text))
            check_self_signed(claims, self._audiences)
            end = claims.expires_at + SKEW
            self._good.put(digest, (key.credential.id, end))
        else:
            key, end = await self._signer(good[0]), good[1]
        await self._in_time(key.credential, end + grace)
        return key.principal, end

    async def principal_of_access_token(
        self, text: str, *, grace: timedelta = timedelta(0)
    ) -> tuple[Principal, datetime]:
        """The same of one that :meth:`of_assertion`, :meth:`of_subject` or :meth:`of_access_key` made."""
        token = access_tokens.read(text, self._key)
        found = await self._store.read(lambda tx: tx.credentials.get(token.credential)) if token else None
        if token is None or found is None or not found[0].usable(self._clock.now()):
            raise Unauthenticated("this access token is not one of this server, or its key has expired or was revoked")
        await self._in_time(found[0], token.expires_at + grace)
        return found[1], token.expires_at

    async def of_assertion(self, text: str) -> Issued:
        """An access token for a token that a client signed for the token endpoint (Vertex contract, section 5.3)."""
        claims, key = await self._checked(opened(text))
        if claims.audience not in self._token_audiences:
            raise Unauthenticated("the assertion's audience (aud) is another token endpoint")
        if claims.subject not in (None, claims.issuer):
            raise Unauthenticated("the assertion's subject (sub) is another account, and there is no delegation here")
        if claims.scopes is None or SCOPE not in claims.scopes:
            raise ScopeRefused(f"the assertion's scope must hold {SCOPE}")
        await self._in_time(key.credential, claims.expires_at + SKEW)
        return self._issued(key.credential, None)

    async def of_subject(self, text: str) -> Issued:
        """An access token for an API token, or for a token that a client signed by itself, which it does not outlast."""
        if text.startswith(TOKEN_PREFIX):
            return self._issued((await self._identity.token(text))[0], None)
        if text.startswith(access_tokens.PREFIX):
            raise Unauthenticated("an access token cannot be exchanged for another one; show the key's own token")
        claims, key = await self._checked(opened(text))
        check_self_signed(claims, self._audiences)
        await self._in_time(key.credential, claims.expires_at + SKEW)
        return self._issued(key.credential, claims.expires_at)

    async def of_access_key(self, key_id: str, secret: str) -> Issued:
        """An access token for an access key pair, one message for every reason to refuse it. Raises Unauthenticated."""
        found = await self._identity.access_key(key_id)
        if found is None or not found[2].matches(secret) or not found[0].usable(self._clock.now()):
            raise Unauthenticated(
                "the access key is unknown, expired or revoked, or its secret is another; make one with: "
                "heliostat key create --kind access_key"
            )
        await self._identity.note_use(found[0].id, self._clock.now())
        return self._issued(found[0], None)

    async def _workspace(self, caller: Caller, project: str | None) -> Workspace:
        if project is not None:
            return await self._directory.project(caller, project)
        mine = await self._directory.workspaces(caller, limit=2)
        if len(mine) != 1:
            raise MissingField("workspace", "is required unless you have a role in exactly one workspace")
        return mine[0]

    async def _authority(self) -> str | None:
        path = self._installation.ca_file
        try:
            return None if path is None else await asyncio.to_thread(path.read_text)
        except OSError as error:
            raise NotReady(f"the server cannot read the certificate of its own authority: {error.strerror}") from error

    async def _checked(self, token: Opened) -> tuple[Claims, ServiceAccountKey]:
        key = await self._signer(token.key_id)
        return checked(token, key.public_key, key.subject, self._clock.now()), key

    async def _signer(self, key_id: str) -> ServiceAccountKey:
        key = await self._store.read(lambda tx: tx.credentials.service_account_key(key_id))
        if key is None or not key.credential.usable(self._clock.now()):
            raise Unauthenticated(
                "the key that this token is signed with is unknown here, expired or revoked; make one with: "
                "heliostat key create --google-json FILE"
            )
        return key

    async def _in_time(self, credential: Credential, end: datetime) -> None:
        now = self._clock.now()
        if now >= end:
            raise Unauthenticated("this token has expired; clients make a new one when they are told so")
        await self._identity.note_use(credential.id, now)

    def _issued(self, credential: Credential, bound: datetime | None) -> Issued:
        now = self._clock.now()
        ends = (now + LIFETIME, credential.expires_at, bound)
        end = min(moment for moment in ends if moment is not None).replace(microsecond=0)
        text = access_tokens.issue(AccessToken(credential.id, end), self._key)
        return Issued(Secret(text), max(end - now, timedelta(0)))


class ScopeRefused(Unauthenticated):
    """Everything else is right."""


def _own_urls(installation: Installation, path: str) -> list[str]:
    """This server's https addresses, under all names that lead a client to it."""
    place, universe = installation.tls_place, installation.universe
    places = {place, universe} - {None}
    if installation.gateway_scheme == "https":
        places |= {urlsplit(installation.gateway_url).netloc, installation.gateway_domain}
    if universe:
        places |= {
            f"{service}.{universe}" for service in ("aiplatform", f"{LOCATION}-aiplatform", "cloudresourcemanager")
        }
    for name in [name for name in places if name and name.partition(":")[0] == "localhost"]:
        port = name.partition(":")[2]
        places |= {f"{host}:{port}" for host in ("127.0.0.1", "[::1]") if port}
    return [url for name in places for url in (f"https://{name}/{path}", f"https://{name}/{path}".rstrip("/"))]
