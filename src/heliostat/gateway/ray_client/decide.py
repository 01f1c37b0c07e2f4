"""Who gets through with Ray Client, and to where. Pure, as :mod:`heliostat.gateway.decide` is for HTTP.

A call names its cluster in the metadata ``x-heliostat-cluster``, else by its token (a submit token, a pass,
``<API token>~<cluster>``), else by the host name that the client asked TLS for: ``c-<cluster>.<domain>``, or
``c-<cluster>.ray.<domain>`` where certificates for the former are not believed. The name only says which cluster is meant:
what the token opens is asked of that cluster as if it stood in the metadata. Any other name says nothing.

Ray Client is code that runs in the cluster; there is no form of it that only looks. So every call takes an editor.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from heliostat.domain.ids import ClusterId
from heliostat.domain.records import Role
from heliostat.domain.secret import Secret
from heliostat.domain.states import State
from heliostat.services.access import Access

from ..credentials import SHAPES, Credential, Source, bearer_of, names_its_cluster
from ..decide import Allow, not_up, ray_version

Metadata = tuple[tuple[str, str | bytes], ...]

SERVICES = "/ray.rpc."
"""What every method of Ray Client begins with."""
SESSION = "/ray.rpc.RayletDataStreamer/Datapath"
"""The stream that a client holds as long as it is connected: one record of it stands for all its calls."""
CLUSTER = "x-heliostat-cluster"
TOKENS_SINCE = (2, 52)
"""The first Ray whose client server asks for a token."""
_METHOD = re.compile(r"/ray\.rpc\.[A-Za-z]+/[A-Za-z]+")
_CLUSTER = re.compile(r"[a-z0-9-]{1,63}")
_DROPPED = frozenset(
    ("authorization", "x-ray-authorization", "ray-token", "cookie", "host", "te", "user-agent", "content-type")
)
_DROPPED_PREFIXES = ("x-heliostat-", "x-forwarded-", "grpc-", ":")


@dataclass(frozen=True)
class Call:
    """One gRPC call, as it came."""

    method: str
    metadata: Metadata = field(default=(), repr=False)
    client: str = ""
    """Address of the peer, for the audit record."""
    server_name: str = ""
    """The host name that the client asked TLS for, or ``""``."""

    def values(self, name: str) -> list[str]:
        """The distinct values of a key."""
        found = (
            value if isinstance(value, str) else value.decode("latin-1") for key, value in self.metadata if key == name
        )
        return list(dict.fromkeys(found))


@dataclass(frozen=True)
class CallReading:
    """A call taken apart."""

    call: Call
    credential: Credential
    cluster: ClusterId | None


@dataclass(frozen=True)
class Refusal:
    """The gateway's own answer to a call."""

    code: str
    """Name of a gRPC status code."""
    sentence: str
    reason: str
    """For the audit record: a constant word."""


def read_call(call: Call, domains: Collection[str] = ()) -> CallReading | Refusal:
    """The first step: which credential and which cluster. A Refusal when there is no harmless reading.

    ``domains`` are those below which a server name names a cluster, in lower case.
    """
    if not _METHOD.fullmatch(call.method):
        return Refusal("UNIMPLEMENTED", "Only Ray Client (ray://) is served here by gRPC.", "not_ray_client")
    shown = call.values("authorization")
    if len(shown) > 1:
        return Refusal(
            "UNAUTHENTICATED",
            "The call shows two different values of 'authorization'. Send one: _metadata=[('authorization', 'Bearer "
            "<token>')], or RAY_AUTH_MODE=token with RAY_AUTH_TOKEN, not both.",
            "bad_credential",
        )
    token = bearer_of(shown[0]) if shown else None
    if token is None or not SHAPES.fullmatch(token):
        return _NOBODY
    named = call.values(CLUSTER)
    if len(named) > 1 or any(not _CLUSTER.fullmatch(name) for name in named):
        return Refusal("INVALID_ARGUMENT", f"'{CLUSTER}' must be the id of one cluster.", "bad_cluster")
    cluster = ClusterId(named[0]) if named else None
    if cluster is None and not names_its_cluster(token):
        cluster = cluster_of(call.server_name, domains)
    return CallReading(call, Credential(Secret(token), Source.HEADER), cluster)


def cluster_of(server_name: str, domains: Collection[str]) -> ClusterId | None:
    """The cluster that a host name names; None for any other name."""
    label, _, parent = server_name.lower().removesuffix(".").partition(".")
    name = label.removeprefix("c-")
    if name == label or not _CLUSTER.fullmatch(name):
        return None
    return ClusterId(name) if parent in domains or parent.removeprefix("ray.") in domains else None


def decide_call(reading: CallReading, access: Access | None) -> Allow | Refusal:
    """The second step. ``access`` is what the credential opens, or None."""
    if access is None:
        return _NOBODY
    if not access.role.includes(Role.EDITOR):
        sentence = f"{access.subject} may not run code on cluster {access.cluster}: it takes the role editor."
        return Refusal("PERMISSION_DENIED", sentence, "forbidden")
    route = access.route
    if route is None:
        code = "UNAVAILABLE" if access.state in (State.STARTING, State.RUNNING) else "FAILED_PRECONDITION"
        return Refusal(code, not_up(access), "not_running")
    if route.client is None:
        sentence = (
            f"Cluster {access.cluster} runs, but its Ray Client server does not answer (yet), or the server's "
            "configuration switches it off. Jobs are not affected by that."
        )
        return Refusal("UNAVAILABLE", sentence, "no_client_server")
    version = ray_version(access)
    bearer = ("authorization", f"Bearer {route.ray_token.reveal()}")
    return Allow(
        upstream=route.client,
        path=reading.call.method,
        query="",
        set_headers=(bearer,) if version is None or version >= TOKENS_SINCE else (),
        cluster=route.cluster,
        instance=route.instance,
        credential=reading.credential,
        needs=Role.EDITOR,
    )


def to_head(metadata: Iterable[tuple[str, str | bytes]], allow: Allow) -> Metadata:
    """The metadata for a head: a client's own (keys with underscores, too) less all credentials, plus Ray's token."""
    kept = [(key, value) for key, value in metadata if key not in _DROPPED and not key.startswith(_DROPPED_PREFIXES)]
    return (*kept, *allow.set_headers)


ENDED = Refusal(
    "UNAUTHENTICATED",
    "The right to this cluster has ended: the token was revoked or lost its role, or the cluster stopped.",
    "access_ended",
)
TOO_MANY = Refusal(
    "UNAVAILABLE", "Too many ray:// connections are open at this server; try again later.", "too_many_connections"
)
_NOBODY = Refusal(
    "UNAUTHENTICATED",
    "No valid token for a running cluster. Send the cluster's submit token, or an API token as '<token>~<cluster id>', as "
    "the metadata 'authorization: Bearer <token>' (Ray 2.52 and newer: RAY_AUTH_MODE=token, RAY_AUTH_TOKEN=<token>). "
    "Submit tokens end when the cluster stops.",
    "unauthenticated",
)
