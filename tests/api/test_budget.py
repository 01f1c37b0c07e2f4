"""The CPU that a list costs: a budget of the design."""

from __future__ import annotations

import time

import pytest
from starlette.types import Message

from .support import House

BUDGET_SECONDS = 0.002


@pytest.mark.slow
@pytest.mark.alone
async def test_a_list_of_a_hundred_running_clusters_is_cheap(house: House) -> None:
    for number in range(100):
        await house.create(f"c{number}", workers=[{"replicas": 2, "memory": "4GB"}], labels={"team": "search"})
    for number in range(100):
        await house.until(f"c{number}", "Running")
    batches = []
    for _ in range(8):
        since = time.process_time()
        for _ in range(25):
            assert len(await _get(house, house.clusters)) > 100_000
        batches.append((time.process_time() - since) / 25)
    assert min(batches) < BUDGET_SECONDS, f"{min(batches) * 1000:.2f} ms at best"


async def _get(house: House, path: str) -> bytes:
    """A GET without the cost of an HTTP client."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"heliostat"), (b"authorization", f"Bearer {house.token}".encode())]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"limit=100", "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    await house.app(scope, receive, send)
    assert sent[0]["status"] == 200
    return b"".join(message.get("body", b"") for message in sent[1:])
