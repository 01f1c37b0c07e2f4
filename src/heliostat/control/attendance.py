"""The loop of documents: it looks after open ones by the attendants of their kinds, and knows nothing of what is in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial

import structlog

from heliostat.domain.documents import Document, parts
from heliostat.domain.errors import HeliostatError, Unavailable
from heliostat.domain.ids import JobId
from heliostat.services.seams import Attendant, Clock
from heliostat.store import Store, Transaction

log = structlog.get_logger()
BATCH = 50
"""Expired documents removed in one go."""


class Attendance:
    """The subject of the documents' loop."""

    kind = "document"

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._attendants: dict[str, Attendant] = {}
        self._jobs: asyncio.Queue[JobId] = asyncio.Queue()

    def add(self, attendant: Attendant) -> None:
        """Before the loop runs."""
        self._attendants[attendant.kind] = attendant

    def job_changed(self, job: JobId) -> None:
        """Have the documents looked at for which that is news."""
        if self._attendants:
            self._jobs.put_nowait(job)

    def active(self, tx: Transaction) -> list[str]:
        return tx.documents.open(self._attendants) if self._attendants else []

    unsettled = active

    async def begin(self) -> None:
        """Nothing has to be put in order first: the store says what there is."""

    async def news(self) -> AsyncIterator[str]:
        while True:
            job = await self._jobs.get()
            try:
                refs = await self._store.read(partial(_of_job, job))
            except Unavailable as error:  # they are looked at again by themselves
                log.warning("the store does not answer", cause=error.message)
                continue
            for ref in refs:
                yield ref

    async def reconcile(self, key: str) -> timedelta | None:
        attendant = self._attendants.get(parts(key)[0])
        document = None if attendant is None else await self._store.read(lambda tx: tx.documents.get(*parts(key)))
        if attendant is None or document is None or not document.open:
            return None
        return await attendant.look(document)

    async def tell(self, key: str, message: str) -> None:
        """Attendants tell by themselves, in their documents."""

    async def remove_expired(self) -> int:
        """Remove what may go by now; says how many. One that cannot be forgotten just now does not hold up the others."""
        count, tried = 0, set[str]()
        now = self._clock.now()
        while True:
            found = await self._store.read(partial(_expired, now, BATCH + len(tried)))
            fresh = [document for document in found if document.ref not in tried]
            if not fresh:
                return count
            for document in fresh:
                tried.add(document.ref)
                attendant = self._attendants.get(document.kind)
                try:
                    if attendant is not None:
                        await attendant.forget(document)
                except (HeliostatError, OSError) as error:
                    log.warning("an expired document cannot go yet", document=document.ref, cause=str(error))
                    continue
                await self._store.write(partial(_remove, document))
                count += 1


def _of_job(job: JobId, tx: Transaction) -> list[str]:
    return tx.documents.of_job(job)


def _expired(now: datetime, limit: int, tx: Transaction) -> list[Document]:
    return tx.documents.expired(now, limit=limit)


def _remove(document: Document, tx: Transaction) -> None:
    tx.documents.remove(document.kind, document.workspace, document.key)
