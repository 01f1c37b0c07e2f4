"""What is peculiar to each database: how connections are opened and how transactions begin.

SQLite: write-ahead log, so that readers never wait for the writer; writers begin with ``BEGIN IMMEDIATE``, so that a
transaction that reads first and writes later cannot fail for having seen an old state; readers cannot write at all.

Parameters are kept out of error texts, since they may be secrets.

PostgreSQL: writers are SERIALIZABLE, the same promise that SQLite's single writer gives for free; readers are
REPEATABLE READ and read only, so that several queries of one transaction see one moment.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from ..domain.errors import NotReady, Unavailable
from .settings import StoreSettings

_SERIALIZATION_FAILURE = "40001"
_DEADLOCK = "40P01"
_MIGRATION_LOCK = 7210543101
"""Any number that no other program on the database uses for its advisory locks."""


class Database(Protocol):
    """One of the two."""

    single_writer: bool

    def connect(self, *, write: bool) -> Connection:
        """A new connection, good for any thread but one at a time. Its ``begin()`` begins as told above."""

    def migrating(self) -> AbstractContextManager[Connection]:
        """A transaction that may change the schema, one at a time whatever the number of servers."""

    def clashed(self, error: DBAPIError) -> bool:
        """Whether the transaction lost against another one and may be tried again."""


def database(settings: StoreSettings) -> Database:
    """The database that the URL names, made ready for connections. Raises NotReady with the remedy."""
    try:
        url = make_url(settings.url)
    except ArgumentError:
        raise NotReady(
            "the database URL cannot be read; write sqlite:////path/heliostat.db or postgresql://..."
        ) from None
    if url.get_backend_name() == "sqlite":
        return SqliteDatabase(url, settings)
    if url.get_backend_name() in ("postgresql", "postgres"):
        return PostgresDatabase(url.set(drivername="postgresql+psycopg"), settings)
    raise NotReady(f"databases of the kind {url.get_backend_name()!r} are not supported; use sqlite or postgresql")


class SqliteDatabase:
    """A file."""

    single_writer = True

    def __init__(self, url: URL, settings: StoreSettings) -> None:
        if not url.database or url.database == ":memory:":
            raise NotReady("an SQLite database must be a file: sqlite:////path/heliostat.db")
        self._path = Path(url.database)
        self._patience = settings.patience.total_seconds()
        self._synchronous = "FULL" if settings.survive_power_loss else "NORMAL"
        self._create()
        self._engines = {write: self._engine(url, write) for write in (False, True)}

    def connect(self, *, write: bool) -> Connection:
        return self._engines[write].connect()

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """Foreign keys are checked at the end only: replacing a table would otherwise delete what refers to it."""
        with self.connect(write=True) as connection:
            _driver(connection).execute("PRAGMA foreign_keys=OFF")
            with connection.begin():
                yield connection
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                if broken is not None:
                    raise NotReady(f"a migration would leave table {broken[0]} with a reference to nothing")

    def clashed(self, error: DBAPIError) -> bool:
        return False

    def _create(self) -> None:
        """The file, for its owner alone, in write-ahead mode.

        SQLite does not wait when two processes switch the mode at once, so that is tried again here.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise NotReady(f"the database {self._path} cannot be used: {error.strerror}") from error
        deadline = time.monotonic() + self._patience
        while True:
            try:
                with closing(sqlite3.connect(self._path, timeout=self._patience)) as connection:
                    connection.execute("PRAGMA journal_mode=WAL").fetchone()
                return
            except sqlite3.OperationalError as error:
                if time.monotonic() > deadline:
                    raise Unavailable(f"the database {self._path} stays locked by another program") from error
                time.sleep(0.02)
            except sqlite3.DatabaseError as error:
                raise NotReady(f"{self._path} is not an SQLite database, or is damaged: {error}") from error

    def _engine(self, url: URL, write: bool) -> Engine:
        engine = create_engine(
            url,
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={
                "timeout": self._patience,
                "check_same_thread": False,
                "isolation_level": None,
                "cached_statements": 256,
            },
        )
        begin = "BEGIN IMMEDIATE" if write else "BEGIN"

        @event.listens_for(engine, "connect")
        def prepare(connection: sqlite3.Connection, record: object) -> None:
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute(f"PRAGMA synchronous={self._synchronous}")
            connection.execute("PRAGMA journal_size_limit=67108864")
            if not write:
                connection.execute("PRAGMA query_only=ON")

        @event.listens_for(engine, "begin")
        def start(connection: Connection) -> None:
            try:
                _driver(connection).execute(begin)
            except sqlite3.OperationalError as error:
                raise Unavailable(f"the database does not let us begin: {error}") from error

        return engine


class PostgresDatabase:
    """A server, reached with psycopg."""

    single_writer = False

    def __init__(self, url: URL, settings: StoreSettings) -> None:
        try:
            import psycopg  # noqa: F401  (an extra: its absence must be told before anything is started)
        except ImportError:
            raise NotReady("PostgreSQL needs a driver; run: pip install 'heliostat[postgres]'") from None
        # Else it has a word about each batch that clashed with another transaction, and that is repeated.
        logging.getLogger("psycopg").setLevel(logging.ERROR)
        self._patience_ms = int(settings.patience.total_seconds() * 1000)
        base = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args={"connect_timeout": 10})
        event.listen(base, "connect", self._prepare)
        self._engines = {
            True: base.execution_options(isolation_level="SERIALIZABLE"),
            False: base.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True),
        }

    def connect(self, *, write: bool) -> Connection:
        return self._engines[write].connect()

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """READ COMMITTED, so that whoever had to wait for the lock sees what the one before it did."""
        with (
            self.connect(write=True).execution_options(isolation_level="READ COMMITTED") as connection,
            connection.begin(),
        ):
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            yield connection

    def clashed(self, error: DBAPIError) -> bool:
        return getattr(error.orig, "sqlstate", None) in (_SERIALIZATION_FAILURE, _DEADLOCK)

    # The driver's connection; its type is only there with the extra.
    def _prepare(self, connection: Any, record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET application_name = 'heliostat'")
            cursor.execute(f"SET lock_timeout = {self._patience_ms}")
            cursor.execute(f"SET statement_timeout = {2 * self._patience_ms}")
            cursor.execute("SET idle_in_transaction_session_timeout = '60s'")
            cursor.execute("SHOW server_encoding")
            encoding = cursor.fetchone()[0]
        connection.commit()
        if encoding != "UTF8":
            raise NotReady(f"the PostgreSQL database has the encoding {encoding}; create it with: createdb -E UTF8")


def _driver(connection: Connection) -> sqlite3.Connection:
    """SQLite's own connection, for what must happen outside of a transaction."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver
