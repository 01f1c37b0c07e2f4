"""What the control loop makes of operations: when each kind ends, what comes between, and that none stays open for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from heliostat.control.loop import LoopSettings
from heliostat.control.reconciler import Reconciler
from heliostat.control.retention import Retention, RetentionSettings
from heliostat.domain.engine import NodeObservation, NodeState, Observation
from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import ClusterId, InstanceId, JobId
from heliostat.domain.installation import Installation
from heliostat.domain.lifecycle import GLANCE
from heliostat.domain.operations import UPDATE_PATIENCE, Failure, Kind, Operation
from heliostat.domain.records import Cluster
from heliostat.domain.spec import Autoscaling, ClusterSpec
from heliostat.domain.states import State
from heliostat.engines.simulated import SimulatedEngine
from heliostat.services import Track
from heliostat.storage.folder import FolderStorage
from heliostat.store import Store, StoreSettings
from tests.services.conftest import Office, office, spec

from .test_servers import Pair, pair

__all__ = ["office", "pair"]

Change = Callable[[ClusterSpec], ClusterSpec]
settings = pytest.fixture(lambda: LoopSettings(tick=timedelta(hours=1), glance=timedelta(milliseconds=50)))


@dataclass
class Client:
    """Asks for tracked changes, and looks at what came of them."""

    office: Office

    async def create(self, name: str = "one", change: Change = lambda old: old) -> tuple[ClusterId, Track]:
        track, it = Track({"name": name}), self.office
        made = await it.services.clusters.create(
            await it.caller("ann"), it.workspace, change(spec(name)), start=True, track=track
        )
        return made.id, track

    async def up(self, change: Change = lambda old: old) -> ClusterId:
        made, _ = await self.create(change=change)
        await self.look(made, times=3)
        return made

    async def update(self, cluster: ClusterId, change: Change) -> Track:
        track, it = Track(), self.office
        await it.services.clusters.update(await it.caller("ann"), it.workspace, cluster, change, track=track)
        return track

    async def reboot(self, cluster: ClusterId) -> Track:
        track, it = Track(), self.office
        await it.services.clusters.restart(await it.caller("ann"), it.workspace, cluster, track=track)
        return track

    async def delete(self, cluster: ClusterId) -> Track:
        track, it = Track(), self.office
        ann = await it.caller("ann")
        await it.services.clusters.delete(ann, it.workspace, cluster, stop_first=True, track=track)
        return track

    async def look(self, cluster: ClusterId, times: int = 1) -> timedelta | None:
        again: timedelta | None = None
        for _ in range(times):
            again = await self.office.reconciler.reconcile(cluster)
        return again

    async def state(self, cluster: ClusterId) -> Cluster:
        return await self.office.stored(cluster)

    async def of(self, track: Track) -> Operation:
        viewer = await self.office.caller("viewer")
        return (await self.office.services.operations.get(viewer, self.office.workspace, track.id)).operation

    async def outcome(self, track: Track) -> str:
        row = await self.of(track)
        return "open" if row.open else row.failure or "done"


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """SQLite, unless a test is parametrized."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return f"sqlite:///{tmp_path}/heliostat.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


BOTH = pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture
def client(office: Office) -> Client:
    return Client(office)


def workers(number: int) -> Change:
    return lambda old: replace(old, workers=(replace(old.workers[0], replicas=number),))


def elastic(least: int, most: int) -> Change:
    def change(old: ClusterSpec) -> ClusterSpec:
        replicas = max(least, min(2, most))
        group = replace(old.workers[0], replicas=replicas, min_replicas=least, max_replicas=most)
        return replace(old, autoscaling=Autoscaling(enabled=True), workers=(group,))

    return change


