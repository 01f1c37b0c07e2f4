"""Migrations lead to exactly the tables of the schema."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from heliostat.control.plans import plan_of
from heliostat.control.reconciler import Reconciler
from heliostat.domain.errors import AlreadyExists, NotReady
from heliostat.domain.ids import WorkspaceId
from heliostat.domain.installation import Installation
from heliostat.domain.quota import Phase
from heliostat.domain.records import Amount, Queue, Workspace
from heliostat.domain.states import State, Wanted
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.store import Store, StoreSettings
from heliostat.store.database import database
from heliostat.store.migrate import HEAD, MIGRATIONS, migrate
from heliostat.store.schema import metadata
from heliostat.testing.clock import ManualClock

from .samples import HOME, NOW, a_cluster, a_job, an_event, an_instance, make_workspaces, seen


def definitions(connection: Connection) -> set[str]:
    """Tables, columns, constraints and indexes as the database itself spells them."""
    if connection.dialect.name == "sqlite":
        query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'"
        statements = (" ".join(sql.split()) for sql in connection.scalars(text(query)))
        return {", ".join(sorted(re.split(r", (?=CONSTRAINT)| (?=\)$)", statement))) for statement in statements}
    queries = [
        "SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default, collation_name)"
        " FROM information_schema.columns WHERE table_schema = 'public'",
        "SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace",
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
    ]
    found = {definition for query in queries for definition in connection.scalars(text(query))}
    return {definition for definition in found if "alembic" not in definition}


def test_the_migrated_schema_is_the_schema(settings: StoreSettings) -> None:
    opened = database(settings)
    with opened.migrating() as connection:
        migrate(connection)
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        migrated = definitions(connection)
        metadata.drop_all(connection)
        assert len(migrated) > 20
        assert definitions(connection) == set() or connection.dialect.name == "sqlite"
        metadata.create_all(connection)
        assert definitions(connection) == migrated


def test_head_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_what_an_earlier_heliostat_has_stored_is_there_after_the_upgrade(settings: StoreSettings) -> None:
    """A database of revision 0001, with clusters, runs and events in it."""
    cluster = replace(a_cluster(), started_at=NOW)
    instance = replace(seen(an_instance(cluster)), ended_at=NOW, demand=None, activity=None, renew=0)
    cluster = replace(cluster, instance=instance.id)
    event = an_event(cluster.id, key="start-1")
    store = await Store.open(settings)
    await make_workspaces(store)
    await store.write(lambda tx: (tx.clusters.add(cluster), tx.instances.add(instance), tx.events.add(event)))
    await store.close()
    with database(settings).migrating() as connection:
        newest = rows(connection)
        put_back(connection, "0001")
        old = rows(connection)
    assert "jobs" not in old and "logs_kept" not in old["instances"][0] and len(old["events"]) == 1

    store = await Store.open(settings)
    try:
        assert await store.read(lambda tx: tx.clusters.get_with_instance(HOME, cluster.id)) == (cluster, instance)
        (kept,) = await store.read(lambda tx: tx.events.page(cluster.id, limit=9))
        assert replace(kept, id=0) == event
        job = a_job()
        await store.write(lambda tx: (tx.jobs.add(job), tx.events.add(an_event(cluster.id, job=job.id))))
        assert await store.read(lambda tx: tx.jobs.page(HOME, limit=9)) == [job]
        assert [row.id > kept.id for row in await store.read(lambda tx: tx.events.of_job(job.id, limit=9))] == [True]
        await store.write(lambda tx: tx.jobs.remove(job.id))
    finally:
        await store.close()
    with database(settings).migrating() as connection:
        after = rows(connection)
    given = [
        dict(before, number=row["number"])
        for before, row in zip(newest["workspaces"], after["workspaces"], strict=True)
    ]
    assert after | {"events": newest["events"]} == newest | {"workspaces": given}


async def test_a_run_from_before_queues_had_quota_holds_what_it_has_after_the_first_look(
    settings: StoreSettings,
) -> None:
    """A database of revision 0002 with a live run: it is charged without having been asked for, and not stopped."""
    cluster = a_cluster()
    instance = replace(seen(an_instance(cluster)), demand=None, activity=None, renew=0)
    spec = replace(cluster.spec, release="ray-1.3.1", volumes=(), fault_tolerance=None, network_service=None)
    plain = replace(spec.head, release=None, gpu=None)
    groups = tuple(replace(group, shape=replace(group.shape, release=None, gpu=None)) for group in spec.workers)
    spec = replace(spec, head=plain, workers=groups)
    instance = replace(instance, spec=spec)
    up = replace(cluster, spec=spec, instance=instance.id, wanted=Wanted.RUNNING, state=State.RUNNING, started_at=NOW)
    store = await Store.open(settings)
    await make_workspaces(store)
    await store.write(lambda tx: tx.queues.add(Queue(HOME, "root_queue", NOW, maximum=Amount(Decimal(1)))))
    await store.write(lambda tx: (tx.clusters.add(up), tx.instances.add(instance)))
    await store.close()
    with database(settings).migrating() as connection:
        put_back(connection, "0002")
        assert not inspect(connection).has_table("claims")

    store = await Store.open(settings)
    try:
        (queue,) = await store.read(lambda tx: tx.queues.list(HOME))
        assert (queue.priority, queue.backfill, queue.held, queue.extras) == (0, True, Amount(Decimal(0), 0, 0), {})
        world, installation, clock = World(), Installation(), ManualClock(NOW)
        engine = SimulatedEngine(world)
        await engine.apply(plan_of(instance, installation))
        reconciler = Reconciler(store, engine, installation, clock)
        await reconciler.reconcile(cluster.id)
        claims = await store.read(lambda tx: tx.claims.of_instance(instance.id))
        assert [(row.group, row.wanted, row.held) for row in claims] == [("", 1, 1), ("large", 3, 3), ("plain", 1, 1)]
        assert {row.phase for row in claims} == {Phase.USEFUL} and {row.principal for row in claims} == {
            cluster.creator
        }
        (queue,) = await store.read(lambda tx: tx.queues.list(HOME))
        assert queue.held.cpu == sum(row.node.cores * row.held for row in claims) > 1, (
            "more than there is: nobody is stopped for it"
        )
        assert set(world.starts.values()) == {1} and len(world.instances[instance.id].nodes) == 5
    finally:
        await store.close()


async def test_workspaces_from_before_they_had_numbers_are_given_some(settings: StoreSettings) -> None:
    """A database of revision 0003. Afterwards it can have operations, and credentials of the new kind."""
    names = [f"team-{number}" for number in range(40)]
    store = await Store.open(settings)
    for name in names:
        await store.write(lambda tx, name=name: tx.workspaces.add(Workspace(WorkspaceId(f"w-{name}"), name, NOW)))
    await store.close()
    with database(settings).migrating() as connection:
        put_back(connection, "0003")
        old = rows(connection)
    assert len(old["workspaces"]) == 40 and "number" not in old["workspaces"][0] and "operations" not in old

    store = await Store.open(settings)
    try:
        found = await store.read(lambda tx: tx.workspaces.list(limit=99))
        assert {row.name for row in found} == set(names)
        numbers = {row.number for row in found}
        assert len(numbers) == 40 and all(len(str(number)) == 12 for number in numbers)
        for row in found:
            assert await store.read(lambda tx, row=row: tx.workspaces.by_number(row.number)) == row
        with pytest.raises(AlreadyExists):
            await store.write(lambda tx: tx.workspaces.add(replace(found[0], id=WorkspaceId("w-x"), name="x")))
        assert len(await store.read(lambda tx: tx.workspaces.list(limit=99))) == 40
        for odd in (0, -1, 10**12, 10**30):
            assert await store.read(lambda tx, odd=odd: tx.workspaces.by_number(odd)) is None
    finally:
        await store.close()
    with database(settings).migrating() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert rows(connection)["operations"] == []


def put_back(connection: Connection, revision: str) -> None:
    """The same rows in the tables as an earlier revision makes them."""
    kept = rows(connection)
    metadata.drop_all(connection)
    connection.execute(text("DROP TABLE alembic_version"))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    tables = inspect(connection)
    for table in metadata.sorted_tables:
        if not tables.has_table(table.name):
            continue
        columns = [column["name"] for column in tables.get_columns(table.name)]
        places = ", ".join(f":{name}" for name in columns)
        for row in kept[table.name]:
            values = {name: row[name] for name in columns}
            names = ", ".join(f'"{name}"' for name in columns)
            connection.execute(text(f'INSERT INTO "{table.name}" ({names}) VALUES ({places})'), values)
        if connection.dialect.name == "postgresql" and table.name == "events":
            connection.execute(text("SELECT setval(pg_get_serial_sequence('events', 'id'), 1000)"))


def rows(connection: Connection) -> dict[str, list[dict[str, object]]]:
    """All that is in the database."""
    tables = inspect(connection)
    return {
        table.name: [dict(row) for row in connection.execute(text(f'SELECT * FROM "{table.name}"')).mappings()]
        for table in metadata.sorted_tables
        if tables.has_table(table.name)
    }


async def test_opening_again_keeps_what_is_there(settings: StoreSettings) -> None:
    store = await Store.open(settings)
    await make_workspaces(store)
    await store.close()
    store = await Store.open(settings)
    assert await store.read(lambda tx: tx.workspaces.get(HOME)) is not None
    await store.close()


async def test_a_database_of_a_newer_heliostat_is_left_alone(settings: StoreSettings) -> None:
    await (await Store.open(settings)).close()
    with database(settings).migrating() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NotReady, match="newer"):
        await Store.open(settings)
    with database(settings).migrating() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


def test_a_failed_migration_leaves_nothing_behind(settings: StoreSettings) -> None:
    def interrupted() -> None:
        with database(settings).migrating() as connection:
            migrate(connection)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with database(settings).migrating() as connection:
        assert definitions(connection) == set()


def test_a_migration_must_not_break_references(tmp_path: Path) -> None:
    settings = StoreSettings(f"sqlite:///{tmp_path}/heliostat.db", bytes(32))

    def breaking() -> None:
        with database(settings).migrating() as connection:
            migrate(connection)
            connection.execute(text("INSERT INTO roles VALUES ('nobody', 'nowhere', 'owner')"))

    with pytest.raises(NotReady, match="roles"):
        breaking()
