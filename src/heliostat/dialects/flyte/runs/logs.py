"""The driver's log of a run, as far as it is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from heliostat.domain.errors import NotFound
from heliostat.domain.ids import WorkspaceId
from heliostat.domain.jobs import Job, LogFile, driver_log
from heliostat.services import Caller, Services

PIECE = 128 << 10
"""Bytes that are read at a time."""
TAIL_BYTES = 16 << 20
"""How far back the last lines are looked for."""


@dataclass(frozen=True)
class LogPart:
    """A part of a log that ends with a line, or with the log."""

    start: int
    """Bytes from the log's beginning."""
    end: int
    file: LogFile | None
    """None while there is none; then the part is empty."""


class RunLogs:
    def __init__(self, services: Services) -> None:
        self._logs = services.logs

    async def part(
        self, caller: Caller, workspace: WorkspaceId, job: Job, offset: int, tail: int | None
    ) -> LogPart:  # fmt: skip
        """From ``offset`` on, with ``tail`` at most so many lines of it, the last ones. Raises Forbidden, Unavailable."""
        try:
            file = await self._logs.file(caller, workspace, job.id, driver_log(job.id, max(1, len(job.attempts))))
        except NotFound as error:
            if error.kind != "log":
                raise
            return LogPart(offset, offset, None)
        end = file.size if file.complete else await self._line_end(file, offset)
        start = min(offset, end)
        return LogPart(start if tail is None else await self._tail(file, start, end, tail), end, file)

    async def lines(self, part: LogPart) -> AsyncIterator[list[str]]:
        """Its lines, some at a time. Raises Unavailable."""
        place, held = part.start, b""
        while part.file is not None and place < part.end:
            data = await self._logs.read(part.file, place, min(PIECE, part.end - place))
            if not data:
                break
            place += len(data)
            whole, newline, held = (held + data).rpartition(b"\n")
            if newline:
                yield whole.decode(errors="replace").split("\n")
            if len(held) >= PIECE:  # a line without end
                yield [held.decode(errors="replace")]
                held = b""
        if held:
            yield [held.decode(errors="replace")]

    async def last_lines(self, caller: Caller, workspace: WorkspaceId, job: Job, lines: int, characters: int) -> str:
        """The end of the log, for people, without the command with which Ray begins it; empty when there is none."""
        part = await self.part(caller, workspace, job, 0, lines)
        if part.file is None or part.start >= part.end:
            return ""
        start = max(part.start, part.end - 4 * characters)
        data = await self._logs.read(part.file, start, part.end - start)
        said = data.decode(errors="replace")
        _, begun, printed = said.partition(_last_line(job.spec.entrypoint))
        return (printed if begun else said).strip()[-characters:]

    async def _line_end(self, file: LogFile, floor: int) -> int:
        """Behind the last line that has its end."""
        place = file.size
        while place > floor:
            start = max(floor, place - PIECE)
            found = (await self._logs.read(file, start, place - start)).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            place = start
        return floor

    async def _tail(self, file: LogFile, floor: int, end: int, lines: int) -> int:
        """Where the last ``lines`` lines before ``end`` begin."""
        floor = max(floor, end - TAIL_BYTES)
        place, left = end, lines
        if not left:
            return end
        while place > floor:
            start = max(floor, place - PIECE)
            data = await self._logs.read(file, start, place - start)
            index = len(data) - (place == end and data.endswith(b"\n"))
            while (found := data.rfind(b"\n", 0, index)) >= 0:
                left -= 1
                if not left:
                    return start + found + 1
                index = found
            place = start
        return floor


def _last_line(entrypoint: str) -> str:
    """Of the command, as Ray has it at the end of its own first sentence."""
    return entrypoint.rstrip().rpartition("\n")[2] + "\n"
