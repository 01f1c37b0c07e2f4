"""Engines on fake nodes for the fast tests; real Ray environments for the slow ones."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heliostat.domain.releases import Release
from heliostat.engines.local import LocalSettings
from heliostat.engines.local.clock import SystemClock
from heliostat.engines.local.environments import Environments

from .kit import Healthy, Lab, fake_environment, fake_runtime

CACHE = Path(__file__).parents[3] / ".cache" / "environments"


def ray_environment(release: Release) -> Path:
    """A real environment: from ``HELIOSTAT_TEST_RAY_ENVS`` (``ray-2.60.0/``, ...), else built once below ``.cache``."""
    given = os.environ.get("HELIOSTAT_TEST_RAY_ENVS")
    if given:
        return Path(given) / f"ray-{release.ray}"
    CACHE.mkdir(parents=True, exist_ok=True)
    return asyncio.run(Environments(CACHE, lambda release: None, False, SystemClock()).ensure(release))


@pytest.fixture(scope="session")
def ray_environments() -> dict[str, Path]:
    """Ray version -> environment, of every release that is tested."""
    releases = (Release("ray-1.3.1", "2.60.0", "3.11"), Release("ray-1.0.1", "2.47.1", "3.11"))
    return {release.ray: ray_environment(release) for release in releases}


@pytest.fixture
def settings(tmp_path: Path) -> LocalSettings:
    """Settings for fake nodes, impatient."""
    environment = fake_environment(tmp_path / "fake-env")
    return LocalSettings(
        state=tmp_path / "state",
        node_runtime=fake_runtime(tmp_path / "runtime"),
        ready_environment=lambda release: environment,
        concurrent_starts=4,
    )


@pytest.fixture
async def lab(settings: LocalSettings) -> AsyncIterator[Lab]:
    """An opened engine on fake nodes. At the end everything is destroyed, and it is checked that nothing is left."""
    lab = Lab(settings, health=Healthy())
    await lab.open()
    yield lab
    await lab.close()
