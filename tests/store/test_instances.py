"""Instances: what is live, and whom a submit token lets in."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from heliostat.domain.errors import AlreadyExists, NotFound
from heliostat.domain.ids import new_instance_id
from heliostat.store import Store

from .samples import NOW, a_cluster, an_instance, make_workspaces, seen


async def test_comes_back_as_it_was_written(store: Store, other: Store) -> None:
    await make_workspaces(store)
    cluster = a_cluster()
    instance = an_instance(cluster)
    await store.write(lambda tx: (tx.clusters.add(cluster), tx.instances.add(instance)))
    assert await other.read(lambda tx: tx.instances.get(instance.id)) == instance
    running = replace(seen(instance), generation=4, retired=True)
    await store.write(lambda tx: tx.instances.save(running))
    assert await other.read(lambda tx: tx.instances.get(instance.id)) == running
    assert await store.read(lambda tx: tx.instances.get(instance.id)) == running
    bare = replace(instance, endpoints=None, ended_at=NOW)
    await store.write(lambda tx: tx.instances.save(bare))
    assert await other.read(lambda tx: tx.instances.get(instance.id)) == bare
    assert await store.read(lambda tx: tx.instances.get(new_instance_id(cluster.id))) is None


async def test_live_ones_oldest_first(store: Store) -> None:
    await make_workspaces(store)
    cluster, neighbour = a_cluster("one"), a_cluster("two")
    first, second, third = (
        replace(an_instance(cluster), created_at=NOW + timedelta(seconds=second)) for second in (2, 1, 3)
    )
    foreign = an_instance(neighbour)
    await store.write(lambda tx: [tx.clusters.add(one) for one in (cluster, neighbour)])
    await store.write(lambda tx: [tx.instances.add(one) for one in (first, second, third, foreign)])
    assert await store.read(lambda tx: tx.instances.live(cluster.id)) == [second, first, third]
    await store.write(lambda tx: tx.instances.save(replace(second, ended_at=NOW)))
    retired = replace(third, retired=True)
    await store.write(lambda tx: tx.instances.save(retired))
    assert await store.read(lambda tx: tx.instances.live(cluster.id)) == [first, retired]
    assert await store.read(lambda tx: tx.instances.live_ids()) == {first.id, third.id, foreign.id}


async def test_a_submit_token_opens_its_run_until_that_is_retired(store: Store) -> None:
    await make_workspaces(store)
    cluster = a_cluster()
    instance = an_instance(cluster)
    token = instance.submit_token.reveal()
    await store.write(lambda tx: (tx.clusters.add(cluster), tx.instances.add(instance)))
    assert await store.read(lambda tx: tx.instances.by_submit_token(token)) == instance
    assert await store.read(lambda tx: tx.instances.by_submit_token(token[:-1])) is None
    assert await store.read(lambda tx: tx.instances.by_submit_token("\udcff\0")) is None
    await store.write(lambda tx: tx.instances.save(replace(instance, retired=True)))
    assert await store.read(lambda tx: tx.instances.by_submit_token(token)) is None
    await store.write(lambda tx: tx.instances.save(replace(instance, ended_at=NOW)))
    assert await store.read(lambda tx: tx.instances.by_submit_token(token)) is None


async def test_two_runs_never_share_a_token(store: Store) -> None:
    await make_workspaces(store)
    cluster = a_cluster()
    instance = an_instance(cluster)
    await store.write(lambda tx: (tx.clusters.add(cluster), tx.instances.add(instance)))
    with pytest.raises(AlreadyExists):
        await store.write(lambda tx: tx.instances.add(instance))
    twin = replace(an_instance(cluster), submit_token=instance.submit_token)
    with pytest.raises(AlreadyExists):
        await store.write(lambda tx: tx.instances.add(twin))


async def test_a_purged_one_cannot_be_saved(store: Store) -> None:
    await make_workspaces(store)
    with pytest.raises(NotFound):
        await store.write(lambda tx: tx.instances.save(an_instance(a_cluster())))
