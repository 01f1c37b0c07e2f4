"""Jobs: every field survives, what may be secret is sealed, pages, filters, and what the loop must look after."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import text

from heliostat.domain.errors import AlreadyExists, InvalidRequest, NotFound, NotReady
from heliostat.domain.ids import JobId, new_cluster_id, new_job_id
from heliostat.domain.job_states import JobGoal, JobStatus
from heliostat.domain.jobs import Job, JobSpec
from heliostat.store import JobFilter, Store, StoreSettings, Transaction
from heliostat.store.database import database
from heliostat.store.job_codec import decode_job_spec, decode_life, encode_job_spec, encode_life
from heliostat.store.sealing import Sealer

from .samples import AWAY, HOME, JOB_SECRETS, NOW, a_job, an_ended_job, make_workspaces
from .test_codec import STRATEGIES, of, texts

SEALER = Sealer([bytes(32)])
ID = JobId("rj-0123456789abcdef")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
STRATEGIES |= {
    Mapping[str, Any]: st.dictionaries(texts, json_values, max_size=3),
    Mapping[str, float]: st.dictionaries(texts, st.floats(allow_nan=False, allow_infinity=False), max_size=3),
    Mapping[str, int]: st.dictionaries(texts, st.integers(0, 2**53), max_size=3),
    float: st.floats(allow_nan=False, allow_infinity=False),
    timedelta: st.timedeltas(timedelta(0), timedelta(days=365)),
}
COLUMNS = {
    "id", "workspace", "spec", "status", "goal", "cluster", "creator_name", "submitted_at", "ended_at", "settled",
}  # fmt: skip
"""Fields of a job that are columns of their own; all others are in the document of its life."""


@given(of(JobSpec))
@hypothesis_settings(max_examples=100, deadline=None)
def test_specs_come_back_as_they_were_written(spec: JobSpec) -> None:
    assert decode_job_spec(encode_job_spec(spec, SEALER, ID), SEALER, ID) == spec


@given(of(Job))
@hypothesis_settings(max_examples=100, deadline=None)
def test_lives_come_back_as_they_were_written(job: Job) -> None:
    decoded = decode_life(encode_life(job, SEALER), SEALER, job.id)
    assert set(decoded) == {field.name for field in fields(Job)} - COLUMNS
    assert decoded == {name: getattr(job, name) for name in decoded}


def test_the_sample_leaves_no_field_at_its_default() -> None:
    """So that tests which store the sample see each field go missing."""

    def check(value: Any, where: str) -> None:
        if is_dataclass(value):
            for field in fields(value):
                if field.name != "cluster_spec":  # test_codec looks into it
                    check(getattr(value, field.name), f"{where}.{field.name}")
        elif isinstance(value, tuple):
            assert value, where
            for item in value:
                check(item, f"{where}[]")
        else:
            assert value not in (None, "", {}, timedelta(0)), where

    check(replace(an_ended_job(), spec=replace(an_ended_job().spec, cluster=new_cluster_id())), "job")


async def test_comes_back_as_it_was_written(store: Store, other: Store) -> None:
    await make_workspaces(store)
    for job in (a_job(), an_ended_job()):
        await store.write(lambda tx, job=job: tx.jobs.add(job))
        for opened in (store, other, store):
            assert await opened.read(lambda tx, job=job: tx.jobs.get(HOME, job.id)) == job
            assert await opened.read(lambda tx, job=job: tx.jobs.find(job.id)) == job
            assert await opened.write(lambda tx, job=job: tx.jobs.lock(job.id)) == job
        assert await store.read(lambda tx, job=job: tx.jobs.get(AWAY, job.id)) is None
        with pytest.raises(AlreadyExists):
            await store.write(lambda tx, job=job: tx.jobs.add(job))
    assert await store.read(lambda tx: tx.jobs.find(new_job_id())) is None


async def test_save_replaces_all_but_the_spec_and_other_servers_see_it(store: Store, other: Store) -> None:
    await make_workspaces(store)
    job = a_job()
    await store.write(lambda tx: tx.jobs.add(job))
    assert await other.read(lambda tx: tx.jobs.find(job.id)) == job
    ended = replace(an_ended_job(), id=job.id, spec=job.spec)
    await store.write(lambda tx: tx.jobs.save(ended))
    for opened in (store, other):
        assert await opened.read(lambda tx: tx.jobs.find(job.id)) == ended
    await store.write(lambda tx: tx.jobs.remove(job.id))
    for opened in (store, other):
        assert await opened.read(lambda tx: tx.jobs.find(job.id)) is None
    with pytest.raises(NotFound, match=job.id):
        await store.write(lambda tx: tx.jobs.save(job))


async def test_a_rolled_back_save_is_never_seen(store: Store) -> None:
    await make_workspaces(store)
    job = a_job()
    await store.write(lambda tx: tx.jobs.add(job))

    def fail(tx: Transaction) -> None:
        tx.jobs.save(replace(job, message="never"))
        assert tx.jobs.find(job.id) == replace(job, message="never")
        raise LookupError

    with pytest.raises(LookupError):
        await store.write(fail)
    assert await store.read(lambda tx: tx.jobs.find(job.id)) == job


async def test_what_may_be_secret_is_nowhere_in_the_database(settings: StoreSettings, tmp_path: Path) -> None:
    store = await Store.open(settings)
    await make_workspaces(store)
    job = an_ended_job()
    await store.write(lambda tx: (tx.jobs.add(job), tx.jobs.save(replace(job, message="a second time"))))
    await store.close()
    with database(settings).migrating() as connection:
        found = "".join(str(column) for row in connection.execute(text("SELECT * FROM jobs")) for column in row)
    raw = found.encode() + b"".join(path.read_bytes() for path in tmp_path.glob("heliostat.db*"))
    assert b"a second time" in raw and job.spec.entrypoint.encode() in raw, "the search looks at something"
    for name, secret in JOB_SECRETS.items():
        assert secret.encode() not in raw, f"the {name} is not sealed"


@pytest.mark.parametrize("column", ["spec", "life"])
async def test_another_rows_document_does_not_open(settings: StoreSettings, column: str) -> None:
    store = await Store.open(settings)
    await make_workspaces(store)
    one, two = an_ended_job(), an_ended_job()
    await store.write(lambda tx: (tx.jobs.add(one), tx.jobs.add(two)))
    await store.close()
    with database(settings).migrating() as connection:
        moved = f"UPDATE jobs SET {column} = (SELECT {column} FROM jobs WHERE id = :two) WHERE id = :one"
        connection.execute(text(moved), {"one": one.id, "two": two.id})
    store = await Store.open(settings)
    try:
        with pytest.raises(NotReady, match="changed outside"):
            await store.read(lambda tx: tx.jobs.find(one.id))
        assert await store.read(lambda tx: tx.jobs.find(two.id)) == two
    finally:
        await store.close()


def test_a_newer_format_is_refused_with_the_remedy() -> None:
    job = a_job()
    newer = orjson.dumps(orjson.loads(encode_job_spec(job.spec, SEALER, job.id)) | {"v": 2}).decode()
    with pytest.raises(NotReady, match="upgrade"):
        decode_job_spec(newer, SEALER, job.id)
    newer = orjson.dumps(orjson.loads(encode_life(job, SEALER)) | {"v": 2}).decode()
    with pytest.raises(NotReady, match="upgrade"):
        decode_life(newer, SEALER, job.id)


def test_what_an_older_heliostat_stored_beside_it_is_left_out() -> None:
    job = a_job()
    older = orjson.loads(encode_life(job, SEALER)) | {"earlier_usage": {"node_seconds": 1.0}}
    assert decode_life(orjson.dumps(older).decode(), SEALER, job.id)["usage"] == job.usage


async def test_odd_text_that_others_told_us_does_not_stop_a_job(store: Store) -> None:
    """Ray's messages may hold what a program has printed."""
    await make_workspaces(store)
    job = an_ended_job()
    odd = replace(job, message="half \ud800 pair", attempts=(replace(job.attempts[0], message="\udc80\0"),))
    await store.write(lambda tx: (tx.jobs.add(job), tx.jobs.save(odd)))
    found = await store.read(lambda tx: tx.jobs.find(job.id))
    assert found is not None and found.message == "half ? pair" and found.attempts[0].message == "?\0"


