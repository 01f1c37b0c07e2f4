"""Services on a fresh database, and the app before them; nothing runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heliostat.domain.engine import Volume
from heliostat.domain.installation import Installation
from heliostat.engines.simulated import SimulatedEngine
from heliostat.services import JobTools, Services
from heliostat.store import Store, StoreSettings
from heliostat.testing.clock import ManualClock
from heliostat.testing.tools import job_tools

from .door import Door


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(StoreSettings(url=f"sqlite:///{tmp_path / 'h.db'}", master_key=tmp_path / "key"))
    yield opened
    await opened.close()


@pytest.fixture
def tools(tmp_path: Path) -> JobTools:
    return job_tools(tmp_path)


@pytest.fixture
def services(store: Store, tools: JobTools) -> Services:
    place = Installation(volumes={"vol-1": Volume("vol-1", "/tmp")})
    return Services.build(store, place, SimulatedEngine(), ManualClock(), lambda cluster: None, tools)


@pytest.fixture
async def door(services: Services) -> Door:
    first = await services.identity.first_start("ann")
    assert first is not None
    return Door(services, first)
