"""One authenticated call, as every method is handed it by either transport."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from heliostat.services import Caller

from .wire import Version

Json = dict[str, Any]  # Any: canonical JSON


@dataclass(frozen=True)
class Call:
    """Who calls, in which version of the API, and how long an answer may take."""

    caller: Caller
    version: Version
    again: Callable[[], Awaitable[Caller]] = field(repr=False)
    """Looks up anew who it is. Raises Unauthenticated."""
    client: str = ""
    """The header ``x-goog-api-client``."""
    seconds: float | None = None
    """Until the client gives up; None: never."""
    beat: Callable[[], Awaitable[None]] | None = None
    """Gives a sign of life while the call is held."""
