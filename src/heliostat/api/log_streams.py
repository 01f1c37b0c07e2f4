"""Logs on their way out: a part of a file, or everything that is written from now on.

A reader holds one piece of a file at a time, whatever the file's size. A follower is woken when this server has stored
more, and looks by itself twice a second, since another server may be the one that stores it. When the log storage does
not answer, a follower waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.responses import Response, StreamingResponse

from heliostat.domain.errors import HeliostatError, Throttled, Unavailable
from heliostat.domain.jobs import LogFile
from heliostat.services import LogService

from . import problems, streams
from .context import Context
from .edge import BrokenOff
from .log_sources import Source
from .log_text import Bytes, Characters, LinePattern, Lines, OutsideRange, Shape, byte_range
from .streams import Pace, frame

PIECE = 128 << 10
"""Bytes that are read at a time."""
WAIT_SECONDS = 0.5
TAIL_BYTES = 64 << 20
"""How far back the last lines are looked for."""
TEXT = "text/plain; charset=utf-8"


async def part(
    logs: LogService, file: LogFile, request_id: str, header: str | None, start: int, shape: Shape
) -> Response:
    """The file from ``start`` on or, where the Range header asks for it, its range. Raises Unavailable."""
    end, status = file.size, 200
    headers = {"accept-ranges": "bytes", "x-log-size": str(file.size), "x-log-complete": str(file.complete).lower()}
    if header is not None:
        try:
            chosen = byte_range(header, file.size)
        except OutsideRange:
            detail = f"the log has {file.size} bytes by now"
            return problems.of_status(416, detail, request_id, {"content-range": f"bytes */{file.size}"})
        if chosen is not None:
            (start, end), status = chosen, 206
            headers["content-range"] = f"bytes {start}-{end - 1}/{file.size}"
    start = min(start, end)
    if isinstance(shape, Bytes):
        headers["content-length"] = str(end - start)
    first = await logs.read(file, start, min(PIECE, end - start))
    pieces = _pieces(logs, file, start, end, first, shape)
    return StreamingResponse(pieces, status_code=status, media_type=TEXT, headers=headers)


async def _pieces(
    logs: LogService, file: LogFile, offset: int, end: int, first: bytes, shape: Shape
) -> AsyncIterator[bytes]:
    data = first
    while offset < end:
        if not data:
            raise BrokenOff(f"{file.key} ends at {offset}, not at {file.size}")
        offset += len(data)
        shown = await _shaped(shape, data)
        if shown:
            yield shown
        if offset < end:
            try:
                data = await logs.read(file, offset, min(PIECE, end - offset))
            except Unavailable as error:
                raise BrokenOff(error.message) from error
    rest = shape.finish()
    if rest:
        yield rest


async def tail_start(logs: LogService, file: LogFile, lines: int, floor: int) -> int:
    """Where the last ``lines`` lines begin, not before ``floor`` nor TAIL_BYTES before the end."""
    floor = min(file.size, max(floor, file.size - TAIL_BYTES))
    position, left = file.size, lines
    while position > floor and left:
        start = max(floor, position - PIECE)
        data = await logs.read(file, start, position - start)
        index = len(data) - (position == file.size and data.endswith(b"\n"))
        while (found := data.rfind(b"\n", 0, index)) >= 0:
            left -= 1
            if not left:
                return start + found + 1
            index = found
        position = start
    return floor if left else file.size


class Follower:
    """Yields ``(source, offset behind it, bytes)`` of what is stored from ``offset`` on; None is a sign of life."""

    def __init__(self, here: Context, source: Source, offset: int, shape: Callable[[], Shape], pace: Pace) -> None:
        self._here = here
        self._source = source
        self._offset = offset
        self._make = shape
        self._pace = pace
        self.end: dict[str, Any] | None = None  # JSON
        """What there is to tell once all was read; None when it was left earlier."""

    async def parts(self) -> AsyncIterator[tuple[Source, int, bytes] | None]:
        shape, pace = self._make(), self._pace
        while True:
            if pace.check_due():
                self._here = await self._here.again()
            look = await self._source.look(self._here)
            progress = exhausted = False
            if look.file is not None and self._offset < look.file.size:
                try:
                    data = await self._here.services.logs.read(look.file, self._offset, PIECE)
                except Unavailable:
                    data = b""
                else:
                    exhausted = not data  # the row says that there is more, and the storage has lost it
                if data:
                    progress = True
                    pace.news()
                    self._offset += len(data)
                    shown = await _shaped(shape, data)
                    if shown:
                        yield self._source, self._offset - shape.pending, shown
            elif look.over:
                exhausted = True
            if look.over and exhausted:
                rest = shape.finish()
                if rest:
                    yield self._source, self._offset, rest
                if look.next is None:
                    self.end = look.told
                    return
                self._source, self._offset, shape = look.next, 0, self._make()
                continue
            if pace.over:
                return
            if pace.sign_due():
                yield None
            if not progress:
                await self._here.services.logs.wait_for_news(self._source.owner, WAIT_SECONDS)


def followed(here: Context, source: Source, offset: int, lines: LinePattern | None, seconds: float | None) -> Response:
    """Server-sent events: ``log`` with text, its id the place behind it; ``end`` when nothing more will come.

    ``lines`` chooses some; None = everything. Raises Throttled.
    """
    shape = Characters if lines is None else lambda: Lines(lines)
    follower = Follower(here, source, offset, shape, Pace(seconds, here.shared.closing))

    async def frames() -> AsyncIterator[bytes]:
        async for row in follower.parts():
            if row is None:
                yield streams.SIGN_OF_LIFE
            else:
                at, end, data = row
                yield frame("log", {"text": data.decode(errors="replace")}, at.place(end))
        if follower.end is not None:
            yield frame("end", follower.end)

    return streams.response(here, frames())


def followed_plainly(
    here: Context, source: Source, offset: int, lines: LinePattern | None, seconds: float | None
) -> Response:
    """The same as plain text, without signs of life and end. An end before the log's own breaks the connection."""
    shape = Bytes if lines is None else lambda: Lines(lines)
    follower = Follower(here, source, offset, shape, Pace(seconds, here.shared.closing))

    async def pieces() -> AsyncIterator[bytes]:
        try:
            async for row in follower.parts():
                if row is not None:
                    yield row[2]
        except HeliostatError as error:
            raise BrokenOff(error.message) from error
        if follower.end is None and here.shared.closing.is_set():
            raise BrokenOff("the server ends")

    if here.shared.open_streams >= streams.MAX_STREAMS:
        raise Throttled(5000)
    headers = {"x-accel-buffering": "no", "cache-control": "no-store"}
    return StreamingResponse(streams.counted(here, pieces()), media_type=TEXT, headers=headers)


async def start_of(here: Context, source: Source, offset: int, tail: int | None) -> int:
    """Where a follower begins: with ``tail`` so many lines before the present end."""
    if tail is None:
        return offset
    file = (await source.look(here)).file
    return offset if file is None else await tail_start(here.services.logs, file, tail, offset)


async def _shaped(shape: Shape, data: bytes) -> bytes:
    return await asyncio.to_thread(shape.take, data) if isinstance(shape, Lines) else shape.take(data)
