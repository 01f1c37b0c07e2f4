"""A small work queue of keys: it de-duplicates, delays, and never hands out a key that is being worked on."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

K = TypeVar("K")


class WorkQueue(Generic[K]):
    """Keys to look at. Single event loop; in memory only, since the loop rebuilds it from the store at each start."""

    def __init__(self) -> None:
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()
        """Keys in ``_ready``."""
        self._busy: set[K] = set()
        self._again: set[K] = set()
        """Keys woken while busy."""
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._arrived = asyncio.Event()

    def wake(self, key: K) -> None:
        """Look at the key now; if it is being looked at, once more afterwards."""
        self._drop_timer(key)
        if key in self._busy:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._arrived.set()

    def wake_after(self, key: K, seconds: float) -> None:
        """Look at the key in ``seconds`` at the latest."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + seconds:
            return
        self._drop_timer(key)
        self._timers[key] = loop.call_later(seconds, self._due, key)

    async def take(self) -> K:
        """The next key, which is the caller's until :meth:`done`."""
        while not self._ready:
            self._arrived.clear()
            await self._arrived.wait()
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._busy.add(key)
        return key

    def done(self, key: K) -> None:
        self._busy.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.wake(key)

    def close(self) -> None:
        """Drop all timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def __len__(self) -> int:
        """Keys ready or being worked on."""
        return len(self._ready) + len(self._busy)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.wake(key)

    def _drop_timer(self, key: K) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
