"""The ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from .settings import GatewaySettings

if TYPE_CHECKING:
    from heliostat.services import AccessService

# ASGI's own types: messages are open dictionaries by its specification.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Gateway:
    """An ASGI 3 application for HTTP and websockets; ``await aclose()`` ends its connections."""

    def __init__(self, access: AccessService, settings: GatewaySettings) -> None:
        self._access = access
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b"The gateway is not ready."})

    async def aclose(self) -> None:
        """End open streams and connections."""


def create_app(access: AccessService, settings: GatewaySettings) -> Gateway:
    """The gateway as an ASGI application, for the common port or for a server of its own."""
    return Gateway(access, settings)
