"""Times as people write and read them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import click

_PARTS = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse(text: str) -> timedelta:
    """``"90"`` and ``"90s"`` -> 90 seconds, ``"1h30m"`` -> 90 minutes. Raises ValueError with a sentence."""
    compact = text.strip().lower().replace(" ", "")
    if re.fullmatch(r"\d+(\.\d+)?", compact):
        return timedelta(seconds=float(compact))
    parts = _PARTS.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise ValueError(f"{text!r} is not a length of time; write for example 90s, 5m or 1h30m")
    return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))


def seconds(value: float) -> str:
    """``3.2 s``, ``1 m 05 s``, ``2 h 10 m``: for progress, exact where it matters."""
    if value < 60:
        return f"{max(0.0, value):.1f} s"
    minutes, rest = divmod(int(value), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} m"


def age(since: datetime | None, now: datetime) -> str:
    """``45s``, ``12m``, ``3h10m``, ``5d``: for tables."""
    if since is None:
        return ""
    total = max(0, int((now - since).total_seconds()))
    if total < 120:
        return f"{total}s"
    if total < 7200:
        return f"{total // 60}m"
    if total < 36000:
        return f"{total // 3600}h{total % 3600 // 60:02d}m"
    if total < 172800:
        return f"{total // 3600}h"
    return f"{total // 86400}d"


class Lifetime(click.ParamType[str]):
    """A length of time that the server keeps as it was typed, or ``never``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value).strip().lower()
        if text != "never":
            try:
                parse(text)
            except ValueError as error:
                self.fail(f"{error}, or never", param, ctx)
        return text


class Duration(click.ParamType[timedelta]):
    """A command line's length of time."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            return parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
