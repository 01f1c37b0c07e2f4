"""Server-sent events: a cluster or a job whenever it changes, its events as they happen.

While somebody watches, the store is looked at four times a second, which costs next to nothing since what did not change
comes out of its cache; after half a minute without news, once a second. Nothing is looked at when nobody watches.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson
from starlette.responses import StreamingResponse

from heliostat.domain.errors import HeliostatError, NotFound, Throttled
from heliostat.domain.ids import ClusterId, JobId, WorkspaceId
from heliostat.domain.jobs import Job
from heliostat.domain.records import Cluster, Instance

from . import documents, problems
from .context import Context

LOOK_SECONDS = 0.25
CALM_AFTER_SECONDS = 30.0
CALM_LOOK_SECONDS = 1.0
SIGN_OF_LIFE_SECONDS = 10.0
"""How often a comment is sent when there is nothing to say."""
CHECK_SECONDS = 10.0
"""How often the caller's token is looked at again, whether there is something to say or not."""
MAX_STREAMS = 500
"""Open at once; one more is told to come again."""
BATCH = 200
SIGN_OF_LIFE = b": still here\n\n"


class Pace:
    """When to look, when to give a sign of life, when to end."""

    def __init__(self, seconds: float | None, closing: asyncio.Event) -> None:
        now = time.monotonic()
        self._closing = closing
        self._end = None if seconds is None else now + seconds
        self._news = now
        self._sign = now
        self._check = now

    @property
    def over(self) -> bool:
        return self._closing.is_set() or (self._end is not None and time.monotonic() >= self._end)

    def news(self) -> None:
        self._news = self._sign = time.monotonic()

    def sign_due(self) -> bool:
        """Whether a sign of life is due; says so once."""
        now = time.monotonic()
        if now - self._sign < SIGN_OF_LIFE_SECONDS:
            return False
        self._sign = now
        return True

    def check_due(self) -> bool:
        """Whether the caller is to be looked up again; says so once."""
        now = time.monotonic()
        if now - self._check < CHECK_SECONDS:
            return False
        self._check = now
        return True

    async def rest(self) -> None:
        now = time.monotonic()
        seconds = LOOK_SECONDS if now - self._news < CALM_AFTER_SECONDS else CALM_LOOK_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds if self._end is None else min(seconds, max(0.0, self._end - now))):
                await self._closing.wait()


def response(context: Context, frames: AsyncIterator[bytes]) -> StreamingResponse:
    """The answer that carries ``frames``. Raises Throttled when too many are open."""
    if context.shared.open_streams >= MAX_STREAMS:
        raise Throttled(5000)
    return StreamingResponse(
        _closing(context, frames),
        media_type="text/event-stream",
        headers={"x-accel-buffering": "no", "cache-control": "no-store"},
    )


async def cluster_changes(
    context: Context, workspace: WorkspaceId, cluster: ClusterId, seconds: float | None
) -> AsyncIterator[bytes]:
    """``cluster`` events with the document now and after every change; ``gone`` at the end when it was deleted."""
    pace = Pace(seconds, context.shared.closing)
    shown: tuple[Cluster, Instance | None] | None = None
    while True:
        if pace.check_due():
            context = await context.again()
        view = await context.services.clusters.get(context.caller, workspace, cluster)
        if shown is None or shown != (view.cluster, view.instance):
            shown = (view.cluster, view.instance)
            pace.news()
            yield frame("cluster", context.documents.cluster(context.caller, view))
        elif pace.sign_due():
            yield SIGN_OF_LIFE
        if pace.over:
            return
        await pace.rest()


async def event_changes(
    context: Context, workspace: WorkspaceId, cluster: ClusterId, after: int, seconds: float | None
) -> AsyncIterator[bytes]:
    """``event`` events, oldest first, from behind ``after`` on; ``gone`` at the end when the cluster was deleted."""
    pace = Pace(seconds, context.shared.closing)
    while True:
        if pace.check_due():
            context = await context.again()
        rows = await context.services.clusters.events(context.caller, workspace, cluster, limit=BATCH, after=after)
        for row in rows:
            after = row.id
            yield frame("event", documents.event(row), str(row.id))
        if rows:
            pace.news()
        elif pace.sign_due():
            yield SIGN_OF_LIFE
        if pace.over:
            return
        if len(rows) < BATCH:
            await pace.rest()


async def job_changes(
    context: Context, workspace: WorkspaceId, job: JobId, seconds: float | None
) -> AsyncIterator[bytes]:
    """``job`` events with the document now and after every change; then ``end`` when nothing remains to be done for it,
    or ``gone`` when it was deleted."""
    pace = Pace(seconds, context.shared.closing)
    shown: tuple[Job, Cluster | None, Instance | None] | None = None
    while True:
        if pace.check_due():
            context = await context.again()
        view = await context.services.jobs.get(context.caller, workspace, job)
        if shown is None or shown != (view.job, view.cluster, view.instance):
            shown = (view.job, view.cluster, view.instance)
            pace.news()
            yield frame("job", context.jobs.job(context.caller, view))
        elif pace.sign_due():
            yield SIGN_OF_LIFE
        if view.job.settled:
            yield frame("end", {"status": view.job.status})
            return
        if pace.over:
            return
        await pace.rest()


async def job_event_changes(
    context: Context, workspace: WorkspaceId, job: JobId, after: int, seconds: float | None
) -> AsyncIterator[bytes]:
    """``event`` events, oldest first, from behind ``after`` on; ``end`` and ``gone`` as in :func:`job_changes`."""
    pace = Pace(seconds, context.shared.closing)
    while True:
        if pace.check_due():
            context = await context.again()
        # Looked at before the events: whatever happens after the end is of no interest.
        record = (await context.services.jobs.get(context.caller, workspace, job)).job
        rows = await context.services.jobs.events(context.caller, workspace, job, limit=BATCH, after=after)
        for row in rows:
            after = row.id
            yield frame("event", documents.event(row), str(row.id))
        if rows:
            pace.news()
        elif pace.sign_due():
            yield SIGN_OF_LIFE
        if record.settled and len(rows) < BATCH:
            yield frame("end", {"status": record.status})
            return
        if pace.over:
            return
        if len(rows) < BATCH:
            await pace.rest()


def frame(kind: str, data: Any, id: str | None = None) -> bytes:
    """One server-sent event (``Any``: a JSON document)."""
    head = f"event: {kind}\n" + (f"id: {id}\n" if id is not None else "")
    return head.encode() + b"data: " + orjson.dumps(data) + b"\n\n"


async def _closing(context: Context, frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Turns an error after the first byte into a last event, since the status is sent by then."""
    try:
        async with contextlib.aclosing(counted(context, frames)) as parts:
            async for part in parts:
                yield part
    except NotFound:
        yield frame("gone", {})
    except HeliostatError as error:
        yield frame("error", problems.of_error(error, context.caller.request))


async def counted(context: Context, parts: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """``parts``, as one of the open streams."""
    context.shared.open_streams += 1
    context.shared.metrics.streams.inc()
    try:
        async for part in parts:
            yield part
    finally:
        context.shared.open_streams -= 1
        context.shared.metrics.streams.dec()
