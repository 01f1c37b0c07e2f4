"""Brings the schema of a database to the newest version.

Migrations are Alembic revisions in ``migrations/versions``; a new one is made with

    alembic -c src/heliostat/store/migrations/alembic.ini -x url=sqlite:////tmp/some.db upgrade head
    alembic -c src/heliostat/store/migrations/alembic.ini -x url=sqlite:////tmp/some.db revision --autogenerate -m "..."

Then set :data:`HEAD`. A test compares the migrated schema with the tables of ``schema`` on both databases.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect

from ..domain.errors import NotReady

HEAD = "0006"
"""The newest revision; a database that has it is left alone, without the cost of loading Alembic."""

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(connection: Connection) -> None:
    """Within the caller's transaction. Raises NotReady when the database belongs to a newer Heliostat."""
    version = _version(connection)
    if version == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, HEAD)
    except CommandError as error:
        raise NotReady(
            f"the database has the schema version {version}, which this Heliostat does not know (it knows {HEAD}); "
            "it was probably used by a newer one: upgrade, or restore a backup"
        ) from error


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return version
