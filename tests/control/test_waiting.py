"""Clusters and jobs that wait for room in their queue, seen by a user of the SDK on a whole server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio

from heliostat.client import AsyncClient, Head, WorkerGroup
from heliostat.client.errors import QuotaExceeded
from heliostat.domain.ids import WorkspaceId
from heliostat.domain.quota import Claim
from heliostat.domain.records import Amount
from heliostat.store import Transaction
from heliostat.testing.harness import HarnessServer, running

HEAD = Head(cpu=1, memory="1Gi")
WORKERS = WorkerGroup(name="w", replicas=3, cpu=1, memory="1Gi")


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[HarnessServer]:
    async with running(tmp_path / "home") as server:
        await limit(server, 4)
        yield server


async def limit(server: HarnessServer, cores: int) -> None:
    workspace = WorkspaceId(server.workspace)

    def work(tx: Transaction) -> None:
        queue = tx.queues.get(workspace, "root_queue")
        tx.queues.save(replace(queue, maximum=Amount(cpu=Decimal(cores))))

    await server.running.server.store.write(work)


def sdk(server: HarnessServer) -> AsyncClient:
    return AsyncClient(server.url, token=server.token, workspace=server.workspace)


async def test_a_start_waits_says_for_whom_and_goes_on_by_itself(server: HarnessServer) -> None:
    async with sdk(server) as client:
        first = await client.clusters.create("first", head=HEAD, workers=[WORKERS], start=True)
        await first.wait()
        second = await client.clusters.create("second", head=HEAD, workers=[WORKERS], start=True)
        async for seen in client.clusters.watch(second.id, seconds=30):
            if "waits" in seen.info.message:
                break
        assert seen.info.state == "Starting"
        assert seen.info.message == "waits for queue root_queue: needs 4 CPU, 0 of 4 are free; held by first (4 CPU)"
        assert "waits for queue root_queue" in (await client.clusters.why(second.id)).summary
        assert {known.plan.name for known in server.world.instances.values()} == {"first"}

        await client.clusters.stop(first.id)
        await second.wait()
        await client.clusters.stop(second.id)


async def test_a_job_waits_as_submitted_and_is_cancelled_without_a_trace(server: HarnessServer) -> None:
    async with sdk(server) as client:
        first = await client.clusters.create("first", head=HEAD, workers=[WORKERS], start=True)
        await first.wait()
        spec = {"head": {"cpu": 2, "memory": "1Gi"}, "workers": []}
        job, other = [await client.jobs.submit("true", cluster_spec=spec) for _ in range(2)]
        async for seen in client.jobs.watch(job.id, seconds=30):
            if "waits" in seen.info.message:
                break
        assert seen.info.status == "Submitted"
        assert seen.info.message.startswith("its cluster waits for queue root_queue: needs 2 CPU, 0 of 4 are free")
        await client.jobs.cancel(other.id)
        await client.clusters.stop(first.id)
        assert (await job.wait()).info.status == "Succeeded"
        assert (await other.wait()).info.status == "Cancelled"

    def work(tx: Transaction) -> list[Claim]:
        return tx.claims.holders(WorkspaceId(server.workspace), None, limit=10)

    async with asyncio.timeout(10):
        while await server.running.server.store.read(work):
            await asyncio.sleep(0.02)


async def test_what_could_never_be_had_is_refused(server: HarnessServer) -> None:
    async with sdk(server) as client:
        big = Head(cpu=5, memory="1Gi")
        made = await client.clusters.create("big", head=big, start=False)
        with pytest.raises(QuotaExceeded, match="big needs 5 CPU, and queue root_queue has 4 in all"):
            await client.clusters.start(made.id)
        assert (await client.clusters.get("big")).info.state == "Stopped"
        with pytest.raises(QuotaExceeded):
            await client.jobs.submit("true", cluster_spec={"head": {"cpu": 5, "memory": "1Gi"}})
        assert [job async for job in client.jobs.list()] == []
