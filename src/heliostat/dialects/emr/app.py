"""The ASGI app: one request in, one JSON object out, with the checks in a fixed order.

Route, size of the body, authentication, rate limit, version and action, permission, workspace, JSON and types, object,
state (EMR contract, section 10). Whatever happens, the answer is a JSON object with a request id, the same as in the
header ``x-acs-request-id``; there are no redirects and no empty bodies, since the SDK makes nothing of either.

It is served at the root of a host. A path prefix is not supported: the SDK leaves it out of what it signs.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

import orjson
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from heliostat.dialects.bodies import Disconnected, TooLarge, read_body
from heliostat.domain.errors import Forbidden, HeliostatError, NotFound
from heliostat.domain.ids import RequestId, WorkspaceId, new_request_id
from heliostat.domain.records import Role
from heliostat.services import Caller, Services

from .authenticate import Authenticator
from .call import Call, Operation
from .errors import INTERNAL, EmrError, Told, told, unknown_action
from .operations import Operations
from .request import Request, head_of
from .routes import MethodNotAllowed, Route, find_route
from .settings import EmrSettings
from .throttle import Throttle

API_VERSION = "2023-08-08"
_HEADERS = [(b"content-type", b"application/json;charset=utf-8"), (b"cache-control", b"no-store")]
log = structlog.get_logger()


def create_app(services: Services, settings: EmrSettings = EmrSettings()) -> ASGIApp:
    """The app that serves ``/api/v1/...`` and ``/api/interactive/v1/...``, to be mounted at the root of a host."""
    return _App(services, settings)


class _Exchange:
    """What is known of a request while it is answered, for the answer and the log."""

    def __init__(self) -> None:
        self.id: RequestId = new_request_id()
        self.host = ""
        self.action = ""
        self.headers: list[tuple[bytes, bytes]] = []
        """To be sent with the answer."""


class _App:
    def __init__(self, services: Services, settings: EmrSettings) -> None:
        self._services = services
        self._settings = settings
        self._operations = Operations(services)
        self._throttle = Throttle(settings)
        self._authenticator = Authenticator(
            services.identity, services.clock, bearer_without_tls=settings.bearer_without_tls
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            with contextlib.suppress(Disconnected):
                await self._exchange(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "lifespan":
            await _live(receive, send)

    async def _exchange(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange()
        try:
            body = await self._answer(scope, receive, exchange)
            status = 200
        except HeliostatError as error:
            status, body = _refuse(error, exchange)
        except Disconnected:
            raise
        except Exception:
            # The outermost boundary: a bug becomes this dialect's 500, with nothing internal.
            log.exception("request failed", dialect="emr", action=exchange.action, request=exchange.id)
            status, body = INTERNAL.status, INTERNAL.body(exchange.id, exchange.host, exchange.action)
        data = orjson.dumps(body)
        headers = [
            *_HEADERS,
            (b"x-acs-request-id", exchange.id.encode()),
            (b"content-length", str(len(data)).encode()),
            *exchange.headers,
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": data})

    async def _answer(self, scope: Scope, receive: Receive, exchange: _Exchange) -> dict[str, object]:
        """The body of a success. Raises HeliostatError."""
        request = head_of(scope)
        exchange.host = request.headers.get("host", "")
        route = find_route(request.method, request.path)
        exchange.action = route.operation
        request = replace(request, body=await self._body(request, receive))
        caller = await self._authenticate(request, exchange)
        _check_version(request, route)
        operation = self._operations.by_name[route.operation]
        call = Call(caller, request, route.ids)
        body = await self._perform(operation, call, route)
        return {operation.request_id: exchange.id, **body}

    async def _body(self, request: Request, receive: Receive) -> bytes:
        limit = self._settings.body_limit
        try:
            return await read_body(receive, limit, request.headers.get("content-length", ""))
        except TooLarge:
            raise EmrError("RequestEntityTooLarge", f"The body has more than {limit} bytes.") from None

    async def _authenticate(self, request: Request, exchange: _Exchange) -> Caller:
        """Who asks. The rate is looked at before the nonce is stored, so that a flood does not reach the database."""
        proof = await self._authenticator.identify(request)
        self._throttle.admit(proof.key, write=request.method != "GET")
        await self._authenticator.use_up(proof)
        return Caller(proof.principal, exchange.id)

    async def _perform(self, operation: Operation, call: Call, route: Route) -> dict[str, object]:
        for kind, name in route.ids.items():
            if not name or "\0" in name:
                raise NotFound(kind.removesuffix("Id"), name)
        if "workspaceId" not in route.ids:
            return await operation.perform(call)
        _check_role(call.caller, call.workspace, operation.needs, route.operation)
        try:
            return await operation.perform(call)
        except EmrError:
            # Something is wrong with the request itself; that there is no such workspace comes before that.
            await self._services.directory.workspace(call.caller, call.workspace)
            raise


def _check_version(request: Request, route: Route) -> None:
    version = request.headers.get("x-acs-version")
    if version != API_VERSION:
        raise EmrError("InvalidVersion", f"x-acs-version must be {API_VERSION}.")
    action = request.headers.get("x-acs-action", route.operation)
    if action != route.operation:
        raise unknown_action(f"x-acs-action is not {route.operation}, which is what the method and the path name.")


def _check_role(caller: Caller, workspace: WorkspaceId, needs: Role, action: str) -> None:
    if not caller.may(workspace, Role.VIEWER):
        raise NotFound("workspace", workspace)
    if not caller.may(workspace, needs):
        raise Forbidden(f"do {action}", caller.principal.name, needs)


def _refuse(error: HeliostatError, exchange: _Exchange) -> tuple[int, dict[str, object]]:
    answer: Told = told(error)
    if answer is INTERNAL:
        log.error(
            "request failed", dialect="emr", action=exchange.action, request=exchange.id, error=type(error).__name__
        )
    else:
        log.debug("request refused", dialect="emr", action=exchange.action, request=exchange.id, code=answer.code)
    if answer.retry_after_ms is not None:
        seconds = -(-answer.retry_after_ms // 1000)
        exchange.headers += [
            (b"x-acs-retry-after", str(answer.retry_after_ms).encode()),
            (b"retry-after", str(seconds).encode()),
        ]
    if isinstance(error, MethodNotAllowed):
        exchange.headers.append((b"allow", ", ".join(error.allowed).encode()))
    if answer.code == "RequestEntityTooLarge":
        exchange.headers.append((b"connection", b"close"))
    return answer.status, answer.body(exchange.id, exchange.host, exchange.action)


async def _live(receive: Receive, send: Send) -> None:
    """The lifespan protocol, for a server that runs this app alone."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
