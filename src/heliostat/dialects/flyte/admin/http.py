"""The HTTP paths of the dialect: uploads and downloads, tokens, and the addresses that clients print for people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlencode

import structlog
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from heliostat.domain.errors import Forbidden, HeliostatError, NotFound, Retry, Unauthenticated
from heliostat.domain.ids import new_request_id
from heliostat.services import Caller, Services

from ..authenticate import Authenticator
from ..errors import NOT_FOUND, PERMISSION_DENIED, FlyteError
from ..settings import FlyteSettings
from . import console, permits
from .console import Subject
from .endpoints import AUTHORIZE_PATH, REDIRECT_URI, TOKEN_PATH
from .token import FlyteTokenEndpoint
from .transfers import Transfers

UPLOADS = b"/flyte/upload/"
DOWNLOADS = b"/flyte/data/"
log = structlog.get_logger()
Describe = Callable[[Caller, Subject], Awaitable[str]]
"""What its page shows, as markup. Raises FlyteError and HeliostatError."""


class FlyteHttp:
    """The ASGI app. ``describe`` may import what it needs at its first call."""

    def __init__(
        self,
        services: Services,
        settings: FlyteSettings,
        upload_key: bytes,
        authenticator: Authenticator,
        describe: Describe,
    ) -> None:
        self._token = FlyteTokenEndpoint(services.google)
        self._transfers = Transfers(services, upload_key, settings.max_upload_bytes)
        self._authenticator = authenticator
        self._describe = describe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        path: bytes = scope["raw_path"]
        if path == TOKEN_PATH.encode():
            await self._token(scope, receive, send)
        elif path.startswith(UPLOADS):
            await self._transfers(scope, receive, send, permits.PUT, path.removeprefix(UPLOADS).decode("latin-1"))
        elif path.startswith(DOWNLOADS):
            await self._transfers(scope, receive, send, permits.GET, path.removeprefix(DOWNLOADS).decode("latin-1"))
        elif path == AUTHORIZE_PATH.encode():
            await _sent_back(scope)(scope, receive, send)
        else:
            await (await self._console(scope, path))(scope, receive, send)

    async def _console(self, scope: Scope, path: bytes) -> Response:
        subject = console.subject_of(path)
        if subject is None:
            return PlainTextResponse("There is nothing at this address.", 404)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("This address takes GET.", 405, {"allow": "GET"})
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
        if not given:
            return HTMLResponse(console.page(subject), headers=_headers())
        request = new_request_id()
        try:
            caller = await self._authenticator.caller(given)
            return HTMLResponse(await self._describe(caller, subject), headers=_headers())
        except HeliostatError as error:
            return PlainTextResponse(str(error), _status(error), _headers())
        except Exception:
            # The outermost boundary: a bug becomes a plain 500, with nothing internal.
            log.exception("request failed", dialect="flyte", request=request, path="console")
            return PlainTextResponse(f"A fault of the server; its log has more under {request}.", 500, _headers())


def _sent_back(scope: Scope) -> Response:
    """Where a client begins a sign-in by browser it is sent to its token request, which tells it what to do instead."""
    asked = parse_qs(scope["query_string"].decode("latin-1"))
    if asked.get("redirect_uri") != [REDIRECT_URI] or len(asked.get("state", [])) != 1:
        return PlainTextResponse("There is no sign-in by browser for Flyte's clients: heliostat login --flyte", 400)
    answer = urlencode({"code": "none", "state": asked["state"][0]})
    return RedirectResponse(f"{REDIRECT_URI}?{answer}", 302, {"cache-control": "no-store"})


def _headers() -> dict[str, str]:
    return {
        "content-security-policy": console.POLICY,
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }


def _status(error: HeliostatError) -> int:
    code = error.status if isinstance(error, FlyteError) else ""
    if isinstance(error, Unauthenticated):
        return 401
    if isinstance(error, Forbidden) or code == PERMISSION_DENIED:
        return 403
    if isinstance(error, NotFound) or code == NOT_FOUND:
        return 404
    return 503 if error.retry is Retry.LATER else 400
