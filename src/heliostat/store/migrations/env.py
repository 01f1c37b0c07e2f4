"""Alembic's entry: runs migrations on the connection that the store gives, or on ``-x url=`` for developers."""

from __future__ import annotations

from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection, create_engine

from heliostat.store.schema import Instant, Words, metadata


def render(kind: str, value: object, autogen_context: AutogenContext) -> str | Literal[False]:
    """Migrations name plain SQL types, so that an old one does not change its meaning with our classes."""
    if kind == "type" and isinstance(value, Instant):
        return "sa.BigInteger()"
    if kind == "type" and isinstance(value, Words):
        return "WORDS"
    return False


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,
        transactional_ddl=True,
        transaction_per_migration=False,
        render_item=render,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with create_engine(context.get_x_argument(as_dictionary=True)["url"]).connect() as own, own.begin():
        run(own)
