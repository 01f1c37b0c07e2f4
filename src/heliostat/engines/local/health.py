"""Asking a head's dashboard whether its cluster is well. Deaths are noticed without it; this finds what hangs."""

from __future__ import annotations

from typing import Protocol

import aiohttp

TIMEOUT_SECONDS = 4.0
PATH = "/api/gcs_healthz"


class Health(Protocol):
    async def ask(self, dashboard: str) -> str:
        """Look at ``host:port``; empty when all is well, else what is wrong. Never raises."""

    async def close(self) -> None: ...


class HttpHealth:
    """The real one. The path needs no token (ray-engine, section 3) and answers for the GCS, too."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, dashboard: str) -> str:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        try:
            async with self._session.get(f"http://{dashboard}{PATH}") as answer:
                return "" if answer.status == 200 else f"its dashboard answers with status {answer.status}"
        except TimeoutError:
            return f"its dashboard did not answer within {TIMEOUT_SECONDS:.0f} seconds"
        except (aiohttp.ClientError, OSError):
            return "its dashboard does not answer"

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
