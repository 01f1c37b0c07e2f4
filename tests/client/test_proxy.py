"""Proxy variables of the shell do not come between the SDK and a server on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from heliostat.client import AsyncClient, Client
from heliostat.testing.harness import running, threaded


@pytest.fixture(autouse=True)
def proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_synchronous(tmp_path: Path) -> None:
    with threaded(tmp_path) as server, Client(endpoint=server.url, token=server.token) as client:
        assert client.me().name


async def test_asynchronous(tmp_path: Path) -> None:
    async with running(tmp_path) as server, AsyncClient(endpoint=server.url, token=server.token) as client:
        assert (await client.me()).name
