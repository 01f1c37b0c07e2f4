"""Leases of servers on one store: one holder, renewed while it lives, free after it died, never leaked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar, cast

import pytest
import pytest_asyncio

from heliostat.control.leases import SoleServer, StoredLeases
from heliostat.domain.ids import ClusterId
from heliostat.store import Store, StoreSettings, Transaction
from heliostat.testing.clock import ManualClock

from .servers import FlakyStore

T = TypeVar("T")
KEY = ClusterId("ray-aaaaaaaaaaaaaaaa")
OTHER = ClusterId("ray-bbbbbbbbbbbbbbbb")
LIFETIME = timedelta(seconds=20)
SHORT = timedelta(seconds=0.4)


@pytest_asyncio.fixture
async def store(database: str, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(StoreSettings(database, tmp_path / "key"))
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def test_one_server_holds_a_cluster_until_it_gives_it_back(store: Store, clock: ManualClock) -> None:
    one, two = StoredLeases(store, clock, LIFETIME), StoredLeases(store, clock, LIFETIME)
    assert await one.hold(KEY) and await one.hold(KEY)
    assert not await two.hold(KEY)
    assert await two.hold(OTHER) and not await one.hold(OTHER)
    await two.release(KEY)
    assert not await two.hold(KEY), "only the holder gives back"
    await one.release(KEY)
    assert await two.hold(KEY) and not await one.hold(KEY)


async def test_of_many_that_ask_at_once_one_gets_it(store: Store, clock: ManualClock) -> None:
    servers = [StoredLeases(store, clock, LIFETIME) for _ in range(8)]
    assert sum(await asyncio.gather(*(one.hold(KEY) for one in servers))) == 1


async def test_what_a_dead_server_held_is_free_after_the_lifetime(store: Store, clock: ManualClock) -> None:
    dead, heir = StoredLeases(store, clock, LIFETIME), StoredLeases(store, clock, LIFETIME)
    assert await dead.hold(KEY)
    clock.advance(seconds=LIFETIME.total_seconds() - 1)
    assert not await heir.hold(KEY)
    clock.advance(seconds=1)
    assert await heir.hold(KEY)


async def test_a_clean_shutdown_gives_everything_back_at_once(store: Store, clock: ManualClock) -> None:
    one, two = StoredLeases(store, clock, LIFETIME), StoredLeases(store, clock, LIFETIME)
    assert await one.hold(KEY) and await one.hold(OTHER)
    await one.close()
    assert await two.hold(KEY) and await two.hold(OTHER)


async def test_a_living_server_keeps_what_it_holds(store: Store, clock: ManualClock) -> None:
    counting = FlakyStore(store)
    one, two = StoredLeases(counting.as_store, clock, SHORT), StoredLeases(store, clock, SHORT)
    assert await one.hold(KEY) and await one.hold(OTHER)
    keeping = asyncio.create_task(one.keep())
    try:
        for _ in range(4):
            clock.advance(seconds=0.3)
            counting.failures = 1
            await renewed(counting)
            assert not await two.hold(KEY) and not await two.hold(OTHER)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    clock.advance(seconds=0.4)
    assert await two.hold(KEY)


async def renewed(store: FlakyStore) -> None:
    """Until the leases were renewed after now."""
    before = store.writes
    async with asyncio.timeout(10):
        while store.writes < before + 2:  # the first may have begun before
            await asyncio.sleep(0.01)


class Gate:
    """A store whose next write is held up before it begins."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.begun, self.open = asyncio.Event(), asyncio.Event()
        self.armed = False

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self._store.read(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        if self.armed:
            self.armed = False
            self.begun.set()
            await self.open.wait()
        return await self._store.write(work)


async def test_a_lease_given_back_while_it_is_renewed_is_not_kept_for_ever(store: Store, clock: ManualClock) -> None:
    gate = Gate(store)
    one, two = StoredLeases(cast(Store, gate), clock, SHORT), StoredLeases(store, clock, SHORT)
    assert await one.hold(KEY)
    gate.armed = True
    keeping = asyncio.create_task(one.keep())
    try:
        async with asyncio.timeout(10):
            await gate.begun.wait()
            await one.release(KEY)
            gate.open.set()
            while not await two.hold(KEY):
                await asyncio.sleep(0.01)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def test_a_server_that_slept_too_long_asks_again(store: Store, clock: ManualClock) -> None:
    sleepy, other = StoredLeases(store, clock, SHORT), StoredLeases(store, clock, SHORT)
    assert await sleepy.hold(KEY)
    clock.advance(seconds=1)
    assert await other.hold(KEY)
    deadline = asyncio.get_running_loop().time() + SHORT.total_seconds()
    while asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.02)
    assert not await sleepy.hold(KEY)


async def test_a_sole_server_has_every_lease() -> None:
    sole = SoleServer()
    assert await sole.hold(KEY)
    await sole.release(KEY)
    keeping = asyncio.create_task(sole.keep())
    await asyncio.sleep(0)
    assert not keeping.done()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await sole.close()


class Counting:
    """A store that counts its writes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.writes = 0

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self._store.read(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        self.writes += 1
        return await self._store.write(work)


async def test_what_another_server_holds_costs_no_write(store: Store, clock: ManualClock) -> None:
    counting = Counting(store)
    one, two = StoredLeases(store, clock, SHORT), StoredLeases(cast(Store, counting), clock, SHORT)
    assert await one.hold(KEY)
    for _ in range(5):
        assert not await two.hold(KEY)
    assert counting.writes == 0
    await one.release(KEY)
    assert await two.hold(KEY) and counting.writes == 1
