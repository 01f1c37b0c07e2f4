"""What a supervisor has done beside its rounds: named pieces of work, each once at a time, that may take long or fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from heliostat.domain.ids import InstanceId

from .clock import Clock

RETRY_SECONDS = 5.0
INTERNAL = "internal error of the local engine; see the server's log"

log = structlog.get_logger(__name__)

Work = Callable[[], Awaitable[None]]


class Errands:
    """Of one instance. ``ended`` is called after each piece, ``failed`` when one has failed."""

    def __init__(
        self, instance: InstanceId, clock: Clock, ended: Callable[[], None], failed: Callable[[], None]
    ) -> None:
        self._instance = instance
        self._clock = clock
        self._ended = ended
        self._failed = failed
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._trouble: dict[str, str] = {}

    @property
    def trouble(self) -> list[str]:
        """What has failed and was not done since, in words."""
        return list(self._trouble.values())

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        return list(self._tasks.values())

    def run(self, name: str, work: Work) -> None:
        """Begin a piece of work, unless one of that name is under way."""
        if name in self._tasks:
            return
        task = self._tasks[name] = asyncio.create_task(self._guarded(name, work))

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.pop(name, None)
            self._ended()

        task.add_done_callback(done)

    async def _guarded(self, name: str, work: Work) -> None:
        """The work; where it fails, that is told, and its place is kept for a while before it may be tried again."""
        try:
            await work()
        except OSError as error:
            log.warning("background work failed", instance=self._instance, work=name, cause=str(error))
            self._trouble[name] = str(error)
        except Exception:  # the top of the task: a bug must not be tried again without a pause
            log.exception("background work failed", instance=self._instance, work=name)
            self._trouble[name] = INTERNAL
        else:
            self._trouble.pop(name, None)
            return
        self._failed()
        await self._clock.sleep(RETRY_SECONDS)
