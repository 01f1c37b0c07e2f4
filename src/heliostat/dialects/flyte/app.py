"""The dialect as the server plugs it in: gRPC services behind the common door and behind one for propellers, a few HTTP paths,
and the attendants of what it keeps.

gRPC and Flyte's messages are imported at the first call of one of its methods.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from heliostat.services import Services
from heliostat.services.seams import Attendant

from .authenticate import Authenticator
from .connector.metrics import ConnectorMetrics
from .places import Places
from .runs.attendant import RunAttendant
from .runs.runs import Runs
from .settings import FlyteSettings

if TYPE_CHECKING:
    from .connector.door import KeyPair, PropellerDoor
    from .connector.health import Health
    from .rpc import Methods


class Flyte:
    """The dialect of one server."""

    def __init__(self, services: Services, settings: FlyteSettings, upload_key: bytes) -> None:
        self._services = services
        self._settings = settings
        self._upload_key = upload_key
        """Signs where clients may upload to."""
        self._authenticator = Authenticator(services)
        self._places = Places(services, settings)
        self._runs = Runs(services, settings)
        self._metrics = ConnectorMetrics()
        self._health: Health | None = None
        self._door: PropellerDoor | None = None
        self._loading = threading.Lock()
        """Both doors load in threads."""

    @property
    def attendants(self) -> Sequence[Attendant]:
        """Who looks after the dialect's documents."""
        return (RunAttendant(self._services),)

    @property
    def figures(self) -> ConnectorMetrics:
        """The connector's, to be shown with the server's own."""
        return self._metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("not found", 404)(scope, receive, send)

    def grpc_handler(self) -> Any:  # a grpc.GenericRpcHandler; grpc ships no types
        """The handler for the server's gRPC door."""
        from .grpc_handler import FlyteServices

        return FlyteServices(self._load, self._authenticator, self._drained)

    async def open(self, key_pair: KeyPair | None = None) -> int | None:
        """Open the door for propellers, if there is to be one; its port. ``key_pair``: the server's own, where it has one.

        Raises NotReady.
        """
        chosen = self._settings.connector
        if chosen is None:
            return None
        door = await asyncio.to_thread(_door_module)
        robot = await self._services.identity.robot(chosen.principal)
        identity = self._services.identity
        self._door = door.PropellerDoor(chosen, robot.id, identity.principal, self._load_connector, key_pair)
        return await self._door.open()

    async def aclose(self) -> None:
        """Close it."""
        self._drained()
        if self._door is not None:
            await self._door.aclose()

    def _load(self) -> Methods:
        """Every method on the common door. Takes long the first time: it imports Flyte's messages."""
        return self._load_connector()

    def _load_connector(self) -> Methods:
        from .connector import services
        from .connector.health import Health

        with self._loading:
            if self._health is None:
                self._health = Health(services.SERVICES)
        return services.methods(self._services, self._runs, self._places, self._metrics, self._health)

    def _drained(self) -> None:
        if self._health is not None:
            self._health.end()


def _door_module() -> Any:  # a module
    from .connector import door

    return door
