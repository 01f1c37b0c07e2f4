"""Threads that run transactions, each on a connection of its own.

A unit of work is run, committed, and its value handed back to the event loop. When it lost against another transaction
it is run again, after a short random pause, for as long as the store has patience.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from ..domain.errors import Unavailable
from .database import Database
from .shared import Shared
from .transaction import Transaction

T = TypeVar("T")


class Workers:
    """A pool of threads for reads, or for writes."""

    def __init__(self, database: Database, shared: Shared, *, write: bool, threads: int, patience: float) -> None:
        self._database = database
        self._shared = shared
        self._write = write
        self._patience = patience
        self._own = threading.local()
        self._connections: set[Connection] = set()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="store-writer" if write else "store-reader")
        self._closed = False

    async def run(self, work: Callable[[Transaction], T]) -> T:
        """The value of ``work`` after its transaction was committed.

        Raises what ``work`` raises, after a rollback, and Unavailable when the database cannot do it. When the waiting
        task is cancelled, a unit of work that has begun is brought to its end all the same.
        """
        if self._closed:
            raise Unavailable("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._run, work)

    async def close(self) -> None:
        """Lets begun work end, then closes the connections."""
        self._closed = True
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=False)
        while self._connections:
            self._connections.pop().close()

    def _run(self, work: Callable[[Transaction], T]) -> T:
        deadline = time.monotonic() + self._patience
        attempt = 0
        while True:
            try:
                return self._attempt(work)
            except StopIteration as error:
                raise RuntimeError("a unit of work raised StopIteration, which no awaiting task can receive") from error
            except DBAPIError as error:
                if self._database.clashed(error):
                    again = time.monotonic() < deadline
                else:
                    self._drop()
                    if not isinstance(error, (OperationalError, InterfaceError)):
                        raise
                    again = error.connection_invalidated and attempt == 0
                if not again:
                    raise Unavailable(f"the database did not do it: {reason(error)}") from error
            attempt += 1
            time.sleep(random.uniform(0, min(0.002 * 2**attempt, 0.1)))

    def _attempt(self, work: Callable[[Transaction], T]) -> T:
        connection, repositories = self._connection()
        transaction = connection.begin()
        try:
            value = work(repositories)
        except BaseException:
            transaction.rollback()
            raise
        try:
            transaction.commit()
        except DBAPIError as error:
            if error.connection_invalidated:
                self._drop()
                raise Unavailable(
                    "the database went away during a commit; look what is there before repeating"
                ) from error
            transaction.rollback()
            raise
        return value

    def _connection(self) -> tuple[Connection, Transaction]:
        held: tuple[Connection, Transaction] | None = getattr(self._own, "held", None)
        if held is None:
            connection = self._database.connect(write=self._write)
            held = self._own.held = (connection, Transaction(connection, self._shared))
            self._connections.add(connection)
        return held

    def _drop(self) -> None:
        """Forgets a connection that may be broken; the next unit of work opens another."""
        held: tuple[Connection, Transaction] | None = getattr(self._own, "held", None)
        if held is not None:
            self._own.held = None
            self._connections.discard(held[0])
            held[0].close()


def reason(error: DBAPIError) -> str:
    """What the database said, without the statement and its values."""
    return str(error.orig).strip().partition("\n")[0]
