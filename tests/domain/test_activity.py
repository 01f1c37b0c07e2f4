"""What goes on on a run, and when it ends by itself: tables, and a machine that lives through random days."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliostat.domain.activity import (
    FRESH,
    LONGEST_NOTICE,
    MISSES,
    UNKNOWN,
    RayActivity,
    Seen,
    Verdict,
    ends,
    judge,
    verdict,
)
from heliostat.domain.ids import InstanceId
from heliostat.domain.records import Activity
from heliostat.domain.spec import Lifetime

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
RUN = InstanceId("ci-1")
NOTHING = Seen(ray=RayActivity())
SILENT = Seen(misses=1)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


@pytest.mark.parametrize(
    ("seen", "reasons"),
    [
        (NOTHING, ()),
        (Seen(RayActivity(tasks=1, drivers=1)), ("1 task is running", "1 driver is connected")),
        (Seen(RayActivity(tasks=3, waiting_tasks=2)), ("3 tasks are running", "2 tasks are waiting for resources")),
        (Seen(RayActivity(actors=2)), ("2 actors are alive",)),
        (Seen(RayActivity(waiting_actors=1)), ("1 actor is waiting to be made",)),
        (Seen(RayActivity(submissions=2)), ("2 submissions to Ray's Jobs API are not over",)),
        (Seen(RayActivity(placement_groups=1)), ("1 placement group is waiting for resources",)),
        (Seen(RayActivity(applications=("app1",))), ("Serve application app1 is deployed",)),
        (
            Seen(RayActivity(applications=("a", "b", "c", "d", "e"))),
            ("Serve applications a, b, c and 2 more are deployed",),
        ),
        (
            Seen(RayActivity(serve_is_silent=True)),
            ("Ray Serve runs, and does not say which applications it has",),
        ),
        (Seen(jobs=("train",)), ("1 job is not over: train",)),
        (Seen(jobs=("a", "b", "c", "d")), ("4 jobs are not over: a, b, c and 1 more",)),
        (Seen(RayActivity(drivers=1), sessions=1), ("1 ray:// session is open",)),
        (Seen(RayActivity(drivers=3), sessions=1), ("1 ray:// session is open", "2 drivers are connected")),
        (
            Seen(RayActivity(), traffic_at=NOW - timedelta(seconds=40)),
            ("its dashboard or Jobs API was used at 2026-05-04 11:59:20 UTC",),
        ),
        (Seen(RayActivity(), traffic_at=NOW - FRESH), ()),
    ],
)
def test_what_goes_on_is_said_in_words(seen: Seen, reasons: tuple[str, ...]) -> None:
    found = judge(None, seen, NOW)
    assert found is not None
    assert found.reasons == reasons
    assert (found.idle_since is None) == bool(reasons)


def test_idle_begins_with_the_first_look_that_finds_nothing_and_lasts() -> None:
    busy = judge(None, Seen(RayActivity(tasks=1)), NOW)
    idle = judge(busy, NOTHING, NOW + minutes(1))
    assert idle == Activity((), NOW + minutes(1))
    assert judge(idle, NOTHING, NOW + minutes(9)) == idle
    assert judge(idle, Seen(RayActivity(actors=1)), NOW + minutes(9)) == Activity(("1 actor is alive",))


def test_a_use_between_two_looks_begins_the_idle_time_anew() -> None:
    idle = Activity((), NOW)
    used = Seen(RayActivity(), traffic_at=NOW + minutes(3))
    assert judge(idle, used, NOW + minutes(5)) == Activity((), NOW + minutes(3))


def test_a_head_that_does_not_answer_is_not_idle() -> None:
    idle = Activity((), NOW)
    for misses in range(1, MISSES):
        assert judge(idle, Seen(misses=misses), NOW + minutes(1)) == idle
        assert judge(None, Seen(misses=misses), NOW) is None
    assert judge(idle, Seen(misses=MISSES), NOW + minutes(1)) == Activity((UNKNOWN,))
    assert judge(Activity((UNKNOWN,)), NOTHING, NOW + minutes(2)) == Activity((), NOW + minutes(2))


def test_a_clock_that_was_set_back_lengthens_the_idle_time() -> None:
    assert judge(Activity((), NOW), NOTHING, NOW - minutes(30)) == Activity((), NOW - minutes(30))
    future = Seen(RayActivity(), traffic_at=NOW + minutes(30))
    found = judge(Activity((), NOW - minutes(30)), future, NOW)
    assert found is not None and found.idle_since is None


HALF_AN_HOUR = Lifetime(idle_stop_seconds=1800)
IDLE = Activity((), NOW)
TEN_HOURS = Lifetime(max_seconds=36_000)


def due(
    lifetime: Lifetime,
    activity: Activity | None,
    at: datetime,
    told: dict[str, datetime] | None = None,
    *,
    sure: bool = True,
) -> Verdict:
    return verdict(ends(RUN, lifetime, NOW, activity), told or {}, at, sure=sure)


@pytest.mark.parametrize(
    ("lifetime", "notice"),
    [
        (Lifetime(idle_stop_seconds=10), timedelta(seconds=2.5)),
        (Lifetime(idle_stop_seconds=1199), timedelta(seconds=299.75)),
        (Lifetime(idle_stop_seconds=1200), LONGEST_NOTICE),
        (HALF_AN_HOUR, LONGEST_NOTICE),
        (TEN_HOURS, LONGEST_NOTICE),
    ],
)
def test_an_end_is_announced_in_time(lifetime: Lifetime, notice: timedelta) -> None:
    length = timedelta(seconds=lifetime.idle_stop_seconds or lifetime.max_seconds or 0)
    before = due(lifetime, IDLE, NOW + length - notice - timedelta(milliseconds=1))
    assert before == Verdict(again=NOW + length - notice)
    ahead = due(lifetime, IDLE, NOW + length - notice)
    assert [end.notice for end in ahead.announce] == [notice] and ahead.stop is None and ahead.again == NOW + length


def test_nothing_ends_by_itself_unless_asked() -> None:
    assert ends(RUN, Lifetime(), NOW, IDLE) == ()
    assert ends(RUN, HALF_AN_HOUR, NOW, None) == ends(RUN, HALF_AN_HOUR, NOW, Activity(("x",))) == ()


def test_an_end_comes_when_it_was_announced_and_is_due() -> None:
    (end,) = ends(RUN, HALF_AN_HOUR, NOW, IDLE)
    told = {end.key: NOW + minutes(25)}
    assert due(HALF_AN_HOUR, IDLE, NOW + minutes(29), told) == Verdict(again=NOW + minutes(30))
    assert due(HALF_AN_HOUR, IDLE, NOW + minutes(30), told) == Verdict(stop=end)
    assert end.event[0] == "IdleStopped" and end.announcement[0] == "IdleStopAhead"
    assert "2026-05-04 12:30:00 UTC" in end.announcement[1] and "idle_stop_after (30m)" in end.event[1]


def test_an_announcement_that_was_late_gives_its_time_all_the_same() -> None:
    """The server was away for an hour, or the clock jumped ahead by one."""
    late = NOW + minutes(90)
    for lifetime in (HALF_AN_HOUR, Lifetime(max_seconds=1800)):
        first = due(lifetime, IDLE, late)
        assert first.stop is None and len(first.announce) == 1 and first.again == late + LONGEST_NOTICE
        told = {first.announce[0].key: late}
        assert due(lifetime, IDLE, late + minutes(4), told).stop is None
        assert due(lifetime, IDLE, late + minutes(5), told).stop is not None


def test_without_a_look_only_the_lifetime_ends_it() -> None:
    both = Lifetime(idle_stop_seconds=1800, max_seconds=1800)
    told = {end.key: NOW + minutes(25) for end in ends(RUN, both, NOW, IDLE)}
    found = due(both, IDLE, NOW + minutes(31), told, sure=False)
    assert found.stop is not None and found.stop.event[0] == "LifetimeOver"
    idle_only = {end.key: NOW for end in ends(RUN, HALF_AN_HOUR, NOW, IDLE)}
    assert due(HALF_AN_HOUR, IDLE, NOW + minutes(31), idle_only, sure=False) == Verdict()


def test_each_idle_time_has_a_warning_of_its_own() -> None:
    later = Activity((), NOW + minutes(7))
    (one,), (other,) = ends(RUN, HALF_AN_HOUR, NOW, IDLE), ends(RUN, HALF_AN_HOUR, NOW, later)
    assert one.key != other.key
    (run,), (same) = ends(RUN, TEN_HOURS, NOW, IDLE), ends(RUN, TEN_HOURS, NOW, later)
    assert (run,) == same


@dataclass(frozen=True)
class Step:
    """Time goes on, the clock perhaps not by as much; then there is a look, or none."""

    passes: int
    jumps: int
    busy: bool
    answers: bool
    restarts: bool


STEPS = st.builds(
    Step,
    passes=st.integers(1, 900),
    jumps=st.one_of(st.just(0), st.just(0), st.integers(-7200, 7200)),
    busy=st.booleans(),
    answers=st.sampled_from([True, True, True, False]),
    restarts=st.sampled_from([False, False, False, True]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=60), st.sampled_from([10, 300, 1800]))
def test_a_busy_cluster_is_never_stopped_for_idleness(steps: list[Step], idle: int) -> None:
    """Nor one whose head does not answer; and never without a warning that came its notice before."""
    lifetime = Lifetime(idle_stop_seconds=idle)
    clock, activity, misses = NOW, None, 0
    told: dict[str, datetime] = {}
    for step in steps:
        clock += timedelta(seconds=step.passes + step.jumps)
        if step.restarts:
            told, misses = {}, 0
        misses = 0 if step.answers else misses + 1
        ray = RayActivity(actors=int(step.busy)) if step.answers else None
        seen = Seen(ray=ray, misses=misses)
        activity = judge(activity, seen, clock)
        coming = ends(RUN, lifetime, NOW, activity)
        found = verdict(coming, told, clock, sure=seen.sure)
        if found.stop is not None:
            assert step.answers and not step.busy
            assert found.stop.key in told and clock - told[found.stop.key] >= found.stop.notice
            assert activity is not None and activity.idle_since is not None
            assert clock - activity.idle_since >= timedelta(seconds=idle)
            return
        if activity is not None:
            assert bool(activity.reasons) == (activity.idle_since is None)
            assert not seen.sure or activity.idle_since is None or activity.idle_since <= clock
        told = {end.key: told.get(end.key, clock) for end in coming if end.key in told or end in found.announce}


@settings(max_examples=50, deadline=None)
@given(st.integers(10, 86_400), st.integers(1, 60))
def test_an_idle_cluster_is_stopped_in_the_end(idle: int, every: int) -> None:
    every = max(every, idle // 100)
    lifetime, clock = Lifetime(idle_stop_seconds=idle), NOW
    activity = None
    told: dict[str, datetime] = {}
    for _ in range(idle // every + 10):
        activity = judge(activity, NOTHING, clock)
        coming = ends(RUN, lifetime, NOW, activity)
        found = verdict(coming, told, clock, sure=True)
        if found.stop is not None:
            assert clock - NOW <= timedelta(seconds=idle + 2 * every)
            return
        told |= {end.key: clock for end in found.announce}
        clock = min(clock + timedelta(seconds=every), found.again or clock + timedelta(seconds=every))
    raise AssertionError("it still runs")


def test_what_is_seen_is_sure_only_when_the_head_has_answered() -> None:
    assert NOTHING.sure and not SILENT.sure and not Seen(jobs=("x",)).sure and not replace(NOTHING, misses=1).sure
