"""Log files: rows that several collectors may advance, found by owner, run and age."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from heliostat.domain.ids import ClusterId, new_cluster_id, new_instance_id, new_job_id
from heliostat.domain.jobs import LogFile, driver_log, folder_of
from heliostat.store import Store

from .samples import AWAY, HOME, NOW, a_job, a_log_file, make_workspaces


async def test_comes_back_as_it_was_written(store: Store, other: Store) -> None:
    file = replace(a_log_file(size=5 << 32), complete=True)
    assert await store.write(lambda tx: tx.log_files.add(file))
    assert not await other.write(lambda tx: tx.log_files.add(replace(file, size=1)))
    assert await other.read(lambda tx: tx.log_files.get(file.owner, file.name)) == file
    assert await store.read(lambda tx: tx.log_files.get(file.owner, "other.log")) is None
    assert await store.read(lambda tx: tx.log_files.get(new_job_id(), file.name)) is None


async def test_a_row_is_advanced_from_where_it_is_only(store: Store, other: Store) -> None:
    file = a_log_file()
    await store.write(lambda tx: tx.log_files.add(file))
    after = replace(file, size=20, source_offset=25, modified_at=NOW + timedelta(seconds=1), note="more")
    assert not await other.write(lambda tx: tx.log_files.advance(after, file.source_offset - 1))
    assert not await other.write(lambda tx: tx.log_files.advance(after, after.source_offset))
    assert await other.read(lambda tx: tx.log_files.get(file.owner, file.name)) == file
    assert await other.write(lambda tx: tx.log_files.advance(after, file.source_offset))
    assert not await store.write(lambda tx: tx.log_files.advance(after, file.source_offset)), "somebody else was faster"
    assert await store.read(lambda tx: tx.log_files.get(file.owner, file.name)) == after
    missing = replace(file, name="missing.log")
    assert not await store.write(lambda tx: tx.log_files.advance(missing, missing.source_offset))


async def test_of_concurrent_advances_one_wins(store: Store, other: Store) -> None:
    file = a_log_file()
    await store.write(lambda tx: tx.log_files.add(file))
    contenders = [replace(file, source_offset=100 + number) for number in range(8)]
    won = await asyncio.gather(
        *(
            opened.write(lambda tx, row=row: tx.log_files.advance(row, file.source_offset))
            for opened, row in zip((store, other) * 4, contenders, strict=True)
        )
    )
    assert won.count(True) == 1
    assert await store.read(lambda tx: tx.log_files.get(file.owner, file.name)) == contenders[won.index(True)]


async def test_files_of_an_owner_are_told_by_name(store: Store) -> None:
    job, other_job = new_job_id(), new_job_id()
    names = ["b.log", "a.log", "nodes/n1/raylet.out", "B.log"]
    await store.write(lambda tx: [tx.log_files.add(a_log_file(job, name)) for name in names])
    await store.write(lambda tx: tx.log_files.add(a_log_file(other_job, "c.log")))
    found = await store.read(lambda tx: tx.log_files.of(job))
    assert [row.name for row in found] == sorted(names)
    await store.write(lambda tx: tx.log_files.remove(found[:1]))
    assert await store.read(lambda tx: tx.log_files.of(job)) == found[1:]


async def test_files_of_the_runs_are_those_of_one_cluster(store: Store) -> None:
    """Of clusters whose ids are beginnings of each other, and of one that sorts right after."""
    cluster = ClusterId("ray-mmmmmmmmmmmmmmmm")
    runs = sorted(new_instance_id(cluster) for _ in range(3))
    others = [
        new_instance_id(ClusterId("ray-mmmmmmmmmmmmmmmn")),
        new_instance_id(ClusterId("ray-mmmmmmmmmmmmmmml")),
        new_instance_id(ClusterId("ray-mmmmmmmmmmmmmmmmm")),
        new_instance_id(ClusterId("ray-mmmmmmmmmmmmmmm")),
        cluster,
        new_job_id(),
    ]
    mine = [a_log_file(run, name) for run in runs for name in ("a", "b")]
    await store.write(lambda tx: [tx.log_files.add(file) for file in mine])
    await store.write(lambda tx: [tx.log_files.add(a_log_file(owner, "a")) for owner in others])
    assert await store.read(lambda tx: tx.log_files.of_runs(cluster)) == mine
    for odd in ("", "ray-", "%", "ray-mmmmmmmmmmmmmmm_", new_cluster_id()):
        assert await store.read(lambda tx, odd=odd: tx.log_files.of_runs(ClusterId(odd))) == []


async def test_expired_ones_are_the_oldest(store: Store) -> None:
    await make_workspaces(store)
    job = new_job_id()
    old = replace(a_log_file(new_job_id()), modified_at=NOW - timedelta(days=99))
    files = [a_log_file(job, name) for name in ("a", "b")]
    await store.write(lambda tx: [tx.log_files.add(file) for file in [old, *files]])
    before = NOW - timedelta(days=1)
    assert await store.read(lambda tx: tx.log_files.modified_before(before, limit=9)) == [old]
    assert not any(file.expired for file in [old, *files])
    await store.write(lambda tx: tx.log_files.expire(job))
    found = await store.read(lambda tx: tx.log_files.modified_before(before, limit=9))
    assert [row.owner for row in found] == [job, job, old.owner]
    assert [row.expired for row in found] == [True, True, False]
    assert len(await store.read(lambda tx: tx.log_files.modified_before(before, limit=1))) == 1


async def test_logs_of_what_goes_on_are_never_old(store: Store) -> None:
    """A job that prints nothing for months still has its log."""
    await make_workspaces(store)
    job = a_job()
    await store.write(lambda tx: (tx.jobs.add(job), tx.log_files.add(a_log_file(job.id))))
    later = NOW + timedelta(days=99)
    assert await store.read(lambda tx: tx.log_files.modified_before(later, limit=9)) == []
    await store.write(lambda tx: tx.jobs.save(replace(job, settled=True)))
    assert [row.owner for row in await store.read(lambda tx: tx.log_files.modified_before(later, limit=9))] == [job.id]


@pytest.mark.parametrize(
    ("owner", "folder"),
    [("rj-0123456789abcdef", "rj-0123456789abcdef_default"), ("ray-0123456789abcdef-01234567",) * 2],
)
def test_the_place_in_the_storage_is_the_contracts(owner: str, folder: str) -> None:
    file = LogFile(owner, AWAY, "nodes/n/raylet.out", 0, 0, NOW)
    assert file.key == f"{AWAY}/ray/logs/{folder}/nodes/n/raylet.out"
    assert file.key.startswith(folder_of(AWAY, owner))


def test_each_attempt_has_a_log_of_its_own() -> None:
    job = new_job_id()
    assert driver_log(job) == f"{job}_driver.log"
    assert driver_log(job, 2) == f"{job}-2_driver.log"
    assert folder_of(HOME, job) == f"{HOME}/ray/logs/{job}_default/"
