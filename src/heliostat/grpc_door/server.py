"""The gRPC server behind the door: its options, its last resort, and its end in order. Imports gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import grpc
import grpc.aio
import structlog

log = structlog.get_logger()
DRAIN_SECONDS = 2.0
"""For the handlers' ``drain()``."""
STOP_SECONDS = 0.5
"""For calls that are being answered when the server stops."""
MAX_METADATA = 64 * 1024
"""Bytes of all metadata of a call; clients send a few hundred to a few thousand."""
OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.so_reuseport", 0),
    ("grpc.max_concurrent_streams", 4000),
    ("grpc.server.max_pending_requests", 4000),
    ("grpc.server.max_pending_requests_hard_limit", 8000),
    ("grpc.max_metadata_size", MAX_METADATA),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 600_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.compression_enabled_algorithms_bitset", 1),
)
"""A call may be held open for half an hour without a byte, and what is between client and server often ends silent
connections after a minute: hence pings from this side too. Who does not answer them may be a machine that sleeps or a
process in a debugger, so its end is seen late. Ray Client pings every 30 s, and sends objects in pieces of 5 MiB but
functions and small results whole.

A connection without calls is ended after a while, so that strangers and forgotten clients hold no place for nothing; clients
connect again at their next call.

A compressed message is refused (UNIMPLEMENTED, as gRPC has it): a few kilobytes could become gigabytes of memory, and no client
compresses unless it is told to.

Calls that arrive at once wait for this process to take them; by itself gRPC begins to refuse some at a thousand.
"""


@runtime_checkable
class Drains(Protocol):
    """A handler that holds calls open."""

    async def drain(self) -> None:
        """The server stops: answer what is held, and hold no more. Waited for, up to DRAIN_SECONDS."""


@runtime_checkable
class Closes(Protocol):
    """A handler with something to close."""

    async def aclose(self) -> None:
        """After the last call has ended."""


class Nobody(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc is untyped
    """Answers for every method that no other handler serves."""

    def service(self, details: Any) -> Any:  # grpc is untyped
        async def refuse(messages: object, context: Any) -> None:
            sentence = "Only Ray Client (ray://) and the services of the dialects are served here by gRPC."
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, sentence)

        return grpc.stream_stream_rpc_method_handler(refuse)


class GrpcServer:
    """A server of these handlers (``grpc.GenericRpcHandler``), asked in their order."""

    def __init__(self, handlers: Sequence[Any]) -> None:
        self._handlers = handlers
        self._server: Any = None

    async def start(self, path: str) -> None:
        """Listen on the Unix socket at ``path``."""
        self._server = grpc.aio.server(handlers=(*self._handlers, Nobody()), options=OPTIONS)
        self._server.add_insecure_port(f"unix:{path}")
        await self._server.start()

    async def drain(self) -> None:
        """Have the handlers answer what they hold, then take no more calls and end those that are left."""
        await self._each("drain", [handler.drain() for handler in self._handlers if isinstance(handler, Drains)])
        await self._server.stop(STOP_SECONDS)

    async def aclose(self) -> None:
        """End all calls."""
        await self._server.stop(STOP_SECONDS)
        await self._each("close", [handler.aclose() for handler in self._handlers if isinstance(handler, Closes)])

    async def _each(self, what: str, hooks: Sequence[Any]) -> None:
        """Run the handlers' hooks side by side; one that fails or is late does not keep the server from its end."""
        if not hooks:
            return
        tasks = [asyncio.ensure_future(hook) for hook in hooks]
        done, late = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for task in done:
            if (error := task.exception()) is not None:
                log.error("a gRPC handler failed at the end", step=what, exc_info=error)
        if late:
            log.warning("a gRPC handler is late at the end", step=what, handlers=len(late))
