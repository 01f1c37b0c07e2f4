"""Engines on fake nodes for the fast tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heliostat.engines.local import LocalSettings

from .kit import FastClock, Healthy, Lab, fake_environment, fake_runtime


@pytest.fixture
def settings(tmp_path: Path) -> LocalSettings:
    """Settings for fake nodes, impatient."""
    environment = fake_environment(tmp_path / "fake-env")
    return LocalSettings(
        state=tmp_path / "state",
        node_runtime=fake_runtime(tmp_path / "runtime"),
        ready_environment=lambda release: environment,
        concurrent_starts=4,
        free_memory=lambda: 1 << 40,
    )


@pytest.fixture
async def lab(settings: LocalSettings) -> AsyncIterator[Lab]:
    """An opened engine on fake nodes. At the end everything is destroyed, and it is checked that nothing is left."""
    lab = Lab(settings, health=Healthy())
    await lab.open()
    yield lab
    await lab.close()


@pytest.fixture
async def fast(settings: LocalSettings) -> AsyncIterator[tuple[Lab, FastClock]]:
    """An engine whose time of day the test moves on."""
    clock = FastClock()
    lab = Lab(settings, clock, Healthy())
    await lab.open()
    yield lab, clock
    await lab.close()
