"""Ray Client's calls and their connections to heads. Imports gRPC; carries messages as bytes, decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import structlog

from heliostat.grpc_door import Peer, PeerOf
from heliostat.services.access import Access

from ..decide import Allow
from ..settings import GatewaySettings
from ..streams import Gatekeeper, OpenStreams, StreamEnded
from .decide import (
    ENDED,
    SERVICES,
    SESSION,
    TOO_MANY,
    Call,
    CallReading,
    Metadata,
    Refusal,
    decide_call,
    read_call,
    to_head,
)

log = structlog.get_logger()
CHANNEL_LINGER = 30.0
"""Seconds that a connection to a head is kept after its last call."""
CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
# grpc ships no types, so contexts, calls and channels are Any here.


class RayClientProxy(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc is untyped
    """Answers every method of Ray Client, and no other."""

    def __init__(
        self, gatekeeper: Gatekeeper, streams: OpenStreams, settings: GatewaySettings, peer_of: PeerOf
    ) -> None:
        self._gatekeeper = gatekeeper
        self._streams = streams
        self._settings = settings
        self._peer_of = peer_of
        self._channels = _Channels()
        self._known: set[Peer] = set()
        """Connections with at least one call that was let through; those that have ended are taken out when it is full."""

    async def aclose(self) -> None:
        """After all calls have ended."""
        await self._channels.aclose()

    def service(self, details: Any) -> Any:
        """Every method is a stream of bytes both ways: a single message is a stream of one."""
        method = details.method
        if not method.startswith(SERVICES):
            return None

        async def handle(messages: object, context: Any) -> None:
            await self._handle(method, context)

        return grpc.stream_stream_rpc_method_handler(handle)

    async def _handle(self, method: str, context: Any) -> None:
        metadata = tuple((key, value) for key, value in context.invocation_metadata())
        peer = self._peer_of(context.peer())
        call = Call(method, metadata, peer.address, peer.server_name)
        try:
            refusal = await self._serve(call, peer, context)
        except grpc.aio.AbortError:
            raise
        except Exception:  # the boundary: whatever went wrong inside becomes an INTERNAL that tells nothing
            log.exception("gateway failed", method=method)
            refusal = Refusal("INTERNAL", "The gateway failed; the server's log says why.", "internal")
        if refusal is not None:
            await context.abort(grpc.StatusCode[refusal.code], refusal.sentence)

    async def _serve(self, call: Call, peer: Peer, context: Any) -> Refusal | None:
        """Carry the call to its end, or say why not. Raises AbortError with what the head answered, unless it was OK."""
        reading = read_call(call, self._settings.server_domains)
        if isinstance(reading, Refusal):
            return reading
        access = await self._gatekeeper.resolve(reading.credential.token.reveal(), reading.cluster)
        decision = decide_call(reading, access)
        _audit(reading, access, decision)
        if isinstance(decision, Refusal):
            return decision
        if not self._has_room(peer):
            log.warning("too many ray:// connections", limit=self._settings.ray_connections)
            return TOO_MANY
        try:
            with self._streams.open(decision, reading.cluster, session=call.method == SESSION):
                await self._carry(decision, call.metadata, context)
        except StreamEnded as ended:
            log.info("gateway stream ended", reason=ended.reason, cluster=decision.cluster)
            return ENDED
        return None

    def _has_room(self, peer: Peer) -> bool:
        """Count this connection, unless there are too many."""
        limit = self._settings.ray_connections
        if peer not in self._known and len(self._known) >= limit:
            self._known = {other for other in self._known if other.open}
            if len(self._known) >= limit:
                return False
        self._known.add(peer)
        return True

    async def _carry(self, allow: Allow, metadata: Metadata, context: Any) -> None:
        async with self._channels.to(allow.upstream) as channel:
            call = channel.stream_stream(allow.path)(
                metadata=to_head(metadata, allow), timeout=context.time_remaining(), wait_for_ready=False
            )
            upward = asyncio.create_task(_pump_up(context, call))
            try:
                await context.send_initial_metadata(await call.initial_metadata())
                while (message := await call.read()) is not grpc.aio.EOF:
                    await context.write(message)
                code, details, trailers = await call.code(), await call.details(), await call.trailing_metadata()
            except grpc.aio.AioRpcError as error:
                code, details, trailers = error.code(), error.details(), error.trailing_metadata()
            finally:
                upward.cancel()
                call.cancel()
                await asyncio.gather(upward, return_exceptions=True)
        shown = tuple((key, value) for key, value in trailers or ())
        if code is grpc.StatusCode.OK:
            context.set_trailing_metadata(shown)
            return
        if code is grpc.StatusCode.UNAVAILABLE:
            log.warning("head failed", cluster=allow.cluster, instance=allow.instance, cause="UNAVAILABLE")
        await context.abort(code, details or "", shown)


async def _pump_up(context: Any, call: Any) -> None:
    """The client's messages to the head. That the head has ended the call is seen in the other direction."""
    with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
        while (message := await context.read()) is not grpc.aio.EOF:
            await call.write(message)
        await call.done_writing()


class _Channels:
    """One connection per head, for as long as there are calls on it and a little longer."""

    def __init__(self) -> None:
        self._open: dict[str, Any] = {}
        self._calls: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def to(self, address: str) -> AsyncIterator[Any]:
        if timer := self._timers.pop(address, None):
            timer.cancel()
        if address not in self._open:
            self._open[address] = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._calls[address] = self._calls.get(address, 0) + 1
        try:
            yield self._open[address]
        finally:
            self._calls[address] -= 1
            if not self._calls[address]:
                loop = asyncio.get_running_loop()
                self._timers[address] = loop.call_later(CHANNEL_LINGER, self._drop, address)

    def _drop(self, address: str) -> None:
        del self._timers[address], self._calls[address]
        task = asyncio.ensure_future(self._open.pop(address).close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        await asyncio.gather(*(channel.close() for channel in self._open.values()), *self._closing)


def _audit(reading: CallReading, access: Access | None, decision: Allow | Refusal) -> None:
    """One record for each session of a client, and for each call that lacked a role."""
    refused = isinstance(decision, Refusal) and decision.reason == "forbidden"
    if reading.call.method != SESSION and not refused:
        return
    log.info(
        "gateway access",
        who=access.subject if access else "",
        cluster=access.cluster if access else reading.cluster,
        method="ray://",
        what="run code with Ray Client",
        decision=decision.reason if isinstance(decision, Refusal) else "allowed",
        client=reading.call.client,
    )
