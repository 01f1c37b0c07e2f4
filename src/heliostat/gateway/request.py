"""A request as the gateway sees it, and which cluster its address names.

Three forms of address lead to a cluster:

* **host** ``c-<cluster>.<domain>/...``: for browsers. Each cluster is an origin of its own, so that a page of one cluster
  can neither read nor drive another's. Only here are cookies believed.
* **path** ``<gateway>/c/<cluster>/...``: for SDKs, with a credential in a header on every request.
* **root** ``<gateway>/...``: for SDKs too; the token itself names the cluster (EMR's ``jobUrl`` has no cluster in it).
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum

from heliostat.domain.ids import ClusterId

from .settings import GatewaySettings

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


def cluster_of_host(host: str, settings: GatewaySettings) -> ClusterId | None:
    """The cluster that a ``Host`` header names below this gateway's domain, if it does."""
    match = _HOST.fullmatch(host.lower())
    label, _, domain = match[1].partition(".") if match else ("", "", "")
    if domain != settings.domain_name.lower():
        return None
    return cluster_id(label.removeprefix("c-")) if label.startswith("c-") else None


def cluster_id(text: str) -> ClusterId | None:
    return ClusterId(text) if _CLUSTER.fullmatch(text) else None


def belongs_to_gateway(host: str, path: str, headers: Container[str]) -> bool:
    """Whether a request on the common port is for the gateway and not for the API, the dialects or the console.

    ``host`` is the ``Host`` header, ``path`` the decoded path, ``headers`` anything that tells whether a header is there
    by its lower-case name. Ray's own API lives below ``/api/``, where ``/api/v1`` and ``/api/interactive`` are dialects'.
    """
    if host.lower().startswith("c-ray-") or RAY_TOKEN in headers or path.startswith(PATH_PREFIX):
        return True
    first = path.removeprefix("/api/").partition("/")[0]
    return path.startswith("/api/") and first not in ("v1", "interactive")
