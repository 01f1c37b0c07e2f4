"""Changing, stopping and deleting: what is stored, what is told, what the reader is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from heliostat.domain.engine import Finding, Verdict
from heliostat.domain.errors import AlreadyExists, Conflict, InvalidSpec, NotFound, NotReady
from heliostat.domain.ids import InstanceId
from heliostat.domain.records import Cluster
from heliostat.domain.spec import ClusterSpec
from heliostat.domain.states import COHERENT, State, Wanted

from .conftest import BOTH, SHAPE, Office, spec

IGNORED = Finding("network_service", Verdict.IGNORED, "there are no networks")
MAPPED = Finding("head.gpu", Verdict.MAPPED, "for scheduling only")
REFUSED = Finding("head.env.RAY_ADDRESS", Verdict.REFUSED, "is set by Heliostat itself; remove it")


def larger_head(old: ClusterSpec) -> ClusterSpec:
    return replace(old, head=replace(SHAPE, cpu=SHAPE.cpu * 2))


def described(old: ClusterSpec) -> ClusterSpec:
    return replace(old, description="new")


async def in_state(office: Office, state: State) -> Cluster:
    """A cluster in that state, by the ways that users have."""
    clusters, ann = office.services.clusters, await office.caller("ann")
    office.world.linger = 2
    if state is State.ERROR:
        office.world.failing["one"] = "no such package"
    made = await clusters.create(ann, office.workspace, spec(), start=state is not State.STOPPED)
    if state not in (State.STOPPED, State.STARTING):
        await office.settle(made.id)
    if state is State.STOPPING:
        await clusters.stop(ann, office.workspace, made.id)
    found = await office.stored(made.id)
    assert found.state is state
    return found


@BOTH
@pytest.mark.parametrize("state", State)
async def test_an_update_is_stored_in_every_state_and_modified_says_whether_to_restart(
    office: Office, state: State
) -> None:
    clusters, editor = office.services.clusters, await office.caller("editor")
    made = await in_state(office, state)
    office.clock.advance(minutes=1)
    cosmetic = await clusters.update(editor, office.workspace, made.id, described)
    assert (cosmetic.generation, cosmetic.modified, cosmetic.spec.description) == (2, False, "new")
    assert (cosmetic.modifier_name, cosmetic.modified_at) == ("editor", office.clock.now())
    assert (cosmetic.creator_name, cosmetic.created_at) == ("ann", made.created_at)
    grown = await clusters.update(editor, office.workspace, made.id, larger_head)
    up = state in (State.STARTING, State.RUNNING)
    assert (grown.generation, grown.modified, grown.state) == (3, up, state)
    last = (await office.events(made.id))[-1]
    assert last.reason == "Updated" and last.actor == "editor"
    effect = "at the next restart" if up else "at the next start"
    assert last.message == f"changed to generation 3: head.cpu 1 -> 2 ({effect})"
    back = await clusters.update(editor, office.workspace, made.id, lambda old: replace(old, head=made.spec.head))
    assert (back.generation, back.modified) == (4, False)


async def test_an_update_that_changes_nothing_is_none(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    made = await clusters.create(ann, office.workspace, spec())
    count = len(await office.events(made.id))
    assert await clusters.update(ann, office.workspace, made.id, lambda old: replace(old, release="2.60.0")) == made
    assert len(await office.events(made.id)) == count


async def test_modified_ends_with_the_next_start(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    made = await office.running()
    await clusters.update(ann, office.workspace, made.id, larger_head)
    stopped = await clusters.stop(ann, office.workspace, made.id)
    assert not stopped.modified
    await office.settle(made.id)
    await clusters.start(ann, office.workspace, made.id)
    await office.settle(made.id)
    view = await clusters.get(ann, office.workspace, made.id)
    assert not view.cluster.modified and view.instance is not None
    assert view.instance.generation == view.cluster.generation == 2 and view.instance.spec.head.cpu == 2


async def test_a_bad_update_changes_nothing(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    await clusters.create(ann, office.workspace, spec("taken"))
    made = await clusters.create(ann, office.workspace, spec())
    events = await office.events(made.id)
    with pytest.raises(AlreadyExists):
        await clusters.update(ann, office.workspace, made.id, lambda old: replace(old, name="taken"))
    with pytest.raises(InvalidSpec) as raised:
        await clusters.update(
            ann, office.workspace, made.id, lambda old: replace(old, head=replace(SHAPE, queue="elsewhere"))
        )
    assert raised.value.path == "head.queue"

    def broken(old: ClusterSpec) -> ClusterSpec:
        raise InvalidSpec("workers", "from the dialect")

    with pytest.raises(InvalidSpec, match="from the dialect"):
        await clusters.update(ann, office.workspace, made.id, broken)
    assert await office.stored(made.id) == made
    assert await office.events(made.id) == events


@pytest.mark.parametrize("state", State)
async def test_what_each_call_does_in_each_state(office: Office, state: State) -> None:
    """The contract's table (EMR contract, section 7.1)."""
    clusters, ann = office.services.clusters, await office.caller("ann")
    made = await in_state(office, state)
    calls: dict[str, tuple[Callable[[], Awaitable[object]], set[State]]] = {
        "start": (lambda: clusters.start(ann, office.workspace, made.id), {State.STOPPED, State.ERROR}),
        "delete": (lambda: clusters.delete(ann, office.workspace, made.id), {State.STOPPED, State.ERROR}),
    }
    for call, allowed in calls.values():
        if state not in allowed:
            with pytest.raises(Conflict, match=state):
                await call()
            assert await office.stored(made.id) == made
    stopped = await clusters.stop(ann, office.workspace, made.id)
    assert stopped.state is (state if state in (State.STOPPED, State.STOPPING) else State.STOPPING)
    await office.settle(made.id)
    assert (await office.stored(made.id)).state is State.STOPPED
    assert not office.world.instances


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("stop_first", [False, True])
async def test_a_deleted_cluster_is_gone_for_readers_at_once_when_at_rest(
    office: Office, state: State, stop_first: bool
) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    made = await in_state(office, state)
    at_rest = state in (State.STOPPED, State.ERROR)
    if not stop_first and not at_rest:
        with pytest.raises(Conflict, match="stop it first"):
            await clusters.delete(ann, office.workspace, made.id)
        return
    await clusters.delete(ann, office.workspace, made.id, stop_first=stop_first)
    if at_rest:
        with pytest.raises(NotFound):
            await clusters.get(ann, office.workspace, made.id)
        await clusters.create(ann, office.workspace, spec())
    else:
        assert (await clusters.get(ann, office.workspace, made.id)).cluster.state is State.STOPPING
        with pytest.raises(AlreadyExists):
            await clusters.create(ann, office.workspace, spec())
    with pytest.raises(NotFound if at_rest else Conflict):
        await clusters.start(ann, office.workspace, made.id)
    if not at_rest:
        await clusters.delete(ann, office.workspace, made.id)  # again: changes nothing
    await office.settle(made.id)
    assert await office.store.read(lambda tx: tx.clusters.find_any(made.id)) is None
    assert not office.world.instances
    assert (await office.events(made.id))[-1].reason == "Deleted"


