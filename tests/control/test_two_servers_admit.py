"""Two server processes on one PostgreSQL admit side by side; what is held is sampled from the database all the time."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from heliostat.domain.installation import Installation
from heliostat.domain.records import Amount, Queue
from heliostat.engines.simulated import SimulatedEngine
from heliostat.services import Services
from heliostat.store import Store, StoreSettings
from heliostat.testing.clock import ManualClock
from heliostat.testing.tools import job_tools

SECONDS = float(os.environ.get("HELIOSTAT_ADMITTING_SECONDS", "6"))
"""By hand: a minute."""
MOST = {"root_queue": 14, "a": 6, "b": 9}
SURE = {"root_queue": 0, "a": 0, "b": 3}
ROOT = Path(__file__).parents[2]
SAMPLE = """
SELECT q.name, q.held_cpu, q.held_memory, coalesce(sum(c.held * c.node_cpu), 0), coalesce(sum(c.held * c.node_memory), 0)
FROM queues q LEFT JOIN claims c ON c.workspace = q.workspace AND c.queue = q.name
GROUP BY q.workspace, q.name, q.held_cpu, q.held_memory ORDER BY q.name
"""


async def prepare(url: str, folder: Path) -> tuple[str, str]:
    """A workspace with three queues; returns an administrator's token, and the workspace."""
    store = await Store.open(StoreSettings(url, folder / "key"))
    try:
        tools = job_tools(folder)
        services = Services.build(store, Installation(), SimulatedEngine(), ManualClock(), lambda cluster: None, tools)
        made = await services.identity.first_start("ann")
        assert made is not None

        def limits(name: str) -> dict[str, Amount]:
            return {"minimum": Amount(Decimal(SURE[name])), "maximum": Amount(Decimal(MOST[name]))}

        def work(tx: object) -> None:
            for name in MOST:
                if name != "root_queue":
                    tx.queues.add(Queue(made.workspace, name, ManualClock().now()))  # type: ignore[attr-defined]
                queue = tx.queues.get(made.workspace, name)  # type: ignore[attr-defined]
                tx.queues.save(replace(queue, **limits(name)))  # type: ignore[attr-defined]

        await store.write(work)
        return made.token.reveal(), made.workspace
    finally:
        await store.close()


class Sampler:
    """Reads the queues, as fast as it can, in a thread."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://")
        self._done = threading.Event()
        self.samples = 0
        self.fullest = dict.fromkeys((*MOST, "all"), 0)
        self.problems: list[str] = []

    def run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._done.is_set():
                self.look(connection.execute(SAMPLE).fetchall())

    def look(self, rows: list[tuple[str, int, int, int, int]]) -> None:
        self.samples += 1
        for name, cpu, memory, claimed_cpu, claimed_memory in rows:
            if (cpu, memory) != (claimed_cpu, claimed_memory):
                self.problems.append(f"{name}: its row says {cpu}, its claims {claimed_cpu}")
            if cpu > MOST[name] * 1000:
                self.problems.append(f"{name} holds {cpu}")
            self.fullest[name] = max(self.fullest[name], cpu)
        total = sum(cpu for _, cpu, *_ in rows)
        kept = sum(max(cpu, SURE[name] * 1000) for name, cpu, *_ in rows)
        if kept > MOST["root_queue"] * 1000:
            self.problems.append(f"all hold {total}, with guarantees {kept}")
        self.fullest["all"] = max(self.fullest["all"], total)

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()


@pytest.mark.slow
@pytest.mark.alone
def test_two_servers_never_give_the_same_room_away(postgres_url: str, tmp_path: Path) -> None:
    token, workspace = asyncio.run(prepare(postgres_url, tmp_path))
    sampler = Sampler(postgres_url)
    began = time.monotonic()
    with sampler.running():
        words = [postgres_url, str(tmp_path / "key"), str(tmp_path), token, workspace]
        servers = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.control.admitting", *words, name, str(SECONDS)],
                cwd=ROOT, stdout=subprocess.PIPE, text=True,
            )
            for name in ("one", "two")
        ]  # fmt: skip
        try:
            outputs = [server.communicate(timeout=SECONDS + 120)[0] for server in servers]
        finally:
            for server in servers:
                server.kill()
    took = time.monotonic() - began
    assert [server.returncode for server in servers] == [0, 0], outputs
    admitted = [int(output.split()[-1]) for output in outputs]
    print(f"{admitted} admitted in {took:.0f} s, {sampler.samples} samples, fullest {sampler.fullest}")
    assert not sampler.problems, sampler.problems[:5]
    assert all(admitted) and sampler.samples > 20
    assert sampler.fullest["all"] >= 0.8 * MOST["root_queue"] * 1000, "the queues were never short: nothing was proved"
    with psycopg.connect(sampler._url) as connection:
        assert connection.execute("SELECT sum(held_cpu), (SELECT count(*) FROM claims) FROM queues").fetchone() == (
            0,
            0,
        )
