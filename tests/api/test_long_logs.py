"""Logs that are far larger than what may be in memory, and answers that break, through a real port."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from heliostat.api import log_streams
from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import JobId, WorkspaceId
from heliostat.domain.jobs import LogFile, driver_log
from heliostat.server import Server
from heliostat.services import LogService
from heliostat.testing.harness import HarnessServer, running

LINE = b"2026-03-04 05:06:07 INFO epoch 12 of 90: loss 0.1234\n"
BLOCK = LINE * 4096
LARGE = 128 << 20
MOST_IN_MEMORY = 16 << 20


async def _made_up(file: LogFile, offset: int, size: int) -> bytes:
    """A log of any size that is nowhere."""
    wanted = min(size, file.size - offset)
    begin = offset % len(LINE)
    return (BLOCK[begin:] + BLOCK)[:wanted]


async def _job(server: HarnessServer, admin: httpx.AsyncClient, size: int) -> str:
    """A running job whose log has so many bytes: its address."""
    path = f"/v1/workspaces/{server.workspace}/jobs"
    made = (await admin.post(path, json={"entrypoint": "sleep 1000"})).raise_for_status().json()["id"]
    async with asyncio.timeout(20):
        while (await admin.get(f"{path}/{made}")).json()["status"] != "Running":
            await asyncio.sleep(0.02)
    name = "made-up.log"
    file = LogFile(made, WorkspaceId(server.workspace), name, size, size, datetime.now(UTC), complete=True)
    store = server.running.server.store
    await store.write(lambda tx: tx.log_files.add(file))
    assert driver_log(JobId(made)) != name
    return f"{path}/{made}/logs/{name}"


def _client(server: HarnessServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, headers={"authorization": f"Bearer {server.token}"}, timeout=30)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, LARGE),
        ({"follow": True}, LARGE),
        ({"grep": "loss 0[.]9|nothing"}, 0),
        ({"tail": 3}, 2 * len(LINE) + LARGE % len(LINE)),
    ],
)
async def test_a_large_log_fills_no_memory_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(LogService, "read", lambda self, file, offset, size: _made_up(file, offset, size))
    async with running(tmp_path) as server, _client(server) as admin:
        path = await _job(server, admin, LARGE)
        waits: list[float] = []
        done = asyncio.Event()

        async def others() -> None:
            while not done.is_set():
                since = time.perf_counter()
                (await admin.get("/v1/me")).raise_for_status()
                waits.append(time.perf_counter() - since)
                await asyncio.sleep(0.01)

        looking = asyncio.create_task(others())
        tracemalloc.start()
        try:
            read = 0
            async with admin.stream("GET", path, params=params) as answer:
                assert answer.status_code == 200
                async for piece in answer.aiter_raw():
                    read += len(piece)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            done.set()
            await looking
        assert read == expected
        assert peak < MOST_IN_MEMORY
        assert max(waits) < 1.0


async def test_a_log_that_breaks_off_is_not_taken_for_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaking(self: LogService, file: LogFile, offset: int, size: int) -> bytes:
        if offset >= 2 * log_streams.PIECE:
            raise Unavailable("the log storage does not answer")
        return await _made_up(file, offset, size)

    monkeypatch.setattr(LogService, "read", breaking)
    async with running(tmp_path) as server, _client(server) as admin:
        path = await _job(server, admin, 8 * log_streams.PIECE)
        for params in ({}, {"grep": "loss"}):
            with pytest.raises(httpx.RemoteProtocolError):
                await admin.get(path, params=params)


async def test_the_servers_end_breaks_a_plain_follower(tmp_path: Path) -> None:
    async with running(tmp_path) as server, _client(server) as admin:
        path = (await _job(server, admin, 0)).replace("made-up.log", "driver")
        assembled: Server = server.running.server
        following = asyncio.create_task(admin.get(path, params={"follow": True}))
        await asyncio.sleep(0.5)
        assert not following.done()
        assembled.end_streams()
        with pytest.raises(httpx.RemoteProtocolError):
            await asyncio.wait_for(following, 5)
