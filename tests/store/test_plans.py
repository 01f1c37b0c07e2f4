"""No question that a request or the loop asks often makes the database read a whole table."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from heliostat.domain.ids import new_cluster_id, new_instance_id, new_job_id
from heliostat.domain.job_states import JobStatus
from heliostat.domain.states import State
from heliostat.store import JobFilter, Store, StoreSettings, Transaction

from .samples import ANNA, HOME, NOW, a_cluster, a_job, a_log_file, an_event, an_instance, make_workspaces

MINUTE = timedelta(minutes=1)


def ask(tx: Transaction) -> None:
    """What is asked often."""
    cluster, instance = new_cluster_id(), new_instance_id(new_cluster_id())
    tx.clusters.get(HOME, cluster)
    tx.clusters.get_with_instance(HOME, cluster)
    tx.clusters.find_any(cluster)
    tx.clusters.by_name(HOME, "name")
    tx.clusters.page(HOME, limit=10)
    tx.clusters.page_with_instances(HOME, limit=10, offset=20, states=[State.RUNNING])
    tx.clusters.count(HOME)
    tx.clusters.active()
    tx.clusters.running(None)
    tx.clusters.running({HOME})
    tx.instances.get(instance)
    tx.instances.live(cluster)
    tx.instances.live_ids()
    tx.instances.by_submit_token("token")
    tx.events.page(cluster, limit=10, before=100)
    tx.events.of_workspace(HOME, limit=10, after=100)
    tx.credentials.access_key("HELI")
    tx.credentials.token("hlt_")
    tx.credentials.service_account_key("key")
    tx.credentials.get("key")
    tx.principals.get(ANNA)
    tx.queues.list(HOME)
    job = new_job_id()
    tx.clusters.page(HOME, limit=10, temporary=True)
    tx.events.of_job(job, limit=10, after=100)
    tx.jobs.get(HOME, job)
    tx.jobs.page(HOME, limit=10)
    tx.jobs.page(HOME, JobFilter(name="name"), limit=10)
    tx.jobs.page(HOME, JobFilter(statuses=[JobStatus.RUNNING], creator="anna", name_contains="x"), limit=10, offset=20)
    tx.jobs.page(HOME, JobFilter(submitted_from=NOW, submitted_to=NOW), limit=10)
    tx.jobs.count(HOME)
    tx.jobs.unsettled()
    tx.jobs.unsettled_on(cluster)
    tx.jobs.on_cluster(cluster)
    tx.jobs.ended_before(NOW, limit=10)
    tx.log_files.get(job, "name")
    tx.log_files.of(job)
    tx.log_files.of_runs(cluster)
    tx.log_files.modified_before(NOW, limit=10)
    tx.packages.size(HOME, "a" * 64)
    tx.packages.unused_since(NOW, limit=10)


def change(tx: Transaction) -> None:
    """What is changed often."""
    cluster = a_cluster()
    tx.clusters.add(cluster)
    tx.clusters.lock(cluster.id)
    tx.clusters.save(cluster)
    tx.instances.add(an_instance(cluster))
    tx.events.add(an_event(cluster.id, key="k"))
    for number in range(33):
        tx.nonces.remember("k", f"{number}", NOW, MINUTE)
    tx.client_tokens.remember(ANNA, "t", "start", cluster.id, NOW, MINUTE)
    tx.leases.acquire("k", "me", NOW, NOW + MINUTE)
    tx.leases.release("k", "me")
    tx.clusters.purge(cluster.id)
    job = a_job()
    tx.jobs.add(job)
    tx.jobs.lock(job.id)
    tx.jobs.save(job)
    tx.jobs.page(HOME, limit=10, before=job.id)
    tx.events.add(an_event(job.cluster, job=job.id))
    tx.log_files.add(a_log_file(job.id))
    tx.log_files.advance(a_log_file(job.id), 11)
    tx.log_files.expire(job.id)
    tx.log_files.remove([a_log_file(job.id)])
    tx.packages.add(HOME, "a" * 64, 1, NOW)
    tx.packages.used(HOME, "a" * 64, NOW)
    tx.packages.remove(HOME, "a" * 64)
    tx.jobs.remove(job.id)


async def test_every_frequent_statement_uses_an_index(tmp_path: Path) -> None:
    statements: dict[str, object] = {}

    def collect(connection: object, cursor: object, statement: str, parameters: object, *_: object) -> None:
        statements[statement] = parameters

    store = await Store.open(StoreSettings(f"sqlite:///{tmp_path}/heliostat.db", bytes(32)))
    await make_workspaces(store)
    event.listen(Engine, "before_cursor_execute", collect)
    try:
        await store.read(ask)
        await store.write(change)
    finally:
        event.remove(Engine, "before_cursor_execute", collect)
        await store.close()

    assert len(statements) > 60
    plans = await asyncio.to_thread(explain, tmp_path / "heliostat.db", statements)
    scans = [(statement, step) for statement, steps in plans.items() for step in steps if is_scan(step)]
    assert scans == []


@pytest.mark.parametrize(
    ("which", "index"),
    [
        (JobFilter(), "ix_jobs_newest"),
        (JobFilter(name="name"), "ix_jobs_name"),
        (JobFilter(submitted_from=NOW, submitted_to=NOW), "ix_jobs_newest"),
    ],
    ids=["all", "name", "time"],
)
async def test_pages_of_jobs_are_read_in_the_order_of_an_index(tmp_path: Path, which: JobFilter, index: str) -> None:
    """Not sorted: a page costs the same however many jobs there are."""
    statements = await statements_of(tmp_path, lambda tx: tx.jobs.page(HOME, which, limit=10))
    plans = await asyncio.to_thread(explain, tmp_path / "heliostat.db", statements)
    steps = [step for statement, steps in plans.items() for step in steps if "FROM jobs" in statement]
    assert any(f"INDEX {index}" in step for step in steps), steps
    assert not any("ORDER BY" in step and "LAST TERM" not in step for step in steps), steps


async def test_the_jobs_of_a_cluster_are_found_by_their_index(tmp_path: Path) -> None:
    statements = await statements_of(
        tmp_path,
        lambda tx: (tx.jobs.unsettled(), tx.jobs.unsettled_on(new_cluster_id()), tx.jobs.on_cluster(new_cluster_id())),
    )
    plans = await asyncio.to_thread(explain, tmp_path / "heliostat.db", statements)
    assert len(plans) == 3
    for statement, steps in plans.items():
        assert any("INDEX ix_jobs_unsettled" in step for step in steps), (statement, steps)


async def statements_of(tmp_path: Path, work: Callable[[Transaction], object]) -> dict[str, object]:
    """What ``work`` asks the database, with parameters."""
    statements: dict[str, object] = {}

    def collect(connection: object, cursor: object, statement: str, parameters: object, *_: object) -> None:
        statements[statement] = parameters

    store = await Store.open(StoreSettings(f"sqlite:///{tmp_path}/heliostat.db", bytes(32)))
    event.listen(Engine, "before_cursor_execute", collect)
    try:
        await store.read(work)
    finally:
        event.remove(Engine, "before_cursor_execute", collect)
        await store.close()
    return {statement: values for statement, values in statements.items() if statement.startswith("SELECT")}


def explain(path: Path, statements: dict[str, object]) -> dict[str, list[str]]:
    """The steps of SQLite's plan for each statement."""
    with sqlite3.connect(path) as connection:
        return {
            statement: [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            for statement, parameters in statements.items()
        }


def is_scan(step: str) -> bool:
    """Reading a whole table; an index that holds just what is asked for may be read as a whole."""
    return step.startswith("SCAN") and "INDEX" not in step and "CONSTANT ROW" not in step
