"""Packages: each workspace has its own, and what is used stays."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from heliostat.store import Store

from .samples import AWAY, HOME, NOW, make_workspaces

ONE, TWO = "1" * 64, "2" * 64
HOUR = timedelta(hours=1)


async def test_a_package_belongs_to_one_workspace(store: Store, other: Store) -> None:
    await make_workspaces(store)
    await store.write(lambda tx: tx.packages.add(HOME, ONE, 5 << 32, NOW))
    assert await other.read(lambda tx: tx.packages.size(HOME, ONE)) == 5 << 32
    assert await other.read(lambda tx: tx.packages.size(AWAY, ONE)) is None
    assert await store.write(lambda tx: tx.packages.used(HOME, ONE, NOW))
    assert not await store.write(lambda tx: tx.packages.used(AWAY, ONE, NOW))
    await store.write(lambda tx: tx.packages.add(AWAY, ONE, 7, NOW))
    await store.write(lambda tx: tx.packages.remove(HOME, ONE))
    assert await other.read(lambda tx: tx.packages.size(HOME, ONE)) is None
    assert await other.read(lambda tx: tx.packages.size(AWAY, ONE)) == 7


async def test_what_is_used_is_not_old(store: Store) -> None:
    await make_workspaces(store)
    await store.write(lambda tx: (tx.packages.add(HOME, ONE, 1, NOW), tx.packages.add(AWAY, TWO, 2, NOW + HOUR)))
    assert await store.read(lambda tx: tx.packages.unused_since(NOW, limit=9)) == []
    later = NOW + 2 * HOUR
    assert await store.read(lambda tx: tx.packages.unused_since(later, limit=9)) == [(HOME, ONE), (AWAY, TWO)]
    assert await store.read(lambda tx: tx.packages.unused_since(later, limit=1)) == [(HOME, ONE)]
    await store.write(lambda tx: tx.packages.used(HOME, ONE, later))
    await store.write(lambda tx: tx.packages.add(AWAY, TWO, 2, later))
    assert await store.read(lambda tx: tx.packages.unused_since(later, limit=9)) == [], "added again is used again"


async def test_two_may_add_the_same_at_once(store: Store, other: Store) -> None:
    await make_workspaces(store)
    await asyncio.gather(
        *(opened.write(lambda tx: tx.packages.add(HOME, ONE, 1, NOW)) for opened in (store, other) * 4)
    )
    assert await store.read(lambda tx: tx.packages.size(HOME, ONE)) == 1
