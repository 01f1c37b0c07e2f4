"""The way in to a running instance: what a presented token opens, where it leads, and the links that users are given.

The gateway asks :meth:`AccessService.resolve` at every request, so that a revoked token or a stopped instance ends
access at once. A token is one of

* the submit token of an instance (32 hex digits): runs code on that instance, names it by itself;
* a pass (``hlp_...``, :mod:`heliostat.domain.passes`): a dashboard link or a browser's session, likewise;
* an API token (``hlt_...``): whatever its principal's role in the cluster's workspace allows; it needs to be told the
  cluster, by host name, by path, or as ``<token>~<cluster>`` where a client can send nothing but a token;
* a token of Google's clients (self-signed, or an access token ``hlo_...``): the same. These last for an hour, and clients
  of Jobs and Ray Client never renew theirs; so here, and nowhere else, one that has ended still opens the runs that were
  there before its end, for ``Installation.session_grace``.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from heliostat.domain import access_tokens, passes
from heliostat.domain.errors import Unauthenticated
from heliostat.domain.ids import ClusterId, InstanceId, WorkspaceId
from heliostat.domain.installation import Installation
from heliostat.domain.passes import Pass, Purpose
from heliostat.domain.records import Cluster, Instance, Principal, Role
from heliostat.domain.secret import Secret
from heliostat.domain.service_accounts import names_us
from heliostat.domain.states import State
from heliostat.store import Store, Transaction

from .google_identity import GoogleIdentity
from .identity import TOKEN_PREFIX, IdentityService
from .seams import Clock

LINK_LIFETIME = timedelta(hours=1)
LINK_SLOT = 300
"""Seconds for which the same link is given again; it is good for LINK_LIFETIME from the slot's end."""
SESSION_LIFETIME = timedelta(hours=8)
SUBMIT_TOKEN_SUBJECT = "(submit token)"
"""Who it is when only an instance's submit token was shown; no principal can have this name."""
_SUBMIT_TOKEN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Links:
    """The addresses of a running instance that users are given."""

    dashboard_url: str
    job_url: str
    submit_token: Secret | None
    """None for viewers: it would let them run code."""
    ray_url: str | None = None
    """``ray://host:port``, while the head's client server answers."""


@dataclass(frozen=True)
class Route:
    """Where a running instance is, for the gateway alone."""

    cluster: ClusterId
    workspace: WorkspaceId
    instance: InstanceId
    dashboard: str
    """``host:port`` of Ray's dashboard and Jobs API."""
    ray_token: Secret
    client: str | None = None
    """``host:port`` of Ray's client server, once it answers."""


@dataclass(frozen=True)
class Access:
    """What a presented token means for a cluster."""

    subject: str
    """Name of who it is, for the audit record."""
    role: Role
    cluster: ClusterId
    workspace: WorkspaceId
    state: State
    instance: Instance | None
    route: Route | None
    """None while the cluster is not up; ``state`` says why."""
    purpose: Purpose | None = None
    """Set when the token was a pass."""
    ended: bool = False
    """Whether the token's own time is over, and it only carries on what was there before."""