class TestCreate:
    async def test_it_is_done_when_the_cluster_runs(self, client: Client, office: Office) -> None:
        office.world.start_seconds = 1e9
        made, track = await client.create()
        await client.look(made, times=3)
        assert (await client.state(made)).state is State.STARTING and await client.outcome(track) == "open"
        office.clock.advance(seconds=40)
        (run,) = office.world.instances.values()
        run.come_alive(office.world.time())
        await client.look(made)
        assert (await client.state(made)).state is State.RUNNING
        row = await client.of(track)
        assert (row.ended_at, row.failure, row.message) == (office.clock.now(), None, "")

    async def test_it_waits_as_long_as_its_queue_has_no_room(self, client: Client, office: Office) -> None:
        await client.up()
        await office.limit(cpu=4)
        made, track = await client.create("two")
        office.clock.advance(days=2)
        await client.look(made, times=3)
        assert (await client.state(made)).state is State.STARTING and await client.outcome(track) == "open"

    async def test_it_fails_with_the_cluster_and_says_why(self, client: Client, office: Office) -> None:
        office.world.failing["one"] = "no such package"
        made, track = await client.create()
        await client.look(made, times=3)
        row = await client.of(track)
        assert (row.failure, row.message) == (Failure.FAILED, "no such package")
        office.world.failing.clear()
        ann = await office.caller("ann")
        await office.services.clusters.start(ann, office.workspace, made)
        await client.look(made, times=4)
        assert (await client.state(made)).state is State.RUNNING and await client.of(track) == row

    @pytest.mark.parametrize("deleted", [False, True])
    async def test_it_is_overtaken_by_who_stops_or_deletes_the_cluster(
        self, client: Client, office: Office, deleted: bool
    ) -> None:
        office.world.start_seconds, office.world.linger = 1e9, 3
        made, track = await client.create()
        await client.look(made, times=2)
        ann, clusters = await office.caller("ann"), office.services.clusters
        if deleted:
            await clusters.delete(ann, office.workspace, made, stop_first=True)
        else:
            await clusters.stop(ann, office.workspace, made)
        await client.look(made)
        assert await client.outcome(track) == "overtaken", "with the first look, however long the end takes"
        assert office.world.instances
        await office.settle(made)
        assert ("deleted" if deleted else "stopped") in (await client.of(track)).message

    async def test_a_user_who_changes_it_meanwhile_does_not_hold_it_open(self, client: Client, office: Office) -> None:
        made, track = await client.create()
        ann = await office.caller("ann")
        await office.services.clusters.update(ann, office.workspace, made, workers(1))
        await client.look(made, times=3)
        assert await client.outcome(track) == "done" and (await client.of(track)).generation == 1


