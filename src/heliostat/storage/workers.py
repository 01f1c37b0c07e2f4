"""Blocking calls of a storage, in threads of its own: in order per key, side by side otherwise, none waited for forever.

A call whose caller has gone (a deadline, a cancellation) still runs to its end, since nothing stops a thread. Were the next
append to the same key to overtake it, the late one would cut off what the next has written; hence the order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from heliostat.domain.errors import Unavailable

THREADS = 16
"""A storage that hangs for some keys leaves threads for others."""
SECONDS = 60.0
CLOSE_SECONDS = 5.0

T = TypeVar("T")


class Workers:
    """The threads of one storage, used from one event loop."""

    def __init__(self, storage: str, *, threads: int = THREADS, seconds: float = SECONDS) -> None:
        self._storage = storage
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="storage")
        self._tasks: set[asyncio.Task[Any]] = set()  # of whatever the calls return
        self._last: dict[str, asyncio.Task[Any]] = {}
        """Of each key that is being worked on, the call handed in last."""

    async def ordered(self, key: str, call: Callable[[], T]) -> T:
        """The call's result, after all earlier calls for the key. Raises Unavailable when that takes too long."""
        earlier = self._last.get(key)
        task = self._last[key] = self._start(call, earlier)
        task.add_done_callback(lambda _: self._forget(key, task))
        return await self._result(task)

    async def run(self, call: Callable[[], T]) -> T:
        """The call's result, in no order with others. Raises Unavailable when it takes too long."""
        return await self._result(self._start(call, None))

    async def close(self) -> None:
        """Let running calls end, but not for long."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start(self, call: Callable[[], T], earlier: asyncio.Task[Any] | None) -> asyncio.Task[T]:
        async def work() -> T:
            if earlier is not None:
                await asyncio.wait([earlier])
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)

        task = asyncio.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def _result(self, task: asyncio.Task[T]) -> T:
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(task)
        except TimeoutError:
            raise Unavailable(f"{self._storage} did not answer within {self._seconds:g} seconds") from None

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may have gone; asyncio would complain that nobody looked

    def _forget(self, key: str, task: asyncio.Task[Any]) -> None:
        if self._last.get(key) is task:
            del self._last[key]
