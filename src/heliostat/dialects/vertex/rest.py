"""The REST transport: an ASGI app for ``/v1``, ``/v1beta1``, ``/ui`` and ``/v3`` below ``projects``.

Route, credential, size and form of the request, and only then the method: a request that nobody has signed is neither read
nor carried out. Whatever happens, the answer is a JSON object, an error in the vendor's envelope (Vertex contract, section 7).

It answers on every port of the server alike. Bearer tokens over plain http are taken as the native API takes them: a server
is open to other machines without TLS only when its operator has said that something in front of it encrypts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote_plus

import orjson
import structlog
from starlette.types import Receive, Scope, Send

from heliostat.dialects.bodies import Disconnected, TooLarge, read_body
from heliostat.domain.ids import RequestId, new_request_id
from heliostat.services import Caller
from heliostat.services.google_identity import LOCATION

from . import routes
from .authenticate import Authenticator
from .call import Call, Json
from .errors import INVALID_ARGUMENT, TELLABLE, UNAUTHENTICATED, Told, VertexError, internal, invalid, told
from .methods import HOLDING, Methods
from .project_calls import as_version_1
from .routes import MethodNotAllowed, Target, find_target
from .wire import from_json, present
from .wire.schema import camel

BODY_LIMIT = 1 << 20
"""Bytes of a request's body."""
_HEADERS = [(b"content-type", b"application/json; charset=UTF-8"), (b"cache-control", b"no-store")]
log = structlog.get_logger()


@dataclass
class _Exchange:
    """One request while it is answered."""

    scope: Scope
    receive: Receive
    send: Send
    id: RequestId = field(default_factory=new_request_id)
    begun: bool = False
    """Whether the head of a successful answer was sent already, with whitespace before its body."""
    quiet: bool = False
    """HEAD: the answer has no body."""

    def values(self, name: bytes) -> list[str]:
        """All values of a header."""
        return [value.decode("latin-1") for key, value in self.scope["headers"] if key.lower() == name]

    async def beat(self) -> None:
        """A sign of life: JSON may begin with whitespace. The status is settled by it."""
        if not self.begun:
            self.begun = True
            await self.send({"type": "http.response.start", "status": 200, "headers": self.headers()})
        await self.send({"type": "http.response.body", "body": b" ", "more_body": True})

    async def answer(self, status: int, body: bytes, extra: list[tuple[bytes, bytes]]) -> None:
        if not self.begun:
            headers = [*self.headers(), (b"content-length", str(len(body)).encode()), *extra]
            await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": b"" if self.quiet else body})

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [*_HEADERS, (b"x-request-id", self.id.encode())]


