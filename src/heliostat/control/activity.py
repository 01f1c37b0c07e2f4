"""Watches what goes on on running clusters, and ends those whose time has come (:mod:`heliostat.domain.activity`).

Level-based as everything here: each look asks Ray, the store and the gateway anew. What is held in memory (when to look
again, which warnings were given) is harmless to lose: a warning is stored once by its key, and whoever does not remember
it gives the cluster its time of notice again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from heliostat.domain.activity import End, Seen, Verdict, ends, judge, verdict
from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import ClusterId, InstanceId
from heliostat.domain.records import Activity, Cluster, Event, Instance
from heliostat.domain.spec import Lifetime
from heliostat.domain.states import State, Wanted
from heliostat.ray_api import Head, RayApi
from heliostat.services.cluster_steps import stop
from heliostat.services.seams import Clock, Wake
from heliostat.store import Store, Transaction

log = structlog.get_logger()
ACTOR = "heliostat"
SHORTEST_PAUSE = timedelta(seconds=1)


@dataclass(frozen=True)
class ActivitySettings:
    every: timedelta = timedelta(seconds=15)
    """Between two looks at a cluster that stops by itself."""
    every_other: timedelta = timedelta(seconds=60)
    """The same of others, of which only the useful and the idle time are told apart."""
    words_every: timedelta = timedelta(seconds=60)
    """How often the words for what goes on are renewed, when nothing else changes."""
    share: int = 30
    """A look that took a second is not repeated for so many seconds: a head with very many actors answers slowly, and has
    other work."""


@dataclass
class _Known:
    """What is remembered of a run."""

    due: float = 0.0
    """When to look again, in loop time."""
    jobs: tuple[str, ...] = ()
    """Of ours that were on it at the last look."""
    misses: int = 0
    stored_at: datetime | None = None
    told: dict[str, datetime] = field(default_factory=dict)
    """Key of a warning -> since when it is known to be given."""


@dataclass(frozen=True)
class _Loaded:
    cluster: Cluster
    instance: Instance
    jobs: tuple[str, ...]
    traffic_at: datetime | None


@dataclass(frozen=True)
class _Outcome:
    changed: bool = False
    """Its time goes into something else from now on."""
    stopped: bool = False


class ActivityWatch:
    """The subject of a loop whose keys are clusters."""

    kind = "activity"

    def __init__(
        self,
        store: Store,
        ray: RayApi,
        clock: Clock,
        wake_cluster: Wake,
        sessions: Callable[[InstanceId], int] = lambda instance: 0,
        settings: ActivitySettings = ActivitySettings(),
        jitter: Callable[[], float] = random.random,
        time: Callable[[], float] | None = None,
    ) -> None:
        self._store = store
        self._ray = ray
        self._clock = clock
        self._wake_cluster = wake_cluster
        self._sessions = sessions
        self._settings = settings
        self._jitter = jitter
        self._time = time or (lambda: asyncio.get_running_loop().time())
        self._known: dict[ClusterId, tuple[InstanceId, _Known]] = {}

    def active(self, tx: Transaction) -> list[ClusterId]:
        return tx.instances.running_clusters()

    def unsettled(self, tx: Transaction) -> list[ClusterId]:
        return []

    async def begin(self) -> None:
        """Nothing to prepare."""

    async def news(self) -> AsyncIterator[ClusterId]:
        """Clusters that come to run are told by their own loop."""
        return
        yield

    async def tell(self, key: ClusterId, message: str) -> None:
        """Nothing happens to the cluster; the cause is in the server's log."""

    async def reconcile(self, key: ClusterId) -> timedelta | None:
        """Look at what goes on, unless it is too soon; None for a cluster that does not run."""
        known = self._known.get(key)
        early = 0.0 if known is None else known[1].due - self._time()
        loaded = await self._store.read(lambda tx: _load(tx, key))
        if loaded is None:
            self._known.pop(key, None)
            return None
        mine = _Known()
        if known is not None and known[0] == loaded.instance.id:
            mine = known[1]
            if early > 0 and loaded.jobs == mine.jobs:  # woken by the loop's tick, or for a change of the cluster
                return timedelta(seconds=early)
        self._known[key] = loaded.instance.id, mine
        mine.jobs = loaded.jobs
        began = self._time()
        seen = await self._look(loaded, mine)
        took = timedelta(seconds=self._time() - began)
        pause = await self._conclude(loaded, seen, mine)
        if pause is None:
            self._known.pop(key, None)
            return None
        pause = max(pause, self._settings.share * took)
        mine.due = self._time() + pause.total_seconds()
        return pause

    async def _look(self, loaded: _Loaded, mine: _Known) -> Seen:
        """A cluster with a job of ours on it is busy, whatever its head says."""
        instance, sessions = loaded.instance, self._sessions(loaded.instance.id)
        seen = Seen(jobs=loaded.jobs, sessions=sessions, traffic_at=loaded.traffic_at)
        if loaded.jobs:
            return seen
        try:
            if instance.endpoints is None:
                raise Unavailable("its head has no address")
            head = Head(instance.id, instance.endpoints.dashboard, instance.ray_token)
            ray = await self._ray.activity(head)
        except Unavailable as error:
            mine.misses += 1
            log.info("what goes on is not known", instance=instance.id, cause=error.message, misses=mine.misses)
            return replace(seen, misses=mine.misses)
        mine.misses = 0
        return replace(seen, ray=ray)

    async def _conclude(self, loaded: _Loaded, seen: Seen, mine: _Known) -> timedelta | None:
        """Record what was found and do what is due; when to look again, None for a run that ends."""
        now = self._clock.now()
        activity = judge(loaded.instance.activity, seen, now)
        lifetime = loaded.cluster.spec.lifetime
        coming = _ends(loaded, activity)
        due = verdict(coming, mine.told, now, sure=seen.sure)
        save = activity is not None and self._worth_storing(loaded.instance.activity, activity, mine, now)
        if save or due.announce or due.stop is not None:
            outcome = await self._store.write(lambda tx: self._record(tx, loaded, activity, due, now))
            if outcome is None:
                return SHORTEST_PAUSE
            if save:
                mine.stored_at = now
            mine.told = {
                end.key: mine.told.get(end.key, now) for end in coming if end.key in mine.told or end in due.announce
            }
            if outcome.changed or outcome.stopped:
                self._wake_cluster(loaded.cluster.id)
            if outcome.stopped:
                return None
        return self._pause(lifetime, due.again, now)

    def _worth_storing(self, before: Activity | None, after: Activity, mine: _Known, now: datetime) -> bool:
        """Words alone change at nearly every look at a busy cluster."""
        if before is None or (before.idle_since, not before.reasons) != (after.idle_since, not after.reasons):
            return True
        old = mine.stored_at is None or abs(now - mine.stored_at) >= self._settings.words_every
        return before != after and old

    def _pause(self, lifetime: Lifetime, moment: datetime | None, now: datetime) -> timedelta:
        ends_by_itself = lifetime != Lifetime()
        pause = self._settings.every if ends_by_itself else self._settings.every_other
        pause *= 0.9 + 0.2 * self._jitter()
        if moment is not None:
            pause = min(pause, max(moment - now, timedelta(0)))
        return max(pause, SHORTEST_PAUSE)

    def _record(
        self, tx: Transaction, loaded: _Loaded, activity: Activity | None, due: Verdict, now: datetime
    ) -> _Outcome | None:
        """None when something has changed since the look: it is taken anew."""
        cluster = tx.clusters.lock(loaded.cluster.id)
        current = None if cluster is None else _load(tx, loaded.cluster.id)
        if current is None or current.instance.id != loaded.instance.id:
            return None
        if (current.jobs, current.cluster.spec.lifetime) != (loaded.jobs, loaded.cluster.spec.lifetime):
            return None
        for end in due.announce:
            tx.events.add(_event(current, now, end.announcement, warning=True, key=end.key))
        if due.stop is not None and due.stop.idle and (current.traffic_at, self._sessions(current.instance.id)) != (
            loaded.traffic_at, 0
        ):  # fmt: skip
            return None
        changed = False
        instance = current.instance
        if activity is not None and activity != instance.activity:
            before = instance.activity
            changed = before is None or (before.idle_since is None) != (activity.idle_since is None)
            tx.instances.save(replace(instance, activity=activity))
        if due.stop is not None:
            stop(tx, current.cluster, ACTOR, now, *due.stop.event)
            log.info("stopped by itself", cluster=current.cluster.id, instance=instance.id, reason=due.stop.event[0])
        return _Outcome(changed, due.stop is not None)


def _load(tx: Transaction, key: ClusterId) -> _Loaded | None:
    cluster = tx.clusters.find(key)
    if cluster is None or cluster.instance is None:
        return None
    if cluster.wanted is not Wanted.RUNNING or cluster.state is not State.RUNNING:
        return None
    instance = tx.instances.get(cluster.instance)
    if instance is None or instance.retired or instance.running_at is None or instance.ended_at is not None:
        return None
    jobs = tuple(job.spec.name for job in tx.jobs.on_cluster(key))
    return _Loaded(cluster, instance, jobs, tx.instances.traffic_at(instance.id))


def _ends(loaded: _Loaded, activity: Activity | None) -> tuple[End, ...]:
    instance = loaded.instance
    if instance.running_at is None:
        return ()
    return ends(instance.id, loaded.cluster.spec.lifetime, instance.running_at, activity)


def _event(
    loaded: _Loaded, now: datetime, told: tuple[str, str], *, warning: bool = False, key: str | None = None
) -> Event:
    cluster = loaded.cluster
    return Event(
        cluster.id, cluster.workspace, now, ACTOR, *told, warning, loaded.instance.id, key, job=cluster.job
    )  # fmt: skip
