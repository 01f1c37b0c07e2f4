"""Every test that asks for ``settings`` or ``store`` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from heliostat.store import Store, StoreSettings
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> StoreSettings:
    """Of an installation that was never started."""
    if request.param == "sqlite":
        return StoreSettings(f"sqlite:///{tmp_path}/heliostat.db", tmp_path / "master.key")
    return StoreSettings(request.getfixturevalue("postgres_url"), tmp_path / "master.key")


@pytest_asyncio.fixture
async def store(settings: StoreSettings) -> AsyncIterator[Store]:
    """Open and empty."""
    opened = await Store.open(settings)
    try:
        yield opened
    finally:
        await opened.close()


@pytest_asyncio.fixture
async def other(settings: StoreSettings, store: Store) -> AsyncIterator[Store]:
    """A second server on the same database: it shares no cache with ``store``."""
    opened = await Store.open(settings)
    try:
        yield opened
    finally:
        await opened.close()
