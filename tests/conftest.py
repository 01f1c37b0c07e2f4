"""What all tests share: real Ray environments, built once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from heliostat.domain.releases import BUILT_IN
from heliostat.engines.local.clock import SystemClock
from heliostat.engines.local.environments import Environments

RAY_ENVIRONMENTS = Path(__file__).parents[1] / ".cache" / "environments"
TESTED = ("ray-1.3.1", "ray-1.0.1")
"""The newest Ray and 2.47.1, for the Python that everybody has."""


@pytest.fixture(scope="session")
def ray_environments_folder() -> Path:
    """A folder for ``<home>/local/environments`` in which the tested releases are built already."""
    RAY_ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    environments = Environments(RAY_ENVIRONMENTS, lambda release: None, False, SystemClock())
    for release in BUILT_IN:
        if release.name in TESTED:
            asyncio.run(environments.ensure(release))
    return RAY_ENVIRONMENTS
