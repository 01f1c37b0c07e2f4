"""Claims: the sums in the queues' rows, and the ledger, follow every change."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import ClusterId, InstanceId
from heliostat.domain.quantities import GIB
from heliostat.domain.quota import HEAD, Charge, Claim, Phase
from heliostat.domain.records import Queue
from heliostat.store import Store, StoreSettings, Transaction
from heliostat.store.ledger import UsageRow

from .samples import ANNA, AWAY, HOME, NOW, make_workspaces

HOUR = timedelta(hours=1)
NODE = Charge(1500, 3 * GIB, 1)


def a_claim(
    run: str = "ray-1-a", group: str = HEAD, queue: str = "root_queue", held: int = 1, wanted: int = 1
) -> Claim:
    return Claim(
        InstanceId(run), group, HOME, ClusterId(run[:5]), queue, ANNA, NODE, wanted, held, 3, NOW, Phase.STARTING, NOW
    )


async def prepare(store: Store) -> None:
    await make_workspaces(store)
    await store.write(lambda tx: [tx.queues.add(Queue(HOME, name, NOW)) for name in ("root_queue", "other")])


async def put(store: Store, *claims: Claim) -> None:
    await store.write(lambda tx: tx.claims.change([(None, claim) for claim in claims], NOW))


def sums(tx: Transaction) -> dict[str, tuple[int, int | None, int | None]]:
    """What the queues' rows say."""
    return {row.name: (int((row.held.cpu or 0) * 1000), row.held.memory, row.held.gpu) for row in tx.queues.list(HOME)}


def check(tx: Transaction) -> None:
    """The rows say what the claims say."""
    found = dict.fromkeys(sums(tx), Charge())
    for claim in tx.claims.holders(HOME, None, limit=1000):
        found[claim.queue] += claim.node * claim.held
    assert sums(tx) == {name: (row.milli_cpu, row.memory, row.gpu) for name, row in found.items()}


async def test_comes_back_as_it_was_written(store: Store, other: Store) -> None:
    await prepare(store)
    rows = [
        replace(a_claim("ray-1-a"), metered_until=NOW.replace(microsecond=891000)),
        a_claim("ray-1-a", "g", "other"),
    ]
    rows[1] = replace(rows[1], wanted=9, held=4, phase=Phase.IDLE, metered_until=rows[0].metered_until)
    await put(store, *rows)
    assert await other.read(lambda tx: tx.claims.of_instance(InstanceId("ray-1-a"))) == rows
    assert await other.read(sums) == {"root_queue": (1500, 3 * GIB, 1), "other": (6000, 12 * GIB, 4)}
    await other.read(check)


async def test_growing_shrinking_and_giving_back(store: Store) -> None:
    await prepare(store)
    claim = a_claim(held=0, wanted=5)
    await put(store, claim, a_claim("ray-2-a", queue="other"))
    for held in (5, 2, 3):
        read = (await store.read(lambda tx: tx.claims.of_instance(claim.instance)))[0]
        await store.write(lambda tx, read=read, held=held: tx.claims.change([(read, replace(read, held=held))], NOW))
        assert (await store.read(sums))["root_queue"] == (1500 * held, 3 * GIB * held, held)
    read = (await store.read(lambda tx: tx.claims.of_instance(claim.instance)))[0]
    await store.write(lambda tx: tx.claims.change([(read, None)], NOW))
    assert await store.read(sums) == {"root_queue": (0, 0, 0), "other": (1500, 3 * GIB, 1)}
    assert await store.read(lambda tx: tx.claims.of_instance(claim.instance)) == []


async def test_who_waits_and_who_holds(store: Store) -> None:
    await prepare(store)
    waiting, whole = a_claim("ray-1-a", held=0), a_claim("ray-1-a", "g", "other", 0, 0)
    large, small = a_claim("ray-2-a", queue="other", held=7, wanted=7), a_claim("ray-3-a", queue="other")
    assert not await store.read(lambda tx: tx.claims.anyone_lacks(HOME))
    await put(store, waiting, whole, large, small)
    found = await store.read(lambda tx: tx.claims.lacking(HOME))
    assert [(row.instance, row.group) for row in found] == [("ray-1-a", HEAD), ("ray-1-a", "g")]
    assert await store.read(lambda tx: tx.claims.lacking_workspaces()) == [HOME]
    assert await store.read(lambda tx: (tx.claims.anyone_lacks(HOME), tx.claims.anyone_lacks(AWAY))) == (True, False)
    for by in ("CPU", "memory", "GPU", "CU"):
        holders = await store.read(lambda tx, by=by: tx.claims.holders(HOME, "other", limit=5, by=by))
        assert [row.instance for row in holders] == ["ray-2-a", "ray-3-a"]
    assert len(await store.read(lambda tx: tx.claims.holders(HOME, None, limit=1))) == 1
    used = [await store.read(lambda tx, name=name: tx.claims.any_in(HOME, name)) for name in ("other", "none")]
    assert used == [True, False]