class AccessService:
    def __init__(
        self, store: Store, identity: IdentityService, google: GoogleIdentity, installation: Installation, clock: Clock
    ) -> None:
        self._store = store
        self._identity = identity
        self._google = google
        self._installation = installation
        self._clock = clock
        self._key = store.derived_key("passes")

    async def resolve(self, token: str, cluster: ClusterId | None) -> Access | None:
        """What ``token`` opens: of ``cluster`` when the request names one, else of the cluster that the token names.

        None = nothing there for this token (unknown token, other cluster's token, no such cluster, no role): the
        gateway must not tell which. An API token for no named cluster is None too.
        """
        if _SUBMIT_TOKEN.fullmatch(token):
            instance = await self._store.read(lambda tx: tx.instances.by_submit_token(token))
            return (
                None
                if instance is None
                else await self._of_instance(instance, cluster, SUBMIT_TOKEN_SUBJECT, Role.EDITOR)
            )
        claimed = passes.read(token)
        if claimed is not None:
            return await self._of_pass(token, claimed, cluster)
        text, _, named = token.partition("~")
        if text.startswith((TOKEN_PREFIX, access_tokens.PREFIX)) or names_us(text):
            if named and cluster is not None and named != cluster:
                return None
            return await self._of_principal(text, cluster or ClusterId(named))
        return None

    def session(self, access: Access) -> str:
        """A session pass for a browser that came with a good token, valid for 8 hours and for this instance only."""
        instance = access.instance
        if instance is None:
            raise Unauthenticated("the cluster is not running")
        expires = self._clock.now() + SESSION_LIFETIME
        granted = Pass(Purpose.SESSION, instance.id, access.role, access.subject, expires)
        return passes.issue(granted, self._pass_key(instance))

    def links(self, principal: Principal, cluster: Cluster, instance: Instance | None) -> Links | None:
        """The addresses for a reader, or None while the cluster is not up. The dashboard link is good for an hour."""
        role = principal.role_in(cluster.workspace)
        if instance is None or instance.endpoints is None or cluster.state is not State.RUNNING or role is None:
            return None
        slot = int(self._clock.now().timestamp() // LINK_SLOT)
        text = _link(instance.id, role, principal.name, slot, self._pass_key(instance))
        place = self._installation
        return Links(
            dashboard_url=f"{place.gateway_scheme}://c-{cluster.id}.{place.gateway_domain}/?token={text}",
            job_url=place.gateway_url,
            submit_token=instance.submit_token if role.includes(Role.EDITOR) else None,
            ray_url=_ray_url(place.gateway_url) if instance.endpoints.client else None,
        )

    def _pass_key(self, instance: Instance) -> Secret:
        """What passes of a run are signed with: they end with it, and whoever has its submit token can make none."""
        return _pass_key(self._key, instance.submit_token)

    async def _of_pass(self, text: str, claimed: Pass, cluster: ClusterId | None) -> Access | None:
        instance = await self._store.read(lambda tx: tx.instances.get(claimed.instance))
        if instance is None or instance.retired or instance.ended_at is not None:
            return None
        if not passes.holds(text, self._pass_key(instance), self._clock.now()):
            return None
        role = await self._still(claimed, instance.workspace)
        if role is None:
            return None
        return await self._of_instance(instance, cluster, claimed.subject, role, claimed.purpose)

    async def _still(self, claimed: Pass, workspace: WorkspaceId) -> Role | None:
        """The role of a pass as it is now: what its principal lost since then, the pass has lost too."""
        if claimed.subject == SUBMIT_TOKEN_SUBJECT:
            return claimed.role
        principal = await self._store.read(lambda tx: tx.principals.by_name(claimed.subject))
        role = principal.role_in(workspace) if principal else None
        return None if role is None else min(role, claimed.role, key=list(Role).index)

    async def _of_instance(
        self, instance: Instance, cluster: ClusterId | None, subject: str, role: Role, purpose: Purpose | None = None
    ) -> Access | None:
        record = await self._store.read(lambda tx: tx.clusters.find(instance.cluster))
        if record is None or (cluster is not None and cluster != record.id) or record.instance != instance.id:
            return None
        return _access(subject, role, record, instance, purpose)

    async def _of_principal(self, token: str, cluster: ClusterId) -> Access | None:
        try:
            principal, end = await self._principal(token)
        except Unauthenticated:
            return None

        def work(tx: Transaction) -> tuple[Cluster, Instance | None] | None:
            found = tx.clusters.find(cluster)
            if found is None:
                return None
            return found, tx.instances.get(found.instance) if found.instance else None

        pair = await self._store.read(work)
        role = principal.role_in(pair[0].workspace) if pair else None
        if pair is None or role is None:
            return None
        access = _access(principal.name, role, pair[0], pair[1], None)
        if end is None or self._clock.now() < end:
            return access
        return None if pair[1] is None or pair[1].created_at > end else replace(access, ended=True)

    async def _principal(self, token: str) -> tuple[Principal, datetime | None]:
        """Who it is, and when that token ends (None: at no set time). Raises Unauthenticated."""
        if token.startswith(TOKEN_PREFIX):
            return await self._identity.by_token(token), None
        return await self._google.principal_of(token, grace=self._installation.session_grace)


@lru_cache(maxsize=4)
def _ray_url(gateway: str) -> str:
    """The address for ``ray.init``, which has no form for TLS and wants a port."""
    scheme, _, place = gateway.partition("://")
    _, colon, port = place.rpartition(":")
    return f"ray://{place}" if colon and port.isdigit() else f"ray://{place}:{443 if scheme == 'https' else 80}"


@lru_cache(maxsize=1024)
def _pass_key(installation: bytes, submit_token: Secret) -> Secret:
    return Secret(hmac.new(installation, submit_token.reveal().encode(), "sha256").hexdigest())


@lru_cache(maxsize=4096)
def _link(instance: InstanceId, role: Role, subject: str, slot: int, key: Secret) -> str:
    """The link of a five-minute slot, so that a list of many clusters does not sign each anew at every request."""
    expires = datetime.fromtimestamp((slot + 1) * LINK_SLOT, UTC) + LINK_LIFETIME
    return passes.issue(Pass(Purpose.LINK, instance, role, subject, expires), key)


def _access(subject: str, role: Role, cluster: Cluster, instance: Instance | None, purpose: Purpose | None) -> Access:
    route = None
    if instance is not None and instance.endpoints is not None and cluster.state is State.RUNNING:
        up = instance.endpoints
        route = Route(cluster.id, cluster.workspace, instance.id, up.dashboard, instance.ray_token, up.client)
    return Access(subject, role, cluster.id, cluster.workspace, cluster.state, instance, route, purpose)
