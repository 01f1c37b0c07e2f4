"""One log file on its way from a node to the log storage, piece by piece, with its secrets masked.

The bytes are stored first, then the row in the database is advanced, so that no reader is promised more than there is. A
crash in between has the same bytes written to the same place once more: the row says from where in the source to go on, and
a masker that begins where nothing was held back goes on with the same result.

Whoever advances a row from where it no longer is has been overtaken, takes the row as it is and goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import structlog

from heliostat.domain.engine import NodeLog
from heliostat.domain.ids import InstanceId
from heliostat.domain.jobs import LogFile
from heliostat.domain.masking import StreamMasker
from heliostat.engines.base import Engine
from heliostat.services import News
from heliostat.services.seams import Clock
from heliostat.storage import Storage
from heliostat.storage.base import BytesLost
from heliostat.store import Store, Transaction

log = structlog.get_logger()
PIECE_BYTES = 1 << 20
"""The most that is in memory of one file at once, in a few copies."""
SLICE_BYTES = 64 << 10
"""What is masked at once."""
PIECES = 8
"""Pieces of all files on their way at once: bounds memory, and who has had its turn waits behind the others."""
GONE = "what was written last may be missing: the file was gone before its end was read"
SHORTER = "something may be missing: the file has become shorter than it was"


@dataclass(frozen=True)
class CopyTools:
    """What all copies of a server share."""

    store: Store
    engine: Engine
    storage: Storage
    news: News
    clock: Clock
    piece_bytes: int = PIECE_BYTES
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PIECES))

    async def row(self, owner: str, name: str) -> LogFile | None:
        return await self.store.read(lambda tx: tx.log_files.get(owner, name))

    async def collected(self, instance: InstanceId) -> bool:
        """Whether logs of this run are wanted."""
        return await self.store.read(lambda tx: _collected(tx, instance))

    async def row_if_collected(self, owner: str, name: str, instance: InstanceId) -> tuple[LogFile | None, bool]:
        """The row, and whether logs of the run are wanted; both as of one moment."""
        return await self.store.read(lambda tx: (tx.log_files.get(owner, name), _collected(tx, instance)))

    async def row_or_new(self, new: LogFile) -> LogFile:
        """The row of that name, which is made if there is none. It comes before the first bytes, so that there are no
        bytes that nobody knows of."""

        def work(tx: Transaction) -> LogFile:
            tx.log_files.add(new)
            return tx.log_files.get(new.owner, new.name) or new

        found = await self.row(new.owner, new.name)
        return found if found is not None else await self.store.write(work)

    async def advance(self, file: LogFile, expected: int) -> bool:
        """Replace the row if it is where it is thought to be, and tell those who wait for it."""
        done = await self.store.write(lambda tx: tx.log_files.advance(file, expected))
        self.news.tell(file.owner)
        return done


class LogCopy:
    """Used by one task at a time. Methods raise Unavailable when source, storage or database cannot do it now; nothing is
    lost by that, and the next call goes on."""

    def __init__(
        self,
        tools: CopyTools,
        instance: InstanceId,
        source: NodeLog,
        file: LogFile,
        secrets: Collection[bytes],
        begin: int = 0,
    ) -> None:
        self.file = file
        """The row as it was last known to be."""
        self.removed = False
        """There is no such row any more: nobody wants the file."""
        self.unwanted = False
        """Log collection was switched off for its cluster: the row stays as it is."""
        self._tools = tools
        self._instance = instance
        self._source = source
        self._secrets = secrets
        self._begin = begin
        self._masker = StreamMasker(secrets)
        self._restarted = False

    @property
    def over(self) -> bool:
        return self.removed or self.unwanted or self.file.complete

    @property
    def _place(self) -> int:
        """In the source, behind all that was taken."""
        return self.file.source_offset + self._masker.held

    async def step(self, until: int | None = None) -> int | None:
        """Bring the next piece home. Says how many bytes of the source were taken: 0 at its present end or at the place
        ``until``; None when the source is gone."""
        async with self._tools.turns:
            wanted = self._tools.piece_bytes
            if until is not None:
                wanted = min(wanted, until - self._place)
            if wanted <= 0:
                return 0
            data = await self._tools.engine.read_log(self._instance, self._source, self._place, wanted)
            if not data:
                return None if data is None else 0
            place = self._place + len(data)
            try:
                text = await self._masked(data)
                if text:
                    await self._put(text, replace(self.file, source_offset=place - self._masker.held))
            except BaseException:
                self._rewind()
                raise
            return len(data)

    async def _masked(self, data: bytes) -> bytes:
        """Where there are many secrets a piece takes long to look through: everything else has its turn in between."""
        shown = []
        for start in range(0, len(data), SLICE_BYTES):
            if start:
                await asyncio.sleep(0)
            shown.append(self._masker.feed(data[start : start + SLICE_BYTES]))
        return b"".join(shown)

    async def finish(self, until: int, note: str = "") -> None:
        """All of it up to the place ``until``, what was held back included. ``note`` is what is known to be missing."""
        if until < self.file.source_offset:
            note = SHORTER
        while not self.over:
            taken = await self.step(until)
            if taken:
                continue
            missing = GONE if taken is None else SHORTER if self._place < until else note
            if taken is not None and not await self._intact():
                size = self.file.size
                await self._restart(BytesLost("the log storage", self.file.key, size, size - 1))
                continue
            place = self._place
            try:
                rest = self._masker.finish()
                ended = replace(self.file, source_offset=place, complete=True, note=noted(self.file.note, missing))
                await self._put(rest, ended)
            except BaseException:
                self._rewind()
                raise

    async def _put(self, text: bytes, then: LogFile) -> None:
        """Store more text and make ``then``, but for size and time, the row."""
        before = self.file
        if await self._reloaded():
            return
        try:
            if text:
                await self._tools.storage.append(before.key, before.size, text)
        except BytesLost as error:
            await self._restart(error)
            return
        after = replace(then, size=before.size + len(text), modified_at=self._tools.clock.now())
        if await self._tools.advance(after, before.source_offset):
            self.file = after
        else:
            await self._overtaken()

    async def _intact(self) -> bool:
        """Whether the storage has all that the row promises: a late append of somebody who was overtaken cuts it."""
        last = self.file.size - 1
        return last < 0 or len(await self._tools.storage.read(self.file.key, last, 1)) == 1

    async def _restart(self, lost: BytesLost) -> None:
        """What was stored is not there. While the source is, it can be copied anew; once, lest it goes on for ever."""
        if self._restarted:
            raise lost
        self._restarted = True
        log.warning("stored log was cut", owner=self.file.owner, file=self.file.name, cause=lost.message)
        anew = replace(self.file, size=0, source_offset=self._begin, modified_at=self._tools.clock.now())
        if await self._tools.advance(anew, self.file.source_offset):
            self.file = anew
            self._rewind()
        else:
            await self._overtaken()

    async def _reloaded(self) -> bool:
        """Whether somebody else was faster: then the row is taken as it is now. Or whether nothing more is wanted of it.

        Asked before each append, too, which would cut off what the other one has stored. A server that was cut off from
        the database, and comes back to find its jobs with another one, is stopped by that.
        """
        file = self.file
        found, collected = await self._tools.row_if_collected(file.owner, file.name, self._instance)
        if collected and found is not None and _state(found) == _state(file):
            return False
        self.removed, self.unwanted = found is None, not collected
        self.file = found or self.file
        self._rewind()
        return True

    async def _overtaken(self) -> None:
        """The row was no longer what it was. What was appended to a file that retention has just removed goes, too."""
        await self._reloaded()
        if self.removed:
            await self._tools.storage.delete(self.file.key)

    def _rewind(self) -> None:
        """Forget what was taken and not stored: it is read again."""
        self._masker = StreamMasker(self._secrets)


def _collected(tx: Transaction, id: InstanceId) -> bool:
    instance = tx.instances.get(id)
    return instance is None or instance.spec.collect_logs


def _state(file: LogFile) -> tuple[int, int, bool]:
    return file.size, file.source_offset, file.complete


def noted(known: str, more: str) -> str:
    """A note with more to say, once."""
    return known if not more or more in known else f"{known}; {more}" if known else more