async def test_a_claim_that_is_not_there_any_more_is_not_counted(store: Store) -> None:
    await prepare(store)
    claim = a_claim()
    await put(store, claim)
    with pytest.raises(IntegrityError):
        await put(store, claim)
    await store.write(lambda tx: tx.claims.change([(claim, None)], NOW))
    for after in (None, replace(claim, held=3)):
        with pytest.raises(RuntimeError):
            await store.write(lambda tx, after=after: tx.claims.change([(claim, after)], NOW))
    assert await store.read(sums) == {"root_queue": (0, 0, 0), "other": (0, 0, 0)}


async def test_two_servers_do_not_give_the_same_room_away(store: Store, other: Store) -> None:
    """Each counts what is free and takes it, a hundred times, side by side."""
    await prepare(store)

    def take(name: str) -> None:
        def work(tx: Transaction) -> bool:
            queue = tx.queues.lock(HOME)["other"]
            if (queue.held.gpu or 0) >= 20:
                return False
            tx.claims.change([(None, a_claim(f"ray-{name}", queue="other"))], NOW)
            return True

        taken.append(work)

    taken: list[object] = []
    for number in range(50):
        take(f"{number:03}")
    calls = [(store, other)[number % 2].write(work) for number, work in enumerate(taken)]  # type: ignore[arg-type]
    assert sum(await asyncio.gather(*calls)) == 20
    assert (await store.read(sums))["other"][2] == 20
    await store.read(check)


async def test_opposite_orders_do_not_stand_in_each_others_way(store: Store, other: Store) -> None:
    """Changes of many claims in two queues at once, in any order: each is stored, none is a deadlock for ever."""
    await prepare(store)
    rows = [a_claim(f"ray-{n}-a", queue=("root_queue", "other")[n % 2]) for n in range(6)]
    await put(store, *rows)

    async def turn(by: Store, order: Sequence[Claim]) -> None:
        for step in range(1, 11):

            def work(tx: Transaction, step: int = step) -> None:
                found = [tx.claims.of_instance(row.instance)[0] for row in order]
                tx.claims.change([(row, replace(row, wanted=row.wanted + 1, held=row.held + 1)) for row in found], NOW)

            await by.write(work)

    await asyncio.gather(turn(store, rows), turn(other, rows[::-1]))
    assert await store.read(sums) == dict.fromkeys(("root_queue", "other"), (21 * 3 * 1500, 21 * 3 * 3 * GIB, 63))
    await store.read(check)


# --- the ledger -----------------------------------------------------------------------------------------------------------


async def usage(
    store: Store, *by: str, since: datetime = NOW - 9 * HOUR, until: datetime = NOW + 99 * HOUR
) -> list[UsageRow]:
    return await store.read(lambda tx: tx.ledger.sums(HOME, since=since, until=until, by=by))


