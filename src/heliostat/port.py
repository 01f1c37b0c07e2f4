"""Each port for two languages: HTTP/1.1 goes to the web server as before, HTTP/2 to the gRPC door.

An HTTP/2 connection begins with a fixed preface that no HTTP/1 request can begin with, with TLS and without. So each
connection's first bytes are looked at once; then its protocol is replaced by the one that they ask for, and nothing of
this is left in its way. With TLS the server names HTTP/1.1 first, hence browsers and HTTP libraries take that, and gRPC,
which knows HTTP/2 only, gets its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from uvicorn.config import Config
from uvicorn.server import ServerState

from heliostat.bounded_http import HEAD_SECONDS, BoundedHttp
from heliostat.grpc_door import GrpcDoor

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
OPENING_SECONDS = HEAD_SECONDS
"""For the first bytes of a connection. Browsers open connections ahead of need; they open another when it is closed."""


class Opening(asyncio.Protocol):
    """A connection that has not said yet what it speaks. Made by uvicorn in the place of its HTTP protocol."""

    door: ClassVar[GrpcDoor]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        # Any: uvicorn's protocol is partly untyped, and uvloop's transports are no subclasses of asyncio's.
        self._make_http: Callable[[], Any] = lambda: BoundedHttp(config, server_state, app_state, _loop)
        self._transport: Any = None
        self._connections: set[Any] = server_state.connections  # uvicorn calls shutdown() on each when it stops
        self._loop = _loop or asyncio.get_running_loop()
        self._first = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._connections.add(self)
        self._timer = self._loop.call_later(OPENING_SECONDS, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        self._first += data
        if PREFACE.startswith(self._first):
            if len(self._first) == len(PREFACE):
                self._hand_to_door()
        elif self._first.startswith(PREFACE):
            self._hand_to_door()
        else:
            self._hand_to_web()

    def connection_lost(self, error: Exception | None) -> None:
        self._leave()

    def shutdown(self) -> None:
        """The web server stops."""
        self._transport.close()

    def _leave(self) -> None:
        self._timer.cancel()
        self._connections.discard(self)

    def _hand_to_web(self) -> None:
        self._leave()
        http = self._make_http()
        self._transport.set_protocol(http)
        http.connection_made(self._transport)
        http.data_received(self._first)

    def _hand_to_door(self) -> None:
        self._leave()
        side = self.door.admit(self._transport, self._first, self._connections.discard)
        if side is not None:
            self._connections.add(side)
            self._transport.set_protocol(side)


def opening(door: GrpcDoor) -> type[asyncio.Protocol]:
    """The protocol class for uvicorn's ``http`` setting."""
    return type("Opening", (Opening,), {"door": door})
