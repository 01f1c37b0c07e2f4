"""Instants and spans of time as the protocol writes them: in JSON as text, in messages as seconds and nanoseconds.

The text has as many decimals as needed, in threes. ValueError for what the protocol does not have: years outside 1 to 9999,
spans of more than 10,000 years, or a sign of the nanoseconds that is not that of the seconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = -62_135_596_800, 253_402_300_799
_LONGEST = 315_576_000_000
_SECOND = 10**9
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)
_SPAN = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s")


def read_instant(text: str) -> tuple[int, int]:
    """Seconds and nanoseconds since 1970 of an RFC 3339 text."""
    found = _INSTANT.fullmatch(text)
    if found is None:
        raise ValueError("must be a time such as 2026-11-21T08:21:18.5Z")
    moment = datetime.fromisoformat(found[1] + "+00:00")
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    if found[3]:
        hours, minutes = int(found[4]), int(found[5])
        if hours > 23 or minutes > 59:
            raise ValueError("has an offset that is no time of day")
        seconds += (-1 if found[3] == "+" else 1) * (hours * 3600 + minutes * 60)
    if not _FIRST <= seconds <= _LAST:
        raise ValueError("must be in the years 1 to 9999")
    return seconds, _nanoseconds(found[2])


def write_instant(seconds: int, nanoseconds: int) -> str:
    """The RFC 3339 text, in UTC."""
    if not (_FIRST <= seconds <= _LAST and 0 <= nanoseconds < _SECOND):
        raise ValueError("must be in the years 1 to 9999")
    moment = _EPOCH + timedelta(seconds=seconds)
    return moment.replace(tzinfo=None).isoformat() + _decimals(nanoseconds) + "Z"


def read_span(text: str) -> tuple[int, int]:
    """Seconds and nanoseconds of a text such as ``1.5s``; both negative when it is."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError("must be a span of time such as 1.5s")
    sign = -1 if found[1] else 1
    seconds, nanoseconds = sign * int(found[2]), sign * _nanoseconds(found[3])
    _check_span(seconds, nanoseconds)
    return seconds, nanoseconds


def write_span(seconds: int, nanoseconds: int) -> str:
    _check_span(seconds, nanoseconds)
    sign = "-" if seconds < 0 or nanoseconds < 0 else ""
    return f"{sign}{abs(seconds)}{_decimals(abs(nanoseconds))}s"


def _check_span(seconds: int, nanoseconds: int) -> None:
    if abs(seconds) > _LONGEST or abs(nanoseconds) >= _SECOND or seconds * nanoseconds < 0:
        raise ValueError("must be a span of at most 10,000 years")


def _nanoseconds(decimals: str | None) -> int:
    return int(decimals.ljust(9, "0")) if decimals else 0


def _decimals(nanoseconds: int) -> str:
    if nanoseconds == 0:
        return ""
    digits = f"{nanoseconds:09}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return "." + digits