async def test_what_was_held_is_in_the_ledger_by_hour_and_phase(store: Store) -> None:
    await prepare(store)
    begin = datetime(2026, 3, 4, 10, 45, tzinfo=NOW.tzinfo)
    claim = replace(a_claim(held=2, wanted=2), metered_until=begin)
    await store.write(lambda tx: tx.claims.change([(None, claim)], begin))

    async def look(at: datetime, **changes: object) -> None:
        def work(tx: Transaction) -> None:
            (row,) = tx.claims.of_instance(claim.instance)
            tx.claims.change([(row, replace(row, **changes))], at)  # type: ignore[arg-type]

        await store.write(work)

    await look(begin + timedelta(minutes=5), phase=Phase.USEFUL)  # 5 minutes of 2 nodes, starting
    await look(begin + timedelta(minutes=30), held=4, wanted=4)  # 25 minutes of 2 nodes: 10 before the hour, 15 after
    await look(begin + timedelta(minutes=45), phase=Phase.IDLE)  # 15 minutes of 4 nodes
    await look(begin + timedelta(minutes=40))  # another server's clock is behind: nothing is taken back
    await look(begin + timedelta(minutes=45), held=0, wanted=1)
    await look(begin + timedelta(hours=5))
    rows = {(row.keys[0][11:13], row.phase): row for row in await usage(store, "hour")}
    assert {key: round(row.node_hours * 60, 6) for key, row in rows.items()} == {
        ("10", Phase.STARTING): 10, ("10", Phase.USEFUL): 20, ("11", Phase.USEFUL): 30 + 60,
    }  # fmt: skip
    (starting, useful) = await usage(store)
    assert round(starting.cpu_hours, 6) == round(10 / 60 * 1.5, 6)
    assert round(useful.memory_gib_hours, 6) == round(110 / 60 * 3, 6) and round(useful.gpu_hours * 60, 6) == 110
    assert round(useful.cu_hours, 6) == round(useful.cpu_hours, 6) == round(110 / 60 * 1.5, 6)
    assert [row.phase for row in await usage(store, since=begin + HOUR)] == [Phase.USEFUL]
    assert await usage(store, until=begin - HOUR) == []


async def test_a_long_time_is_split_into_its_hours(store: Store) -> None:
    await prepare(store)
    await put(store, a_claim())
    (row,) = await store.read(lambda tx: tx.claims.unmetered(NOW + HOUR, limit=9))
    end = NOW + timedelta(hours=50, minutes=3)
    await store.write(lambda tx: tx.claims.change([(row, row)], end))
    found = await usage(store, "hour", "cluster", "queue", "principal")
    assert len(found) == 51 and found[0].keys[1:] == ("ray-1", "root_queue", ANNA)
    assert sum(row.node_hours for row in found) == pytest.approx(50.05) and max(row.node_hours for row in found) == 1
    assert await store.read(lambda tx: tx.claims.unmetered(end - HOUR, limit=9)) == []


moments = st.lists(
    st.tuples(st.integers(0, 9_000_000_000), st.integers(0, 3), st.sampled_from(Phase)), min_size=1, max_size=12
)


@given(moments)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
async def test_every_moment_counts_once(settings: StoreSettings, steps: list[tuple[int, int, Phase]]) -> None:
    """Whenever it is looked at, to the microsecond: the sum is what was held, and no millisecond is lost or doubled."""
    store = await Store.open(settings)
    try:
        if not await store.read(lambda tx: tx.workspaces.get(HOME)):
            await prepare(store)
        before = sum(row.node_hours for row in await usage(store))
        run = InstanceId(f"ray-{before}")
        await store.write(lambda tx: tx.claims.change([(None, replace(a_claim(run), instance=run))], NOW))
        now, held, expected = _whole(NOW), 1, 0.0
        for passed, nodes, phase in steps:
            at = NOW + timedelta(microseconds=passed)
            if _whole(at) > now:
                expected += held * (_whole(at) - now) / HOUR
                now = _whole(at)
            held = nodes

            def work(tx: Transaction, at: datetime = at, nodes: int = nodes, phase: Phase = phase) -> None:
                (row,) = tx.claims.of_instance(run)
                tx.claims.change([(row, replace(row, held=nodes, wanted=nodes, phase=phase))], at)

            await store.write(work)
        await store.write(lambda tx: tx.claims.change([(tx.claims.of_instance(run)[0], None)], now))
        assert sum(row.node_hours for row in await usage(store)) - before == pytest.approx(expected, abs=1e-9)
        await store.read(check)
    finally:
        await store.close()


def _whole(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


async def test_a_transaction_that_fails_leaves_sums_and_ledger_alone(store: Store) -> None:
    await prepare(store)
    await put(store, a_claim())

    def work(tx: Transaction) -> None:
        (row,) = tx.claims.of_instance(InstanceId("ray-1-a"))
        tx.claims.change([(row, None)], NOW + HOUR)
        raise Unavailable("the server dies here")

    with pytest.raises(Unavailable):
        await store.write(work)
    assert (await store.read(sums))["root_queue"] == (1500, 3 * GIB, 1) and await usage(store) == []
