"""Takes HTTP/2 connections off the common port and pipes their bytes into the gRPC server, which it makes at first use."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from ..settings import GatewaySettings
from ..streams import Gatekeeper, OpenStreams
from .pipe import ClientSide, HeadwardSide

if TYPE_CHECKING:
    from .proxy import RayClientProxy

log = structlog.get_logger()
SOCKET = "ray"


class RayClientDoor:
    """One per server. ``await aclose()`` ends every connection."""

    def __init__(self, gatekeeper: Gatekeeper, streams: OpenStreams, settings: GatewaySettings) -> None:
        self._gatekeeper = gatekeeper
        self._streams = streams
        self._settings = settings
        self._folder: Path | None = None
        self._starting: asyncio.Task[Path] | None = None
        self._proxy: RayClientProxy | None = None
        self._clients: set[ClientSide] = set()
        self._peers: dict[str, str] = {}
        self._connecting: set[asyncio.Task[None]] = set()

    def admit(
        self, transport: asyncio.Transport, first: bytes, ended: Callable[[ClientSide], None]
    ) -> ClientSide | None:
        """The protocol that takes a connection over, whose first bytes were read already; ``ended`` is called with it at
        the end. None when there are too many, and the connection was closed."""
        if len(self._clients) >= self._settings.ray_connections:
            log.warning("too many ray:// connections", limit=self._settings.ray_connections)
            transport.abort()
            return None

        def over(side: ClientSide) -> None:
            self._clients.discard(side)
            ended(side)

        side = ClientSide(transport, first, over)
        self._clients.add(side)
        task = asyncio.get_running_loop().create_task(self._connect(side), name="ray:// connection")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return side

    async def aclose(self) -> None:
        """End everything. Connections that come later are closed at once."""
        for side in list(self._clients):
            side.abort()
        for task in (*self._connecting, *((self._starting,) if self._starting else ())):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        if self._proxy is not None:
            await self._proxy.aclose()
            self._proxy = None
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _connect(self, side: ClientSide) -> None:
        try:
            if self._starting is None:
                self._starting = asyncio.create_task(self._start(), name="ray:// server")
            path = await asyncio.shield(self._starting)
            await self._join(side, path)
        except OSError:
            log.exception("ray:// connection failed")
            side.abort()
        except BaseException:
            side.abort()
            raise

    async def _join(self, side: ClientSide, path: Path) -> None:
        """Join the client's side to the server, under a name by which the server's calls tell the client's address."""
        inner = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            inner.setblocking(False)
            inner.bind("")  # Linux gives it a unique abstract name
            name = f"unix-abstract:{inner.getsockname()[1:].decode('latin-1')}"
            loop = asyncio.get_running_loop()
            await loop.sock_connect(inner, str(path))
            self._peers[name] = side.client
            await loop.create_unix_connection(
                lambda: HeadwardSide(side, lambda: self._peers.pop(name, None)), sock=inner
            )
        except BaseException:
            inner.close()
            raise

    async def _start(self) -> Path:
        self._folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="heliostat-"))  # 0700: ours alone

        def load() -> type[RayClientProxy]:
            from .proxy import RayClientProxy

            return RayClientProxy

        kind = await asyncio.to_thread(load)
        self._proxy = kind(self._gatekeeper, self._streams, self._settings, lambda name: self._peers.get(name, ""))
        path = self._folder / SOCKET
        await self._proxy.start(str(path))
        return path
