"""Takes HTTP/2 connections off the common ports and pipes their bytes into the gRPC server, which it makes at first use."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from .peers import Peer, PeerOf
from .pipe import ClientSide, InwardSide

if TYPE_CHECKING:
    from .server import GrpcServer

log = structlog.get_logger()
SOCKET = "grpc"
CONNECTIONS = 4000
"""Open at a time. A process has one or two for all that it does; each costs three file descriptors."""
FLUSH_SECONDS = 1.0
"""For what the gRPC server has said at its end to reach the clients."""

MakeHandlers = Callable[[PeerOf], Sequence[Any]]
"""Makes the handlers (``grpc.GenericRpcHandler``; grpc ships no types), in the order in which they are asked for a method.

Called once, in a thread, since it imports what takes long; so it must not touch the event loop. A handler may have
``async def drain()``, called when the server is about to stop, and ``async def aclose()``, called at the very end.
"""


class GrpcDoor:
    """One per server. ``await drain()`` ends its calls in order, ``await aclose()`` ends every connection."""

    def __init__(self, handlers: MakeHandlers, *, connections: int = CONNECTIONS) -> None:
        self._make = handlers
        self._limit = connections
        self._folder: Path | None = None
        self._starting: asyncio.Task[Path] | None = None
        self._server: GrpcServer | None = None
        self._clients: set[ClientSide] = set()
        self._peers: dict[str, Peer] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._empty = asyncio.Event()

    def admit(
        self, transport: asyncio.Transport, first: bytes, ended: Callable[[ClientSide], None]
    ) -> ClientSide | None:
        """The protocol that takes a connection over, whose first bytes were read already; ``ended`` is called with it at
        the end. None when there are too many or the server stops, and the connection was closed."""
        if self._stopping or len(self._clients) >= self._limit:
            if not self._stopping:
                log.warning("too many gRPC connections", limit=self._limit)
            transport.abort()
            return None

        def over(side: ClientSide) -> None:
            self._clients.discard(side)
            if not self._clients:
                self._empty.set()
            ended(side)

        side = ClientSide(transport, first, over)
        self._clients.add(side)
        self._empty.clear()
        task = asyncio.get_running_loop().create_task(self._connect(side), name="gRPC connection")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return side

    async def drain(self) -> None:
        """The server stops soon: take no more connections, have waiting calls answered, end the others.

        The handlers' own ``drain()`` comes first, so that calls which they hold open get an answer rather than an error.
        """
        self._stopping = True
        if self._server is None:
            return
        await self._server.drain()
        if self._clients:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._empty.wait()

    async def aclose(self) -> None:
        """End everything. Connections that come later are closed at once."""
        self._stopping = True
        for side in list(self._clients):
            side.abort()
        for task in (*self._connecting, *((self._starting,) if self._starting else ())):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        if self._server is not None:
            await self._server.aclose()
            self._server = None
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _connect(self, side: ClientSide) -> None:
        try:
            if self._starting is None or (self._starting.done() and self._starting.exception() is not None):
                self._starting = asyncio.create_task(self._start(), name="gRPC server")
            path = await asyncio.shield(self._starting)
            await self._join(side, path)
        except OSError:
            log.exception("gRPC connection failed")
            side.abort()
        except BaseException:
            side.abort()
            raise

    async def _join(self, side: ClientSide, path: Path) -> None:
        """Join the client's side to the server, under a name by which the server's calls tell who the client is."""
        inner = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            inner.setblocking(False)
            inner.bind("")  # Linux gives it a unique abstract name
            name = f"unix-abstract:{inner.getsockname()[1:].decode('latin-1')}"
            loop = asyncio.get_running_loop()
            await loop.sock_connect(inner, str(path))
            self._peers[name] = side.peer
            await loop.create_unix_connection(lambda: InwardSide(side, lambda: self._peers.pop(name, None)), sock=inner)
        except BaseException:
            inner.close()
            raise

    async def _start(self) -> Path:
        if self._folder is None:
            self._folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="heliostat-"))  # 0700: ours alone

        def load() -> GrpcServer:
            # Nodes are started by new programs, never by a fork that goes on here; without this gRPC warns at each.
            os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
            from .server import GrpcServer

            return GrpcServer(self._make(lambda name: self._peers.get(name, _NOBODY)))

        server = await asyncio.to_thread(load)
        path = self._folder / SOCKET
        await server.start(str(path))
        self._server = server
        return path


_NOBODY = Peer(open=False)
