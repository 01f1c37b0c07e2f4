"""One port for everything: which app answers a request, by host and path alone.

Hosts ``c-<cluster>.<domain>`` and Ray's own paths belong to the gateway, ``/api/v1`` and ``/api/interactive`` to the EMR
dialect, ``projects`` below a version and ``/token`` to the Vertex dialect, ``/flyte`` and ``/console`` to the Flyte dialect, all
else to the native API. Nothing is authenticated here; every app does that itself.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from heliostat.gateway import belongs_to_gateway

EMR_PATHS = (b"/api/v1/", b"/api/interactive/")
VERTEX_PATHS = (b"/v1/projects/", b"/v1beta1/", b"/ui/projects/", b"/v3/projects/")
"""``/v1`` alone is the native API's."""
VERTEX_TOKENS = b"/token"
FLYTE_PATHS = (b"/flyte/", b"/console/")


class Front:
    """The outermost ASGI app."""

    def __init__(
        self, *, api: ASGIApp, emr: ASGIApp, vertex: ASGIApp, flyte: ASGIApp, gateway: ASGIApp, domain: str
    ) -> None:
        self._api = api
        self._emr = emr
        self._vertex = vertex
        self._flyte = flyte
        self._gateway = gateway
        self._domain = domain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope)(scope, receive, send)

    def _app(self, scope: Scope) -> ASGIApp:
        if scope["type"] not in ("http", "websocket"):
            return self._api
        path: bytes = scope["raw_path"]
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        host = next((value for name, value in headers if name == b"host"), b"")
        if belongs_to_gateway(host.decode("latin-1"), path, headers, self._domain):
            return self._gateway
        if path.startswith(VERTEX_PATHS) or path == VERTEX_TOKENS:
            return self._vertex
        if path.startswith(FLYTE_PATHS):
            return self._flyte
        return self._emr if path.startswith(EMR_PATHS) else self._api
