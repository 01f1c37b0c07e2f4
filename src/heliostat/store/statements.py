"""The few forms of SQL that both databases know and SQLAlchemy spells per database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from string import ascii_lowercase, ascii_uppercase
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, func
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert

from .schema import Words

T = TypeVar("T")

# Columns are typed by the schema, not by the statements: rows and parameters hold as many types as a table has.
Values = dict[str, Any]
AnyRow = Row[*tuple[Any, ...]]
AnySelect = Select[*tuple[Any, ...]]

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
"""What both databases' ``lower`` does; Python's own changes letters that theirs leave."""


def insert_new(connection: Connection, table: Table, values: Values) -> bool:
    """Inserts unless a unique constraint forbids it; says whether it did.

    Unlike a caught IntegrityError this leaves a PostgreSQL transaction usable.
    """
    return changed(connection, _insert_unless(table, connection.dialect.name), values)


@cache
def upsert(table: Table, dialect: str, where: ColumnElement[bool] | None = None) -> Insert:
    """Insert, or replace the row that has the same primary key, but only if that row fulfils ``where``.

    Made once per table, database and condition: give conditions that are made once, too.
    """
    statement = insert_for(dialect)(table)
    index = list(table.primary_key.columns)
    names = {column.name for column in index}
    replaced = {column.name: statement.excluded[column.name] for column in table.c if column.name not in names}
    return statement.on_conflict_do_update(index_elements=index, set_=replaced, where=where)


def changed(connection: Connection, statement: Any, values: Values | None = None) -> bool:
    """Executes an insert, update or delete and says whether it touched a row."""
    result = connection.execute(statement, values, execution_options={"preserve_rowcount": True})
    return result.rowcount > 0


def contains(column: ColumnElement[str], part: str) -> ColumnElement[bool]:
    """``part`` occurs in the text, whatever the case of ASCII letters."""
    return func.lower(column, type_=Words()).contains(part.translate(_LOWER), autoescape=True)


@cache
def _insert_unless(table: Table, dialect: str) -> Insert:
    return insert_for(dialect)(table).on_conflict_do_nothing()


def insert_for(dialect: str) -> Callable[[Table], postgresql.Insert | sqlite.Insert]:
    """The database's own insert, which knows ``ON CONFLICT``."""
    return postgresql.insert if dialect == "postgresql" else sqlite.insert


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most ``size``; databases bound the number of parameters of a statement."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
