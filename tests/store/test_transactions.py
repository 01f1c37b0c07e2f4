"""Transactions: all or nothing, one moment, one after the other, and what happens when the database is in the way."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from heliostat.domain.errors import Unavailable
from heliostat.domain.records import Workspace
from heliostat.store import Store, StoreSettings, Transaction

from .samples import AWAY, HOME, NOW, a_cluster, an_event, make_workspaces


class Refused(Exception):
    """What a unit of work may raise."""


async def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    def work(tx: Transaction) -> None:
        tx.workspaces.add(Workspace(HOME, "home", NOW))
        raise Refused("no")

    with pytest.raises(Refused, match="no"):
        await store.write(work)
    assert await store.read(lambda tx: tx.workspaces.get(HOME)) is None


async def test_a_stop_iteration_does_not_leave_the_caller_waiting(store: Store) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(store.read(lambda tx: next(iter(tx.clusters.active()))), 10)


async def test_a_read_cannot_write(store: Store) -> None:
    with pytest.raises((Unavailable, SQLAlchemyError)):
        await store.read(lambda tx: tx.workspaces.add(Workspace(HOME, "home", NOW)))
    assert await store.read(lambda tx: tx.workspaces.get(HOME)) is None


async def test_a_read_sees_one_moment(store: Store, other: Store) -> None:
    await make_workspaces(store)
    looked, changed = threading.Event(), threading.Event()

    def twice(tx: Transaction) -> tuple[int, int]:
        before = tx.clusters.count(HOME)
        looked.set()
        assert changed.wait(10)
        return before, tx.clusters.count(HOME)

    reading = asyncio.create_task(store.read(twice))
    assert await asyncio.to_thread(looked.wait, 10)
    await other.write(lambda tx: tx.clusters.add(a_cluster()))
    changed.set()
    assert await reading == (0, 0)
    assert await store.read(lambda tx: tx.clusters.count(HOME)) == 1


async def test_no_update_is_lost(store: Store, other: Store) -> None:
    """Each writer reads a number and writes it back, one higher."""
    await make_workspaces(store)
    cluster = replace(a_cluster(), generation=0)
    await store.write(lambda tx: tx.clusters.add(cluster))

    def grow(tx: Transaction) -> None:
        locked = tx.clusters.lock(cluster.id)
        assert locked is not None
        tx.clusters.save(replace(locked, generation=locked.generation + 1))

    await asyncio.gather(*(opened.write(grow) for opened in (store, other) * 20))
    grown = await store.read(lambda tx: tx.clusters.get(HOME, cluster.id))
    assert grown is not None
    assert grown.generation == 40


async def test_a_rule_over_several_rows_holds_without_locks(store: Store, other: Store) -> None:
    """At most three clusters: each writer counts first. That is what serializable means."""
    await make_workspaces(store)

    def admit(tx: Transaction) -> bool:
        if tx.clusters.count(HOME) >= 3:
            return False
        tx.clusters.add(a_cluster(f"c{next(names)}"))
        return True

    names = iter(range(10_000))
    admitted = await asyncio.gather(*(opened.write(admit) for opened in (store, other) * 8))
    assert sum(admitted) == 3
    assert await store.read(lambda tx: tx.clusters.count(HOME)) == 3


async def test_readers_do_not_wait_for_a_writer(store: Store) -> None:
    await make_workspaces(store)
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        tx.clusters.add(a_cluster())
        begun.set()
        assert go_on.wait(10)

    writing = asyncio.create_task(store.write(slow))
    assert await asyncio.to_thread(begun.wait, 10)
    counts = await asyncio.gather(*(store.read(lambda tx: tx.clusters.count(HOME)) for _ in range(10)))
    go_on.set()
    await writing
    assert counts == [0] * 10


async def test_a_deadlock_is_resolved(store: Store, other: Store) -> None:
    """Two transactions that lock two clusters in opposite order: on SQLite they take turns, on PostgreSQL one retries."""
    await make_workspaces(store)
    one, two = a_cluster("one"), a_cluster("two")
    await store.write(lambda tx: (tx.clusters.add(one), tx.clusters.add(two)))
    meeting = threading.Barrier(2)

    def lock(tx: Transaction, first: str, second: str) -> None:
        tx.clusters.lock(one.id if first == "one" else two.id)
        try:
            meeting.wait(0.5)
        except threading.BrokenBarrierError:
            meeting.reset()
        locked = tx.clusters.lock(one.id if second == "one" else two.id)
        assert locked is not None
        tx.clusters.save(replace(locked, generation=locked.generation + 1))

    await asyncio.gather(
        store.write(lambda tx: lock(tx, "one", "two")),
        other.write(lambda tx: lock(tx, "two", "one")),
    )
    pages = await store.read(lambda tx: tx.clusters.page(HOME, limit=9))
    assert [cluster.generation for cluster in pages] == [2, 2]


async def test_one_cancelled_caller_does_not_stop_a_begun_write(store: Store) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        tx.workspaces.add(Workspace(HOME, "home", NOW))
        begun.set()
        assert go_on.wait(10)

    writing = asyncio.create_task(store.write(slow))
    assert await asyncio.to_thread(begun.wait, 10)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    go_on.set()
    await store.write(lambda tx: tx.workspaces.add(Workspace(AWAY, "away", NOW)))
    await store.close()
    assert begun.is_set()


async def test_closing_waits_for_begun_writes(settings: StoreSettings) -> None:
    store = await Store.open(settings)
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        begun.set()
        assert go_on.wait(10)
        tx.workspaces.add(Workspace(HOME, "home", NOW))

    writing = asyncio.create_task(store.write(slow))
    assert await asyncio.to_thread(begun.wait, 10)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(writing, closing)
    with pytest.raises(Unavailable, match="closed"):
        await store.read(lambda tx: tx.workspaces.get(HOME))
    again = await Store.open(settings)
    assert await again.read(lambda tx: tx.workspaces.get(HOME)) is not None
    await again.close()


async def test_odd_text_never_fails_a_transaction(store: Store) -> None:
    await make_workspaces(store)
    cluster = replace(a_cluster(), message="log tail: \0\ud800 end", creator_name="\N{SUN BEHIND CLOUD}")
    event = replace(an_event(cluster.id), message="\0", key="\udfff")
    await store.write(lambda tx: (tx.clusters.add(cluster), tx.events.add(event)))
    found = await store.read(lambda tx: tx.clusters.get(HOME, cluster.id))
    assert found is not None
    assert found.message == "log tail: \ufffd? end"
    assert found.creator_name == "\N{SUN BEHIND CLOUD}"
    for name in ("\0", "\ud800", "'; DROP TABLE clusters; --"):
        assert await store.read(lambda tx, name=name: tx.clusters.by_name(HOME, name)) is None
        assert await store.read(lambda tx, name=name: tx.clusters.page(HOME, limit=1, name_contains=name)) == []


async def test_times_keep_their_microseconds(store: Store) -> None:
    times = [NOW + timedelta(microseconds=number * 333_333) for number in range(50)]
    for number, time in enumerate(times):
        workspace = Workspace(HOME if number == 0 else type(HOME)(f"w-{number}"), f"{number}", time)
        await store.write(lambda tx, workspace=workspace: tx.workspaces.add(workspace))
    listed = await store.read(lambda tx: tx.workspaces.list(limit=100))
    assert [workspace.created_at for workspace in listed] == times[::-1]


class TestLostConnections:
    """PostgreSQL: sessions that were cut off, by a restart for example."""

    @pytest.fixture
    def settings(self, postgres_url: str) -> StoreSettings:
        return StoreSettings(postgres_url, bytes(32), readers=1, writers=1)

    async def test_the_next_transaction_opens_a_new_one(self, store: Store, other: Store) -> None:
        await make_workspaces(store)
        await store.read(lambda tx: tx.clusters.count(HOME))
        await other.write(cut_off_others)
        assert await store.read(lambda tx: tx.workspaces.get(HOME)) is not None
        await store.write(lambda tx: tx.clusters.add(a_cluster()))

    async def test_work_that_was_cut_off_is_done_again(self, store: Store, other: Store) -> None:
        await make_workspaces(store)
        runs: list[int] = []
        working, go_on = threading.Event(), threading.Event()

        def work(tx: Transaction) -> None:
            runs.append(1)
            tx.clusters.add(a_cluster("one"))
            working.set()
            assert go_on.wait(10)
            tx.clusters.add(a_cluster("two"))

        writing = asyncio.create_task(store.write(work))
        assert await asyncio.to_thread(working.wait, 10)
        await other.write(cut_off_others)
        go_on.set()
        await writing
        assert len(runs) == 2
        assert await store.read(lambda tx: tx.clusters.count(HOME)) == 2

    async def test_a_commit_of_unknown_outcome_is_not_repeated(self, store: Store, other: Store) -> None:
        await make_workspaces(store)
        runs: list[int] = []
        working, go_on = threading.Event(), threading.Event()

        def work(tx: Transaction) -> None:
            runs.append(1)
            tx.clusters.add(a_cluster("one"))
            working.set()
            assert go_on.wait(10)

        writing = asyncio.create_task(store.write(work))
        assert await asyncio.to_thread(working.wait, 10)
        await other.write(cut_off_others)
        go_on.set()
        with pytest.raises(Unavailable, match="look what is there"):
            await writing
        assert len(runs) == 1


def cut_off_others(tx: Transaction) -> None:
    """Ends all other sessions of the database, as an administrator can."""
    statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    tx.leases._connection.execute(text(f"{statement} AND pid <> pg_backend_pid()"))
