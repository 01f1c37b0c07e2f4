"""Whether anything goes on on a run, and what follows for its lifetime. No I/O.

What tells is what somebody would miss if it ended: drivers, jobs, actors, applications, sessions. Tasks do not: each has
a driver or an actor that waits for it, and Ray goes on showing tasks whose driver has died.

Nothing is stopped without a look that has just found nothing, nor sooner than its warning said. So neither a head that
does not answer, nor a server that was away, nor a clock that jumps ends a cluster which somebody uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from .ids import InstanceId
from .quantities import format_duration
from .records import Activity
from .spec import Lifetime

FRESH = timedelta(seconds=60)
"""How long a use through the gateway counts; notes of it are up to half as old as the use itself."""
MISSES = 3
"""Looks in a row that a head may leave unanswered before what goes on counts as unknown."""
LONGEST_NOTICE = timedelta(minutes=5)
UNKNOWN = "what goes on is not known: its head does not answer"
_NAMED = 3
"""Jobs and applications that are named."""


@dataclass(frozen=True)
class RayActivity:
    """What Ray itself says that goes on on a cluster, without what is Ray's own."""

    drivers: int = 0
    """Programs that are connected, by ``ray.init`` on a node or by ``ray://``."""
    submissions: int = 0
    """Jobs of Ray's Jobs API that have not ended, of whoever submitted them."""
    actors: int = 0
    waiting_actors: int = 0
    """Actors that are to be made, or made again."""
    tasks: int = 0
    """Running ones; not counted where nothing is connected."""
    waiting_tasks: int = 0
    placement_groups: int = 0
    """Those that wait for resources."""
    applications: tuple[str, ...] = ()
    """Of Ray Serve, by name."""
    serve_is_silent: bool = False
    """Serve runs and does not say which applications it has."""


@dataclass(frozen=True)
class Seen:
    """All that one look has found out."""

    ray: RayActivity | None = None
    """None = its head was not asked, or did not answer."""
    misses: int = 0
    """Looks in a row, this one included, that its head has left unanswered."""
    jobs: tuple[str, ...] = ()
    """Names of our jobs on it that are not over."""
    sessions: int = 0
    """Open ``ray://`` sessions through this server."""
    traffic_at: datetime | None = None
    """When it was last used through a gateway."""

    @property
    def sure(self) -> bool:
        """Whether "nothing" can be concluded from it."""
        return self.ray is not None and not self.misses


@dataclass(frozen=True)
class End:
    """An end that comes by itself."""

    at: datetime
    notice: timedelta
    """How long before it is announced."""
    key: str
    """Of the announcement, which is made once."""
    announcement: tuple[str, str]
    """Reason and message of its event."""
    event: tuple[str, str]
    """The same of the end."""
    idle: bool


@dataclass(frozen=True)
class Verdict:
    """What to do now."""

    announce: tuple[End, ...] = ()
    stop: End | None = None
    again: datetime | None = None
    """When there will be something to do if nothing changes."""


def judge(previous: Activity | None, seen: Seen, now: datetime) -> Activity | None:
    """What a look makes of what was known before. None = nothing is known yet."""
    reasons = tuple(_reasons(seen, now))
    if reasons:
        return Activity(reasons)
    if not seen.sure:
        return Activity((UNKNOWN,)) if seen.misses >= MISSES else previous
    since = now if previous is None or previous.idle_since is None else min(previous.idle_since, now)
    if seen.traffic_at is not None:
        since = max(since, min(seen.traffic_at, now))
    return Activity((), since)


