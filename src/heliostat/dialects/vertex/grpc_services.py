"""The gRPC transport: the services as one generic handler over bytes. Imports gRPC; made at the first HTTP/2 connection.

Every method is served as a stream of bytes, so that the credential is looked at before the message is read. Messages are of
the dialect's own pool, which leaves the vendor's packages free to be in the same process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import structlog

from heliostat.domain.ids import RequestId, new_request_id
from heliostat.services import Caller

from .authenticate import Authenticator
from .call import Call
from .errors import INVALID_ARGUMENT, RESOURCE_EXHAUSTED, TELLABLE, Told, VertexError, internal, told
from .methods import OPERATIONS, PROJECTS, RESOURCES, Method, Methods
from .wire import VERSIONS, Messages, Version

MESSAGE_LIMIT = 1 << 20
"""Bytes of a request."""
SPARE_SECONDS = 0.5
"""Before a client's deadline: an answer that was waited for is sent while it is still taken."""
IDLE_SECONDS = 1.5
log = structlog.get_logger()
_CODES = {code.value[0]: code for code in grpc.StatusCode}
# grpc ships no types, so contexts and details are Any here.


class VertexServices(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc is untyped
    """The handler. It knows its own methods only, and leaves others to those who are asked after it."""

    def __init__(self, methods: Methods, authenticator: Authenticator) -> None:
        self._methods = methods
        self._authenticator = authenticator
        self._codecs = {version: Messages(version) for version in VERSIONS}
        self._paths: dict[str, tuple[Method, Version]] = {}
        for method in methods.by_name.values():
            if method.service == RESOURCES:
                for version in VERSIONS:
                    path = f"/google.cloud.aiplatform.{version}.{RESOURCES}/{method.name}"
                    self._paths[path] = method, version
            elif method.service in (OPERATIONS, PROJECTS):
                self._paths[f"/{method.service}/{method.name}"] = method, "v1beta1"

    def service(self, details: Any) -> Any:
        known = self._paths.get(details.method)
        if known is None:
            return None

        async def handle(stream: object, context: Any) -> None:
            await self._handle(*known, context)

        return grpc.stream_stream_rpc_method_handler(handle)

    async def drain(self) -> None:
        """Have everything answered that is held."""
        self._methods.holds.end()
        await self._methods.holds.idle(IDLE_SECONDS)

    async def _handle(self, method: Method, version: Version, context: Any) -> None:
        request = new_request_id()
        try:
            await context.write(await self._answer(method, version, context, request))
            return
        except TELLABLE as error:
            shown = told(error, request)
            log.debug("request refused", dialect="vertex", request=request, method=method.name, code=shown.status)
        except Exception:
            # The outermost boundary: a bug becomes INTERNAL, with nothing internal.
            log.exception("request failed", dialect="vertex", request=request, method=method.name)
            shown = internal(request)
        await context.abort(_CODES[shown.number], shown.message, self._trailers(shown, request))

    async def _answer(self, method: Method, version: Version, context: Any, request: RequestId) -> bytes:
        metadata = [(key, value) for key, value in context.invocation_metadata() if isinstance(value, str)]
        shown = _values(metadata, "authorization")
        caller = replace(await self._authenticator.caller(shown), request=request)
        data = await context.read()
        if data is grpc.aio.EOF:
            raise VertexError(INVALID_ARGUMENT, "The call has no message.")
        if len(data) > MESSAGE_LIMIT:
            raise VertexError(RESOURCE_EXHAUSTED, f"The message has more than {MESSAGE_LIMIT} bytes.")

        async def again() -> Caller:
            return await self._authenticator.caller(shown)

        left = context.time_remaining()
        seconds = None if left is None else max(0.0, left - SPARE_SECONDS)
        call = Call(caller, version, again, " ".join(_values(metadata, "x-goog-api-client")), seconds)
        codec = self._codecs[version]
        return codec.encode(method.answer, await method.perform(call, codec.decode(method.request, data)))

    def _trailers(self, shown: Told, request: RequestId) -> tuple[tuple[str, str | bytes], ...]:
        """The status with its details, which clients show beside the message."""
        status = {"code": shown.number, "message": shown.message, "details": shown.details()}
        return ("grpc-status-details-bin", self._codecs["v1"].encode("Status", status)), ("x-request-id", request)


def _values(metadata: Sequence[tuple[str, str]], name: str) -> list[str]:
    return [value for key, value in metadata if key == name]
