"""Queues and usage through the SDK; a start that waits for its queue goes on when there is room."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

import heliostat
from heliostat.client import Conflict, InvalidRequest, NotFound
from heliostat.testing.harness import HarnessServer


@pytest.fixture
def name(client: heliostat.Client) -> Iterator[str]:
    """A fresh name of a queue; its clusters and the queue are deleted afterwards."""
    chosen = f"q-{secrets.token_hex(4)}"
    yield chosen
    for cluster in client.clusters.list(name=chosen):
        cluster.delete(stop=True, wait=True)
    for queue in client.queues.list():
        if queue.name == chosen:
            client.queues.delete(chosen)


def test_a_start_waits_for_its_queue_and_goes_on_by_itself(client: heliostat.Client, name: str) -> None:
    made = client.queues.create(name, maximum={"cpu": 1}, description="narrow")
    assert (made.maximum.cpu, made.maximum.memory, made.used.cpu, made.holders) == ("1", None, "0", ())
    first = client.clusters.create(f"{name}-1", head={"queue": name, "cpu": 1}).wait()
    second = client.clusters.create(f"{name}-2", head={"queue": name, "cpu": 1})
    seen = client.queues.get(name)
    assert (seen.used.cpu, seen.waiting) == ("1", 1)
    assert [row.cluster for row in seen.holders] == [first.id] and seen.holders[0].held.cpu == "1"
    with pytest.raises(Conflict, match="in use"):
        client.queues.delete(name)
    smaller = client.queues.edit(name, maximum={"cpu": "500m"})
    assert "nothing is ended" in smaller.notes[0] and smaller.description == "narrow"
    client.queues.edit(name, maximum={"cpu": 2}, priority=3)
    assert second.wait().state == "Running"
    assert client.queues.get(name).waiting == 0


async def test_the_same_asynchronously_and_usage(server: HarnessServer, name: str) -> None:
    async with heliostat.AsyncClient(server.url, server.token, server.workspace) as client:
        await client.queues.create(name, minimum={"memory": "1Gi"}, backfill=False)
        assert not (await client.queues.edit(name, minimum={"memory": None})).backfill
        cluster = await (await client.clusters.create(name, head={"queue": name})).wait()
        await cluster.stop(wait=True)
        now = datetime.now(UTC)
        report = await client.usage(by=["queue", "cluster"], since=now - timedelta(hours=1), until=now, queue=name)
        [row] = report.rows
        assert (report.by, row.queue, row.cluster_name, row.hour) == (("queue", "cluster"), name, name, None)
        parts = (row.starting.cpu_hours, row.useful.cpu_hours, row.idle.cpu_hours)
        assert report.since.minute == 0 and row.total.cpu_hours == pytest.approx(sum(parts), abs=1e-5)
        with pytest.raises(InvalidRequest, match="timezone"):
            await client.usage(since=datetime(2026, 1, 1))
        with pytest.raises(NotFound, match="queue 'nope'"):
            await client.queues.get("nope")
