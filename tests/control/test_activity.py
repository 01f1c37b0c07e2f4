"""The watch over what goes on: simulated heads, a real store, a clock that is set by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from heliostat.control.activity import ActivitySettings, ActivityWatch
from heliostat.control.reconciler import Reconciler
from heliostat.domain.activity import UNKNOWN, RayActivity
from heliostat.domain.ids import ClusterId, InstanceId, WorkspaceId
from heliostat.domain.installation import Installation
from heliostat.domain.quantities import GIB
from heliostat.domain.quota import Phase
from heliostat.domain.ray_jobs import RaySubmission
from heliostat.domain.records import Activity, Cluster, Event, Instance
from heliostat.domain.spec import ClusterSpec, Lifetime, NodeShape
from heliostat.domain.states import State
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.engines.simulated_jobs import Script
from heliostat.ray_api import Head
from heliostat.ray_api.simulated import SimulatedRay
from heliostat.services import Caller, JobWish, Services
from heliostat.services.traffic import Traffic
from heliostat.store import Store, StoreSettings
from heliostat.testing.clock import ManualClock
from heliostat.testing.tools import job_tools

SHAPE = NodeShape("root_queue", Decimal(1), GIB)
HALF_AN_HOUR = Lifetime(idle_stop_seconds=1800)


@dataclass
class House:
    store: Store
    services: Services
    world: World
    clock: ManualClock
    reconciler: Reconciler
    traffic: Traffic
    caller: Caller
    workspace: WorkspaceId
    woken: list[ClusterId] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watch = self.new_watch()

    def new_watch(self) -> ActivityWatch:
        """As a server has it that was just started."""
        return ActivityWatch(
            self.store, SimulatedRay(self.world), self.clock, self.woken.append, self.traffic.sessions,
            ActivitySettings(), jitter=lambda: 0.5, time=lambda: self.clock.now().timestamp(),
        )  # fmt: skip

    async def running(self, lifetime: Lifetime = Lifetime(), name: str = "one") -> Cluster:
        spec = ClusterSpec(name, "ray-1.3.1", SHAPE, lifetime=lifetime)
        made = await self.services.clusters.create(self.caller, self.workspace, spec, start=True)
        return await self.until(made.id, State.RUNNING)

    async def until(self, cluster: ClusterId, state: State) -> Cluster:
        for _ in range(10):
            await self.reconciler.reconcile(cluster)
            found = await self.cluster(cluster)
            if found.state is state:
                return found
        raise AssertionError(f"it is {found.state}")

    async def cluster(self, id: ClusterId) -> Cluster:
        found = await self.store.read(lambda tx: tx.clusters.find_any(id))
        assert found is not None
        return found

    async def instance(self, cluster: Cluster) -> Instance:
        found = await self.store.read(lambda tx: tx.instances.get(cluster.instance or InstanceId("")))
        assert found is not None
        return found

    async def look(self, cluster: Cluster, **later: float) -> Activity | None:
        """A look some time later; what is stored after it."""
        self.clock.advance(**later)
        await self.watch.reconcile(cluster.id)
        return (await self.instance(cluster)).activity

    async def told(self, cluster: Cluster, *reasons: str) -> list[Event]:
        rows = await self.store.read(lambda tx: tx.events.page(cluster.id, limit=100))
        return [row for row in reversed(rows) if row.reason in reasons]

    def goes_on(self, cluster: Cluster, what: RayActivity) -> None:
        self.world.activity[cluster.instance or InstanceId("")] = what


@asynccontextmanager
async def house(folder: Path, url: str) -> AsyncIterator[House]:
    store = await Store.open(StoreSettings(url=url, master_key=folder / "key"))
    clock = ManualClock()
    world = World(clock=clock.now)
    engine = SimulatedEngine(world)
    await engine.open()
    services = Services.build(store, Installation(), engine, clock, lambda cluster: None, job_tools(folder))
    first = await services.identity.first_start("ann")
    assert first is not None
    caller = Caller(await services.identity.by_token(first.token.reveal()))
    traffic = Traffic(store, clock, lambda: clock.now().timestamp())
    try:
        reconciler = Reconciler(store, engine, Installation(), clock)
        yield House(store, services, world, clock, reconciler, traffic, caller, first.workspace)
    finally:
        await traffic.close()
        await engine.close()
        await store.close()


@pytest.fixture
async def h(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path, f"sqlite:///{tmp_path}/h.db") as it:
        yield it


async def test_an_idle_cluster_is_warned_and_then_stopped(tmp_path: Path, database: str) -> None:
    async with house(tmp_path, database) as h:
        await warned_and_stopped(h)


async def warned_and_stopped(h: House) -> None:
    cluster = await h.running(HALF_AN_HOUR)
    began = h.clock.now()
    assert await h.look(cluster) == Activity((), began)
    assert await h.look(cluster, minutes=24) == Activity((), began)
    assert not await h.told(cluster, "IdleStopAhead")
    for _ in range(4):
        await h.look(cluster, seconds=60)
    (warning,) = await h.told(cluster, "IdleStopAhead")
    assert warning.warning and warning.actor == "heliostat" and "00:30:00" in warning.message
    await h.look(cluster, seconds=119)
    assert (await h.cluster(cluster.id)).state is State.RUNNING
    await h.look(cluster, seconds=1)
    stopping = await h.cluster(cluster.id)
    assert stopping.state is State.STOPPING and h.woken[-1] == cluster.id
    (stopped,) = await h.told(cluster, "IdleStopped")
    assert "nothing has gone on since 2026-01-01 00:00:00 UTC" in stopped.message
    await h.until(cluster.id, State.STOPPED)
    assert not h.world.instances
    assert await h.watch.reconcile(cluster.id) is None


async def test_whatever_goes_on_keeps_it(h: House) -> None:
    cluster = await h.running(HALF_AN_HOUR)
    for what in (
        RayActivity(tasks=3, drivers=1), RayActivity(actors=1), RayActivity(drivers=1), RayActivity(submissions=1),
        RayActivity(applications=("app1",)), RayActivity(waiting_actors=1), RayActivity(placement_groups=1),
        RayActivity(serve_is_silent=True),
    ):  # fmt: skip
        h.goes_on(cluster, what)
        found = await h.look(cluster, minutes=40)
        assert found is not None and found.reasons and found.idle_since is None
    assert (await h.cluster(cluster.id)).state is State.RUNNING
    assert not await h.told(cluster, "IdleStopAhead", "IdleStopped")


async def test_the_idle_time_is_the_ledgers_too(h: House) -> None:
    """What is idle or useful is metered as such from the look on that finds it."""
    cluster = await h.running()
    h.goes_on(cluster, RayActivity(tasks=1, drivers=1))
    await h.look(cluster)
    assert h.woken == [cluster.id]
    await h.reconciler.reconcile(cluster.id)
    h.goes_on(cluster, RayActivity())
    await h.look(cluster, minutes=60)
    assert h.woken == [cluster.id] * 2
    await h.reconciler.reconcile(cluster.id)
    h.goes_on(cluster, RayActivity(actors=1))
    await h.look(cluster, minutes=30)
    await h.reconciler.reconcile(cluster.id)
    until = h.clock.now() + timedelta(hours=1)
    sums = await h.store.read(lambda tx: tx.ledger.sums(h.workspace, since=cluster.created_at, until=until))
    hours = {row.phase: row.node_hours for row in sums}
    assert hours[Phase.USEFUL] == pytest.approx(1) and hours[Phase.IDLE] == pytest.approx(0.5)


async def test_a_cluster_at_rest_costs_no_write(h: House) -> None:
    cluster = await h.running(HALF_AN_HOUR)
    await h.look(cluster)
    before = await h.instance(cluster)
    revisions = await h.store.read(lambda tx: tx.instances.live(cluster.id))
    await h.look(cluster, seconds=20)
    assert await h.instance(cluster) is before and revisions == [before]


async def test_words_that_change_at_every_look_are_stored_now_and_then(h: House) -> None:
    cluster = await h.running(HALF_AN_HOUR)
    h.goes_on(cluster, RayActivity(tasks=1, drivers=1))
    first = await h.look(cluster)
    h.goes_on(cluster, RayActivity(tasks=2, drivers=1))
    assert await h.look(cluster, seconds=20) == first
    found = await h.look(cluster, seconds=40)
    assert found is not None and "2 tasks are running" in found.reasons


async def test_a_head_that_does_not_answer_is_not_stopped_for_idleness(h: House) -> None:
    cluster = await h.running(HALF_AN_HOUR)
    assert await h.look(cluster, minutes=1) is not None
    h.world.unreachable.add(cluster.instance or InstanceId(""))
    for _ in range(10):
        found = await h.look(cluster, minutes=10)
    assert found == Activity((UNKNOWN,))
    h.world.unreachable.clear()
    back = await h.look(cluster, minutes=1)
    assert back == Activity((), h.clock.now())
    assert not await h.told(cluster, "IdleStopped")


async def test_it_does_not_stop_between_the_warning_and_a_head_that_falls_silent(h: House) -> None:
    cluster = await h.running(HALF_AN_HOUR)
    await h.look(cluster)
    await h.look(cluster, minutes=26)
    assert await h.told(cluster, "IdleStopAhead")
    h.world.unreachable.add(cluster.instance or InstanceId(""))
    await h.look(cluster, minutes=10)
    assert (await h.cluster(cluster.id)).state is State.RUNNING


async def test_a_server_that_was_away_looks_and_warns_first(h: House) -> None:
    cluster = await h.running(HALF_AN_HOUR)
    await h.look(cluster)
    h.clock.advance(hours=3)
    h.watch = h.new_watch()
    await h.look(cluster)
    assert (await h.cluster(cluster.id)).state is State.RUNNING
    assert len(await h.told(cluster, "IdleStopAhead")) == 1
    h.watch = h.new_watch()  # crashed again: nothing is said twice, and the notice begins anew
    await h.look(cluster, minutes=6)
    assert (await h.cluster(cluster.id)).state is State.RUNNING
    assert len(await h.told(cluster, "IdleStopAhead")) == 1
    await h.look(cluster, minutes=5)
    assert (await h.cluster(cluster.id)).state is State.STOPPING


async def test_a_busy_cluster_survives_a_server_that_was_away(h: House) -> None:
    cluster = await h.running(HALF_AN_HOUR)
    await h.look(cluster)
    h.clock.advance(hours=3)
    h.goes_on(cluster, RayActivity(drivers=1))
    h.watch = h.new_watch()
    await h.look(cluster)
    await h.look(cluster, minutes=10)
    assert (await h.cluster(cluster.id)).state is State.RUNNING and not await h.told(cluster, "IdleStopAhead")


async def test_a_lifetime_ends_whatever_goes_on(h: House) -> None:
    cluster = await h.running(Lifetime(max_seconds=7200))
    h.goes_on(cluster, RayActivity(tasks=1, drivers=1))
    await h.look(cluster, minutes=114)
    assert not await h.told(cluster, "LifetimeEnds")
    await h.look(cluster, minutes=1)
    await h.look(cluster, minutes=1)
    (warning,) = await h.told(cluster, "LifetimeEnds")
    assert warning.warning and "02:00:00" in warning.message
    await h.look(cluster, minutes=3.9)
    assert (await h.cluster(cluster.id)).state is State.RUNNING
    await h.look(cluster, minutes=0.1)
    assert (await h.cluster(cluster.id)).state is State.STOPPING
    assert len(await h.told(cluster, "LifetimeOver")) == 1


async def test_a_job_keeps_its_cluster_without_asking_the_head(h: House) -> None:
    cluster = await h.running(HALF_AN_HOUR)
    wish = JobWish("sleep 100000", name="train", cluster=cluster.id)
    await h.services.jobs.submit(h.caller, h.workspace, wish)
    h.world.unreachable.add(cluster.instance or InstanceId(""))
    for _ in range(5):
        found = await h.look(cluster, minutes=20)
    assert found == Activity(("1 job is not over: train",))
    assert (await h.cluster(cluster.id)).state is State.RUNNING


async def test_a_job_that_comes_is_seen_before_the_next_look_is_due(h: House) -> None:
    cluster = await h.running()
    assert await h.look(cluster) == Activity((), h.clock.now())
    await h.services.jobs.submit(h.caller, h.workspace, JobWish("sleep 9", cluster=cluster.id))
    seen = await h.look(cluster, seconds=1)
    assert seen is not None and seen.reasons and seen.idle_since is None


async def test_a_submission_of_somebody_elses_keeps_it(h: House) -> None:
    cluster = await h.running(HALF_AN_HOUR)
    ray, instance = SimulatedRay(h.world), await h.instance(cluster)
    h.world.job_behaviour = lambda submission: Script(running_looks=None)
    assert instance.endpoints is not None
    head = Head(instance.id, instance.endpoints.dashboard, instance.ray_token)
    await ray.submit(head, RaySubmission("raysubmit_1", "python train.py"))
    found = await h.look(cluster, minutes=40)
    assert found is not None and found.reasons == ("1 submission to Ray's Jobs API is not over",)


async def test_use_through_the_gateway_keeps_it_for_a_minute(h: House) -> None:
    cluster = await h.running(HALF_AN_HOUR)
    instance = await h.instance(cluster)
    await h.look(cluster, minutes=10)
    h.traffic.used(instance.id)
    await h.traffic.close()
    used = h.clock.now()
    found = await h.look(cluster, seconds=40)
    assert found == Activity(("its dashboard or Jobs API was used at 2026-01-01 00:10:00 UTC",))
    assert await h.look(cluster, seconds=40) == Activity((), used + timedelta(seconds=80))
    h.traffic.session(instance.id, 1)
    found = await h.look(cluster, minutes=40)
    assert found == Activity(("1 ray:// session is open",))
    h.traffic.session(instance.id, -1)
    assert await h.look(cluster, minutes=1) == Activity((), h.clock.now())


async def test_whoever_comes_at_the_last_moment_is_not_cut_off(h: House) -> None:
    """Traffic, a session or a job between the look and the write."""
    cluster = await h.running(HALF_AN_HOUR)
    instance = await h.instance(cluster)
    await h.look(cluster)
    await h.look(cluster, minutes=26)
    h.clock.advance(minutes=10)

    class Late(SimulatedRay):
        async def activity(self, head: object) -> RayActivity:
            found = await super().activity(head)  # type: ignore[arg-type]
            await h.store.write(lambda tx: tx.instances.touch(instance.id, h.clock.now()))
            return found

    h.watch._ray = Late(h.world)
    await h.look(cluster)
    assert (await h.cluster(cluster.id)).state is State.RUNNING

    class Submits(SimulatedRay):
        async def activity(self, head: object) -> RayActivity:
            found = await super().activity(head)  # type: ignore[arg-type]
            await h.services.jobs.submit(h.caller, h.workspace, JobWish("true", name="late", cluster=cluster.id))
            return found

    await h.look(cluster, minutes=2)
    await h.look(cluster, minutes=40)
    h.clock.advance(minutes=10)
    h.watch._ray = Submits(h.world)
    await h.look(cluster)
    assert (await h.cluster(cluster.id)).state is State.RUNNING


async def test_another_run_than_the_one_that_was_looked_at_is_left_alone(h: House) -> None:
    cluster = await h.running(HALF_AN_HOUR)
    await h.look(cluster)
    await h.look(cluster, minutes=26)
    h.clock.advance(minutes=10)

    class Restarts(SimulatedRay):
        async def activity(self, head: object) -> RayActivity:
            found = await super().activity(head)  # type: ignore[arg-type]
            await h.services.clusters.stop(h.caller, h.workspace, cluster.id)
            await h.until(cluster.id, State.STOPPED)
            await h.services.clusters.start(h.caller, h.workspace, cluster.id)
            await h.until(cluster.id, State.RUNNING)
            return found

    h.watch._ray = Restarts(h.world)
    await h.watch.reconcile(cluster.id)
    again = await h.cluster(cluster.id)
    assert again.state is State.RUNNING and again.instance != cluster.instance
    assert not await h.told(cluster, "IdleStopped")
    h.watch._ray = SimulatedRay(h.world)
    assert await h.look(again, seconds=1) == Activity((), h.clock.now())


async def test_a_changed_lifetime_counts_at_once(h: House) -> None:
    cluster = await h.running(Lifetime(idle_stop_seconds=60))
    await h.look(cluster)
    await h.look(cluster, seconds=50)
    assert await h.told(cluster, "IdleStopAhead")
    await h.services.clusters.update(
        h.caller, h.workspace, cluster.id, lambda spec: replace(spec, lifetime=HALF_AN_HOUR)
    )
    await h.look(cluster, seconds=70)
    assert (await h.cluster(cluster.id)).state is State.RUNNING


async def test_when_to_look_again(h: House) -> None:
    with_end = await h.running(HALF_AN_HOUR)
    without = await h.running(name="two")
    assert await h.watch.reconcile(with_end.id) == timedelta(seconds=15)
    assert await h.watch.reconcile(without.id) == timedelta(seconds=60)
    h.clock.advance(seconds=5)  # woken too soon: nothing is asked
    h.world.unreachable.add(with_end.instance or InstanceId(""))
    assert await h.watch.reconcile(with_end.id) == timedelta(seconds=10)
    h.world.unreachable.clear()
    h.clock.advance(minutes=24, seconds=54)  # a second before the warning
    assert await h.watch.reconcile(with_end.id) == timedelta(seconds=1)
    assert await h.watch.reconcile(ClusterId("c-unknown")) is None
    assert set(await h.store.read(h.watch.active)) == {with_end.id, without.id}
    await h.services.clusters.stop(h.caller, h.workspace, without.id)
    assert await h.store.read(h.watch.active) == [with_end.id]


async def test_a_head_that_answers_slowly_is_asked_less_often(h: House) -> None:
    cluster = await h.running(HALF_AN_HOUR)

    class Slow(SimulatedRay):
        async def activity(self, head: object) -> RayActivity:
            h.clock.advance(seconds=4)
            return await super().activity(head)  # type: ignore[arg-type]

    h.watch._ray = Slow(h.world)
    assert await h.watch.reconcile(cluster.id) == timedelta(seconds=120)


async def test_many_looks_at_once_do_not_meet(h: House) -> None:
    clusters = [await h.running(HALF_AN_HOUR, f"c{number}") for number in range(8)]
    await asyncio.gather(*(h.watch.reconcile(cluster.id) for cluster in clusters))
    for cluster in clusters:
        assert (await h.instance(cluster)).activity == Activity((), h.clock.now())
