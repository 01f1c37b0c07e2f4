"""A request's body, passed on piece by piece, and the moment its client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from datetime import timedelta
from typing import Any

# ASGI's own types: messages are open dictionaries by its specification.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class UploadBroken(Exception):
    """The body did not arrive whole."""


class Upload:
    """The only reader of a request's ASGI messages. Nothing is kept: the next piece is read when the last one is sent."""

    def __init__(self, receive: Receive, *, empty: bool, patience: timedelta) -> None:
        self._receive = receive
        self._patience = patience.total_seconds()
        self._whole = asyncio.Event()
        self.empty = empty
        """Whether the head of the request says that there is no body."""
        self.stalled = False
        self.gone = False
        if empty:
            self._whole.set()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises UploadBroken when the client stalls or goes."""
        more = True
        while more:
            try:
                async with asyncio.timeout(self._patience):
                    message = await self._receive()
            except TimeoutError:
                self.stalled = True
                raise UploadBroken("the client stalled") from None
            if message["type"] == "http.disconnect":
                self.gone = True
                raise UploadBroken("the client went away")
            more = message.get("more_body", False)
            if piece := message.get("body", b""):
                yield piece
        self._whole.set()

    async def wait_until_gone(self) -> None:
        """Return when the client has gone; begins to look when the body was read."""
        await self._whole.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
