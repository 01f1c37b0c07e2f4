"""The held GET: a reader that would otherwise sleep for minutes is answered when there is something to tell.

Some functions of the vendor's client read a resource in a loop and sleep 150 s after the first answer that is not final.
Their GETs have no deadline and say which function sends them, so that these, and only these, are held until the resource
is ready or broken (Vertex contract, section 1.3). A held reader costs a task and a timer. All readers of a cluster look again
when the control loop has news of it; since another server's loop may have them, the first reader also looks every few
seconds and tells the others what it finds, and each looks for itself now and then, whether it still may.

Whatever ends a hold early - its longest time, too many of them, the server's end, a right that was lost meanwhile - the
answer is the state that was seen last, never an error: the client takes an error for the failure of what it waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterator

from heliostat.domain.errors import Forbidden, HeliostatError, NotFound, Unauthenticated
from heliostat.domain.ids import ClusterId
from heliostat.services import Caller

from .call import Call, Json

TAGS = (
    "cluster_init.create_ray_cluster",
    "cluster_init.update_ray_cluster",
    "client_builder.VertexRayClientBuilder.__init__",
    "dashboard_sdk.get_job_submission_client_cluster_info",
)
"""The client's functions that read in a loop, as ends of the tags that they send in ``x-goog-api-client``."""
HELD_STATES = frozenset(("PROVISIONING", "UPDATING", "REBOOTING"))
CALM_SECONDS = 20.0
"""The same for its others."""
REST_SECONDS = 0.2
"""Between two looks with news: a starting cluster has much of it, and one wake may be for a hundred readers."""
BEAT_SECONDS = 15.0
"""Between two signs of life, where a transport has any."""
LISTEN_SECONDS = 600.0
CHECK_SECONDS = 10.0
"""How often the right of a held reader is looked at again."""
MAX_HELD = 1000
_SEPARATORS = re.compile(r"[\s+,]")


def is_held(resource: Json) -> bool:
    """Whether a resource is on its way to where its readers wait for it."""
    return resource.get("state") in HELD_STATES


def wants_hold(client: str) -> bool:
    """Whether the header ``x-goog-api-client`` names a function whose GETs are to be held; without one none is."""
    return any(part == tag or part.endswith("." + tag) for part in _SEPARATORS.split(client) if part for tag in TAGS)


class Holds:
    """The held readers of one server. Single event loop. ``look_seconds``: between two looks of a cluster's first reader
    without news."""

    def __init__(
        self,
        changed: Callable[[ClusterId, float], Awaitable[None]],
        seconds: float,
        *,
        look_seconds: float = 4.0,
        beat_seconds: float = BEAT_SECONDS,
        limit: int = MAX_HELD,
    ) -> None:
        self._changed = changed
        self._seconds = seconds
        self._look_seconds = look_seconds
        self._beat_seconds = beat_seconds
        self._limit = limit
        self._watched: dict[ClusterId, _Watch] = {}
        self._count = 0
        self._ended = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def count(self) -> int:
        """How many are held now."""
        return self._count

    def end(self) -> None:
        """Have all readers answered now; later ones are not held. The server is about to stop."""
        self._ended = True
        for watch in self._watched.values():
            watch.tell()

    async def idle(self, seconds: float) -> None:
        """Until nobody is held any more, at most ``seconds``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._empty.wait()

    async def hold(
        self,
        cluster: ClusterId,
        shown: Json,
        look: Callable[[], Awaitable[Json | None]],
        waits: Callable[[Json], bool],
        seconds: float | None = None,
        beat: Callable[[], Awaitable[None]] | None = None,
    ) -> Json:
        """``shown``, or what ``look`` finds once that is nothing that one ``waits`` on, or after ``seconds``.

        ``look`` gives None when nothing more may be shown. ``beat`` is called about every 15 s that this takes.
        """
        if self._count >= self._limit:
            return shown
        loop = asyncio.get_running_loop()
        longest = self._seconds if seconds is None else min(seconds, self._seconds)
        end, next_beat = loop.time() + longest, loop.time() + self._beat_seconds
        self._count += 1
        self._empty.clear()
        try:
            with self._news(cluster) as (watch, news):
                while waits(shown) and not self._ended and loop.time() < end:
                    # The first time at once: what came before this reader listened is no news to it.
                    found = await look()
                    if found is None:
                        return shown
                    if found != shown and watch.first is news:
                        watch.tell(but=news)
                    shown = found
                    if not waits(shown):
                        return shown
                    if beat is not None and loop.time() >= next_beat:
                        next_beat = loop.time() + self._beat_seconds
                        await beat()
                    most = self._look_seconds if watch.first is news else CALM_SECONDS
                    until = min(end, loop.time() + most)
                    await self._rest(news, until if beat is None else min(until, next_beat))
        finally:
            self._count -= 1
            if not self._count:
                self._empty.set()
        return shown

    async def _rest(self, news: asyncio.Event, until: float) -> None:
        """For news, or until it is time to look or to give a sign of life."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout_at(until):
                await news.wait()
        except TimeoutError:
            return
        if not self._ended:
            await asyncio.sleep(max(0.0, begun + REST_SECONDS - loop.time()))
        news.clear()

    @contextlib.contextmanager
    def _news(self, cluster: ClusterId) -> Iterator[tuple[_Watch, asyncio.Event]]:
        """An event that is set whenever there is news of the cluster. None is missed, also while the reader looks."""
        watch = self._watched.get(cluster)
        if watch is None:
            watch = self._watched[cluster] = _Watch(cluster, self._changed)
        event = asyncio.Event()
        watch.readers[event] = None
        try:
            yield watch, event
        finally:
            was_first = watch.first is event
            del watch.readers[event]
            if watch.first is None:
                watch.task.cancel()
                del self._watched[cluster]
            elif was_first:
                watch.first.set()  # takes over


class _Watch:
    """One listener for all readers of a cluster."""

    def __init__(self, cluster: ClusterId, changed: Callable[[ClusterId, float], Awaitable[None]]) -> None:
        self.readers: dict[asyncio.Event, None] = {}
        self.task = asyncio.get_running_loop().create_task(self._listen(cluster, changed), name="held readers")

    @property
    def first(self) -> asyncio.Event | None:
        """The reader that has waited longest."""
        return next(iter(self.readers), None)

    def tell(self, but: asyncio.Event | None = None) -> None:
        for reader in self.readers:
            if reader is not but:
                reader.set()

    async def _listen(self, cluster: ClusterId, changed: Callable[[ClusterId, float], Awaitable[None]]) -> None:
        while True:
            await changed(cluster, LISTEN_SECONDS)
            self.tell()


class Looker:
    """Looks again for a held reader, and now and then whether it still may."""

    def __init__(
        self, call: Call, show: Callable[[Caller], Awaitable[Json]], shown: Json, gone: Callable[[Json], Json | None]
    ) -> None:
        """``gone`` makes of what was seen last what is shown when nothing is there any more."""
        self._call = call
        self._caller = call.caller
        self._show = show
        self._shown = shown
        self._gone = gone
        self._check = asyncio.get_running_loop().time() + CHECK_SECONDS

    async def look(self) -> Json | None:
        """What there is now; None when the right to see it was lost."""
        now = asyncio.get_running_loop().time()
        try:
            if now >= self._check:
                self._check = now + CHECK_SECONDS
                self._caller = await self._call.again()
            self._shown = await self._show(self._caller)
        except (Unauthenticated, Forbidden):
            return None
        except NotFound as error:
            return None if error.kind == "workspace" else self._gone(self._shown)
        except HeliostatError:
            return self._shown  # the store does not answer just now
        return self._shown
