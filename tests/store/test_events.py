"""Events: recorded once, paged in both directions, in an order that a follower can rely on."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

from heliostat.domain.ids import new_cluster_id, new_instance_id, new_job_id
from heliostat.domain.records import Event
from heliostat.store import Store, Transaction

from .samples import AWAY, HOME, a_cluster, an_event, make_workspaces


async def test_comes_back_as_it_was_written(store: Store) -> None:
    cluster = new_cluster_id()
    event = replace(an_event(cluster, key="start-1", job=new_job_id()), instance=new_instance_id(cluster))
    assert await store.write(lambda tx: tx.events.add(event))
    (stored,) = await store.read(lambda tx: tx.events.page(cluster, limit=10))
    assert stored.id > 0
    assert stored == replace(event, id=stored.id)


async def test_a_key_is_recorded_once_per_cluster(store: Store) -> None:
    one, two = new_cluster_id(), new_cluster_id()
    assert await store.write(lambda tx: tx.events.add(an_event(one, key="k")))
    assert not await store.write(lambda tx: tx.events.add(an_event(one, "Other", key="k")))
    assert await store.write(lambda tx: tx.events.add(an_event(two, key="k")))
    assert await store.write(lambda tx: (tx.events.add(an_event(one)), tx.events.add(an_event(one)))) == (True, True)
    assert len(await store.read(lambda tx: tx.events.page(one, limit=10))) == 3


async def test_pages(store: Store) -> None:
    one, two = new_cluster_id(), new_cluster_id()
    for number in range(10):
        event = an_event((one, two)[number % 2], f"Fact{number}")
        await store.write(lambda tx, event=event: tx.events.add(event))
    await store.write(lambda tx: tx.events.add(replace(an_event(new_cluster_id()), workspace=AWAY)))

    def reasons(events: list[Event]) -> list[int]:
        return [int(event.reason.removeprefix("Fact")) for event in events]

    everything = await store.read(lambda tx: tx.events.of_workspace(HOME, limit=100))
    assert reasons(everything) == list(range(9, -1, -1))
    ids = {int(event.reason.removeprefix("Fact")): event.id for event in everything}
    assert reasons(await store.read(lambda tx: tx.events.page(one, limit=2))) == [8, 6]
    assert reasons(await store.read(lambda tx: tx.events.page(one, limit=2, before=ids[6]))) == [4, 2]
    assert reasons(await store.read(lambda tx: tx.events.page(one, limit=2, after=ids[2]))) == [4, 6]
    assert reasons(await store.read(lambda tx: tx.events.page(two, limit=9, after=ids[3], before=ids[9]))) == [5, 7]
    assert reasons(await store.read(lambda tx: tx.events.of_workspace(HOME, limit=3, after=ids[5]))) == [6, 7, 8]
    assert await store.read(lambda tx: tx.events.page(one, limit=3, after=ids[9])) == []


async def test_those_of_a_job_are_also_their_clusters(store: Store) -> None:
    cluster, one, two = new_cluster_id(), new_job_id(), new_job_id()
    for number, job in enumerate([None, one, two, one, one]):
        event = an_event(cluster, f"Fact{number}", job=job)
        await store.write(lambda tx, event=event: tx.events.add(event))
    await store.write(lambda tx: tx.events.add(an_event(new_cluster_id(), "Fact9", job=one)))

    def reasons(events: list[Event]) -> list[int]:
        return [int(event.reason.removeprefix("Fact")) for event in events]

    ids = {
        int(row.reason.removeprefix("Fact")): row.id
        for row in await store.read(lambda tx: tx.events.of_workspace(HOME, limit=99))
    }
    assert reasons(await store.read(lambda tx: tx.events.page(cluster, limit=9))) == [4, 3, 2, 1, 0]
    assert reasons(await store.read(lambda tx: tx.events.of_job(one, limit=9))) == [9, 4, 3, 1]
    assert reasons(await store.read(lambda tx: tx.events.of_job(one, limit=2, before=ids[9]))) == [4, 3]
    assert reasons(await store.read(lambda tx: tx.events.of_job(one, limit=2, after=ids[1]))) == [3, 4]
    assert reasons(await store.read(lambda tx: tx.events.of_job(two, limit=9))) == [2]
    assert await store.read(lambda tx: tx.events.of_job(new_job_id(), limit=9)) == []


async def test_they_outlive_their_cluster(store: Store) -> None:
    await make_workspaces(store)
    cluster = a_cluster()
    await store.write(lambda tx: (tx.clusters.add(cluster), tx.events.add(an_event(cluster.id))))
    await store.write(lambda tx: tx.clusters.purge(cluster.id))
    assert len(await store.read(lambda tx: tx.events.page(cluster.id, limit=10))) == 1


async def test_a_follower_misses_nothing_that_is_committed_late(store: Store, other: Store) -> None:
    """An event with a lower id must not appear after one with a higher id was seen."""
    cluster = new_cluster_id()
    added, go_on = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        tx.events.add(an_event(cluster, "Slow"))
        added.set()
        assert go_on.wait(10)

    first = asyncio.create_task(store.write(slow))
    assert await asyncio.to_thread(added.wait, 10)
    second = asyncio.create_task(other.write(lambda tx: tx.events.add(an_event(cluster, "Fast"))))
    done, _ = await asyncio.wait({second}, timeout=0.3)
    overtaken = bool(done)
    go_on.set()
    await asyncio.gather(first, second)
    events = await store.read(lambda tx: tx.events.page(cluster, limit=10, after=0))
    assert not overtaken
    assert [event.reason for event in events] == ["Slow", "Fast"]
