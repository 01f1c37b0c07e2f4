"""Two ends of a byte pipe: the client's connection and the one to the gRPC server. Each slows down for the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from heliostat.tls import server_name_of

from .peers import Peer


class _Side(asyncio.Protocol):
    """Bytes that come in here go out at the other side."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """HTTP/2 knows no half-closed connection: with one side the other ends, after what it was still to send."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class ClientSide(_Side):
    """The client's connection, silent until the other side is there."""

    def __init__(self, transport: asyncio.Transport, first: bytes, ended: Callable[[ClientSide], None]) -> None:
        super().__init__()
        self.transport = transport
        self._first = first
        self._ended = ended
        address = transport.get_extra_info("peername")
        self.peer = Peer(str(address[0]) if isinstance(address, tuple) else "", server_name_of(transport))
        self._over = False
        transport.pause_reading()

    def join(self, other: _Side) -> None:
        """Begin to pass bytes on."""
        self.other = other
        if self.transport is None or other.transport is None or self._over:
            if other.transport is not None:
                other.transport.close()
            return
        other.transport.write(self._first)
        self._first = b""
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._first += data  # was on its way when reading was paused
        else:
            super().data_received(data)

    def shutdown(self) -> None:
        """What the web server calls on each connection when it stops."""
        self.abort()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._over = True
        self.peer.open = False
        super().connection_lost(error)
        self._ended(self)


class InwardSide(_Side):
    """The connection to the gRPC server."""

    def __init__(self, client: ClientSide, ended: Callable[[], object]) -> None:
        super().__init__()
        self.other = client
        self._ended = ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses of it
        assert isinstance(self.other, ClientSide)
        self.other.join(self)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._ended()
