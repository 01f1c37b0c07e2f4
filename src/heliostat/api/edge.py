"""The outermost layer of the API: request ids, bounds, metrics, and the boundary where an unknown exception ends."""

from __future__ import annotations

import re
import time
from urllib.parse import unquote

import structlog
from fastapi import HTTPException
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heliostat.domain.ids import new_request_id

from . import problems
from .metrics import Metrics

MAX_BODY = 1 << 20
"""Bytes. The largest spec that can be stored is far below it."""
_UPLOAD = re.compile(r"/v1/workspaces/[^/]+/packages/[^/]+")
"""Where bodies are streams, whose use case bounds them."""
_KEPT = re.compile(rb"%2[5Ff]")
log = structlog.get_logger()


class BrokenOff(Exception):
    """An answer that has begun cannot be completed: its connection is closed, so that nobody takes it for whole."""


class Edge:
    """Wraps the API: every answer has ``x-request-id``, and whatever goes wrong inside is a problem document."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["path"] = _decoded(scope["raw_path"])
        request_id = new_request_id()
        scope.setdefault("state", {})["request_id"] = request_id
        since = time.perf_counter()
        status = 0
        received = 0
        limited = not (scope["method"] == "PUT" and _UPLOAD.fullmatch(scope["path"]))

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if limited and received > MAX_BODY:
                raise HTTPException(413, f"a body may have at most {MAX_BODY} bytes")
            return message

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["x-content-type-options"] = "nosniff"
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            if b"\0" in scope["path"].encode("utf-8", "replace") or b"%00" in scope["query_string"]:
                answer = problems.of_status(400, "the address holds a NUL character", request_id)
                await answer(scope, receive, stamped)
            else:
                await self._app(scope, bounded, stamped)
        except ClientDisconnect:
            log.debug("client gone", request=request_id, route=route_of(scope))
        except BrokenOff as error:
            log.warning("answer broken off", request=request_id, route=route_of(scope), cause=str(error))
        except Exception:  # the boundary: a defect is logged here, and the client learns nothing but the request's id
            log.exception("request failed", request=request_id, method=scope["method"], route=route_of(scope))
            if status:
                raise
            detail = "a defect of the server; its log has more under this request_id"
            await problems.of_status(500, detail, request_id)(scope, receive, stamped)
        finally:
            self._metrics.request(scope["method"], route_of(scope), status, time.perf_counter() - since)


def _decoded(raw_path: bytes) -> str:
    """The path, in which ``%2F`` and ``%25`` stay as they are: a slash in a name is no separator (see ``named``)."""
    return unquote(_KEPT.sub(lambda match: b"%25" + match[0][1:], raw_path))


def named(segment: str) -> str:
    """The name in a segment of a path."""
    return unquote(segment)


def route_of(scope: Scope) -> str:
    """The pattern that the path matched (never the path itself, which would make endless series)."""
    return str(getattr(scope.get("route"), "path", "other"))
