"""Parts of a log as a reader asked for them: ranges of bytes, whole characters, lines that match. No I/O.

Patterns are RE2's: they take time in proportion to the text whatever they are, so that nobody's pattern can hold up the
server; what RE2 does not know (look-around, back references) is refused.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import re2  # type: ignore[import-untyped]

from heliostat.domain.errors import InvalidRequest

MAX_LINE = 64 << 10
"""Bytes; what is longer counts as several lines."""
MAX_PATTERN = 1000
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class OutsideRange(Exception):
    """The range that was asked for has nothing of the file in it."""


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """Begin and end (exclusive) that a Range header names; None for what is no single range of bytes, which is ignored.

    Raises OutsideRange.
    """
    match = _RANGE.fullmatch(header.replace(" ", ""))
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        wanted = int(match[2])
        if not wanted or not size:
            raise OutsideRange
        return max(0, size - wanted), size
    first = int(match[1])
    if match[2] and int(match[2]) < first:
        return None
    if first >= size:
        raise OutsideRange
    return first, min(size, int(match[2]) + 1) if match[2] else size


@dataclass(frozen=True)
class LinePattern:
    """What chooses lines. The searches take bytes, and tell by their truth (``Any``: RE2 has no types)."""

    line: Callable[[bytes], Any]
    text: Callable[[bytes], Any] | None
    """Finds something in a text of several lines wherever ``line`` finds something in one of them, much faster than line by
    line; None for a pattern of which that cannot be said."""


def pattern(text: str) -> LinePattern:
    """A pattern, ready to use. Raises InvalidRequest with the path ``grep``."""
    if len(text) > MAX_PATTERN:
        raise InvalidRequest(f"must have at most {MAX_PATTERN} characters", path="grep")
    options = re2.Options()
    options.log_errors = False
    try:
        line = re2.compile(text, options=options).search
        plain = not any(sign in text for sign in ("(?", "\\A", "\\z"))
        return LinePattern(line, re2.compile(f"(?m){text}", options=options).search if plain else None)
    except (re2.error, UnicodeEncodeError) as error:
        told = error.args[0].decode(errors="replace") if error.args and isinstance(error.args[0], bytes) else str(error)
        raise InvalidRequest(f"is not a regular expression that RE2 understands: {told}", path="grep") from None


class Shape(Protocol):
    """Takes the bytes of a file in order, and gives those of them that the reader shall see."""

    @property
    def pending(self) -> int:
        """Bytes that were taken and wait for those behind them."""

    def take(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes:
        """The rest, when nothing will follow."""


class Bytes:
    """Everything as it comes."""

    pending = 0

    def take(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""


class Characters:
    """Everything, without breaking a UTF-8 character in two. What is no UTF-8 passes as it is."""

    def __init__(self) -> None:
        self._held = b""

    @property
    def pending(self) -> int:
        return len(self._held)

    def take(self, data: bytes) -> bytes:
        data = self._held + data
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        decoder.decode(data)
        self._held = decoder.getstate()[0]
        return data[: len(data) - len(self._held)]

    def finish(self) -> bytes:
        rest, self._held = self._held, b""
        return rest


class Lines:
    """The lines that match a pattern."""

    def __init__(self, chosen: LinePattern) -> None:
        self._search = chosen.line
        self._anywhere = chosen.text
        self._held = b""

    @property
    def pending(self) -> int:
        return len(self._held)

    def take(self, data: bytes) -> bytes:
        """Costs CPU; call it in a thread."""
        whole, newline, self._held = (self._held + data).rpartition(b"\n")
        found: list[bytes] = []
        if newline and (self._anywhere is None or self._anywhere(whole)):
            lines = (line for row in whole.split(b"\n") for line in _cut(row))
            found += [line + b"\n" for line in lines if self._search(line)]
        while len(self._held) > MAX_LINE:
            line, self._held = self._held[:MAX_LINE], self._held[MAX_LINE:]
            if self._search(line):
                found.append(line + b"\n")
        return b"".join(found)

    def finish(self) -> bytes:
        rest, self._held = self._held, b""
        return rest + b"\n" if rest and self._search(rest) else b""


def _cut(line: bytes) -> list[bytes]:
    if len(line) <= MAX_LINE:
        return [line]
    return [line[start : start + MAX_LINE] for start in range(0, len(line), MAX_LINE)]