async def test_a_spec_that_is_no_unicode_is_the_callers_error(store: Store) -> None:
    await make_workspaces(store)
    spec = replace(a_job().spec, runtime_env={"env_vars": {"KEY": "\ud800-very-secret"}})
    with pytest.raises(InvalidRequest, match="surrogate") as raised:
        await store.write(lambda tx: tx.jobs.add(replace(a_job(), spec=spec)))
    assert "very-secret" not in str(raised.value)


# --- pages --------------------------------------------------------------------------------------------------------------


async def test_pages_are_newest_first_and_complete(store: Store) -> None:
    await make_workspaces(store)
    jobs = [a_job(age=timedelta(seconds=number // 3)) for number in range(10)]
    for job in [*jobs, a_job(workspace=AWAY)]:
        await store.write(lambda tx, job=job: tx.jobs.add(job))
    expected = sorted(jobs, key=lambda job: (job.submitted_at, job.id), reverse=True)

    assert await store.read(lambda tx: tx.jobs.page(HOME, limit=100)) == expected
    assert await store.read(lambda tx: tx.jobs.page(HOME, limit=4, offset=3)) == expected[3:7]
    assert await store.read(lambda tx: tx.jobs.page(HOME, limit=4, offset=20)) == []
    assert await store.read(lambda tx: tx.jobs.count(HOME)) == 10
    walked, before = [], None
    while page := await store.read(lambda tx: tx.jobs.page(HOME, limit=3, before=before)):  # noqa: B023
        walked += page
        before = page[-1].id
    assert walked == expected
    with pytest.raises(InvalidRequest, match="first page") as raised:
        await store.read(lambda tx: tx.jobs.page(HOME, limit=3, before=new_job_id()))
    assert raised.value.path == "before"


async def test_a_walk_goes_on_while_jobs_come(store: Store) -> None:
    await make_workspaces(store)
    jobs = [a_job(age=timedelta(seconds=number)) for number in range(4)]
    await store.write(lambda tx: [tx.jobs.add(job) for job in jobs])
    first = await store.read(lambda tx: tx.jobs.page(HOME, limit=2))
    await store.write(lambda tx: tx.jobs.add(a_job(age=timedelta(seconds=-1))))
    rest = await store.read(lambda tx: tx.jobs.page(HOME, limit=9, before=first[-1].id))
    assert [*first, *rest] == jobs


async def test_pages_can_be_narrowed(store: Store) -> None:
    await make_workspaces(store)
    cluster = new_cluster_id()
    named = {
        name: a_job(name, age=timedelta(minutes=number))
        for number, name in enumerate(["Train-A", "train_b", "trainxb", "Ärger"])
    }
    named["train_b"] = replace(named["train_b"], cluster=cluster, status=JobStatus.RUNNING)
    named["trainxb"] = replace(named["trainxb"], creator_name="otto", status=JobStatus.FAILED)
    for job in [*named.values(), a_job("train_b", workspace=AWAY)]:
        await store.write(lambda tx, job=job: tx.jobs.add(job))

    async def found(**narrowed: Any) -> set[str]:
        which = JobFilter(**narrowed)
        page = await store.read(lambda tx: tx.jobs.page(HOME, which, limit=9))
        assert await store.read(lambda tx: tx.jobs.count(HOME, which)) == len(page)
        return {job.spec.name for job in page}

    assert await found() == set(named)
    assert await found(name="train_b") == {"train_b"}
    assert await found(name="train") == await found(name="TRAIN_B") == set()
    assert await found(name="") == set(), "an empty name is a name, and no job has it"
    assert await found(name_contains="TRAIN") == {"Train-A", "train_b", "trainxb"}
    assert await found(name_contains="n_b") == {"train_b"}
    assert await found(name_contains="%") == set()
    assert await found(name_contains="Ä") == {"Ärger"}, "letters beyond ASCII are found as they are"
    assert await found(statuses=[JobStatus.RUNNING, JobStatus.FAILED]) == {"train_b", "trainxb"}
    assert await found(statuses=frozenset({JobStatus.RUNNING})) == {"train_b"}
    assert await found(statuses=[]) == set()
    assert await found(cluster=cluster) == {"train_b"}
    assert await found(creator="otto") == {"trainxb"}
    assert await found(id=named["Ärger"].id) == {"Ärger"}
    assert await found(id=named["Ärger"].id, creator="otto") == set()


async def test_the_range_of_times_is_inclusive(store: Store) -> None:
    await make_workspaces(store)
    early, late = a_job("early", age=timedelta(minutes=1)), a_job("late")
    await store.write(lambda tx: (tx.jobs.add(early), tx.jobs.add(late)))
    moment = timedelta(microseconds=1)

    async def found(since: datetime | None, until: datetime | None) -> list[str]:
        which = JobFilter(submitted_from=since, submitted_to=until)
        page = await store.read(lambda tx: tx.jobs.page(HOME, which, limit=9))
        assert await store.read(lambda tx: tx.jobs.count(HOME, which)) == len(page)
        return [job.spec.name for job in page]

    assert await found(early.submitted_at, late.submitted_at) == ["late", "early"]
    assert await found(early.submitted_at + moment, None) == ["late"]
    assert await found(None, late.submitted_at - moment) == ["early"]
    assert await found(late.submitted_at, early.submitted_at) == []


async def test_a_narrowed_walk_continues_where_it_was(store: Store) -> None:
    await make_workspaces(store)
    jobs = [a_job("ab"[number % 2], age=timedelta(seconds=number)) for number in range(8)]
    await store.write(lambda tx: [tx.jobs.add(job) for job in jobs])
    which = JobFilter(name="b")
    first = await store.read(lambda tx: tx.jobs.page(HOME, which, limit=2))
    rest = await store.read(lambda tx: tx.jobs.page(HOME, which, limit=9, before=first[-1].id))
    assert [*first, *rest] == jobs[1::2]


async def test_more_jobs_than_a_statement_takes_parameters(store: Store, other: Store) -> None:
    await make_workspaces(store)
    jobs = [a_job(age=timedelta(seconds=number)) for number in range(1100)]
    await store.write(lambda tx: [tx.jobs.add(job) for job in jobs])
    assert await other.read(lambda tx: tx.jobs.page(HOME, limit=2000)) == jobs


# --- what the loop asks -------------------------------------------------------------------------------------------------


async def test_the_unsettled_are_all_that_must_be_looked_after(store: Store) -> None:
    await make_workspaces(store)
    one, two = new_cluster_id(), new_cluster_id()
    open_one, open_two = a_job(cluster=one), a_job(cluster=two)
    ended = replace(an_ended_job(), cluster=one, settled=False)
    settled = replace(an_ended_job(), cluster=one)
    elsewhere = a_job(cluster=one, workspace=AWAY)
    await store.write(lambda tx: [tx.jobs.add(job) for job in (open_one, open_two, ended, settled, elsewhere)])
    every = await store.read(lambda tx: tx.jobs.unsettled())
    assert sorted(every) == sorted([open_one.id, open_two.id, ended.id, elsewhere.id])
    on_one = await store.read(lambda tx: tx.jobs.unsettled_on(one))
    assert sorted(on_one) == sorted([open_one.id, ended.id, elsewhere.id])
    whole = await store.read(lambda tx: tx.jobs.on_cluster(one))
    assert sorted(job.id for job in whole) == sorted(on_one)
    assert await store.read(lambda tx: tx.jobs.unsettled_on(new_cluster_id())) == []


async def test_old_ones_are_told_oldest_first(store: Store) -> None:
    await make_workspaces(store)
    jobs = [replace(an_ended_job(), ended_at=NOW - timedelta(days=number)) for number in range(4)]
    unsettled = replace(an_ended_job(), ended_at=NOW - timedelta(days=9), settled=False)
    await store.write(lambda tx: [tx.jobs.add(job) for job in [*jobs, unsettled, a_job(age=timedelta(days=99))]])
    old = await store.read(lambda tx: tx.jobs.ended_before(NOW, limit=9))
    assert old == [jobs[3].id, jobs[2].id, jobs[1].id]
    assert await store.read(lambda tx: tx.jobs.ended_before(NOW, limit=1)) == [jobs[3].id]


async def test_of_two_writers_the_second_sees_what_the_first_did(store: Store, other: Store) -> None:
    await make_workspaces(store)
    job = a_job()
    await store.write(lambda tx: tx.jobs.add(job))

    def count(tx: Transaction) -> None:
        found = tx.jobs.lock(job.id)
        assert found is not None
        tx.jobs.save(replace(found, message=f"{int(found.message or 0) + 1}", goal=JobGoal.CANCEL))

    await store.write(lambda tx: tx.jobs.save(replace(job, message="0")))
    await asyncio.gather(*(opened.write(count) for opened in (store, other) * 8))
    found = await other.read(lambda tx: tx.jobs.find(job.id))
    assert found is not None and found.message == "16"


def test_times_are_kept_to_the_microsecond() -> None:
    job = replace(a_job(), started_at=datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC))
    assert decode_life(encode_life(job, SEALER), SEALER, job.id)["started_at"] == job.started_at