def ends(instance: InstanceId, lifetime: Lifetime, running_at: datetime, activity: Activity | None) -> tuple[End, ...]:
    """The ends that a run has before it, if what goes on stays as it is."""
    found = []
    since = activity.idle_since if activity is not None else None
    if lifetime.idle_stop_seconds is not None and since is not None:
        length = timedelta(seconds=lifetime.idle_stop_seconds)
        at, told = since + length, f"nothing has gone on since {_time(since)}"
        found.append(
            End(
                at, _notice(length), f"{instance}/idle/{since:%Y%m%dT%H%M%S}/{lifetime.idle_stop_seconds}",
                ("IdleStopAhead", f"{told}: it is stopped at {_time(at)} unless it is used before"),
                ("IdleStopped", f"stopped: {told}, longer than idle_stop_after ({_length(length)})"), idle=True,
            )
        )  # fmt: skip
    if lifetime.max_seconds is not None:
        length = timedelta(seconds=lifetime.max_seconds)
        at = running_at + length
        told = f"max_lifetime is {_length(length)}"
        found.append(
            End(
                at, _notice(length), f"{instance}/lifetime/{lifetime.max_seconds}",
                ("LifetimeEnds", f"it is stopped at {_time(at)}, whatever goes on: {told}"),
                ("LifetimeOver", f"stopped: it has run since {_time(running_at)}, and {told}"), idle=False,
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda end: end.at))


def verdict(coming: tuple[End, ...], told: Mapping[str, datetime], now: datetime, *, sure: bool) -> Verdict:
    """What is due. ``told`` says when which key was announced; ``sure`` whether this look has found nothing going on.

    An end comes no sooner than its notice after its announcement, which may be late: the server was away, or the clock
    was set.
    """
    announce: list[End] = []
    stop: End | None = None
    moments: list[datetime] = []
    for end in coming:
        announced = told.get(end.key)
        if announced is None and now < end.at - end.notice:
            moments.append(end.at - end.notice)
        elif announced is None:
            announce.append(end)
            moments.append(max(end.at, now + end.notice))
        elif now < (due := max(end.at, announced + end.notice)):
            moments.append(due)
        elif sure or not end.idle:
            stop = stop or end
    return Verdict(tuple(announce), stop, min(moments, default=None))


def _reasons(seen: Seen, now: datetime) -> list[str]:
    found = []
    if seen.jobs:
        found.append(f"{_count(len(seen.jobs), 'job')} not over: {_names(seen.jobs)}")
    if seen.sessions:
        found.append(f"{_count(seen.sessions, 'ray:// session')} open")
    if seen.ray is not None:
        found += _of_ray(seen.ray, seen.sessions, len(seen.jobs))
    if seen.traffic_at is not None and now - seen.traffic_at < FRESH:
        found.append(f"its dashboard or Jobs API was used at {_time(seen.traffic_at)}")
    return found


def _of_ray(ray: RayActivity, sessions: int, jobs: int) -> list[str]:
    found = []
    if ray.tasks:
        found.append(f"{_count(ray.tasks, 'task')} running")
    if ray.waiting_tasks:
        found.append(f"{_count(ray.waiting_tasks, 'task')} waiting for resources")
    if ray.actors:
        found.append(f"{_count(ray.actors, 'actor')} alive")
    if ray.waiting_actors:
        found.append(f"{_count(ray.waiting_actors, 'actor')} waiting to be made")
    if ray.submissions > jobs:
        found.append(_count(ray.submissions - jobs, "submission", " to Ray's Jobs API") + " not over")
    if ray.drivers > sessions:
        found.append(f"{_count(ray.drivers - sessions, 'driver')} connected")
    if ray.placement_groups:
        found.append(f"{_count(ray.placement_groups, 'placement group')} waiting for resources")
    if ray.applications:
        what = "Serve application" if len(ray.applications) == 1 else "Serve applications"
        verb = "is" if len(ray.applications) == 1 else "are"
        found.append(f"{what} {_names(ray.applications)} {verb} deployed")
    if ray.serve_is_silent:
        found.append("Ray Serve runs, and does not say which applications it has")
    return found


def _count(number: int, what: str, whose: str = "") -> str:
    """``1 task is``, ``3 tasks are``."""
    return f"{number} {what}{whose} is" if number == 1 else f"{number} {what}s{whose} are"


def _names(names: tuple[str, ...]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _notice(length: timedelta) -> timedelta:
    return min(LONGEST_NOTICE, length / 4)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _length(length: timedelta) -> str:
    return format_duration(int(length.total_seconds()))
