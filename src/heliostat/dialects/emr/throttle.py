"""Rate limits per key, as token buckets (EMR contract, section 11, point 30).

Kept in memory: each server counts for itself, and a restart forgives everybody, which harms nobody.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from heliostat.domain.errors import Throttled

from .settings import EmrSettings

MOST_BUCKETS = 10_000


class Throttle:
    def __init__(self, settings: EmrSettings, now: Callable[[], float] = time.monotonic) -> None:
        self._rates = {False: settings.reads_per_second, True: settings.writes_per_second}
        self._now = now
        self._buckets: dict[tuple[str, bool], tuple[float, float]] = {}
        """(key, is a write) -> (tokens left, at what time)."""

    def admit(self, key: str, *, write: bool) -> None:
        """Count one request of ``key``. Raises Throttled when it has had its share of this second."""
        rate = self._rates[write]
        if rate is None:
            return
        now = self._now()
        burst = max(1.0, rate)
        left, since = self._buckets.get((key, write), (burst, now))
        left = min(burst, left + (now - since) * rate)
        if left < 1:
            raise Throttled(after_ms=math.ceil((1 - left) / rate * 1000))
        if len(self._buckets) >= MOST_BUCKETS:
            self._forget_full(now)
        self._buckets[key, write] = (left - 1, now)

    def _forget_full(self, now: float) -> None:
        """Drop those who were silent for long enough to have all their tokens back."""
        self._buckets = {
            who: (left, since)
            for who, (left, since) in self._buckets.items()
            if (rate := self._rates[who[1]]) is not None and left + (now - since) * rate < max(1.0, rate)
        }