async def test_a_start_after_a_failure_waits_until_the_failed_run_is_gone(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    failed = await in_state(office, State.ERROR)
    office.world.failing.clear()
    started = await clusters.start(ann, office.workspace, failed.id)
    assert started.instance != failed.instance
    await office.reconciler.reconcile(failed.id)
    assert list(office.world.instances) == [failed.instance]
    await office.settle(failed.id)
    assert list(office.world.instances) == [started.instance]


async def test_the_guard_of_a_stop(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    made = await office.running()
    assert made.instance is not None
    with pytest.raises(Conflict, match=made.instance):
        await clusters.stop(ann, office.workspace, made.id, instance=InstanceId("ray-another-run"))
    assert (await office.stored(made.id)).state is State.RUNNING
    await clusters.stop(ann, office.workspace, made.id, instance=made.instance)
    await office.settle(made.id)
    with pytest.raises(Conflict, match="none is running"):
        await clusters.stop(ann, office.workspace, made.id, instance=made.instance)


@pytest.mark.parametrize("state", State)
async def test_wish_and_state_stay_coherent(office: Office, state: State) -> None:
    made = await in_state(office, state)
    assert made.state in COHERENT[made.wanted]
    await office.services.clusters.stop(await office.caller("ann"), office.workspace, made.id)
    assert (await office.stored(made.id)).state in COHERENT[Wanted.STOPPED]


async def test_fields_that_are_not_honoured_are_told_in_events_and_views(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    office.engine.findings = (IGNORED, MAPPED)
    made = await clusters.create(ann, office.workspace, spec())
    told = [(event.reason, event.message, event.warning) for event in await office.events(made.id)][1:]
    assert told == [
        ("FieldIgnored", "network_service: there are no networks", True),
        ("FieldMapped", "head.gpu: for scheduling only", True),
    ]
    assert (await clusters.get(ann, office.workspace, made.id)).findings == (IGNORED, MAPPED)
    explained = await clusters.why(ann, office.workspace, made.id)
    assert "head.gpu is mapped: for scheduling only" in explained.evidence
    await clusters.update(ann, office.workspace, made.id, described)
    assert [event.reason for event in await office.events(made.id)].count("FieldMapped") == 1


async def test_a_field_that_cannot_be_is_refused_before_anything_is_made(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    stored = await clusters.create(ann, office.workspace, spec("stored"))
    office.engine.findings = (REFUSED,)
    with pytest.raises(InvalidSpec) as raised:
        await clusters.create(ann, office.workspace, spec())
    assert raised.value.path == REFUSED.path
    with pytest.raises(InvalidSpec):
        await clusters.start(ann, office.workspace, stored.id)
    assert [view.cluster for view in await clusters.list(ann, office.workspace, limit=9)] == [stored]
    assert not office.world.instances


async def test_an_unready_release_is_refused_before_anything_is_started(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    made = await clusters.create(ann, office.workspace, spec())
    office.world.releases_missing["ray-1.3.1"] = "install Python 3.11"
    with pytest.raises(NotReady, match=r"ray-1.3.1 .* cannot be started here: install Python 3.11"):
        await clusters.start(ann, office.workspace, made.id)
    assert await office.stored(made.id) == made


async def test_a_cluster_is_found_by_name_and_by_id(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    made = await clusters.create(ann, office.workspace, spec("by name"))
    assert await clusters.resolve(ann, office.workspace, "by name") == made.id
    assert await clusters.resolve(ann, office.workspace, made.id) == made.id
    impostor = await clusters.create(ann, office.workspace, spec(made.id))
    assert await clusters.resolve(ann, office.workspace, made.id) == made.id
    assert impostor.id != made.id
    with pytest.raises(NotFound):
        await clusters.resolve(ann, office.workspace, "nothing")


async def test_lists_are_newest_first_in_pages(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    made = []
    for number in range(5):
        office.clock.advance(seconds=1)
        made.append(await clusters.create(ann, office.workspace, spec(f"c{number}"), start=number == 4))
    names = [view.cluster.spec.name for view in await clusters.list(ann, office.workspace, limit=3)]
    assert names == ["c4", "c3", "c2"]
    following = await clusters.list(ann, office.workspace, limit=3, before=made[2].id)
    assert [view.cluster.spec.name for view in following] == ["c1", "c0"]
    starting = await clusters.list(ann, office.workspace, limit=3, states=[State.STARTING])
    assert [view.cluster.id for view in starting] == [made[4].id] and starting[0].instance is not None
    assert len(await clusters.list(ann, office.workspace, limit=3, name_contains="C1")) == 1


async def test_events_can_be_followed(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    made = await office.running()
    newest = await clusters.events(ann, office.workspace, made.id, limit=2)
    assert [event.reason for event in newest] == ["Running", "StartRequested"]
    older = await clusters.events(ann, office.workspace, made.id, before=newest[-1].id)
    assert [event.reason for event in older] == ["Created"]
    await clusters.stop(ann, office.workspace, made.id)
    await office.settle(made.id)
    since = await clusters.events(ann, office.workspace, made.id, after=newest[0].id)
    assert [event.reason for event in since] == ["StopRequested", "Stopped"]
    assert {event.actor for event in newest + since} == {"ann", "heliostat"}
