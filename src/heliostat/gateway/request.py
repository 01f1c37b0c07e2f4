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
from dataclasses import dataclass
from enum import StrEnum

from heliostat.domain.ids import ClusterId

PATH_PREFIX = "/c/"
RAY_TOKEN = "ray-token"
_CLUSTER = re.compile(r"ray-[a-z0-9]{16}")
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
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    """Names in lower case, repeated ones kept."""
    websocket: bool = False
    client: str = ""
    """Address of the peer, for the audit record."""

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
    """None in the root form."""
    path: str
    """Canonical path at the head."""


def host_name(host: str) -> str:
    """A ``Host`` header without its port, in lower case; ``""`` when it is malformed."""
    match = _HOST.fullmatch(host.lower())
    return match[1] if match else ""


def cluster_id(text: str) -> ClusterId | None:
    return ClusterId(text) if _CLUSTER.fullmatch(text) else None


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
