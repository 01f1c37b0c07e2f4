"""gRPC for all of the dialect's services: methods as a table, one handler that lets callers in and tells them of errors.

Imports gRPC; the table is loaded at the first call, since it imports flyteidl. Every method is served as a stream of bytes, so
that the credential is looked at before the message is read: gRPC takes messages of any size into memory there, since those of Ray
may be large.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError

from heliostat.domain.errors import HeliostatError, Unauthenticated
from heliostat.domain.ids import RequestId, new_request_id
from heliostat.services import Caller

from .errors import INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, FlyteError, internal, told

MESSAGE_LIMIT = 64 << 20
"""Bytes of a request: inputs and pod specs travel in it (Flyte contract, sections 5.5 and 8)."""
LARGE = 1 << 20
"""Bytes of a request that is parsed beside the event loop."""
log = structlog.get_logger()
# grpc ships no types, nor are the classes of messages known here, so both are Any.


@dataclass(frozen=True)
class RpcCall:
    """One call."""

    request: RequestId
    caller: Caller | None
    """None when the method takes calls without a credential."""
    size: int = 0
    """Bytes of its message."""
    context: Any = None

    @property
    def known_caller(self) -> Caller:
        """Raises Unauthenticated."""
        if self.caller is None:
            raise Unauthenticated("the request shows no credential")
        return self.caller


Perform = Callable[[RpcCall, Any], Awaitable[Any]]
Stream = Callable[[RpcCall, Any], AsyncIterator[Any]]


@dataclass(frozen=True)
class Method:
    """What a path does: exactly one of ``perform`` (one answer) and ``stream`` (any number)."""

    request: Any
    """The class of its message."""
    perform: Perform | None = None
    stream: Stream | None = None
    public: bool = False
    """Needs no credential. To those who show none it answers what it answers to an empty message (see :class:`RpcHandler`)."""


Methods = Mapping[str, Method]
"""By ``/package.Service/Method``."""
Authenticate = Callable[[Any], Awaitable[Caller]]
"""Who calls, by the call's context. Raises HeliostatError."""


class RpcHandler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc is untyped
    """The handler of everything below some prefixes; others are left to those who are asked after it."""

    def __init__(
        self,
        prefixes: tuple[str, ...],
        load: Callable[[], Methods],
        authenticate: Authenticate,
        *,
        drained: Callable[[], None] = lambda: None,
        bounded: bool = False,
    ) -> None:
        """``load`` is called once, in a thread; ``drained`` when the server is about to stop. ``bounded``: the server itself
        refuses what is larger than MESSAGE_LIMIT; without that no message of a stranger is read."""
        self._bounded = bounded
        self._prefixes = prefixes
        self._load = load
        self._authenticate = authenticate
        self._drained = drained
        self._loading: asyncio.Task[Methods] | None = None

    def service(self, details: Any) -> Any:
        path: str = details.method
        if not path.startswith(self._prefixes):
            return None

        async def handle(stream: object, context: Any) -> None:
            await self._handle(path, context)

        return grpc.stream_stream_rpc_method_handler(handle)

    async def drain(self) -> None:
        self._drained()

    async def _methods(self) -> Methods:
        if self._loading is None:
            self._loading = asyncio.create_task(asyncio.to_thread(self._load), name="services of Flyte")
        try:
            return await asyncio.shield(self._loading)
        except ImportError:
            self._loading = None
            raise

    async def _handle(self, path: str, context: Any) -> None:
        request = new_request_id()
        try:
            await self._answer(path, context, request)
            return
        except HeliostatError as error:
            code, message = told(error, request)
            log.debug("request refused", dialect="flyte", request=request, method=path, code=code)
        except Exception:
            # The outermost boundary: a bug becomes INTERNAL, with nothing internal.
            log.exception("request failed", dialect="flyte", request=request, method=path)
            code, message = internal(request)
        await context.abort(grpc.StatusCode[code], message, (("x-request-id", request),))

    async def _answer(self, path: str, context: Any, request: RequestId) -> None:
        method = (await self._methods()).get(path)
        if method is None:
            raise FlyteError(UNIMPLEMENTED, f"{path} is not served here")
        caller = await self._caller(method, context, request)
        data = await context.read() if caller is not None or self._bounded else b""
        if data is grpc.aio.EOF:
            raise FlyteError(INVALID_ARGUMENT, "the call has no message")
        if len(data) > MESSAGE_LIMIT:
            raise FlyteError(RESOURCE_EXHAUSTED, f"the message has more than {MESSAGE_LIMIT} bytes")
        try:
            if len(data) > LARGE:
                message = await asyncio.to_thread(method.request.FromString, data)
            else:
                message = method.request.FromString(data)
        except DecodeError as error:
            raise FlyteError(INVALID_ARGUMENT, f"the message is no {method.request.DESCRIPTOR.full_name}") from error
        call = RpcCall(request, caller, len(data), context)
        del data
        if method.perform is not None:
            await context.write((await method.perform(call, message)).SerializeToString())
        elif method.stream is not None:
            async for piece in method.stream(call, message):
                await context.write(piece.SerializeToString())

    async def _caller(self, method: Method, context: Any, request: RequestId) -> Caller | None:
        if method.public and self._bounded:
            return None
        try:
            return replace(await self._authenticate(context), request=request)
        except HeliostatError:
            if method.public:
                return None
            raise
