"""Open streams, so that they end soon after the right to them has ended.

A request is authorised when it begins, but a followed log may stay open for days. Every few seconds each older stream's
token is asked about again; when it was revoked, lost its role, or its instance is no longer up, the stream is ended. Here
it is also noted which instances are in use.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Protocol

import structlog

from heliostat.domain.ids import ClusterId, InstanceId
from heliostat.domain.secret import Secret
from heliostat.services.access import Access

from .decide import Allow

log = structlog.get_logger()
ACCESS_ENDED = "access ended"
CLIENT_GONE = "client gone"
CLOSING = "gateway closes"


class Gatekeeper(Protocol):
    """What the gateway needs of :class:`heliostat.services.AccessService`."""

    async def resolve(self, token: str, cluster: ClusterId | None) -> Access | None: ...

    def session(self, access: Access) -> str: ...


class TrafficNotes(Protocol):
    """Who is told what goes through the gateway (:class:`heliostat.services.Traffic`). Neither call waits for anything."""

    def used(self, instance: InstanceId) -> None: ...

    def session(self, instance: InstanceId, change: int) -> None: ...


class StreamEnded(Exception):
    """Raised at the end of ``with streams.open(...)`` when the stream was ended from outside."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Stream:
    """One request under way, run by the task that opened it."""

    def __init__(self, task: asyncio.Task[object], allow: Allow, cluster: ClusterId | None) -> None:
        self._task = task
        self.allow = allow
        self.cluster = cluster
        """The cluster that the request named besides its token."""
        self.since = time.monotonic()
        self.reason = ""

    def end(self, reason: str) -> None:
        """Make the stream's task leave its block with :class:`StreamEnded`. Only the first reason counts."""
        if not self.reason:
            self.reason = reason
            self._task.cancel()


class OpenStreams:
    def __init__(self, gatekeeper: Gatekeeper, every: timedelta, traffic: TrafficNotes | None = None) -> None:
        self._gatekeeper = gatekeeper
        self._traffic = traffic
        self._every = every.total_seconds()
        self._streams: set[Stream] = set()
        self._checker: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def open(self, allow: Allow, cluster: ClusterId | None, *, session: bool = False) -> Iterator[Stream]:
        """Register the current task's stream for the length of the block. ``cluster``: as its request named it;
        ``session``: whether it is the one that a ``ray://`` client holds while it is connected.

        Raises StreamEnded when it was ended.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a stream is opened by a task")
        cancelling = task.cancelling()
        stream = Stream(task, allow, cluster)
        self._streams.add(stream)
        if self._traffic is not None:
            self._traffic.used(allow.instance)
            if session:
                self._traffic.session(allow.instance, 1)
        if self._checker is None or self._checker.done():
            self._checker = asyncio.create_task(self._check_often(), name="gateway stream check")
        try:
            yield stream
        except asyncio.CancelledError:
            if stream.reason and task.uncancel() <= cancelling:
                raise StreamEnded(stream.reason) from None
            raise
        finally:
            self._streams.discard(stream)
            if self._traffic is not None and session:
                self._traffic.session(allow.instance, -1)
            stream.reason = stream.reason or "finished"

    def __len__(self) -> int:
        return len(self._streams)

    async def close(self) -> None:
        """End all streams."""
        for stream in list(self._streams):
            stream.end(CLOSING)
        if self._checker is not None:
            self._checker.cancel()
            await asyncio.gather(self._checker, return_exceptions=True)

    async def _check_often(self) -> None:
        while self._streams:
            await asyncio.sleep(self._every)
            self._note()
            try:
                await self._check()
            except Exception:  # a failing store must not end the check for good; requests report it
                log.warning("stream check failed", streams=len(self._streams), exc_info=True)

    def _note(self) -> None:
        """What stays open is use, too."""
        if self._traffic is not None:
            for instance in {stream.allow.instance for stream in self._streams}:
                self._traffic.used(instance)

    async def _check(self) -> None:
        old = time.monotonic() - self._every / 2
        groups: dict[tuple[Secret, ClusterId | None], list[Stream]] = {}
        for stream in self._streams:
            if stream.since <= old:
                groups.setdefault((stream.allow.credential.token, stream.cluster), []).append(stream)
        for (token, cluster), streams in groups.items():
            access = await self._gatekeeper.resolve(token.reveal(), cluster)
            for stream in streams:
                if not _still(access, stream.allow):
                    stream.end(ACCESS_ENDED)


def _still(access: Access | None, allow: Allow) -> bool:
    if access is None or access.route is None:
        return False
    return access.route.instance == allow.instance and access.role.includes(allow.needs)
