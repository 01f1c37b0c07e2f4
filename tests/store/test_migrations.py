"""Migrations lead to exactly the tables of the schema."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from heliostat.domain.errors import NotReady
from heliostat.store import Store, StoreSettings
from heliostat.store.database import database
from heliostat.store.migrate import HEAD, MIGRATIONS, migrate
from heliostat.store.schema import metadata

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
    instance = replace(seen(an_instance(cluster)), ended_at=NOW)
    cluster = replace(cluster, instance=instance.id)
    event = an_event(cluster.id, key="start-1")
    store = await Store.open(settings)
    await make_workspaces(store)
    await store.write(lambda tx: (tx.clusters.add(cluster), tx.instances.add(instance), tx.events.add(event)))
    await store.close()
    with database(settings).migrating() as connection:
        newest = rows(connection)
        put_back_to_0001(connection)
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
        assert rows(connection) | {"events": newest["events"]} == newest


def put_back_to_0001(connection: Connection) -> None:
    """The same rows in the tables as revision 0001 makes them."""
    kept = rows(connection)
    metadata.drop_all(connection)
    connection.execute(text("DROP TABLE alembic_version"))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")
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
