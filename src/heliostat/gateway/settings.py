"""What the gateway is told by whoever puts it together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class GatewaySettings:
    """Addresses as users see them, and limits. The defaults suit one machine."""

    domain: str = "localhost:8600"
    """Host (and port) below which every cluster has its own name, ``c-<cluster>.<domain>``."""
    secure: bool = False
    """Whether browsers come by https to the main address, also when a proxy in front ends TLS."""
    server_domains: frozenset[str] = frozenset()
    """Host names below which the name that a ``ray://`` client asked TLS for, ``c-<cluster>.<domain>`` or
    ``c-<cluster>.ray.<domain>``, says which cluster it means."""
    connect_timeout: timedelta = timedelta(seconds=3)
    """For a connection to a head; it is near, so a slow one is a dead one."""
    idle_timeout: timedelta = timedelta(minutes=15)
    """For the next piece of a head's answer. Profiles and followed logs are silent for long; log tailing by websocket
    has no such limit (both sides are pinged)."""
    upload_timeout: timedelta = timedelta(minutes=1)
    """For the next piece of a client's upload."""
    recheck_every: timedelta = timedelta(seconds=5)
    """How soon an open stream ends after its token was revoked or its instance stopped."""
    connections_per_head: int = 256
    ray_connections: int = 1000
    """Open connections with ``ray://`` calls on them at a time; a driver has one or two."""
    max_answer_header: int = 16 * 1024
    """Bytes of one header line of a head's answer: heads run users' code and are not trusted."""
    max_message: int = 64 * 1024 * 1024
    """Bytes of one websocket message."""

    @property
    def scheme(self) -> str:
        return "https" if self.secure else "http"

    @property
    def domain_name(self) -> str:
        """The domain without its port."""
        return self.domain.rpartition(":")[0] if ":" in self.domain else self.domain
