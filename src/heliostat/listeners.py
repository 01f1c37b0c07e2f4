"""The sockets that a server listens on, each with or without TLS, and the web server on all of them.

There is one main door. Beside a plain one on loopback there is a second one with TLS and a certificate of the server's own,
for clients that know no other way.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn

from heliostat.addresses import Address, is_loopback
from heliostat.bounded_http import HEAD_SECONDS
from heliostat.config import Settings
from heliostat.domain.errors import NotReady
from heliostat.tls import server_context

if TYPE_CHECKING:
    from heliostat.tls.authority import OwnCertificate

log = structlog.get_logger()
LOOK_AT_CERTIFICATE_SECONDS = 600
"""Often, since what was made by a clock that was wrong is of no use when that is set right."""
BACKLOG = 2048
"""Connections that wait to be taken."""
GOODBYE_SECONDS = 2.0
"""For the other side to say that it has seen the end of a TLS connection."""


@dataclass(frozen=True)
class Listener:
    """A bound socket and what is spoken on it."""

    socket: socket.socket
    context: ssl.SSLContext | None


def bind(settings: Settings) -> socket.socket:
    """The main socket, which answers nobody before everything else is ready.

    Raises NotReady when the address cannot be had, or would be open to other machines without TLS.
    """
    if not is_loopback(settings.host) and not settings.speaks_tls and not settings.insecure:
        raise NotReady(
            f"{settings.host} can be reached from other machines and there is no TLS: give --tls-cert and --tls-key, or "
            "--own-tls, listen on 127.0.0.1, or say --insecure if something in front of it encrypts"
        )
    try:
        return _bound(settings.host, settings.port)
    except OSError as error:
        raise NotReady(
            f"cannot listen on {settings.host}:{settings.port}: {_reason(error)}; "
            "another server may be running there, or one on the port before have its door with TLS there; choose another port "
            "with --port, or start that one with --no-tls-port"
        ) from error


def bind_tls(settings: Settings, port: int) -> socket.socket | None:
    """The socket of the second door, beside the main one on ``port``; None when there is to be none.

    Without a port of its own it takes the one after the main door's, and when that cannot be had there is none, since
    nobody asked for it. Raises NotReady when the port that was asked for cannot be had.
    """
    wanted = settings.tls_port
    if wanted is None:
        if settings.speaks_tls or not is_loopback(settings.host):
            return None
        wanted = 0 if settings.port == 0 else port + 1
    if wanted < 0:
        return None
    try:
        # Until one of them listens, several sockets can be bound to a port, and later there is no choice left.
        return _bound(settings.host, wanted, listen=True)
    except (OSError, OverflowError) as error:
        reason = _reason(error) if isinstance(error, OSError) else "there is no such port"
        if settings.tls_port is None:
            log.warning("no door with TLS", port=wanted, reason=reason, remedy="choose a port with --tls-port")
            return None
        raise NotReady(
            f"cannot listen on {settings.host}:{wanted} for TLS: {reason}; choose another port with --tls-port, or none "
            "with --no-tls-port"
        ) from error


def _bound(host: str, port: int, *, listen: bool = False) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # By the protocol's number asyncio knows that it is TCP and sends small pieces at once, not 40 ms later.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.setblocking(False)
        if listen:
            listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _reason(error: OSError) -> str:
    return error.strerror or os.strerror(error.errno or 0)


def check_tls(settings: Settings) -> None:
    """Whether the given certificate and key can be used. Raises NotReady."""
    if settings.tls_cert is None:
        return
    if settings.own_tls:
        raise NotReady("--own-tls makes a certificate; give either that or --tls-cert")
    _given(settings)


def _given(settings: Settings) -> ssl.SSLContext:
    if settings.tls_cert is None or settings.tls_key is None:
        raise NotReady("--tls-cert needs --tls-key")
    context = server_context()
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise NotReady(f"cannot use {settings.tls_cert} with {settings.tls_key}: {error}") from error
    return context


def key_pair(settings: Settings, address: Address) -> Callable[[], tuple[bytes, bytes]]:
    """Tells the private key and the certificates (PEM) of the server as they are now, for listeners that are not ours.

    What it gives raises NotReady and OSError.
    """
    if settings.tls_cert is not None and settings.tls_key is not None:
        certificates, key = settings.tls_cert, settings.tls_key
        return lambda: (key.read_bytes(), certificates.read_bytes())

    def own() -> tuple[bytes, bytes]:
        from heliostat.tls.authority import OwnCertificate

        certificate = OwnCertificate(settings.home, address.names)
        certificate.load_into(server_context())
        private, begin, rest = certificate.pem.partition(b"-----BEGIN CERTIFICATE-----")
        return private, begin + rest

    return own


@dataclass(frozen=True)
class OwnTls:
    """A context with a certificate of the server's own."""

    context: ssl.SSLContext
    certificate: OwnCertificate

    @classmethod
    def of(cls, settings: Settings, address: Address) -> OwnTls:
        """Raises NotReady."""
        from heliostat.tls.authority import OwnCertificate

        own = cls(server_context(), OwnCertificate(settings.home, address.names))
        own.certificate.load_into(own.context)
        return own

    async def keep_good(self) -> None:
        """Renew the certificate in time, however long the server runs. Connections that are open stay."""
        while True:
            await asyncio.sleep(LOOK_AT_CERTIFICATE_SECONDS)
            try:
                self.certificate.load_into(self.context)
            except NotReady as error:
                log.error("certificate not renewed", reason=str(error))


def listeners(
    settings: Settings, address: Address, main: socket.socket, second: socket.socket | None
) -> tuple[list[Listener], OwnTls | None]:
    """All doors with their contexts, and the own certificate if one of them shows it. Raises NotReady."""
    own = OwnTls.of(settings, address) if settings.own_tls or second is not None else None
    context = _given(settings) if settings.tls_cert else own.context if own and settings.own_tls else None
    found = [Listener(main, context)]
    if second is not None and own is not None:
        found.append(Listener(second, own.context))
    return found, own


class Web(uvicorn.Server):
    """uvicorn on these sockets, without its own signal handling, which says when it answers."""

    def __init__(self, config: uvicorn.Config, doors: Sequence[Listener]) -> None:
        super().__init__(config)
        self._doors = doors
        self.answering = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on all of them. Raises NotReady, and listens on none, when one cannot be had."""
        await super().startup([])  # uvicorn itself would give all sockets the same context
        make: Any = self.config.http_protocol_class  # only uvicorn knows its constructor
        connection = partial(
            make,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        loop = asyncio.get_running_loop()
        for door in self._doors:
            more: dict[str, Any] = {}  # options that asyncio takes with TLS only
            if door.context is not None:
                more = {"ssl_handshake_timeout": HEAD_SECONDS, "ssl_shutdown_timeout": GOODBYE_SECONDS}
            try:
                door.socket.listen(BACKLOG)  # uvloop would not say that it cannot
                server = await loop.create_server(
                    connection, sock=door.socket, ssl=door.context, backlog=BACKLOG, **more
                )
            except OSError as error:  # another process has come between binding and this
                for other in self.servers:
                    other.close()
                remedy = "choose another with --port, or with --tls-port if it is the second one"
                port = door.socket.getsockname()[1]
                raise NotReady(f"cannot listen on port {port}: {_reason(error)}; {remedy}") from error
            self.servers.append(server)
        self.answering.set()
