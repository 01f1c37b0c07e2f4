"""One server for all tests of the SDK, and no credentials of the person who runs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import heliostat
from heliostat.testing.harness import HarnessServer, threaded


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HarnessServer]:
    with threaded(Path(tmp_path_factory.mktemp("server"))) as running:
        yield running


@pytest.fixture(autouse=True)
def _nobodys_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("ENDPOINT", "TOKEN", "WORKSPACE", "PROFILE", "HOME", "PROFILES"):
        monkeypatch.delenv(f"HELIOSTAT_{name}", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    yield
    heliostat.set_default_client(None)


@pytest.fixture
def client(server: HarnessServer) -> Iterator[heliostat.Client]:
    with heliostat.Client(server.url, server.token, server.workspace) as made:
        yield made
