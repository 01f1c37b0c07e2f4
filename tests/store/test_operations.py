"""Operations in the database: they come back as they were, end once, and outlive their cluster."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest
from sqlalchemy import text

from heliostat.domain.errors import AlreadyExists, InvalidRequest, NotFound
from heliostat.domain.ids import ClusterId, OperationId, new_cluster_id, new_operation_id
from heliostat.domain.operations import Failure, Kind, Operation
from heliostat.store import Store, StoreSettings
from heliostat.store.database import database

from .samples import ANNA, AWAY, HOME, NOW, a_cluster, a_spec, make_workspaces

CLUSTER = ClusterId("ray-aaaaaaaaaaaaaaaa")
OTHER = ClusterId("ray-bbbbbbbbbbbbbbbb")


def an_operation(kind: Kind = Kind.UPDATE, *, age: int = 0, cluster: ClusterId = CLUSTER) -> Operation:
    return Operation(
        new_operation_id(), HOME, cluster, kind, ANNA, NOW - timedelta(seconds=age), 3, a_spec(),
        NOW - timedelta(days=1), {"dialect": "vertex", "resource": "mein-cluster \N{SUN BEHIND CLOUD}"},
    )  # fmt: skip


def ended(row: Operation, *, failure: Failure | None = None, message: str = "", after: int = 9) -> Operation:
    return replace(row, ended_at=row.created_at + timedelta(seconds=after), failure=failure, message=message)


async def add(store: Store, *rows: Operation) -> None:
    await store.write(lambda tx: [tx.operations.add(row) for row in rows])


async def test_comes_back_as_it_was_written(store: Store, other: Store) -> None:
    for kind, failure in product(Kind, (None, *Failure)):
        row = an_operation(kind)
        await add(store, row)
        assert await other.read(lambda tx, row=row: tx.operations.get(HOME, row.id)) == row
        after = ended(row, failure=failure, message="why" if failure else "")
        await store.write(lambda tx, after=after: tx.operations.end(after))
        assert await other.read(lambda tx, row=row: tx.operations.get(HOME, row.id)) == after


async def test_what_was_ended_before_it_was_stored(store: Store) -> None:
    row = ended(an_operation())
    await add(store, row)
    assert await store.read(lambda tx: tx.operations.get(HOME, row.id)) == row
    assert await store.read(lambda tx: tx.operations.open(CLUSTER)) == []


async def test_an_id_is_taken_once_and_known_in_its_workspace_only(store: Store) -> None:
    row = an_operation()
    await add(store, row)
    with pytest.raises(AlreadyExists):
        await add(store, replace(an_operation(), id=row.id))
    assert await store.read(lambda tx: tx.operations.get(AWAY, row.id)) is None
    for odd in ("", "\udcff\0", "1" * 5000):
        assert await store.read(lambda tx, odd=odd: tx.operations.get(HOME, OperationId(odd))) is None


async def test_the_open_ones_oldest_first_and_a_deletion_last(store: Store) -> None:
    delete, create = an_operation(Kind.DELETE), an_operation(Kind.CREATE)
    older, done = an_operation(age=5), ended(an_operation(age=9))
    foreign = an_operation(cluster=OTHER)
    await add(store, delete, create, older, done, foreign)
    assert await store.read(lambda tx: tx.operations.open(CLUSTER)) == [older, create, delete]
    assert await store.read(lambda tx: tx.operations.open(new_cluster_id())) == []
    found = await store.read(lambda tx: tx.operations.open_among([CLUSTER, OTHER, new_cluster_id()]))
    assert {row.id for row in found} == {older.id, create.id, delete.id, foreign.id} and found[0] == older
    assert found[-1] == delete
    assert await store.read(lambda tx: tx.operations.open_among([OTHER])) == [foreign]
    assert await store.read(lambda tx: tx.operations.open_among([])) == []
    many = [new_cluster_id() for _ in range(1200)]
    assert await store.read(lambda tx: tx.operations.open_among([*many, OTHER])) == [foreign]
    assert sorted(await store.read(lambda tx: tx.operations.busy())) == [CLUSTER, OTHER]
    await store.write(lambda tx: tx.operations.end(ended(foreign)))
    assert await store.read(lambda tx: tx.operations.busy()) == [CLUSTER]


async def test_ends_once(store: Store, other: Store) -> None:
    row = an_operation()
    await add(store, row)
    first = ended(row, failure=Failure.NO_ROOM, message="no room")
    await store.write(lambda tx: tx.operations.end(first))
    with pytest.raises(NotFound):
        await other.write(lambda tx: tx.operations.end(ended(row, after=99)))
    with pytest.raises(NotFound):
        await store.write(lambda tx: tx.operations.end(ended(an_operation())))
    assert await other.read(lambda tx: tx.operations.get(HOME, row.id)) == first


async def test_an_end_concerns_nothing_but_the_end(store: Store) -> None:
    row = an_operation()
    await add(store, row)
    await store.write(lambda tx: tx.operations.end(replace(ended(row), generation=9, label={}, kind=Kind.DELETE)))
    assert await store.read(lambda tx: tx.operations.get(HOME, row.id)) == ended(row)


async def test_pages_newest_first(store: Store) -> None:
    rows = [an_operation(age=age // 2) for age in range(7)]  # two of each moment
    rows = [ended(row) if index % 3 == 0 else row for index, row in enumerate(rows)]
    foreign = an_operation(cluster=OTHER, age=100)
    await add(store, *rows, foreign, replace(an_operation(), workspace=AWAY))
    newest = sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)
    assert await store.read(lambda tx: tx.operations.page(HOME, limit=99)) == [*newest, foreign]
    found: list[Operation] = []
    while page := await store.read(
        lambda tx, last=found[-1].id if found else None: tx.operations.page(HOME, limit=2, before=last)
    ):
        found += page
    assert found == [*newest, foreign]
    assert await store.read(lambda tx: tx.operations.page(HOME, limit=9, cluster=OTHER)) == [foreign]
    opened = await store.read(lambda tx: tx.operations.page(HOME, limit=9, cluster=CLUSTER, open=True))
    closed = await store.read(lambda tx: tx.operations.page(HOME, limit=9, cluster=CLUSTER, open=False))
    assert opened == [row for row in newest if row.open] and closed == [row for row in newest if not row.open]
    for workspace, before in ((HOME, new_operation_id()), (AWAY, foreign.id)):
        with pytest.raises(InvalidRequest) as refused:
            await store.read(lambda tx, at=workspace, last=before: tx.operations.page(at, limit=2, before=last))
        assert refused.value.path == "before"


async def test_what_ended_long_ago_goes_and_what_is_open_stays(store: Store) -> None:
    old = [ended(an_operation(age=100)) for _ in range(3)]
    recent, going_on = ended(an_operation()), an_operation(age=10_000)
    await add(store, *old, recent, going_on)
    before = NOW - timedelta(seconds=50)
    assert await store.write(lambda tx: tx.operations.remove_before(before, limit=2)) == 2
    assert await store.write(lambda tx: tx.operations.remove_before(before, limit=2)) == 1
    assert await store.write(lambda tx: tx.operations.remove_before(before, limit=2)) == 0
    left = await store.read(lambda tx: tx.operations.page(HOME, limit=99))
    assert {row.id for row in left} == {recent.id, going_on.id}
    await store.write(lambda tx: tx.operations.remove(recent.id))
    assert await store.read(lambda tx: tx.operations.page(HOME, limit=99)) == [going_on]


async def test_outlives_its_cluster(store: Store) -> None:
    await make_workspaces(store)
    cluster = a_cluster()
    row = an_operation(cluster=cluster.id)
    await store.write(lambda tx: (tx.clusters.add(cluster), tx.operations.add(row)))
    await store.write(lambda tx: tx.clusters.purge(cluster.id))
    assert await store.read(lambda tx: tx.operations.get(HOME, row.id)) == row


async def test_no_secret_is_in_the_database(store: Store, settings: StoreSettings) -> None:
    row = an_operation()
    await add(store, row)
    await store.write(lambda tx: tx.operations.end(ended(row)))
    with database(settings).connect(write=False) as connection:
        (stored,) = connection.execute(text("SELECT * FROM operations")).all()
    everything = repr(tuple(stored))
    assert "sample" in everything
    for secret in ("head-env", "worker-env", "redis-password", "extra-value", "num-cpus=0"):
        assert secret not in everything and secret not in repr(row)


async def test_the_few_that_are_open_are_found_without_a_look_at_all_others(tmp_path: Path) -> None:
    """A cluster may have thousands in a month, and the loop asks at every look. (What PostgreSQL does depends on how many
    there are.)"""
    settings = StoreSettings(f"sqlite:///{tmp_path}/heliostat.db", tmp_path / "master.key")
    await (await Store.open(settings)).close()
    indexes = {
        "cluster = 'x' AND ended_at IS NULL": "ix_operations_open",
        "cluster IN ('x', 'y') AND ended_at IS NULL": "ix_operations_open",
        "ended_at IS NULL": "ix_operations_open",
        "ended_at < 5 ORDER BY ended_at": "ix_operations_ended_at",
    }
    with database(settings).connect(write=False) as connection:
        for condition, index in indexes.items():
            rows = connection.execute(text(f"EXPLAIN QUERY PLAN SELECT * FROM operations WHERE {condition}")).all()
            assert index in rows[0][-1], (condition, rows)
