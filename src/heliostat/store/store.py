"""The store itself: opened once per server, asked for transactions by services and the control loop."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, select
from sqlalchemy.exc import OperationalError, ProgrammingError

from ..domain.errors import NotReady, Unavailable
from .database import Database, database
from .migrate import migrate
from .schema import installation
from .sealing import Sealer, load_keys
from .settings import StoreSettings
from .shared import Shared
from .statements import insert_new
from .transaction import Transaction
from .workers import Workers, reason

T = TypeVar("T")

_PROOF = "master_key_proof"


class Store:
    """Transactions on the installation's database. Make one with :meth:`open`."""

    def __init__(self, database: Database, sealer: Sealer, settings: StoreSettings, name: str) -> None:
        self.name = name
        """Of the database itself: unlike that of any other, whatever URL it is reached by."""
        self._sealer = sealer
        shared = Shared(sealer, settings.cached_objects)
        patience = settings.patience.total_seconds()
        writers = 1 if database.single_writer else settings.writers
        self._readers = Workers(database, shared, write=False, threads=settings.readers, patience=patience)
        self._writers = Workers(database, shared, write=True, threads=writers, patience=patience)

    @classmethod
    async def open(cls, settings: StoreSettings) -> Store:
        """Connects, migrates the schema and checks the master key; safe to do from several processes at once.

        Raises NotReady, with the remedy, when this database, this key or this machine will not do, and Unavailable when
        the database does not answer.
        """
        return await asyncio.to_thread(_open, settings)

    def derived_key(self, purpose: str) -> bytes:
        """A key of this installation for signatures of one kind; the same on all its servers."""
        return self._sealer.derived_key(purpose)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """The value of ``work``, all of whose queries see one moment."""
        return await self._readers.run(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """The value of ``work``; what it wrote is durable when this returns, and nothing of it is there when it raises.

        ``work`` may run several times and must have no effect but through its transaction. Raises what it raises, and
        Unavailable when the database cannot do it.
        """
        return await self._writers.run(work)

    async def close(self) -> None:
        """Lets begun transactions end, then disconnects. The store is of no use afterwards."""
        await self._writers.close()
        await self._readers.close()


def _open(settings: StoreSettings) -> Store:
    opened = database(settings)
    try:
        with opened.migrating() as connection:
            migrate(connection)
            sealer, name = _sealer(connection, settings.master_key)
    except OperationalError as error:
        raise Unavailable(f"the database cannot be opened: {reason(error)}") from error
    except ProgrammingError as error:
        raise NotReady(
            f"the database refuses to be set up: {reason(error)}; the user of the database URL must own the database, "
            "or be allowed to create tables in its schema"
        ) from error
    return Store(opened, sealer, settings, name)


def _sealer(connection: Connection, master_key: bytes | Path) -> tuple[Sealer, str]:
    """The sealer of this database, and the database's name.

    A proof in it tells another installation's key before anything is sealed with it. No two are alike.
    """
    proof: str | None = connection.execute(select(installation.c.value).where(installation.c.key == _PROOF)).scalar()
    keys = [master_key] if isinstance(master_key, bytes) else load_keys(master_key, create=proof is None)
    sealer = Sealer(keys)
    if proof is None:
        proof = sealer.seal("heliostat", _PROOF)
        insert_new(connection, installation, {"key": _PROOF, "value": proof})
    else:
        sealer.open(proof, _PROOF)
    return sealer, hashlib.sha256(proof.encode()).hexdigest()[:16]
