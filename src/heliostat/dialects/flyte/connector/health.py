"""gRPC's health service: whether the connector's services answer, for readiness probes. They do as long as the server does. On
the common door those who show no credential are told of the server as a whole, whatever they ask for.

Its messages have one field each, a text and an enumeration, which is what protobuf's wrappers are on the wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any

from google.protobuf.wrappers_pb2 import StringValue, UInt32Value

from ..errors import NOT_FOUND, RESOURCE_EXHAUSTED, FlyteError
from ..rpc import Method, RpcCall

SERVICE = "grpc.health.v1.Health"
SERVING = 1
NOT_SERVING = 2
SERVICE_UNKNOWN = 3
WATCHERS = 1000
"""Held at a time; anybody may be one."""


class Health:
    def __init__(self, services: Collection[str]) -> None:
        self._known = frozenset(("", SERVICE, *services))
        self._end = asyncio.Event()
        self._watching = 0

    def methods(self) -> dict[str, Method]:
        return {
            f"/{SERVICE}/Check": Method(StringValue, perform=self._check, public=True),
            f"/{SERVICE}/Watch": Method(StringValue, stream=self._watch, public=True),
        }

    def end(self) -> None:
        """The server stops: tell those who watch."""
        self._end.set()

    @property
    def _status(self) -> int:
        return NOT_SERVING if self._end.is_set() else SERVING

    async def _check(self, call: RpcCall, request: Any) -> Any:
        if request.value not in self._known:
            raise FlyteError(NOT_FOUND, "unknown service")
        return UInt32Value(value=self._status)

    async def _watch(self, call: RpcCall, request: Any) -> AsyncIterator[Any]:
        if self._watching >= WATCHERS:
            raise FlyteError(RESOURCE_EXHAUSTED, "too many watch the health of this server; ask by Check")
        self._watching += 1
        try:
            known = request.value in self._known
            yield UInt32Value(value=self._status if known else SERVICE_UNKNOWN)
            await self._end.wait()
            if known:
                yield UInt32Value(value=NOT_SERVING)
        finally:
            self._watching -= 1
