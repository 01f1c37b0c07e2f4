"""A server whose jobs play tasks."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import grpc.aio
import pytest

from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.testing.harness import running

from .stage import Stage, Troupe

Open = Callable[[], AbstractAsyncContextManager[Stage]]


@pytest.fixture
def stages(tmp_path: Path) -> Open:
    """Opens a server on the test's one home and world, as often as it likes."""
    troupe = Troupe()
    world = World(job_behaviour=troupe)
    config = tmp_path / "config.toml"
    config.write_text('[flyte]\nworkspace = "default"\n')

    @contextlib.asynccontextmanager
    async def open() -> AsyncIterator[Stage]:
        async with (
            running(tmp_path / "home", world=world, engine=SimulatedEngine(world), tls_port=-1, config=config) as up,
            grpc.aio.insecure_channel(f"127.0.0.1:{up.port}") as channel,
        ):
            yield Stage(up, world, channel, troupe)

    return open


@pytest.fixture
async def stage(stages: Open) -> AsyncIterator[Stage]:
    async with stages() as found:
        yield found