class TestUpdate:
    async def test_more_nodes(self, client: Client, office: Office) -> None:
        up = await client.up()
        office.world.start_seconds = 1e9
        track = await client.update(up, workers(4))
        await client.look(up, times=3)
        assert (await client.state(up)).state is State.RUNNING and await client.outcome(track) == "open"
        (run,) = office.world.instances.values()
        run.come_alive(office.world.time())
        await client.look(up)
        assert await client.outcome(track) == "done" and len(run.nodes) == 5

    async def test_fewer_nodes_are_there_when_the_surplus_drains(
        self, client: Client, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        up = await client.up()
        observe, before = office.engine.observe, (await client.office.run_of(up)).nodes

        async def draining(instance: InstanceId) -> Observation:
            seen = await observe(instance)
            here = {node.node for node in seen.nodes}
            left: tuple[NodeObservation, ...] = tuple(
                replace(node, state=NodeState.DRAINING) for node in before if node.node not in here
            )
            return replace(seen, nodes=(*seen.nodes, *left))

        monkeypatch.setattr(office.engine, "observe", draining)
        track = await client.update(up, workers(1))
        assert await client.outcome(track) == "open"
        await client.look(up, times=2)
        nodes = (await office.run_of(up)).nodes
        assert sorted(node.state for node in nodes) == [NodeState.ALIVE, NodeState.ALIVE, NodeState.DRAINING]
        assert await client.outcome(track) == "done"

    async def test_other_bounds_of_an_autoscaled_group(self, client: Client, office: Office) -> None:
        up = await client.up(elastic(0, 4))
        office.world.start_seconds = 1e9
        track = await client.update(up, elastic(3, 4))
        office.world.demand[(await office.run_of(up)).id] = {"g": 0}
        await client.look(up, times=3)
        assert await client.outcome(track) == "open", "one is still to come"
        (run,) = office.world.instances.values()
        run.come_alive(office.world.time())
        await client.look(up)
        assert await client.outcome(track) == "done"
        office.world.demand[run.plan.instance] = {"g": 3}
        track = await client.update(up, elastic(0, 1))
        await client.look(up, times=3)
        assert await client.outcome(track) == "done" and len(run.nodes) == 2

    async def test_what_needs_no_other_nodes_is_done_with_the_first_look(self, client: Client) -> None:
        up = await client.up()
        track = await client.update(up, lambda old: replace(old, labels={"team": "vision"}))
        assert await client.outcome(track) == "open"
        await client.look(up)
        assert await client.outcome(track) == "done"

    async def test_without_room_it_ends_when_the_patience_does_and_the_wish_stays(
        self, client: Client, office: Office
    ) -> None:
        up = await client.up()
        await office.limit(cpu=4)
        begun = office.clock.now()
        track = await client.update(up, workers(4))
        await client.look(up, times=3)
        office.clock.advance(seconds=839)
        again = await client.look(up)
        assert again is not None and again <= timedelta(seconds=1), "woken in time, whatever the engine tells"
        assert await client.outcome(track) == "open"
        office.clock.advance(seconds=1)
        again = await client.look(up)
        row = await client.of(track)
        assert (row.failure, row.ended_at) == (Failure.NO_ROOM, begun + UPDATE_PATIENCE)
        assert "840 s" in row.message and "queue" in row.message
        after = await client.state(up)
        assert (after.state, after.spec.workers[0].replicas) == (State.RUNNING, 4)
        assert again is not None and again > timedelta(0)
        await client.update(up, workers(3))

    async def test_a_settled_cluster_is_looked_at_again_when_the_patience_ends(
        self, client: Client, office: Office
    ) -> None:
        """Nodes that take long lack nothing in the queue, so that nothing else wakes the loop."""
        up = await client.up()
        office.world.start_seconds = 1e9
        await client.update(up, workers(3))
        await client.look(up, times=2)
        office.clock.advance(seconds=825)
        assert await client.look(up) == timedelta(seconds=15) < GLANCE
        office.clock.advance(seconds=16)
        assert await client.look(up) == GLANCE

    async def test_nodes_that_came_with_the_last_second_count(self, client: Client, office: Office) -> None:
        up = await client.up()
        office.world.start_seconds = 1e9
        track = await client.update(up, workers(3))
        await client.look(up, times=2)
        office.clock.advance(seconds=841)
        (run,) = office.world.instances.values()
        run.come_alive(office.world.time())
        await client.look(up)
        assert await client.outcome(track) == "done"

    async def test_it_fails_with_the_cluster(self, client: Client, office: Office) -> None:
        up = await client.up()
        office.world.start_seconds = 1e9
        track = await client.update(up, workers(3))
        await client.look(up)
        office.engine.kill(next(node.node for node in (await office.run_of(up)).nodes if node.kind == "head"))
        await client.look(up)
        row = await client.of(track)
        assert row.failure is Failure.FAILED and "cannot be brought back" in row.message


class TestReboot:
    async def test_it_is_done_when_the_next_run_is_up(self, client: Client, office: Office) -> None:
        up = await client.up()
        before = await office.run_of(up)
        office.world.start_seconds, office.world.linger = 1e9, 2
        track = await client.reboot(up)
        await client.look(up, times=6)
        assert (await client.state(up)).state is State.STARTING and await client.outcome(track) == "open"
        after = await office.run_of(up)
        assert after.id != before.id
        office.world.instances[after.id].come_alive(office.world.time())
        await client.look(up)
        assert await client.outcome(track) == "done" and (await client.state(up)).state is State.RUNNING

    async def test_it_fails_when_the_next_run_does_not_come_up(self, client: Client, office: Office) -> None:
        up = await client.up()
        office.world.failing["one"] = "no such package"
        track = await client.reboot(up)
        await client.look(up, times=5)
        assert (await client.of(track)).message == "no such package"


class TestDelete:
    """Whatever the cluster was when it was deleted, and readable when it is gone."""

    async def gone(self, client: Client, cluster: ClusterId, track: Track) -> None:
        for _ in range(9):
            if await client.look(cluster) is None:
                break
            if await client.office.store.read(lambda tx: tx.clusters.find_any(cluster)) is not None:
                assert await client.outcome(track) == "open"
        assert await client.office.store.read(lambda tx: tx.clusters.find_any(cluster)) is None
        row = await client.of(track)
        assert (row.ended_at, row.failure, row.kind) == (client.office.clock.now(), None, Kind.DELETE)
        assert (row.spec.name, row.cluster) == ("one", cluster) and not client.office.world.instances
        assert await client.look(cluster) is None and await client.of(track) == row

    @pytest.mark.parametrize("linger", [0, 3])
    async def test_of_one_that_runs(self, client: Client, office: Office, linger: int) -> None:
        up = await client.up()
        office.world.linger = linger
        await self.gone(client, up, await client.delete(up))

    async def test_of_one_that_starts(self, client: Client, office: Office) -> None:
        office.world.start_seconds = 1e9
        made, creation = await client.create()
        await client.look(made)
        await self.gone(client, made, await client.delete(made))
        assert await client.outcome(creation) == "overtaken"

    async def test_of_one_that_nobody_has_looked_at_yet(self, client: Client) -> None:
        made, creation = await client.create()
        await self.gone(client, made, await client.delete(made))
        assert await client.outcome(creation) == "overtaken"

    async def test_of_one_that_was_never_started(self, client: Client, office: Office) -> None:
        made = await office.services.clusters.create(await office.caller("ann"), office.workspace, spec())
        await self.gone(client, made.id, await client.delete(made.id))

    @pytest.mark.parametrize("looks", [0, 5], ids=["stopping", "stopped"])
    async def test_of_one_that_was_stopped(self, client: Client, office: Office, looks: int) -> None:
        up = await client.up()
        office.world.linger = 2
        await office.services.clusters.stop(await office.caller("ann"), office.workspace, up)
        await client.look(up, times=looks)
        await self.gone(client, up, await client.delete(up))

    async def test_of_one_that_has_failed(self, client: Client, office: Office) -> None:
        office.world.failing["one"] = "no such package"
        made, _ = await client.create()
        await client.look(made, times=3)
        office.world.linger = 2
        await self.gone(client, made, await client.delete(made))

    async def test_of_one_that_was_made_for_a_job(self, client: Client, office: Office) -> None:
        up = await client.up()
        mine = replace(await client.state(up), job=JobId("rj-0123456789abcdef"))
        await office.store.write(lambda tx: tx.clusters.save(mine))
        await self.gone(client, up, await client.delete(up))


CHANGES: dict[str, Callable[[Client, ClusterId], Awaitable[Track]]] = {
    "more": lambda client, cluster: client.update(cluster, workers(4)),
    "fewer": lambda client, cluster: client.update(cluster, workers(1)),
    "reboot": lambda client, cluster: client.reboot(cluster),
    "delete": lambda client, cluster: client.delete(cluster),
}


class TestInTheMiddleOfALook:
    """A wish that is stored while the loop looks: it must neither be lost nor be ended by what was seen before it."""

    @pytest.mark.parametrize("change", CHANGES)
    @pytest.mark.parametrize("news", [False, True], ids=["nothing new", "something new"])
    async def test_it_is_looked_at_again(
        self, client: Client, office: Office, monkeypatch: pytest.MonkeyPatch, change: str, news: bool
    ) -> None:
        up = await client.up()
        await client.look(up, times=2)
        observe, tracks = office.engine.observe, list[Track]()

        async def interrupted(instance: InstanceId) -> Observation:
            seen = await observe(instance)
            if not tracks:
                tracks.append(Track())
                tracks[0] = await CHANGES[change](client, up)
            return replace(seen, ray_token=(await office.run_of(up)).ray_token, trouble="a word" if news else "")

        monkeypatch.setattr(office.engine, "observe", interrupted)
        office.woken.clear()
        again = await client.look(up)
        assert await client.outcome(tracks[0]) == "open"
        assert up in office.woken or again == timedelta(0)
        monkeypatch.undo()
        await client.look(up, times=6)
        assert await client.outcome(tracks[0]) == "done"

    async def test_a_create_that_is_cancelled_when_its_cluster_has_just_come_up(
        self, client: Client, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, track = await client.create()
        await client.look(made)
        observe, cancelled = office.engine.observe, list[bool]()

        async def interrupted(instance: InstanceId) -> Observation:
            seen = await observe(instance)
            if not cancelled:
                cancelled.append(True)
                await office.services.operations.cancel(await office.caller("ann"), office.workspace, track.id)
            return seen

        monkeypatch.setattr(office.engine, "observe", interrupted)
        await office.settle(made)
        assert await client.outcome(track) == "cancelled" and not office.world.instances
        assert await office.store.read(lambda tx: tx.clusters.find_any(made)) is None


class TestAnEngineThatDoesNotAnswer:
    """Nobody waits longer for what can come to nothing any more, or for an update whose time is over."""

    @pytest.fixture
    def silent(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
        async def away(instance: InstanceId) -> Observation:
            raise Unavailable("the engine is away")

        return lambda: monkeypatch.setattr(office.engine, "observe", away)

    async def test_a_create_of_what_is_deleted(
        self, client: Client, silent: Callable[[], None], office: Office
    ) -> None:
        made, track = await client.create()
        await client.look(made)
        silent()
        deletion = await client.delete(made)
        with pytest.raises(Unavailable):
            await client.look(made)
        assert await client.outcome(track) == "overtaken" and await client.outcome(deletion) == "open"

    async def test_an_update_without_its_nodes(
        self, client: Client, silent: Callable[[], None], office: Office
    ) -> None:
        up = await client.up()
        track = await client.update(up, workers(5))
        silent()
        for seconds, outcome in ((840, "open"), (19, "open"), (1, "no_room")):  # 900 s are what clients wait
            office.clock.advance(seconds=seconds)
            with pytest.raises(Unavailable):
                await client.look(up)
            assert await client.outcome(track) == outcome

    async def test_an_update_is_not_done_before_the_engine_was_told(
        self, client: Client, silent: Callable[[], None]
    ) -> None:
        up = await client.up()
        track = await client.update(up, lambda old: replace(old, labels={"team": "vision"}))
        silent()
        with pytest.raises(Unavailable):
            await client.look(up)
        assert await client.outcome(track) == "open"


async def test_a_cluster_at_rest_costs_no_write_while_an_operation_goes_on(client: Client, office: Office) -> None:
    up = await client.up()
    office.world.start_seconds = 1e9
    await client.update(up, workers(3))
    await client.look(up, times=3)
    writes, write = list[object](), office.store.write

    async def counted(work):  # type: ignore[no-untyped-def]
        writes.append(work)
        return await write(work)

    office.store.write = counted  # type: ignore[method-assign]
    await client.look(up, times=3)
    assert writes == []


async def test_everybody_who_waits_is_told(office: Office, client: Client) -> None:
    told = list[ClusterId]()

    async def tell(cluster: ClusterId) -> None:
        told.append(cluster)

    reconciler = Reconciler(office.store, office.engine, Installation(), office.clock, changed=tell)
    made, track = await client.create()
    await reconciler.reconcile(made)
    await reconciler.reconcile(made)
    assert await client.outcome(track) == "done" and made in told
    await client.update(made, workers(5))
    await reconciler.reconcile(made)
    await office.services.clusters.stop(await office.caller("ann"), office.workspace, made)
    told.clear()
    await reconciler.reconcile(made)
    assert made in told


@BOTH
async def test_two_servers_that_look_at_once_end_an_operation_once(
    office: Office, client: Client, database: str, tmp_path: Path
) -> None:
    """As when a lease was lost without the loser noticing."""
    store = await Store.open(StoreSettings(database, tmp_path / "key"))
    engine = SimulatedEngine(office.world)
    other = Reconciler(store, engine, Installation(), office.clock)
    try:
        made, creation = await client.create()
        ended: dict[str, Operation] = {}

        async def both() -> None:
            for _ in range(6):
                await asyncio.gather(office.reconciler.reconcile(made), other.reconcile(made))
                office.clock.advance(seconds=1)
                for row in await store.read(lambda tx: tx.operations.page(office.workspace, limit=9)):
                    assert row.open or ended.setdefault(row.id, row) == row

        await both()
        update = await client.update(made, workers(3))
        await both()
        reboot = await client.reboot(made)
        await both()
        deletion = await client.delete(made)
        await both()
        assert {row.failure for row in ended.values()} == {None}
        assert set(ended) == {track.id for track in (creation, update, reboot, deletion)}
        assert set(office.world.starts.values()) == {1} and not office.world.instances
    finally:
        await engine.close()
        await store.close()


async def test_an_update_that_another_server_was_asked_for_is_not_left_until_the_tick(pair: Pair) -> None:
    (up,) = await pair.start(pair.one, ["a"])
    await pair.until([up], State.RUNNING)
    by = pair.two if pair.watch.looks[up] == {"one"} else pair.one
    track = Track()
    await by.services.clusters.update(pair.caller, pair.workspace, up, workers(3), track=track)
    view = await by.services.operations.wait(pair.caller, pair.workspace, track.id, 25)
    assert view.operation.ended_at is not None and view.operation.failure is None
    assert not pair.watch.clashes


async def test_what_has_ended_is_kept_for_its_time(office: Office, client: Client, tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "storage")
    retention = Retention(office.store, storage, office.clock)
    up = await client.up()
    office.world.start_seconds = 1e9
    going_on = await client.update(up, workers(3))
    await client.look(up)
    two, creation = await client.create("two")
    await client.look(two)
    deletion = await client.delete(two)
    await client.look(two, times=2)
    office.clock.advance(days=29, hours=23)
    await retention.sweep_once()
    assert await client.outcome(deletion) == "done" and await client.outcome(creation) == "overtaken"
    office.clock.advance(hours=2)
    await Retention(office.store, storage, office.clock, RetentionSettings(operations=None)).sweep_once()
    assert await client.outcome(deletion) == "done"
    await retention.sweep_once()
    left = await office.store.read(lambda tx: tx.operations.page(office.workspace, limit=9))
    assert [row.id for row in left] == [going_on.id], "what goes on stays, however old it is"
