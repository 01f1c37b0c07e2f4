"""The dialect as the server plugs it in: gRPC services behind the common door and behind one for propellers, a few HTTP paths,
and the attendants of what it keeps.

gRPC and Flyte's messages are imported at the first call of one of its methods.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.types import Receive, Scope, Send

from heliostat.services import Caller, Services
from heliostat.services.seams import Attendant

from .admin.console import Run, Subject
from .admin.http import FlyteHttp
from .authenticate import Authenticator
from .connector.metrics import ConnectorMetrics
from .executions.conductor import Conductor
from .places import Places
from .runs.attendant import RunAttendant
from .runs.runs import Runs
from .settings import FlyteSettings

if TYPE_CHECKING:
    from .admin.data_proxy import Calls
    from .connector.door import KeyPair, PropellerDoor
    from .connector.health import Health
    from .rpc import Methods


@dataclass(frozen=True)
class _Loaded:
    """What is there from the first call on."""

    health: Health
    connector: Methods
    everything: Methods
    executions: Calls


class Flyte:
    """The dialect of one server."""

    def __init__(self, services: Services, settings: FlyteSettings, upload_key: bytes) -> None:
        """``upload_key`` signs where clients may upload to."""
        self._services = services
        self._settings = settings
        self._upload_key = upload_key
        self._authenticator = Authenticator(services)
        self._places = Places(services, settings)
        self._runs = Runs(services, settings)
        self._metrics = ConnectorMetrics()
        self._http = FlyteHttp(services, settings, upload_key, self._authenticator, self._described)
        self._loaded: _Loaded | None = None
        self._loading = threading.Lock()
        """It is loaded in threads, of both doors."""
        self._door: PropellerDoor | None = None

    @property
    def attendants(self) -> Sequence[Attendant]:
        """Who looks after the dialect's documents."""
        keep = self._settings.keep
        return RunAttendant(self._services, keep), Conductor(self._services, self._runs, keep)

    @property
    def figures(self) -> ConnectorMetrics:
        """The connector's, to be shown with the server's own."""
        return self._metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._http(scope, receive, send)

    def grpc_handler(self) -> Any:  # a grpc.GenericRpcHandler; grpc ships no types
        """The handler for the server's gRPC door."""
        from .grpc_handler import FlyteServices

        return FlyteServices(lambda: self._load().everything, self._authenticator, self._drained)

    async def open(self, key_pair: KeyPair | None = None) -> int | None:
        """Open the door for propellers, if there is to be one; its port. ``key_pair``: the server's own, where it has one.

        Raises NotReady.
        """
        chosen = self._settings.connector
        if chosen is None:
            return None
        door = await asyncio.to_thread(_door_module)
        identity = self._services.identity
        robot = await identity.robot(chosen.principal)
        self._door = door.PropellerDoor(
            chosen, robot.id, identity.principal, lambda: self._load().connector, key_pair
        )  # fmt: skip
        return await self._door.open()

    async def aclose(self) -> None:
        """Close it."""
        self._drained()
        if self._door is not None:
            await self._door.aclose()

    def _load(self) -> _Loaded:
        """Every method. Takes long the first time: it imports Flyte's messages."""
        with self._loading:
            if self._loaded is None:
                self._loaded = self._made()
            return self._loaded

    def _made(self) -> _Loaded:
        from .admin import grpc_services as admin
        from .admin.registry import Registry
        from .connector import services as connector
        from .connector.health import Health
        from .executions.calls import ExecutionCalls

        health = Health(connector.SERVICES)
        of_tasks = connector.methods(self._services, self._runs, self._places, self._metrics, health)
        registry = Registry(self._services, self._places)
        executions = ExecutionCalls(self._services, self._places, registry, self._runs).methods
        others = admin.methods(
            self._services, self._settings, self._places, registry, self._upload_key, executions
        )  # fmt: skip
        return _Loaded(health, of_tasks, {**others, **of_tasks}, executions)

    async def _described(self, caller: Caller, subject: Subject) -> str:
        """What the page of an execution or a run shows."""
        loaded = await asyncio.to_thread(self._load)
        from .admin.console_calls import of_execution, of_run

        if isinstance(subject, Run):
            return await of_run(self._runs, caller, subject)
        workspace = await self._places.workspace(caller, subject.project, subject.domain)
        return await of_execution(loaded.executions, caller, subject, workspace.id)

    def _drained(self) -> None:
        """The server stops: those who watch its health are told."""
        if self._loaded is not None:
            self._loaded.health.end()


def _door_module() -> Any:  # a module
    from .connector import door

    return door
