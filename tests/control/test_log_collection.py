"""Log collection that is switched off for a cluster, and on again, while it runs and when it goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest_asyncio

from heliostat.control.log_keeper import LogKeeper
from heliostat.control.reconciler import Reconciler
from heliostat.domain.errors import NOT_COLLECTED
from heliostat.domain.installation import Installation
from heliostat.domain.jobs import driver_log

from .keeping import QUICK, House, house, until
from .test_log_keeper import grown, has, idle


@pytest_asyncio.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as made:
        yield made


@pytest_asyncio.fixture
async def keeper(home: House) -> AsyncIterator[LogKeeper]:
    made = home.keeper()
    try:
        yield made
    finally:
        await made.close()


async def test_nothing_is_brought_home_and_readers_learn_why(home: House, keeper: LogKeeper) -> None:
    await home.collect(False)
    home.storage.down = True
    job = await home.job()
    home.prints(job, "one\n")
    keeper.follow(job)
    await until(idle(keeper, job), "the end of following")
    assert await home.row(job.id, driver_log(job.id)) is None
    await keeper.keep(await home.end(job))
    row = await home.driver(job)
    assert (row.size, row.complete, row.note, row.uncollected) == (0, True, NOT_COLLECTED, True)
    home.world.write_log(home.instance.id, home.head, "raylet.out", "a line\n")
    await keeper.keep_instance(home.instance)
    assert await home.store.read(lambda tx: tx.log_files.of(home.instance.id)) == []
    assert home.storage.tried == 0, "whatever is the matter with the storage, nobody waits for it"


async def test_a_job_whose_cluster_goes_under_it_waits_for_no_storage(home: House, keeper: LogKeeper) -> None:
    await home.collect(False)
    home.storage.down = True
    job = await home.job()
    home.prints(job, "one\n")
    await keeper.keep_instance(home.instance)
    assert (await home.driver(job)).uncollected


async def test_a_followed_log_ends_where_it_is_switched_off(home: House, keeper: LogKeeper) -> None:
    job = await home.job()
    keeper.follow(job)
    home.prints(job, "one\n")
    await until(lambda: has(home, job, "one\n"), "the first line")
    await home.collect(False)
    home.prints(job, "two\n")
    await until(idle(keeper, job), "the end of following")
    assert await home.printed(job) == "one\n"
    await keeper.keep(await home.end(job))
    row = await home.driver(job)
    assert await home.stored(row) == b"one\n"
    assert (row.complete, row.note) == (True, f"{NOT_COLLECTED}: what came later is missing")
    assert not row.uncollected


async def test_switched_on_again_all_that_is_still_there_comes_home(home: House, keeper: LogKeeper) -> None:
    await home.collect(False)
    job = await home.job()
    home.prints(job, "one\n")
    keeper.follow(job)
    await until(idle(keeper, job), "the end of following")
    await home.collect(True)
    keeper.follow(job)
    await until(lambda: has(home, job, "one\n"), "the first line")
    home.world.write_log(home.instance.id, home.head, "raylet.out", "a line\n")
    await keeper.keep(await home.end(job))
    await keeper.keep_instance(home.instance)
    assert [row.complete for row in await home.store.read(lambda tx: tx.log_files.of(home.instance.id))] == [True]


async def test_switched_off_while_an_end_is_kept(home: House) -> None:
    """Between two pieces of a long log, and of a node's."""
    keeper = home.keeper(replace(QUICK, piece_bytes=100))
    job = await home.job()
    home.prints(job, "line\n" * 2000)
    keeper.follow(job)
    await until(lambda: grown(home, job, 500), "the beginning")
    await home.collect(False)
    await keeper.keep(await home.end(job))
    await keeper.close()
    row = await home.driver(job)
    assert row.complete and 500 <= row.size < 10_000 and row.note.startswith(NOT_COLLECTED)
    text = await home.stored(row)
    assert text == (b"line\n" * 2000)[: len(text)]


async def test_a_cluster_that_goes_does_not_wait_for_the_storage(home: House, keeper: LogKeeper) -> None:
    await home.collect(False)
    home.storage.down = True
    home.world.write_log(home.instance.id, home.head, "raylet.out", "a line\n")
    patience = timedelta(days=1)
    reconciler = Reconciler(home.store, home.engine(), Installation(), home.clock, keeper, log_patience=patience)

    async def gone() -> bool:
        await reconciler.reconcile(home.cluster.id)
        return home.instance.id not in home.world.instances

    await until(gone, "the end of a run that nobody wants")
    await reconciler.close()
    assert home.storage.tried == 0
