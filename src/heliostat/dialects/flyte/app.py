"""The dialect as the server plugs it in: gRPC services behind the common door, a few HTTP paths, and the attendants of what it
keeps.

gRPC and Flyte's messages are imported at the first call of one of its methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from heliostat.services import Services
from heliostat.services.seams import Attendant

from .settings import FlyteSettings


class Flyte:
    """The dialect of one server."""

    def __init__(self, services: Services, settings: FlyteSettings, upload_key: bytes) -> None:
        self._services = services
        self._settings = settings
        self._upload_key = upload_key
        """Signs where clients may upload to."""

    @property
    def attendants(self) -> Sequence[Attendant]:
        """Who looks after the dialect's documents."""
        return ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("not found", 404)(scope, receive, send)

    def grpc_handler(self) -> Any:  # a grpc.GenericRpcHandler; grpc ships no types
        """The handler for the server's gRPC door."""
        from .grpc_handler import FlyteServices

        return FlyteServices(self._grpc_services)

    def _grpc_services(self) -> Sequence[Any]:
        """The handlers of all services."""
        return ()
