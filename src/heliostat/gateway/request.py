"""A request as the gateway sees it, and which cluster its address names.

Three forms of address lead to a cluster:

* **host** ``c-<cluster>.<domain>/...``: for browsers. Each cluster is an origin of its own, so that a page of one cluster
  can neither read nor drive another's. Only here are cookies believed.
* **path** ``<gateway>/c/<cluster>/...``: for SDKs, with a credential in a header on every request.
* **root** ``<gateway>/...``: for SDKs too; the token itself names the cluster (EMR's ``jobUrl`` has no cluster in it).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import unquote

from heliostat.domain.ids import ClusterId

from .canonical import BadPath, canonical_path

PATH_PREFIX = "/c/"
RAY_TOKEN = "ray-token"
_HOST = re.compile(r"([a-z0-9-]+(?:\.[a-z0-9-]+)*)\.?(?::[0-9]{1,5})?")


class Form(StrEnum):
    HOST = "host"
    PATH = "path"
    ROOT = "root"


@dataclass(frozen=True)
class GatewayRequest:
    """One HTTP request, or the opening of a websocket."""

    method: str
    raw_path: bytes
    """As on the wire, without the query."""
    query: str = field(default="", repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Names in lower case, repeated ones kept."""
    websocket: bool = False
    client: str = ""
    """Address of the peer, for the audit record."""
    secure: bool = False
    """Whether it came by TLS to this server itself."""

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def value(self, name: str) -> str:
        """The first value of a header, or ``""``."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def host(self) -> str:
        return self.value("host").lower()

    @property
    def safe(self) -> bool:
        """Whether it must not change anything by the rules of HTTP."""
        return self.method in ("GET", "HEAD") and not self.websocket

    @property
    def navigation(self) -> bool:
        """Whether a browser asks for a page to show, rather than a script or an SDK for data."""
        if not self.safe:
            return False
        mode = self.value("sec-fetch-mode")
        return mode == "navigate" if mode else "text/html" in self.value("accept")


@dataclass(frozen=True)
class Place:
    """What the address of a request says."""

    form: Form
    cluster: ClusterId | None
    """None in the root form. Whatever was written: only :meth:`AccessService.resolve` knows whether there is one."""
    path: str
    """Canonical path at the head; ``""`` for ``/c/<cluster>`` without its slash."""
    query: str
    """As written, without tokens."""
    tokens: tuple[str, ...] = field(repr=False)
    """Values of ``token=`` in the query."""


def place_of(request: GatewayRequest, domain: str) -> Place:
    """Read the address. Raises BadPath when it has no harmless reading."""
    if len(request.values("host")) != 1 or not request.host:
        raise BadPath("the request needs exactly one Host header")
    if any(character <= " " or character > "~" or character == "#" for character in request.query):
        raise BadPath("the query has a character that must be escaped")
    path = canonical_path(request.raw_path)
    label, _, rest = host_name(request.host).partition(".")
    if label.startswith("c-") and rest == host_name(domain):
        path, query = _repaired(path, request.query)
        return Place(Form.HOST, ClusterId(label.removeprefix("c-")), path, *_without_tokens(query))
    query, tokens = _without_tokens(request.query)
    if not path.startswith(PATH_PREFIX):
        return Place(Form.ROOT, None, path, query, tokens)
    cluster, slash, rest = path.removeprefix(PATH_PREFIX).partition("/")
    return Place(Form.PATH, ClusterId(cluster), slash + rest, query, tokens)


def _repaired(path: str, query: str) -> tuple[str, str]:
    """The path and query that were meant when Ray's SDK appended ``/api/version`` to an address that ends in ``?token=T``.

    Tokens hold no slash, so the first one after ``token=`` begins the path.
    """
    token, slash, rest = query.partition("/")
    if path != "/" or not token.startswith("token=") or "&" in token or not slash:
        return path, query
    inner, _, more = rest.partition("?")
    return canonical_path(b"/" + inner.encode()), f"{token}&{more}" if more else token


def _without_tokens(query: str) -> tuple[str, tuple[str, ...]]:
    pairs = query.split("&")
    tokens = tuple(unquote(pair.removeprefix("token=")) for pair in pairs if pair.startswith("token="))
    return "&".join(pair for pair in pairs if not pair.startswith("token=")), tokens


def host_name(host: str) -> str:
    """A ``Host`` header without its port, in lower case; ``""`` when it is malformed."""
    match = _HOST.fullmatch(host.lower())
    return match[1] if match else ""


def belongs_to_gateway(host: str, path: bytes, headers: Iterable[tuple[bytes, bytes]], domain: str) -> bool:
    """Whether a request on the common port is for the gateway and not for the API, the dialects or the console.

    ``host`` is the ``Host`` header, ``path`` the path on the wire, ``headers`` as in ASGI, ``domain`` as in
    :class:`GatewaySettings`. Ray's own API lives below ``/api/``, where ``/api/v1`` and ``/api/interactive`` are dialects'.
    """
    label, _, rest = host_name(host).partition(".")
    if label.startswith("c-") and rest == host_name(domain):
        return True
    if path.startswith(PATH_PREFIX.encode()) or any(name == RAY_TOKEN.encode() for name, _ in headers):
        return True
    first = path.removeprefix(b"/api/").partition(b"/")[0]
    return path.startswith(b"/api/") and first not in (b"v1", b"interactive")
