"""Logs come home: followed while jobs run, kept at their ends, with secrets masked and within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from heliostat.control.log_copy import GONE, PIECE_BYTES, SHORTER, SLICE_BYTES, CopyTools, LogCopy
from heliostat.control.log_keeper import CUT_OFF, LogKeeper, LogSettings
from heliostat.control.node_log_choice import NodeLogLimits
from heliostat.domain.engine import NodeLog
from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import InstanceId, NodeId, new_cluster_id
from heliostat.domain.jobs import Attempt, Job, LogFile, driver_log, submission_id
from heliostat.domain.masking import MASK, StreamMasker
from heliostat.domain.secrets import JobSecret, SecretName, WorkspaceSecret
from heliostat.engines.simulated import EPOCH, SimulatedEngine
from tests.store.samples import ANNA, HOME, an_instance

from .keeping import QUICK, SECRET, FailingStorage, House, house, run_instance, until


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


class TestFollowing:
    async def test_what_is_printed_can_be_read_while_the_job_runs(self, home: House, keeper: LogKeeper) -> None:
        job = await home.job()
        keeper.follow(job)
        home.prints(job, "one\n")
        await until(lambda: has(home, job, "one\n"), "the first line")
        home.prints(job, "two\n")
        await until(lambda: has(home, job, "one\ntwo\n"), "the second line")
        assert not (await home.driver(job)).complete

    async def test_a_log_on_a_worker_is_found(self, home: House, keeper: LogKeeper) -> None:
        job = await home.job()
        keeper.follow(job)
        home.prints(job, "from afar\n", node="some-worker")
        await until(lambda: has(home, job, "from afar\n"), "the line")

    async def test_it_is_less_than_a_second_behind(self, home: House) -> None:
        keeper = home.keeper(LogSettings())
        try:
            job = await home.job()
            keeper.follow(job)
            for number in range(3):
                home.prints(job, f"{number}\n")
                expected = "".join(f"{n}\n" for n in range(number + 1))
                await until(lambda expected=expected: has(home, job, expected), "the line", within=1)  # type: ignore[misc]
        finally:
            await keeper.close()

    async def test_readers_are_told(self, home: House, keeper: LogKeeper) -> None:
        job = await home.job()
        keeper.follow(job)
        waiting = asyncio.create_task(home.news.wait(job.id, 20))
        home.prints(job, "one\n")
        began = asyncio.get_running_loop().time()
        await waiting
        assert asyncio.get_running_loop().time() - began < 10

    async def test_thirty_jobs_on_one_cluster(self, home: House, keeper: LogKeeper) -> None:
        looks = 0
        listed = SimulatedEngine.log_files

        async def counted(engine: SimulatedEngine, instance: InstanceId) -> list[NodeLog]:
            nonlocal looks
            looks += 1
            return await listed(engine, instance)

        jobs = [await home.job() for _ in range(30)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SimulatedEngine, "log_files", counted)
            for job in jobs:
                keeper.follow(job)
                keeper.follow(job)
                home.prints(job, f"{job.id}\n")
            for job in jobs:
                await until(lambda job=job: has(home, job, f"{job.id}\n"), "its line")  # type: ignore[misc]
            assert looks < 10, "jobs that wait for their logs share one look"
            found = looks
            for job in jobs:
                home.prints(job, "more\n")
            for job in jobs:
                await until(lambda job=job: has(home, job, f"{job.id}\nmore\n"), "its second line")  # type: ignore[misc]
            assert looks == found, "what was found is not looked for again"

    async def test_a_job_that_ended_elsewhere_is_followed_no_longer(self, home: House, keeper: LogKeeper) -> None:
        job = await home.job()
        keeper.follow(job)
        home.prints(job, "one\n")
        await until(lambda: has(home, job, "one\n"), "the first line")
        other = home.keeper()
        await other.keep(await home.end(job))
        await until(idle(keeper, job), "the end of following")

    async def test_a_job_without_a_log_is_waited_for_until_it_ends(self, home: House, keeper: LogKeeper) -> None:
        job = await home.job()
        keeper.follow(job)
        await home.end(job)
        await until(idle(keeper, job), "the end of following")
        await keeper.keep(job)
        assert await home.row(job.id, driver_log(job.id)) is None

    async def test_nothing_is_followed_after_the_close(self, home: House) -> None:
        keeper = home.keeper()
        job = await home.job()
        keeper.follow(job)
        await keeper.close()
        keeper.follow(job)
        await until(idle(keeper, job), "the end of following")

    async def test_every_attempt_has_its_own_file(self, home: House, keeper: LogKeeper) -> None:
        job = await home.job()
        second = Attempt(2, submission_id(job.id, 2), home.instance.id, "abc", home.clock.now())
        first = replace(job.attempts[0], ended_at=home.clock.now())
        home.prints(job, "first\n")
        home.prints(job, "second\n", attempt=2)
        again = replace(job, attempts=(first, second))
        await home.store.write(lambda tx: tx.jobs.save(again))
        keeper.follow(again)
        await until(lambda: has(home, again, "second\n", 2), "the second log")
        await keeper.keep(await home.end(again))
        assert await home.printed(job, 1) == "first\n"
        assert await home.printed(job, 2) == "second\n"


class TestKeeping:
    async def test_all_of_it_is_there_and_marked_as_complete(self, home: House, keeper: LogKeeper) -> None:
        job = await home.job()
        keeper.follow(job)
        home.prints(job, "one\n")
        await until(lambda: has(home, job, "one\n"), "the first line")
        home.prints(job, "the last one, without an end")
        ended = await home.end(job)
        await keeper.keep(ended)
        await keeper.keep(ended)
        row = await home.driver(job)
        assert (await home.stored(row), row.complete, row.note) == (b"one\nthe last one, without an end", True, "")

    async def test_a_job_that_never_printed_has_an_empty_log(self, home: House, keeper: LogKeeper) -> None:
        job = await home.job()
        home.prints(job, "")
        await keeper.keep(await home.end(job))
        row = await home.driver(job)
        assert (row.size, row.complete, row.note) == (0, True, "")

    async def test_what_the_instance_took_along_is_told(self, home: House, keeper: LogKeeper) -> None:
        job = await home.job()
        keeper.follow(job)
        home.prints(job, "one\n")
        await until(lambda: has(home, job, "one\n"), "the first line")
        await home.engine().destroy(home.instance.id)
        await keeper.keep(await home.end(job))
        row = await home.driver(job)
        assert (await home.stored(row), row.complete, row.note) == (b"one\n", True, GONE)

    async def test_a_log_that_has_shrunk_is_told(self, home: House, keeper: LogKeeper) -> None:
        job = await home.job()
        keeper.follow(job)
        home.prints(job, "0123456789\n")
        await until(lambda: has(home, job, "0123456789\n"), "the first line")
        del home.world.logs[home.instance.id][home.head, f"job-driver-{job.id}.log"][4:]
        await keeper.keep(await home.end(job))
        row = await home.driver(job)
        assert (await home.stored(row), row.complete, row.note) == (b"0123456789\n", True, SHORTER)

    async def test_a_lost_storage_is_filled_again_from_the_source(self, home: House, keeper: LogKeeper) -> None:
        job = await home.job()
        keeper.follow(job)
        home.prints(job, "one\n")
        await until(lambda: has(home, job, "one\n"), "the first line")
        await home.storage.storage.delete((await home.driver(job)).key)
        home.prints(job, "two\n")
        await keeper.keep(await home.end(job))
        assert await home.printed(job) == "one\ntwo\n"

    async def test_a_stored_log_that_was_cut_is_noticed_at_the_end(self, home: House, keeper: LogKeeper) -> None:
        """A second server that was overtaken appends late: what it cuts off must come back."""
        job = await home.job()
        keeper.follow(job)
        home.prints(job, "one\ntwo\n")
        await until(lambda: has(home, job, "one\ntwo\n"), "both lines")
        await home.storage.storage.append((await home.driver(job)).key, 0, b"one\n")
        await keeper.keep(await home.end(job))
        assert await home.printed(job) == "one\ntwo\n"

    async def test_keeping_and_following_at_once(self, home: House) -> None:
        """The loops of jobs and of clusters may both come for a log that is being followed: they take turns, and what one
        has stored none stores again."""
        keeper = home.keeper(replace(QUICK, piece_bytes=100))
        job = await home.job()
        text = "line\n" * 5000
        home.prints(job, text)
        keeper.follow(job)
        await until(lambda: grown(home, job, 500), "the beginning")
        before = home.storage.appended
        assert before < len(text)
        ended = await home.end(job)
        await asyncio.gather(keeper.keep(ended), keeper.keep(ended), keeper.keep_instance(home.instance))
        await keeper.close()
        assert await home.printed(job) == text
        assert home.storage.appended <= len(text) + 100, "but for a piece whose row was not advanced yet"
        assert (await home.driver(job)).complete

    async def test_two_servers_at_once(self, home: House) -> None:
        storages = [FailingStorage(home.storage.storage) for _ in range(2)]
        keepers = [
            home.keeper(replace(QUICK, piece_bytes=size), storage=storage)
            for size, storage in zip((100, 130), storages, strict=True)
        ]
        job = await home.job()
        text = "line\n" * 2000
        home.prints(job, text)
        for keeper in keepers:
            keeper.follow(job)
        await until(lambda: grown(home, job, 500), "the beginning")
        ended = await home.end(job)

        async def keep(keeper: LogKeeper) -> None:
            while True:
                with contextlib.suppress(Unavailable):
                    return await keeper.keep(ended)

        async with asyncio.timeout(20):
            await asyncio.gather(*(keep(keeper) for keeper in keepers))
        for keeper in keepers:
            await keeper.close()
        assert await home.printed(job) == text
        assert (await home.driver(job)).complete

    async def test_a_server_that_was_cut_off_cuts_nothing_off(self, home: House) -> None:
        """It has read a piece, but the database did not answer. When it does, another server has brought the log home."""
        job = await home.job()
        home.prints(job, "one\n")
        tools = CopyTools(home.store, home.engine(), home.storage, home.news, home.clock)
        row = await tools.row_or_new(LogFile(job.id, HOME, driver_log(job.id), 0, 0, home.clock.now()))
        (source,) = await home.engine().log_files(home.instance.id)
        late = LogCopy(tools, home.instance.id, source, row, [])
        home.prints(job, "two\n")
        other = home.keeper()
        await other.keep(await home.end(job))
        del home.world.logs[home.instance.id][home.head, source.name][4:]
        await late.step()
        assert late.over
        assert await home.printed(job) == "one\ntwo\n"

    async def test_what_is_complete_changes_no_more(self, home: House, keeper: LogKeeper) -> None:
        """A server that was overtaken must not make it incomplete again."""
        job = await home.job()
        home.prints(job, "one\n")
        await keeper.keep(await home.end(job))
        row = await home.driver(job)
        late = replace(row, complete=False)
        assert not await home.store.write(lambda tx: tx.log_files.advance(late, row.source_offset))
        assert await home.driver(job) == row

    async def test_an_instance_that_goes_under_a_job(self, home: House, keeper: LogKeeper) -> None:
        job = await home.job()
        home.prints(job, "one\n")
        await keeper.keep_instance(home.instance)
        keeper.follow(job)
        await until(idle(keeper, job), "the end of following")
        row = await home.driver(job)
        assert (await home.stored(row), row.complete, row.note) == (b"one\n", True, CUT_OFF)


class TestOutages:
    async def test_an_outage_loses_and_doubles_nothing(self, home: House, keeper: LogKeeper) -> None:
        jobs = [await home.job() for _ in range(5)]
        with capture_logs() as logs:
            for job in jobs:
                keeper.follow(job)
                home.prints(job, "one\n")
                await until(lambda job=job: has(home, job, "one\n"), "the first line")  # type: ignore[misc]
            home.storage.down = True
            tried = home.storage.tried
            for job in jobs:
                home.prints(job, "two\n")
            await until(lambda: true(home.storage.tried > tried + 50), "many tries")
            for job in jobs:
                home.prints(job, "three\n")
            home.storage.down = False
            for job in jobs:
                await until(lambda job=job: has(home, job, "one\ntwo\nthree\n"), "all lines")  # type: ignore[misc]
        told = [row["event"] for row in logs if "logs" in row["event"]]
        assert told == ["logs cannot be collected just now", "logs are collected again"]

    async def test_keeping_says_so_and_can_be_repeated(self, home: House, keeper: LogKeeper) -> None:
        job = await home.job()
        home.prints(job, "one\n")
        ended = await home.end(job)
        home.storage.down = True
        with pytest.raises(Unavailable):
            await keeper.keep(ended)
        with pytest.raises(Unavailable):
            await keeper.keep_instance(home.instance)
        home.storage.down = False
        await keeper.keep(ended)
        assert await home.printed(job) == "one\n"

    async def test_a_source_that_cannot_be_read_for_a_while(self, home: House, keeper: LogKeeper) -> None:
        class Unreadable(SimulatedEngine):
            down = True

            async def read_log(self, instance: InstanceId, log: NodeLog, offset: int, size: int) -> bytes | None:
                if self.down:
                    raise OSError(5, "input/output error")
                return await super().read_log(instance, log, offset, size)

        engine = Unreadable(home.world)
        keeper = home.keeper(engine=engine)
        job = await home.job()
        home.prints(job, "one\n")
        keeper.follow(job)
        await until(lambda: true(bool(keeper._failing)), "a failure")
        engine.down = False
        await until(lambda: has(home, job, "one\n"), "the line")
        await keeper.close()

    async def test_a_defect_under_a_follower_does_not_end_it(self, home: House) -> None:
        class Broken(SimulatedEngine):
            calls = 0

            async def read_log(self, instance: InstanceId, log: NodeLog, offset: int, size: int) -> bytes | None:
                self.calls += 1
                if self.calls == 1:
                    raise RuntimeError("a defect")
                return await super().read_log(instance, log, offset, size)

        keeper = home.keeper(engine=Broken(home.world))
        job = await home.job()
        home.prints(job, "one\n")
        with capture_logs() as logs:
            keeper.follow(job)
            await until(lambda: has(home, job, "one\n"), "the line")
        assert [row["event"] for row in logs] == ["log cannot be followed"]
        await keeper.close()


class TestCopies:
    async def test_a_copy_goes_on_after_a_failure(self, home: House) -> None:
        job = await home.job()
        home.prints(job, f"one {SECRET} two\n")
        tools = CopyTools(home.store, home.engine(), home.storage, home.news, home.clock, piece_bytes=10)
        row = await tools.row_or_new(LogFile(job.id, HOME, driver_log(job.id), 0, 0, home.clock.now()))
        (source,) = await home.engine().log_files(home.instance.id)
        copy = LogCopy(tools, home.instance.id, source, row, [SECRET.encode()])
        while not copy.over:
            home.storage.down = True
            with contextlib.suppress(Unavailable):
                await copy.step()
            home.storage.down = False
            if not await copy.step():
                await copy.finish(source.size)
        assert await home.printed(job) == f"one {MASK} two\n"

    async def test_a_file_that_was_removed_is_not_made_again(self, home: House) -> None:
        job = await home.job()
        home.prints(job, "one\n")
        tools = CopyTools(home.store, home.engine(), home.storage, home.news, home.clock)
        row = await tools.row_or_new(LogFile(job.id, HOME, driver_log(job.id), 0, 0, home.clock.now()))
        (source,) = await home.engine().log_files(home.instance.id)
        copy = LogCopy(tools, home.instance.id, source, row, [])
        await home.store.write(lambda tx: tx.log_files.remove([row]))
        await copy.finish(source.size)
        assert copy.removed
        assert await home.storage.storage.read(row.key, 0, 9) == b""


class TestSecrets:
    async def test_those_of_the_job_and_of_the_cluster_are_masked(self, home: House, keeper: LogKeeper) -> None:
        job = await home.job()
        hidden = [SECRET, home.instance.ray_token.reveal(), home.instance.submit_token.reveal(), "redis-password"]
        keeper.follow(job)
        for secret in hidden:
            home.prints(job, f"{secret} is not for you, {secret}!\n")
        line = f"{MASK} is not for you, {MASK}!\n"
        await until(lambda: has(home, job, line * 4), "the masked lines")

    @pytest.mark.parametrize("then", ["kept", "changed", "removed"])
    async def test_those_of_the_workspace_whatever_has_become_of_them(self, home: House, then: str) -> None:
        """They are read anew by each keeper: this is what a server knows after a restart, too."""
        name, wanted = SecretName("door", "word"), (JobSecret("door", "word", variables=("WORD",)),)
        made = WorkspaceSecret(HOME, name, home.clock.now(), ANNA, "anna")
        job = await home.job({}, secrets=wanted)
        await home.store.write(lambda tx: tx.secrets.set(made, "sesame"))
        await home.store.write(lambda tx: tx.secrets.give(HOME, job.id, 1, [name]))
        if then == "changed":
            await home.store.write(lambda tx: tx.secrets.set(made, "mellon"))
        elif then == "removed":
            await home.store.write(lambda tx: tx.secrets.remove(HOME, name, home.clock.now()))
        home.prints(job, "open sesame, mellon\n")
        write(home, "raylet.out", "WORD=sesame\n")
        keeper = home.keeper()
        try:
            await keeper.keep(await home.end(job))
            await keeper.keep_instance(home.instance)
        finally:
            await keeper.close()
        assert await home.printed(job) == f"open {MASK}, mellon\n"
        row = await home.row(home.instance.id, f"nodes/{home.head}/raylet.out")
        assert row is not None and await home.stored(row) == f"WORD={MASK}\n".encode()

    async def test_one_that_comes_in_pieces(self, home: House, keeper: LogKeeper) -> None:
        job = await home.job()
        keeper.follow(job)
        home.prints(job, f"token={SECRET[:7]}")
        await until(lambda: has(home, job, "token="), "what is no part of a secret")
        home.prints(job, SECRET[7:])
        await until(lambda: has(home, job, f"token={MASK}"), "the mask")

    async def test_half_of_one_at_the_end_is_no_secret(self, home: House, keeper: LogKeeper) -> None:
        job = await home.job()
        keeper.follow(job)
        home.prints(job, f"token={SECRET[:7]}")
        await until(lambda: has(home, job, "token="), "what is no part of a secret")
        await keeper.keep(await home.end(job))
        assert await home.printed(job) == f"token={SECRET[:7]}"


class TestNodeLogs:
    async def test_those_that_matter_are_kept_with_the_run(self, home: House, keeper: LogKeeper) -> None:
        write(home, "raylet.out", "a raylet\n")
        write(home, "gcs_server.err", "")
        write(home, "events/event_GCS.log", "an event\n")
        write(home, "job-driver-raysubmit_abc.log", "straight to Ray\n")
        job = await home.job()
        home.prints(job, "ours\n")
        await home.end(job)
        await keeper.keep_instance(home.instance)
        await keeper.keep_instance(home.instance)
        rows = await home.store.read(lambda tx: tx.log_files.of(home.instance.id))
        assert {row.name.rpartition("/")[2]: await home.stored(row) for row in rows} == {
            "raylet.out": b"a raylet\n",
            "job-driver-raysubmit_abc.log": b"straight to Ray\n",
        }
        assert all(row.complete and row.name.startswith(f"nodes/{home.head}/") for row in rows)
        assert await home.printed(job) == "ours\n"

    async def test_of_a_temporary_cluster_they_belong_to_the_job(self, home: House, keeper: LogKeeper) -> None:
        job = await home.job()
        await home.store.write(lambda tx: tx.clusters.save(replace(home.cluster, job=job.id)))
        write(home, "raylet.out", "a raylet\n")
        await keeper.keep_instance(home.instance)
        row = await home.row(job.id, f"nodes/{home.head}/raylet.out")
        assert row is not None
        assert await home.stored(row) == b"a raylet\n"
        assert await home.store.read(lambda tx: tx.log_files.of(home.instance.id)) == []

    async def test_two_runs_of_a_temporary_cluster(self, home: House, keeper: LogKeeper) -> None:
        job = await home.job()
        await home.store.write(lambda tx: tx.clusters.save(replace(home.cluster, job=job.id)))
        write(home, "raylet.out", "the first\n")
        await keeper.keep_instance(home.instance)
        second = an_instance(home.cluster)
        await home.store.write(lambda tx: tx.instances.add(second))
        await run_instance(home.world, second)
        home.world.write_log(second.id, NodeId(f"{second.id}-head-1"), "raylet.out", "the second\n")
        await keeper.keep_instance(second)
        rows = await home.store.read(lambda tx: tx.log_files.of(job.id))
        assert sorted([await home.stored(row) for row in rows]) == [b"the first\n", b"the second\n"]

    async def test_secrets_of_all_jobs_that_ran_on_it_are_masked(self, home: House, keeper: LogKeeper) -> None:
        texts = [f"{name}-{SECRET}" for name in ("running", "settled", "elsewhere")]
        envs = [{"env_vars": {"TOKEN": text}} for text in texts]
        await home.job(envs[0])
        await home.end(await home.job(envs[1]), settled=True)
        elsewhere = await home.job(envs[2], cluster=new_cluster_id())
        assert elsewhere.cluster != home.cluster.id
        write(home, "raylet.err", f"{texts[0]} {texts[1]} {home.instance.ray_token.reveal()}\n")
        await keeper.keep_instance(home.instance)
        row = await home.row(home.instance.id, f"nodes/{home.head}/raylet.err")
        assert row is not None
        assert await home.stored(row) == f"{MASK} {MASK} {MASK}\n".encode()

    async def test_of_a_long_one_the_end_is_kept_from_a_whole_line_on(self, home: House) -> None:
        keeper = home.keeper(replace(QUICK, node_logs=NodeLogLimits(file_bytes=100), piece_bytes=30))
        lines = [f"line {number:04}\n" for number in range(100)]
        write(home, "raylet.out", "".join(lines))
        await keeper.keep_instance(home.instance)
        row = await home.row(home.instance.id, f"nodes/{home.head}/raylet.out")
        assert row is not None
        assert await home.stored(row) == "".join(lines[-9:]).encode()
        assert row.note == "only the last 0.1 KiB of 1.0 KiB are kept"

    async def test_one_that_grows_during_an_outage_keeps_to_the_bound(self, home: House) -> None:
        keeper = home.keeper(replace(QUICK, node_logs=NodeLogLimits(file_bytes=100)))
        write(home, "raylet.out", "old\n" * 50)
        home.storage.down = True
        with pytest.raises(Unavailable):
            await keeper.keep_instance(home.instance)
        write(home, "raylet.out", "new\n" * 5000)
        home.storage.down = False
        await keeper.keep_instance(home.instance)
        row = await home.row(home.instance.id, f"nodes/{home.head}/raylet.out")
        assert row is not None
        assert await home.stored(row) == b"new\n" * 24

    async def test_what_was_begun_before_the_instance_vanished_is_complete(
        self, home: House, keeper: LogKeeper
    ) -> None:
        write(home, "raylet.out", "a raylet\n")
        home.storage.down = True
        with pytest.raises(Unavailable):
            await keeper.keep_instance(home.instance)
        home.storage.down = False
        await home.engine().destroy(home.instance.id)
        await keeper.keep_instance(home.instance)
        row = await home.row(home.instance.id, f"nodes/{home.head}/raylet.out")
        assert row is not None
        assert (row.size, row.complete, row.note) == (0, True, GONE)


class HugeLog:
    """An engine with one log that is made as it is read."""

    def __init__(self, engine: SimulatedEngine, names: list[str], size: int) -> None:
        self._engine = engine
        self._names = names
        self._size = size
        self._line = b"x" * 1023 + b"\n"

    async def log_files(self, instance: InstanceId) -> list[NodeLog]:
        node = NodeId(f"{instance}-head-1")
        return [NodeLog(node, name, self._size, EPOCH) for name in self._names] + await self._engine.log_files(instance)

    async def read_log(self, instance: InstanceId, log: NodeLog, offset: int, size: int) -> bytes | None:
        if log.name not in self._names:
            return await self._engine.read_log(instance, log, offset, size)
        wanted = min(size, self._size - offset)
        return (self._line * (wanted // 1024 + 2))[offset % 1024 :][:wanted] if wanted > 0 else b""


@pytest.mark.slow
@pytest.mark.alone
class TestLargeLogs:
    async def test_memory_is_bounded_and_others_have_their_turn(self, home: House) -> None:
        size = 200 << 20
        large, small = await home.job(), await home.job()
        engine = HugeLog(SimulatedEngine(home.world), [f"job-driver-{large.id}.log"], size)
        keeper = home.keeper(replace(QUICK, poll=timedelta(milliseconds=20)), engine=engine)  # type: ignore[arg-type]
        tracemalloc.start()
        try:
            keeper.follow(large)
            await until(lambda: grown(home, large, 5 << 20), "the beginning of the large log")
            home.prints(small, "small\n")
            keeper.follow(small)
            await until(lambda: has(home, small, "small\n"), "the small log", within=3)
            assert (await home.driver(large)).size < size, "the large log is at its end already: nothing was shown"
            await until(lambda: grown(home, large, size), "the end of the large log", within=120)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        await keeper.keep(await home.end(large))
        await keeper.close()
        assert (await home.driver(large)).complete
        assert peak < 24 << 20


def write(home: House, name: str, text: str) -> None:
    home.world.write_log(home.instance.id, home.head, name, text)


async def has(home: House, job: Job, text: str, attempt: int = 1) -> bool:
    return await home.printed(job, attempt) == text


async def grown(home: House, job: Job, size: int) -> bool:
    row = await home.row(job.id, driver_log(job.id))
    return row is not None and row.size >= size


async def true(value: bool) -> bool:
    return value


def idle(keeper: LogKeeper, job: Job):  # type: ignore[no-untyped-def]
    async def reached() -> bool:
        return job.attempts[-1].submission_id not in keeper._followers

    return reached


async def test_looking_for_many_secrets_lets_others_have_their_turn(tmp_path: Path) -> None:
    """A piece of a log is looked through in slices: with thousands of secrets the whole takes a good part of a second."""
    async with house(tmp_path) as home:
        keeper = home.keeper(replace(QUICK, piece_bytes=PIECE_BYTES))
        job = await home.job({"env_vars": {"TOKEN": SECRET}})
        text = "word " * (PIECE_BYTES // 5)
        home.prints(job, text)
        turns, fed = 0, StreamMasker.feed

        def feed(masker: StreamMasker, data: bytes) -> bytes:
            assert len(data) <= SLICE_BYTES
            seen.append(turns)
            return fed(masker, data)

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        seen: list[int] = []
        running = asyncio.create_task(others())
        with patch.object(StreamMasker, "feed", feed):
            await keeper.keep(await home.end(job))
        running.cancel()
        assert len(seen) >= len(text) // SLICE_BYTES and len(set(seen)) == len(seen)
        assert (await home.printed(job)).endswith(text)
        await keeper.close()
