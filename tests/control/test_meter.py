"""The meter: what runs shows in the ledger while it runs, counted once, whoever meters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from heliostat.control.meter import BATCH, Meter
from heliostat.control.retention import Retention, RetentionSettings
from heliostat.domain.ids import ClusterId, InstanceId, PrincipalId
from heliostat.domain.quota import Charge, Claim, Phase
from heliostat.domain.records import Queue
from heliostat.storage.folder import FolderStorage
from heliostat.store import Store, StoreSettings, Transaction
from heliostat.testing.clock import ManualClock
from tests.store.samples import ANNA, AWAY, HOME, make_workspaces

NODE = Charge(2000, 4 << 30, 0)


def claim(number: int, now: datetime, held: int = 1, phase: Phase = Phase.USEFUL) -> Claim:
    return Claim(
        InstanceId(f"ci-{number:04d}"), "g", HOME, ClusterId(f"c-{number % 7}"), "root_queue", ANNA, NODE,
        held, held, 0, now, phase, now,
    )  # fmt: skip


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 3, 1, 10, 30, tzinfo=UTC))


@pytest.fixture
async def store(tmp_path: Path, database: str) -> AsyncIterator[Store]:
    opened = await Store.open(StoreSettings(url=database, master_key=tmp_path / "key"))
    await make_workspaces(opened)
    yield opened
    await opened.close()


async def begin(store: Store, clock: ManualClock, claims: list[Claim]) -> None:
    def work(tx: Transaction) -> None:
        tx.queues.add(Queue(HOME, "root_queue", clock.now()))
        tx.claims.change([(None, row) for row in claims], clock.now())

    await store.write(work)


async def node_hours(store: Store, clock: ManualClock) -> float:
    since, until = clock.now() - timedelta(days=30), clock.now() + timedelta(hours=1)
    rows = await store.read(lambda tx: tx.ledger.sums(HOME, since=since, until=until))
    return sum(row.node_hours for row in rows)


async def test_what_runs_shows_before_it_ends(store: Store, clock: ManualClock) -> None:
    await begin(store, clock, [claim(number, clock.now(), held=2) for number in range(BATCH + 3)])
    meter = Meter(store, clock)
    assert await meter.meter_once() == 0, "it has just been"
    clock.advance(minutes=60)
    assert await meter.meter_once() == BATCH + 3
    assert await node_hours(store, clock) == pytest.approx(2 * (BATCH + 3))
    assert await meter.meter_once() == 0
    claims = await store.read(lambda tx: tx.claims.of_instance(InstanceId("ci-0000")))
    assert claims[0].metered_until == clock.now()


async def test_two_meters_count_it_once(store: Store, clock: ManualClock) -> None:
    await begin(store, clock, [claim(number, clock.now()) for number in range(40)])
    for _ in range(5):
        clock.advance(minutes=12)
        await asyncio.gather(*(Meter(store, clock).meter_once() for _ in range(4)))
    assert await node_hours(store, clock) == pytest.approx(40)


async def test_a_meter_and_a_change_count_it_once(store: Store, clock: ManualClock) -> None:
    """An end that is recorded while it is metered, with what was read before that."""
    await begin(store, clock, [claim(1, clock.now())])
    clock.advance(minutes=30)

    def end(tx: Transaction) -> None:
        tx.claims.change([(row, None) for row in tx.claims.of_instance(InstanceId("ci-0001"))], clock.now())

    await asyncio.gather(Meter(store, clock).meter_once(), store.write(end), Meter(store, clock).meter_once())
    assert await node_hours(store, clock) == pytest.approx(0.5)


async def test_a_clock_that_was_set_back_counts_nothing_twice(store: Store, clock: ManualClock) -> None:
    await begin(store, clock, [claim(1, clock.now())])
    clock.advance(minutes=60)
    await Meter(store, clock).meter_once()
    clock.advance(minutes=-40)
    await Meter(store, clock).meter_once()
    clock.advance(minutes=60)
    await Meter(store, clock).meter_once()
    assert await node_hours(store, clock) == pytest.approx(80 / 60)


async def test_usage_goes_when_it_is_old(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    await begin(store, clock, [claim(1, clock.now())])

    def elsewhere(tx: Transaction) -> None:
        row = claim(2, clock.now())
        tx.ledger.add(
            Claim(**{**vars(row), "workspace": AWAY, "principal": PrincipalId("pr-x")}),
            clock.now() + timedelta(hours=1),
        )

    await store.write(elsewhere)
    clock.advance(hours=250)
    await Meter(store, clock).meter_once()
    assert await node_hours(store, clock) == pytest.approx(250)
    storage = FolderStorage(tmp_path / "storage")
    settings = RetentionSettings(usage=timedelta(hours=20))
    await Retention(store, storage, clock, settings).sweep_once()
    assert 20 <= await node_hours(store, clock) <= 21
    assert not await store.read(lambda tx: tx.ledger.workspaces_before(clock.now() - timedelta(hours=20)))
    await Retention(store, storage, clock, RetentionSettings(usage=None)).sweep_once()
    assert 20 <= await node_hours(store, clock) <= 21
