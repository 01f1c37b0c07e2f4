"""The news that something has changed, from this server's loops to this server's readers, so that none has to poll fast.

The owner of news is a job or an instance whose logs have grown, or a cluster. Losing news is harmless: a reader looks again
by itself after a while, as it does when another server is at work.
"""

from __future__ import annotations

import asyncio


class News:
    """Single event loop, in memory only."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def tell(self, owner: str) -> None:
        """Something of the owner has changed."""
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
