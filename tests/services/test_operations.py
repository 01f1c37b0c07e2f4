"""Operations: stored with the wish that they stand for or not at all; who may see, forget and cancel them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from heliostat.domain.errors import AlreadyExists, Conflict, Forbidden, InvalidSpec, NotFound, NotReady
from heliostat.domain.ids import ClusterId, OperationId, WorkspaceId, new_operation_id
from heliostat.domain.operations import Failure, Kind, Operation
from heliostat.domain.records import Cluster, Role, Workspace
from heliostat.domain.spec import ClusterSpec
from heliostat.domain.states import State, Wanted
from heliostat.services import Caller, News, OperationService, Track
from heliostat.services import operations as module

from .conftest import BOTH, PEOPLE, Office, spec

Change = Callable[[ClusterSpec], ClusterSpec]
LABEL = {"dialect": "vertex", "location": "us-central1"}


def grown(old: ClusterSpec) -> ClusterSpec:
    return replace(old, workers=(replace(old.workers[0], replicas=old.workers[0].replicas + 1),))


def same(old: ClusterSpec) -> ClusterSpec:
    return old


async def all_of(office: Office) -> list[Operation]:
    """Newest first."""
    return list(await office.store.read(lambda tx: tx.operations.page(office.workspace, limit=99)))


async def the_only(office: Office) -> Operation:
    (found,) = await all_of(office)
    return found


async def rest(office: Office, cluster: ClusterId) -> None:
    """Once more than the loop would by itself: an engine tells it when there are nodes that it had not seen yet."""
    for _ in range(2):
        await office.settle(cluster)


async def create(office: Office, track: Track | None = None, *, start: bool = True, name: str = "one") -> Cluster:
    ann = await office.caller("ann")
    return await office.services.clusters.create(
        ann, office.workspace, spec(name), start=start, track=track or Track(LABEL)
    )


async def update(office: Office, cluster: ClusterId, track: Track, change: Change = grown) -> Cluster:
    return await office.services.clusters.update(
        await office.caller("ann"), office.workspace, cluster, change, track=track
    )


async def reboot(office: Office, cluster: ClusterId, track: Track) -> Cluster:
    return await office.services.clusters.restart(await office.caller("ann"), office.workspace, cluster, track=track)


async def delete(office: Office, cluster: ClusterId, track: Track) -> None:
    ann = await office.caller("ann")
    await office.services.clusters.delete(ann, office.workspace, cluster, stop_first=True, track=track)


CHANGES: dict[Kind, Callable[[Office, ClusterId, Track], Awaitable[object]]] = {
    Kind.UPDATE: update,
    Kind.REBOOT: reboot,
    Kind.DELETE: delete,
}


class TestTheWish:
    @BOTH
    async def test_each_change_is_stored_with_its_operation(self, office: Office) -> None:
        made = await create(office)
        (creation,) = await all_of(office)
        assert (creation.kind, creation.open, creation.cluster) == (Kind.CREATE, True, made.id)
        assert (creation.generation, creation.spec, creation.cluster_created_at) == (1, made.spec, made.created_at)
        ann = await office.caller("ann")
        assert (creation.label, creation.creator, creation.created_at) == (LABEL, ann.principal.id, office.clock.now())
        await rest(office, made.id)
        for number, (kind, change) in enumerate(CHANGES.items(), start=2):
            office.clock.advance(seconds=1)
            track = Track({"number": str(number)})
            await change(office, made.id, track)
            found = await office.store.read(lambda tx, id=track.id: tx.operations.get(office.workspace, id))
            assert found is not None and found.open and (found.kind, found.label) == (kind, track.label)
            record = await office.stored(made.id)
            assert (found.spec, found.generation) == (record.spec, record.generation), "the cluster as it was asked for"
            assert made.id in office.woken
            await rest(office, made.id)
        assert [(row.kind, row.open, row.failure) for row in await all_of(office)] == [
            (kind, False, None) for kind in reversed(Kind)
        ]

    async def test_a_change_that_is_not_tracked_is_no_operation(self, office: Office) -> None:
        up = await office.running()
        ann = await office.caller("ann")
        await office.services.clusters.update(ann, office.workspace, up.id, grown)
        await office.services.clusters.restart(ann, office.workspace, up.id, rolling=True)
        await office.services.clusters.delete(ann, office.workspace, up.id, stop_first=True)
        await rest(office, up.id)
        assert await all_of(office) == []

    async def test_what_cannot_be_an_operation_is_not_done(self, office: Office) -> None:
        """Here since its id is taken: whatever fails, the wish and its operation are one transaction."""
        taken = Track(LABEL)
        up = await create(office, taken)
        await rest(office, up.id)
        before = await office.stored(up.id)
        with pytest.raises(AlreadyExists):
            await create(office, taken, name="two")
        for change in CHANGES.values():
            with pytest.raises(AlreadyExists):
                await change(office, up.id, taken)
        ann = await office.caller("ann")
        assert [view.cluster for view in await office.services.clusters.list(ann, office.workspace, limit=9)] == [
            before
        ]
        assert [row.kind for row in await all_of(office)] == [Kind.CREATE]

    async def test_what_is_refused_opens_no_operation(self, office: Office) -> None:
        ann = await office.caller("ann")
        up = await office.running()
        clusters = office.services.clusters
        with pytest.raises(InvalidSpec):
            await clusters.create(
                ann, office.workspace, replace(spec("two"), release="none"), start=True, track=Track()
            )
        with pytest.raises(AlreadyExists):
            await clusters.create(ann, office.workspace, spec("one"), start=True, track=Track())
        with pytest.raises(InvalidSpec):
            await update(office, up.id, Track(), lambda old: replace(old, release="none"))
        office.world.releases_missing["ray-1.3.1"] = "install Python"
        with pytest.raises(NotReady):
            await clusters.create(ann, office.workspace, spec("two"), start=True, track=Track())
        with pytest.raises(NotReady):
            await reboot(office, up.id, Track())
        assert await all_of(office) == []

    async def test_a_cluster_that_is_made_without_a_start_is_done_at_once(self, office: Office) -> None:
        made = await create(office, start=False)
        row = await the_only(office)
        assert (row.cluster, row.ended_at, row.failure) == (made.id, office.clock.now(), None)

    async def test_an_update_that_changes_nothing_is_done_at_once(self, office: Office) -> None:
        up = await office.running()
        after = await update(office, up.id, Track(LABEL), same)
        row = await the_only(office)
        assert (row.kind, row.ended_at, row.failure, row.label) == (Kind.UPDATE, office.clock.now(), None, LABEL)
        assert after.generation == up.generation == row.generation

    async def test_a_repeated_create_opens_no_second_operation(self, office: Office) -> None:
        ann = await office.caller("ann")
        for _ in range(2):
            await office.services.clusters.create(
                ann, office.workspace, spec(), start=True, client_token="once", track=Track(LABEL)
            )
        assert (await the_only(office)).kind is Kind.CREATE

    async def test_a_rolling_restart_is_never_tracked(self, office: Office) -> None:
        up = await office.running()
        with pytest.raises(ValueError, match="rolling"):
            await office.services.clusters.restart(
                await office.caller("ann"), office.workspace, up.id, rolling=True, track=Track()
            )
        assert await office.stored(up.id) == up


class TestAtRest:
    """Updates and reboots that are operations want a cluster that runs, and nothing else under way on it."""

    @pytest.mark.parametrize("change", [update, reboot], ids=["update", "reboot"])
    @pytest.mark.parametrize(
        ("state", "wanted"),
        [
            (State.STOPPED, Wanted.STOPPED),
            (State.STARTING, Wanted.RUNNING),
            (State.STOPPING, Wanted.STOPPED),
            (State.ERROR, Wanted.RUNNING),
        ],
    )
    async def test_a_cluster_that_does_not_run(
        self, office: Office, state: State, wanted: Wanted, change: Callable[..., Awaitable[object]]
    ) -> None:
        up = await office.running()
        before = replace(up, state=state, wanted=wanted)
        await office.store.write(lambda tx: tx.clusters.save(before))
        with pytest.raises(Conflict):
            await change(office, up.id, Track())
        assert await office.stored(up.id) == before and await all_of(office) == []

    @pytest.mark.parametrize("change", [update, reboot, delete], ids=["update", "reboot", "delete"])
    async def test_one_that_is_being_deleted(self, office: Office, change: Callable[..., Awaitable[object]]) -> None:
        office.world.linger = 5
        up = await office.running()
        await office.services.clusters.delete(await office.caller("ann"), office.workspace, up.id, stop_first=True)
        with pytest.raises(Conflict):
            await change(office, up.id, Track())
        assert await all_of(office) == []

    @pytest.mark.parametrize("change", [update, reboot], ids=["update", "reboot"])
    async def test_one_with_an_operation_under_way(
        self, office: Office, change: Callable[..., Awaitable[object]]
    ) -> None:
        up = await office.running()
        await update(office, up.id, Track(LABEL))
        before, first = await office.stored(up.id), await the_only(office)
        with pytest.raises(Conflict, match=f"update of one is still under way.*{first.id}"):
            await change(office, up.id, Track())
        with pytest.raises(Conflict, match="under way"):
            await update(office, up.id, Track(), same)
        assert await office.stored(up.id) == before and await the_only(office) == first
        await rest(office, up.id)
        await change(office, up.id, Track())

    async def test_a_deletion_comes_through_whatever_is_under_way(self, office: Office) -> None:
        made = await create(office)
        await delete(office, made.id, Track(LABEL))
        assert [(row.kind, row.open) for row in await all_of(office)].count((Kind.DELETE, True)) == 1
        ann = await office.caller("ann")
        found = await office.services.operations.open_of(ann, office.workspace, [made.id])
        assert found[made.id].kind is Kind.DELETE
        await rest(office, made.id)
        assert {row.kind: row.failure for row in await all_of(office)} == {
            Kind.CREATE: Failure.OVERTAKEN, Kind.DELETE: None,
        }  # fmt: skip


class TestLooking:
    async def test_an_operation_comes_with_what_there_is_of_its_cluster(self, office: Office) -> None:
        track = Track(LABEL)
        made = await create(office, track)
        await rest(office, made.id)
        viewer, operations = await office.caller("viewer"), office.services.operations
        view = await operations.get(viewer, office.workspace, track.id)
        assert view.cluster is not None and view.instance is not None
        assert (view.cluster.state, view.instance.id) == (State.RUNNING, view.cluster.instance)
        await delete(office, made.id, Track(LABEL))
        await rest(office, made.id)
        view = await operations.get(viewer, office.workspace, track.id)
        assert (view.cluster, view.instance, view.operation.spec.name) == (None, None, "one")
        assert [row.operation.kind for row in await operations.list(viewer, office.workspace, limit=9)] == [
            row.kind for row in await all_of(office)
        ]

    async def test_lists_are_those_of_a_cluster_if_asked_for(self, office: Office) -> None:
        one, two = await create(office), await create(office, name="two")
        await rest(office, one.id)
        viewer, operations = await office.caller("viewer"), office.services.operations
        rows = await operations.list(viewer, office.workspace, limit=9, cluster=two.id)
        assert [(row.operation.cluster, row.cluster and row.cluster.id) for row in rows] == [(two.id, two.id)]
        rows = await operations.list(viewer, office.workspace, limit=9, open=False)
        assert [row.operation.cluster for row in rows] == [one.id]
        first = await operations.list(viewer, office.workspace, limit=1)
        older = await operations.list(viewer, office.workspace, limit=9, before=first[0].operation.id)
        assert {row.operation.cluster for row in (*first, *older)} == {one.id, two.id} and len(older) == 1

    async def test_what_is_under_way(self, office: Office) -> None:
        one, two = await create(office), await create(office, name="two")
        await rest(office, one.id)
        viewer, operations = await office.caller("viewer"), office.services.operations
        assert set(await operations.open_of(viewer, office.workspace, [one.id, two.id])) == {two.id}
        assert await operations.open_of(viewer, office.workspace, []) == {}

    async def test_those_of_another_workspace_are_not_there(self, office: Office) -> None:
        away = WorkspaceId("w-away")
        made = await create(office)
        row = await the_only(office)
        await office.store.write(lambda tx: tx.workspaces.add(Workspace(away, "away", office.clock.now())))
        ann, operations = await office.caller("ann"), office.services.operations
        for call in (operations.get, operations.forget, operations.cancel):
            with pytest.raises(NotFound):
                await call(ann, away, row.id)
            with pytest.raises(NotFound):
                await call(ann, office.workspace, new_operation_id())
        assert await operations.list(ann, away, limit=9) == []
        assert await operations.open_of(ann, away, [made.id]) == {}
        assert await the_only(office) == row

    @pytest.mark.parametrize("name", PEOPLE)
    async def test_roles(self, office: Office, name: str) -> None:
        made = await create(office, start=False)
        row, who, it = await the_only(office), await office.caller(name), office.services.operations
        calls: dict[str, tuple[Role, Callable[[], Awaitable[object]]]] = {
            "get": (Role.VIEWER, lambda: it.get(who, office.workspace, row.id)),
            "list": (Role.VIEWER, lambda: it.list(who, office.workspace, limit=9)),
            "open_of": (Role.VIEWER, lambda: it.open_of(who, office.workspace, [made.id])),
            "wait": (Role.VIEWER, lambda: it.wait(who, office.workspace, row.id, 0)),
            "cancel": (Role.EDITOR, lambda: it.cancel(who, office.workspace, row.id)),
            "forget": (Role.EDITOR, lambda: it.forget(who, office.workspace, row.id)),
        }
        public = {method for method in dir(it) if not method.startswith("_")}
        assert public - {"changed"} == calls.keys(), "who may do it?"
        role = PEOPLE[name]
        for needed, call in calls.values():
            if role is None:
                with pytest.raises(NotFound):
                    await call()
            elif role.includes(needed):
                await call()
            else:
                with pytest.raises(Forbidden):
                    await call()
        assert (await all_of(office) == []) == (role is not None and role.includes(Role.EDITOR))


class TestForgetting:
    async def test_only_what_has_ended(self, office: Office) -> None:
        track = Track(LABEL)
        made = await create(office, track)
        editor, operations = await office.caller("editor"), office.services.operations
        with pytest.raises(Conflict, match="under way"):
            await operations.forget(editor, office.workspace, track.id)
        await rest(office, made.id)
        await operations.forget(editor, office.workspace, track.id)
        with pytest.raises(NotFound):
            await operations.get(editor, office.workspace, track.id)
        assert (await office.stored(made.id)).state is State.RUNNING


class TestCancelling:
    async def cancel(self, office: Office, id: OperationId) -> None:
        await office.services.operations.cancel(await office.caller("editor"), office.workspace, id)

    @BOTH
    async def test_a_create_takes_its_cluster_along(self, office: Office) -> None:
        track = Track(LABEL)
        made = await create(office, track)
        office.clock.advance(seconds=3)
        office.woken.clear()
        await self.cancel(office, track.id)
        row = await the_only(office)
        assert (row.ended_at, row.failure) == (office.clock.now(), Failure.CANCELLED) and row.message
        assert (await office.stored(made.id)).wanted is Wanted.DELETED and office.woken == [made.id]
        await self.cancel(office, track.id)
        await rest(office, made.id)
        assert await office.store.read(lambda tx: tx.clusters.find_any(made.id)) is None
        assert await the_only(office) == row and not office.world.instances
        await self.cancel(office, track.id)

    async def test_a_create_that_is_done_is_done(self, office: Office) -> None:
        track = Track(LABEL)
        made = await create(office, track)
        await rest(office, made.id)
        before = await the_only(office)
        await self.cancel(office, track.id)
        assert await the_only(office) == before and (await office.stored(made.id)).state is State.RUNNING

    @pytest.mark.parametrize("kind", CHANGES)
    async def test_others_go_on(self, office: Office, kind: Kind) -> None:
        up = await office.running()
        track = Track(LABEL)
        await CHANGES[kind](office, up.id, track)
        before = await office.stored(up.id)
        await self.cancel(office, track.id)
        assert await office.stored(up.id) == before and (await the_only(office)).open
        await rest(office, up.id)
        assert (await the_only(office)).failure is None

    async def test_a_create_whose_cluster_is_being_deleted_is_overtaken_by_that(self, office: Office) -> None:
        track = Track(LABEL)
        made = await create(office, track)
        await delete(office, made.id, Track())
        await self.cancel(office, track.id)
        await rest(office, made.id)
        assert {row.kind: row.failure for row in await all_of(office)} == {
            Kind.CREATE: Failure.OVERTAKEN, Kind.DELETE: None,
        }  # fmt: skip


class TestWaiting:
    @pytest.fixture
    def news(self) -> News:
        return News()

    @pytest.fixture
    def operations(self, office: Office, news: News) -> OperationService:
        return OperationService(office.store, office.clock, office.woken.append, news)

    async def begun(self, office: Office) -> tuple[Caller, Cluster, Track]:
        track = Track(LABEL)
        return await office.caller("viewer"), await create(office, track), track

    async def test_it_comes_with_the_end_without_waiting_for_a_look(
        self, office: Office, operations: OperationService, news: News, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "LOOK_SECONDS", 250)
        viewer, made, track = await self.begun(office)
        waiting = asyncio.create_task(operations.wait(viewer, office.workspace, track.id, 280))
        await listened_to(news)
        news.tell(made.id)
        await listened_to(news)
        assert not waiting.done(), "news that are not the end"
        await rest(office, made.id)
        news.tell(made.id)
        assert (await waiting).operation.ended_at == office.clock.now()
        assert not news._waiting

    async def test_it_looks_by_itself_when_another_server_ends_it(
        self, office: Office, operations: OperationService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
        viewer, made, track = await self.begun(office)
        waiting = asyncio.create_task(operations.wait(viewer, office.workspace, track.id, 280))
        await rest(office, made.id)
        assert not (await waiting).operation.open

    async def test_news_do_not_shorten_the_wait(
        self, office: Office, operations: OperationService, news: News, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "LOOK_SECONDS", 250)
        viewer, made, track = await self.begun(office)
        waiting = asyncio.create_task(operations.wait(viewer, office.workspace, track.id, 280))
        for _ in range(5):
            await listened_to(news)
            news.tell(made.id)
        await listened_to(news)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    async def test_the_time_runs_out(self, office: Office, operations: OperationService, news: News) -> None:
        viewer, _, track = await self.begun(office)
        assert (await operations.wait(viewer, office.workspace, track.id, 0)).operation.open
        assert (await operations.wait(viewer, office.workspace, track.id, 0.05)).operation.open
        assert not news._waiting

    async def test_who_goes_away_leaves_nothing_behind(
        self, office: Office, operations: OperationService, news: News
    ) -> None:
        viewer, made, track = await self.begun(office)
        waiting = [
            asyncio.create_task(operations.wait(viewer, office.workspace, track.id, 280)),
            asyncio.create_task(operations.changed(made.id, 280)),
        ]
        await listened_to(news, by=2)
        for task in waiting:
            task.cancel()
        assert all(
            isinstance(row, asyncio.CancelledError) for row in await asyncio.gather(*waiting, return_exceptions=True)
        )
        assert not news._waiting
        row = await the_only(office)
        assert row.open, "and the operation goes on"

    async def test_what_is_not_there_is_not_waited_for(self, office: Office, operations: OperationService) -> None:
        viewer = await office.caller("viewer")
        with pytest.raises(NotFound):
            await operations.wait(viewer, office.workspace, new_operation_id(), 280)


async def listened_to(news: News, by: int = 1) -> None:
    async with asyncio.timeout(30):
        while sum(len(row) for row in news._waiting.values()) < by:
            await asyncio.sleep(0.001)


async def test_a_failure_tells_no_secret_of_the_cluster(office: Office) -> None:
    """What is told of a failure is what anybody who may see the cluster reads of it, and no more."""
    ann = await office.caller("ann")
    secret = "variable-4711"
    wanted = replace(spec(), head=replace(spec().head, env={"TOKEN": secret}))
    office.world.failing["one"] = "its head did not come up"
    made = await office.services.clusters.create(ann, office.workspace, wanted, start=True, track=Track(LABEL))
    await rest(office, made.id)
    row = await the_only(office)
    assert (row.failure, row.message) == (Failure.FAILED, (await office.stored(made.id)).message)
    assert secret not in repr(row) and secret in repr(row.spec.head.env)
    assert row.ended_at is not None and row.ended_at - row.created_at < timedelta(minutes=1)
