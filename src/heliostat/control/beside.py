"""Steps that may take minutes, such as storing the end of a long log: they run beside the loop, whose workers are few.

A step is begun by the first look that wants it, waited for a moment, and asked after by later looks. After a crash it is
begun anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

MOMENT = 1.0
"""Seconds. Most are over sooner, and then nothing is delayed."""


class Beside:
    """By key; one step per key at a time. Single event loop."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def done(
        self,
        key: str,
        step: Callable[[], Coroutine[Any, Any, None]],  # what a coroutine is sent is nobody's business
        then: Callable[[], None] | None = None,
    ) -> bool:
        """Whether the step has come to its end, once; raises what it raised. ``then`` is called at the end of one that was
        not waited for."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(step(), name=f"beside the loop: {key}")
            await asyncio.wait([task], timeout=MOMENT)
            if not task.done() and then is not None:
                task.add_done_callback(lambda _: then())
        if not task.done():
            return False
        del self._tasks[key]
        task.result()
        return True

    async def close(self) -> None:
        """Give up what is not done."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
