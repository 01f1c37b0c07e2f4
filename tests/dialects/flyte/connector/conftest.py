"""A whole server on the simulated engine with a door for propellers, and a propeller at it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.testing.harness import running

from .propeller import Propeller, Served, channel_to, forever

Serve = Callable[..., AbstractAsyncContextManager[Propeller]]


@pytest.fixture
def world() -> World:
    return World(job_behaviour=forever)


@pytest.fixture
def serve(tmp_path: Path, world: World) -> Serve:
    """Starts a server on the test's one home and world, as often as it likes."""

    @contextlib.asynccontextmanager
    async def start(served: Served = Served()) -> AsyncIterator[Propeller]:
        home = tmp_path / "home"
        config = tmp_path / "config.toml"
        config.write_text(served.toml())
        engine = SimulatedEngine(world)
        async with running(home, world=world, engine=engine, tls_port=-1, config=config) as up:
            port = up.running.propellers_port or up.port
            async with channel_to(port) as channel:
                token = None if up.running.propellers_port else up.token
                yield Propeller(up, world, engine, channel, tmp_path / "bucket", token)

    return start


@pytest.fixture
async def propeller(serve: Serve) -> AsyncIterator[Propeller]:
    async with serve() as found:
        yield found
