"""The dialect as the server plugs it in: one set of methods behind an ASGI app and a gRPC handler.

gRPC is imported when its handler is asked for, which is at the first HTTP/2 connection.
"""

from __future__ import annotations

from typing import Any

from starlette.types import Receive, Scope, Send

from heliostat.services import Services

from .authenticate import Authenticator
from .methods import Methods
from .rest import RestApp
from .settings import VertexSettings
from .token import GoogleTokenEndpoint

TOKEN_PATH = b"/token"


class Vertex:
    """The dialect of one server."""

    def __init__(self, services: Services, settings: VertexSettings = VertexSettings()) -> None:
        self._authenticator = Authenticator(services)
        self._methods = Methods(services, settings)
        self._token = GoogleTokenEndpoint(services.google)
        self._rest = RestApp(self._methods, self._authenticator)

    @property
    def held(self) -> int:
        """How many calls are held now."""
        return self._methods.holds.count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["raw_path"] == TOKEN_PATH:
            await self._token(scope, receive, send)
        else:
            await self._rest(scope, receive, send)

    def grpc_handler(self) -> Any:  # a grpc.GenericRpcHandler; grpc ships no types
        """The handler for the server's gRPC door. Takes long the first time: it imports gRPC."""
        from .grpc_services import VertexServices

        return VertexServices(self._methods, self._authenticator)

    def end_holds(self) -> None:
        """Have everything answered that is held, since the server is about to stop."""
        self._methods.holds.end()
