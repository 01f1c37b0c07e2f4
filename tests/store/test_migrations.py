"""Migrations lead to exactly the tables of the schema."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from heliostat.domain.errors import NotReady
from heliostat.store import Store, StoreSettings
from heliostat.store.database import database
from heliostat.store.migrate import HEAD, MIGRATIONS, migrate
from heliostat.store.schema import metadata

from .samples import HOME, make_workspaces


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