class RestApp:
    """The app."""

    def __init__(self, methods: Methods, authenticator: Authenticator) -> None:
        self._methods = methods
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            with contextlib.suppress(Disconnected):
                await self._exchange(_Exchange(scope, receive, send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    async def _exchange(self, exchange: _Exchange) -> None:
        extra: list[tuple[bytes, bytes]] = []
        try:
            status, body = 200, await self._answer(exchange)
        except TELLABLE as error:
            answer = told(error, exchange.id)
            status, body, extra = answer.http, answer.body(), _about(error, answer)
            if status == 405 and exchange.scope["method"] == "OPTIONS":
                status, body = 200, {}
            log.debug("request refused", dialect="vertex", request=exchange.id, code=answer.status)
        except Disconnected:
            raise
        except Exception:
            # The outermost boundary: a bug becomes this dialect's 500, with nothing internal.
            log.exception("request failed", dialect="vertex", request=exchange.id, method=exchange.scope["method"])
            answer = internal(exchange.id)
            status, body = answer.http, answer.body()
        await exchange.answer(status, orjson.dumps(body), extra)

    async def _answer(self, exchange: _Exchange) -> Json:
        scope = exchange.scope
        raw_path: bytes = scope["raw_path"]
        exchange.quiet = scope["method"] == "HEAD"
        target = find_target(scope["method"], raw_path.decode("latin-1"))
        shown = exchange.values(b"authorization")
        caller = await self._authenticator.caller(shown)
        data = await _read_body(exchange)
        query = _parameters(scope["query_string"].decode("latin-1"))
        caller = replace(caller, request=exchange.id)

        async def again() -> Caller:
            return await self._authenticator.caller(shown)

        client = "" if exchange.quiet else " ".join(exchange.values(b"x-goog-api-client"))
        call = Call(caller, target.version, again, client, beat=exchange.beat)
        if target.method == routes.ALLOWED_LOCATIONS:
            return {"locations": [LOCATION], "encodedLocations": "0x0"}
        first_version = target.method == routes.PROJECT_1
        method = self._methods.by_name["GetProject" if first_version else target.method]
        request = _read_request(target, method.request, query, data)
        work = method.perform(call, request)
        answer = await (_while_connected(work, exchange) if method.name in HOLDING else work)
        numbers = "enum-encoding=int" in query.get("$alt", "") or "enum-encoding=int" in query.get("alt", "")
        return as_version_1(answer) if first_version else present(answer, call.version, method.answer, numbers)


async def _while_connected(work: Coroutine[Any, Any, Json], exchange: _Exchange) -> Json:
    """What ``work`` gives. It is cancelled when the client goes away, which frees at once what was held for it."""
    task = asyncio.create_task(work)
    tasks = (task, asyncio.create_task(_gone(exchange)))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Disconnected
        return task.result()
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _gone(exchange: _Exchange) -> None:
    while (await exchange.receive())["type"] != "http.disconnect":
        pass


async def _read_body(exchange: _Exchange) -> bytes:
    """The whole body. Raises VertexError when it is too large, Disconnected when it does not come."""
    stated = (exchange.values(b"content-length") or [""])[-1]
    try:
        return await read_body(exchange.receive, BODY_LIMIT, stated)
    except TooLarge:
        raise VertexError(INVALID_ARGUMENT, f"The request's body has more than {BODY_LIMIT} bytes.", http=413) from None


def _parameters(query: str) -> dict[str, str]:
    """The query, decoded. Of a name that is given twice the values are joined by a comma, as lists are."""
    found: dict[str, str] = {}
    for part in query.split("&"):
        key, _, value = part.partition("=")
        key, value = unquote_plus(key), unquote_plus(value)
        if key and value:
            found[key] = f"{found[key]},{value}" if key in found else value
    return found


def _read_request(target: Target, message: str, query: Mapping[str, str], data: bytes) -> Json:
    """The request message, from the path, the query and the body. Raises VertexError and WireError."""
    fields: Json = {key: value for key, value in query.items() if camel(key) in target.query}
    body = _read_json(data) if target.body is not None else {}
    if target.body == "*":
        fields = {**body, **fields}
    read = from_json(target.version, message, {**_without(fields, target.request)})
    if target.body not in (None, "*"):
        # Read by itself, so that an error's path begins where the client's body does.
        resource = from_json(target.version, "PersistentResource", body)
        resource.pop("name", None)
        read[str(target.body)] = {**resource, **target.request.get(str(target.body), {})}
    return {**target.request, **read}


def _without(fields: Json, request: Json) -> Json:
    """The fields that the path does not say already."""
    return {key: value for key, value in fields.items() if camel(key) not in request}


def _read_json(data: bytes) -> Json:
    if not data.strip():
        return {}
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise invalid("body", f"is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise invalid("body", "must be a JSON object")
    return body


def _about(error: Exception, answer: Told) -> list[tuple[bytes, bytes]]:
    """Headers that go with an error."""
    found: list[tuple[bytes, bytes]] = []
    if answer.number == UNAUTHENTICATED:
        found.append((b"www-authenticate", b'Bearer realm="heliostat"'))
    if answer.retry_after_ms is not None:
        found.append((b"retry-after", str(-(-answer.retry_after_ms // 1000)).encode()))
    if isinstance(error, MethodNotAllowed):
        found.append((b"allow", ", ".join(error.allowed).encode()))
    if answer.http == 413:
        found.append((b"connection", b"close"))
    return found
