"""The ASGI app."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from heliostat.services import Services

from .settings import EmrSettings


def create_app(services: Services, settings: EmrSettings = EmrSettings()) -> ASGIApp:
    """The app that serves ``/api/v1/...`` and ``/api/interactive/v1/...``, to be mounted at the root of a host."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError

    return app
