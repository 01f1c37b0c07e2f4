"""Where a server answers and how users call that: by its settings and the ports that it got. Pure but for the machine's name."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from heliostat.config import Settings

EVERYWHERE = ("0.0.0.0", "::")
LOCAL = ("127.0.0.1", "::1", "localhost")
"""What the name localhost leads to."""


@dataclass(frozen=True)
class Address:
    """The addresses of one server."""

    url: str
    """Of the main door, without a slash at its end."""
    domain: str
    """Host (and port) below which every cluster has its own name."""
    scheme: str
    tls_place: str | None = None
    """``host:port`` of a door with TLS, by name where it has one; None when there is none."""
    universe: str | None = None
    """The host (and port) below which Google's clients look for the services of their cloud; None without TLS."""
    own_authority: bool = False
    """Whether clients of ``url`` meet a certificate of the server's own authority."""
    own_tls_place: bool = False
    """The same of ``tls_place``."""
    names: tuple[str, ...] = ()
    """Host names and addresses that the server's certificate must hold."""

    @classmethod
    def of(cls, settings: Settings, port: int, tls_port: int | None = None) -> Address:
        """``port`` and ``tls_port`` (of the listener beside the main one) as bound."""
        scheme = "https" if settings.speaks_tls else "http"
        everywhere = settings.host in EVERYWHERE
        host = _bracketed(socket.getfqdn() if everywhere else settings.host)
        url = (settings.public_url or f"{scheme}://{host}:{port}").rstrip("/")
        domain = settings.gateway_domain or f"localhost:{port}"
        own = port if settings.speaks_tls else tls_port
        public = urlsplit(url)
        # A public address with our own port is ours; with another one it is that of a proxy, which shows another certificate.
        direct = settings.own_tls and public.scheme == "https" and (public.port or 443) == port
        tls_place, ours = None, False
        if settings.public_url and public.scheme == "https":
            tls_place, ours = f"{_bracketed(public.hostname or '')}:{public.port or 443}", direct
        elif own is not None:
            tls_place = f"{'localhost' if settings.host in LOCAL else host}:{own}"
            ours = settings.tls_cert is None
        universe = tls_place and (settings.gateway_domain or tls_place)
        hosts = [*LOCAL, *((host, socket.gethostname()) if everywhere else (settings.host,)), public.hostname or ""]
        below = list(dict.fromkeys(host_of(place) for place in (domain, tls_place, universe) if place))
        named = [*hosts, *below, *(name for parent in below for name in _children(parent))]
        names = tuple(dict.fromkeys(name for each in named if (name := each.strip("[].").lower())))
        return cls(url, domain, public.scheme, tls_place, universe, direct, ours, names)

    @property
    def domains(self) -> frozenset[str]:
        """The host names below which a host name names a cluster."""
        return frozenset(host_of(place) for place in (self.domain, self.universe) if place)


def host_of(place: str) -> str:
    """The host of ``host[:port]``, in lower case."""
    return (urlsplit(f"//{place}").hostname or "").rstrip(".")


def is_loopback(host: str) -> bool:
    return host in ("::1", "localhost") or host.startswith("127.")


def _children(parent: str) -> tuple[str, ...]:
    """The names below ``parent`` that clients use: of clusters, and of the service that tells a project's number."""
    try:
        ipaddress.ip_address(parent)
    except ValueError:
        return f"cloudresourcemanager.{parent}", f"*.{parent}", f"*.ray.{parent}"
    return ()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
