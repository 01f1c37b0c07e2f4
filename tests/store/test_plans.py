"""No question that a request or the loop asks often makes the database read a whole table."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine, event

from heliostat.domain.ids import new_cluster_id, new_instance_id
from heliostat.domain.states import State
from heliostat.store import Store, StoreSettings, Transaction

from .samples import ANNA, HOME, NOW, a_cluster, an_event, an_instance, make_workspaces

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
    tx.instances.get(instance)
    tx.instances.live(cluster)
    tx.instances.live_ids()
    tx.instances.by_submit_token("token")
    tx.events.page(cluster, limit=10, before=100)
    tx.events.of_workspace(HOME, limit=10, after=100)
    tx.credentials.access_key("HELI")
    tx.credentials.token("hlt_")
    tx.principals.get(ANNA)
    tx.queues.list(HOME)


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

    assert len(statements) > 25
    plans = await asyncio.to_thread(explain, tmp_path / "heliostat.db", statements)
    scans = [(statement, step) for statement, steps in plans.items() for step in steps if is_scan(step)]
    assert scans == []


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
