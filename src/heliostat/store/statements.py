"""The few forms of SQL that both databases know and SQLAlchemy spells per database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, Table, func
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert

T = TypeVar("T")

# Columns are typed by the schema, not by the statements: rows and parameters hold as many types as a table has.
Values = dict[str, Any]
AnyRow = Row[*tuple[Any, ...]]
AnySelect = Select[*tuple[Any, ...]]


def insert_new(connection: Connection, table: Table, values: Values) -> bool:
    """Inserts unless a unique constraint forbids it; says whether it did.

    Unlike a caught IntegrityError this leaves a PostgreSQL transaction usable.
    """
    kind = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = kind(table).values(values).on_conflict_do_nothing()
    return changed(connection, statement)


def upsert(table: Table, dialect: str, index: Sequence[Column[Any]], where: Any = None) -> Insert:
    """Insert, or replace the row that has the same ``index``, but only if that row fulfils ``where``."""
    kind = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = kind(table)
    names = {column.name for column in index}
    replaced = {column.name: statement.excluded[column.name] for column in table.c if column.name not in names}
    return statement.on_conflict_do_update(index_elements=list(index), set_=replaced, where=where)


def changed(connection: Connection, statement: Any, values: Values | None = None) -> bool:
    """Executes an insert, update or delete and says whether it touched a row."""
    result = connection.execute(statement, values, execution_options={"preserve_rowcount": True})
    return result.rowcount > 0


def contains(column: ColumnElement[str], part: str) -> ColumnElement[bool]:
    """``part`` occurs in the text, whatever the case of ASCII letters."""
    return func.lower(column).contains(part.lower(), autoescape=True)


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most ``size``; databases bound the number of parameters of a statement."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
