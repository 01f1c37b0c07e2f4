"""A gateway on a real port, before a head that the test plays itself."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import pytest
import uvicorn
from aiohttp import web

from heliostat.domain.passes import Purpose
from heliostat.domain.records import Role
from heliostat.gateway import Gateway, GatewaySettings

from .support import API_TOKEN, DOMAIN, LINK, OTHER, SESSION, SUBMIT, FakeGatekeeper, Front, Head, access_to

VIEWER = "hlt_" + "v" * 43


@contextlib.asynccontextmanager
async def served(app: object, **options: object) -> AsyncIterator[int]:
    """uvicorn as the server runs it, on a free port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(
            app,  # type: ignore[arg-type]
            http="httptools",
            ws="websockets-sansio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        task = asyncio.create_task(server._serve([listener]))
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.005)
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = True
            await task


@contextlib.asynccontextmanager
async def playing() -> AsyncIterator[Head]:
    """What stands for Ray's dashboard; its answers are set by the test."""
    head = Head()
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", head.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        head.address = f"127.0.0.1:{runner.addresses[0][1]}"
        yield head
    finally:
        await runner.cleanup()


@pytest.fixture
async def head() -> AsyncIterator[Head]:
    async with playing() as head:
        yield head


@pytest.fixture
def gatekeeper(head: Head) -> FakeGatekeeper:
    up = head.address
    return FakeGatekeeper(
        **{
            SUBMIT: access_to(upstream=up, subject="(submit token)"),
            API_TOKEN: access_to(upstream=up),
            VIEWER: access_to(role=Role.VIEWER, upstream=up, subject="vera"),
            LINK: access_to(upstream=up, purpose=Purpose.LINK),
            SESSION: access_to(upstream=up, purpose=Purpose.SESSION),
            SUBMIT[::-1]: access_to(OTHER, upstream=up),
        }
    )


@pytest.fixture
def settings() -> GatewaySettings:
    return GatewaySettings(domain=DOMAIN, recheck_every=timedelta(seconds=0.1))


@pytest.fixture
async def front(gatekeeper: FakeGatekeeper, settings: GatewaySettings) -> AsyncIterator[Front]:
    """A client at the gateway's port."""
    gateway = Gateway(gatekeeper, settings)
    async with served(gateway) as port, aiohttp.ClientSession(auto_decompress=False) as session:
        yield Front(session, port, gateway)
        await gateway.aclose()
