"""TLS contexts for listeners, whose connections remember which host name their client asked for (SNI)."""

from __future__ import annotations

import asyncio
import ssl

PROTOCOLS = ("http/1.1", "h2")
"""In the order of our preference (ALPN): who knows both gets the former, gRPC knows only the latter."""


class NamedConnection(ssl.SSLObject):
    """One connection's TLS, at our side."""

    server_name: str = ""
    """As the client gave it, in lower case. Anybody can ask for any name."""


def server_context() -> ssl.SSLContext:
    """A context without a certificate yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(PROTOCOLS))
    context.sslobject_class = NamedConnection
    context.sni_callback = _remember
    return context


def server_name_of(transport: asyncio.BaseTransport) -> str:
    """The host name that the client of this connection asked for; ``""`` when it asked for none or there is no TLS."""
    connection = transport.get_extra_info("ssl_object")
    return connection.server_name if isinstance(connection, NamedConnection) else ""


def _remember(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
    """Called by OpenSSL in the middle of a handshake. Every name gets the same certificate; no name is refused here."""
    if isinstance(connection, NamedConnection) and name is not None:
        connection.server_name = name.lower()
