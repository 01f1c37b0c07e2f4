"""Client tokens: a request repeated after a lost reply does nothing twice, for 24 hours."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from heliostat.domain.errors import AlreadyExists, Conflict, IdempotencyMismatch, InvalidSpec, NotReady
from heliostat.domain.records import Cluster
from heliostat.domain.states import State

from .conftest import BOTH, Office, spec

pytestmark = BOTH


async def test_a_repeated_create_answers_with_what_was_made(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    first = await clusters.create(ann, office.workspace, spec(), start=True, client_token="t")
    office.clock.advance(hours=23, minutes=59)
    office.woken.clear()
    again = await clusters.create(ann, office.workspace, spec(), start=True, client_token="t")
    assert again == first and not office.woken
    assert len(await clusters.list(ann, office.workspace, limit=10)) == 1
    reasons = [event.reason for event in await office.events(first.id)]
    assert reasons == ["Created", "StartRequested"]


async def test_after_24_hours_a_token_is_new(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    one = await clusters.create(ann, office.workspace, spec("one"), client_token="t")
    office.clock.advance(hours=24)
    with pytest.raises(AlreadyExists):
        await clusters.create(ann, office.workspace, spec("one"), client_token="t")
    two = await clusters.create(ann, office.workspace, spec("two"), client_token="t")
    assert two.id != one.id


async def test_a_token_is_for_one_thing(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    one = await clusters.create(ann, office.workspace, spec("one"), client_token="create")
    with pytest.raises(IdempotencyMismatch):
        await clusters.create(ann, office.workspace, spec("two"), client_token="create")
    with pytest.raises(IdempotencyMismatch):
        await clusters.start(ann, office.workspace, one.id, client_token="create")
    other = await office.services.directory.create_workspace(ann, "other")
    with pytest.raises(IdempotencyMismatch):
        await clusters.create(ann, other.id, spec("one"), client_token="create")
    assert [view.cluster for view in await clusters.list(ann, office.workspace, limit=10)] == [one]


async def test_everybody_has_tokens_of_their_own(office: Office) -> None:
    clusters = office.services.clusters
    one = await clusters.create(await office.caller("ann"), office.workspace, spec("one"), client_token="t")
    two = await clusters.create(await office.caller("editor"), office.workspace, spec("two"), client_token="t")
    assert one.id != two.id


async def test_a_create_that_failed_has_used_up_nothing(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    with pytest.raises(InvalidSpec):
        await clusters.create(ann, office.workspace, replace(spec(), release="ray-9.9.9"), client_token="t")
    office.world.releases_missing["ray-1.3.1"] = "install Python 3.11"
    with pytest.raises(NotReady):
        await clusters.create(ann, office.workspace, spec(), start=True, client_token="t")
    assert await clusters.list(ann, office.workspace, limit=10) == []
    office.world.releases_missing.clear()
    await clusters.create(ann, office.workspace, spec("other"), client_token="t")


async def test_a_repeat_is_answered_even_when_the_machine_could_not_do_it_any_more(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    made = await clusters.create(ann, office.workspace, spec(), start=True, client_token="t")
    office.world.releases_missing["ray-1.3.1"] = "install Python 3.11"
    assert await clusters.create(ann, office.workspace, spec(), start=True, client_token="t") == made


async def test_a_repeated_start_starts_once(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    one = await clusters.create(ann, office.workspace, spec("one"))
    two = await clusters.create(ann, office.workspace, spec("two"))
    first = await clusters.start(ann, office.workspace, one.id, client_token="t")
    await office.settle(one.id)
    again = await clusters.start(ann, office.workspace, one.id, client_token="t")
    assert again.instance == first.instance and again.state is State.RUNNING
    with pytest.raises(IdempotencyMismatch):
        await clusters.start(ann, office.workspace, two.id, client_token="t")
    office.clock.advance(hours=24)
    with pytest.raises(Conflict):
        await clusters.start(ann, office.workspace, one.id, client_token="t")
    started = await clusters.start(ann, office.workspace, two.id, client_token="t")
    assert started.state is State.STARTING


async def test_many_starts_at_once_make_one_run(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    made = await clusters.create(ann, office.workspace, spec())
    answers = await asyncio.gather(
        *(clusters.start(ann, office.workspace, made.id, client_token=token) for token in ["a", "b"] * 4),
        return_exceptions=True,
    )
    good = [answer for answer in answers if isinstance(answer, Cluster)]
    assert len(good) == 4 and len({answer.instance for answer in good}) == 1
    assert all(isinstance(answer, Conflict) for answer in answers if answer not in good)


async def test_many_creates_of_one_name_make_one_cluster(office: Office) -> None:
    clusters, ann = office.services.clusters, await office.caller("ann")
    answers = await asyncio.gather(
        *(clusters.create(ann, office.workspace, spec()) for _ in range(6)), return_exceptions=True
    )
    assert [type(answer) for answer in answers].count(Cluster) == 1
    assert [type(answer) for answer in answers].count(AlreadyExists) == 5
    assert len(await clusters.list(ann, office.workspace, limit=10)) == 1
