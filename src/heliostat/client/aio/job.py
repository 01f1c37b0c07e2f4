"""A job as an object."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Self, Unpack

from ..errors import DeadlineExceeded, JobFailed, NotFound
from ..job_facts import JobFacts
from ..job_requests import SubmitFields
from ..models import Event, Explanation, JobInfo, LogFile
from .chosen import chosen

if TYPE_CHECKING:
    from .client import AsyncClient


class AsyncJob(JobFacts):
    """A job: its facts at the last look, and the calls on it. Calls that change it also refresh the facts."""

    def __init__(self, client: AsyncClient, info: JobInfo) -> None:
        super().__init__(info)
        self._client = client

    @classmethod
    async def submit(
        cls,
        entrypoint: str,
        *,
        idempotency_key: str | None = None,
        client: AsyncClient | None = None,
        **fields: Unpack[SubmitFields],
    ) -> AsyncJob:
        """Hand over a job; see ``Jobs.submit``."""
        return await chosen(client).jobs.submit(entrypoint, idempotency_key=idempotency_key, **fields)

    @classmethod
    async def get(cls, job: str, *, client: AsyncClient | None = None) -> AsyncJob:
        """The job with this id, or the newest with this name."""
        return await chosen(client).jobs.get(job)

    @classmethod
    def list(
        cls,
        *,
        status: str | Sequence[str] | None = None,
        name: str | None = None,
        cluster: str | None = None,
        limit: int | None = None,
        client: AsyncClient | None = None,
    ) -> AsyncGenerator[AsyncJob, None]:
        """Jobs, newest first."""
        return chosen(client).jobs.list(status=status, name=name, cluster=cluster, limit=limit)

    async def refresh(self) -> Self:
        """Look again."""
        return self._now(await self._client.jobs.get(self.id))

    async def wait(
        self,
        deadline: float | None = None,
        *,
        on_progress: Callable[[JobInfo], None] | None = None,
        check: bool = False,
    ) -> Self:
        """Wait until it has ended, at most ``deadline`` seconds.

        ``on_progress`` is called at once and whenever something changed. Raises DeadlineExceeded when it takes too long (it
        goes on then), JobFailed when it was deleted meanwhile and, with ``check``, when it ended otherwise than well.
        """
        try:
            async with aclosing(self._client.jobs.watch(self.id, seconds=deadline)) as looks:
                async for seen in looks:
                    self._now(seen)
                    if on_progress is not None:
                        on_progress(self.info)
                    if self.ended:
                        break
                else:
                    await self.refresh()
        except NotFound:
            raise JobFailed(f"job {self.name} was deleted while it was waited for") from None
        if not self.ended:
            raise DeadlineExceeded(f"job {self.name} is {self.status} after {deadline or 0:g} s: {self.message}")
        if check:
            self.check()
        return self

    async def cancel(self) -> Self:
        """Set off its end. Does not wait."""
        return self._now(await self._client.jobs.cancel(self.id))

    async def delete(self) -> None:
        """Forget it and its logs; it must have ended."""
        await self._client.jobs.delete(self.id)

    async def why(self) -> Explanation:
        """Why it is in its status."""
        return await self._client.jobs.why(self.id)

    async def events(self, *, limit: int = 100, before: int | None = None, after: int | None = None) -> Sequence[Event]:
        """What happened to it, newest first (with ``after``: oldest first)."""
        return await self._client.jobs.events(self.id, limit=limit, before=before, after=after)

    def follow_events(self, *, after: int | None = None) -> AsyncGenerator[Event, None]:
        """What happens to it, as it happens."""
        return self._client.jobs.follow_events(self.id, after=after)

    def watch(self, *, seconds: float | None = None) -> AsyncGenerator[AsyncJob, None]:
        """The job now, and again whenever it changes."""
        return self._client.jobs.watch(self.id, seconds=seconds)

    async def logs(self) -> Sequence[LogFile]:
        """Its log files."""
        return await self._client.jobs.logs(self.id)

    async def log(self, *, attempt: int | None = None, tail: int | None = None, grep: str | None = None) -> str:
        """The log of its entry point as it is now, whole; ``client.jobs.read_log`` reads long ones piece by piece."""
        found = []
        async with aclosing(self._client.jobs.read_log(self.id, attempt=attempt, tail=tail, grep=grep)) as pieces:
            async for piece in pieces:
                found.append(piece)
        return "".join(found)

    def follow(self, *, tail: int | None = None, grep: str | None = None) -> AsyncGenerator[str, None]:
        """The log of its entry point as it is written, to the end."""
        return self._client.jobs.follow_log(self.id, tail=tail, grep=grep)

    def _now(self, seen: AsyncJob) -> Self:
        self.info = seen.info
        return self
