"""Leases: one holder at a time, whatever the number of servers."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from heliostat.store import Store

from .samples import NOW

MINUTE = timedelta(minutes=1)


async def take(store: Store, key: str, holder: str, minutes: int, length: int = 10) -> bool:
    now = NOW + minutes * MINUTE
    return await store.write(lambda tx: tx.leases.acquire(key, holder, now, now + length * MINUTE))


async def test_a_lease_is_held_renewed_and_lost(store: Store, other: Store) -> None:
    assert await take(store, "c", "one", 0)
    assert not await take(other, "c", "two", 9)
    assert await take(store, "c", "one", 9)
    assert not await take(other, "c", "two", 18)
    assert await take(other, "c", "two", 19)
    assert not await take(store, "c", "one", 20)
    assert await take(store, "d", "one", 20)


async def test_only_the_holder_gives_back(store: Store) -> None:
    assert await take(store, "c", "one", 0)
    await store.write(lambda tx: tx.leases.release("c", "two"))
    assert not await take(store, "c", "two", 1)
    await store.write(lambda tx: tx.leases.release("c", "one"))
    assert await take(store, "c", "two", 1)


async def test_a_leaving_server_gives_all_back(store: Store) -> None:
    assert await take(store, "c", "one", 0)
    assert await take(store, "d", "one", 0)
    assert await take(store, "e", "two", 0)
    await store.write(lambda tx: tx.leases.release_all("one"))
    assert [await take(store, key, "three", 1) for key in "cde"] == [True, True, False]


async def test_of_racing_servers_one_wins_each_lease(store: Store, other: Store) -> None:
    keys = [f"cluster-{number}" for number in range(20)]
    tries = [(opened, name, key) for key in keys for opened, name in ((store, "one"), (other, "two"))]
    won = await asyncio.gather(*(take(opened, key, name, 0) for opened, name, key in tries))
    holders = {
        key: [name for (_, name, k), taken in zip(tries, won, strict=True) if taken and k == key] for key in keys
    }
    assert all(len(names) == 1 for names in holders.values()), holders
