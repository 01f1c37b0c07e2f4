"""The news that logs have grown, from this server's collector to this server's readers, so that none has to poll fast.

Losing news is harmless: a reader looks again by itself after a while, as it does when another server collects.
"""

from __future__ import annotations

import asyncio


class Growth:
    """Single event loop, in memory only."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def tell(self, owner: str) -> None:
        """The owner's logs have grown, or are complete."""
        for future in self._waiting.pop(owner, ()):
            if not future.done():
                future.set_result(None)

    async def wait(self, owner: str, seconds: float) -> None:
        """Until the next news of the owner, at most ``seconds``."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, set()).add(future)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            return
        finally:
            waiting = self._waiting.get(owner)
            if waiting is not None:
                waiting.discard(future)
                if not waiting:
                    del self._waiting[owner]
