"""Use through the gateway is noted: seldom, beside the requests, and for as long as it goes on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from heliostat.domain.activity import FRESH
from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import InstanceId
from heliostat.gateway.decide import Allow
from heliostat.gateway.streams import OpenStreams
from heliostat.services.traffic import NOTE_SECONDS, Traffic
from heliostat.store import Store, StoreSettings
from heliostat.testing.clock import ManualClock
from tests.store.samples import a_cluster, an_instance, make_workspaces

from .support import SUBMIT, FakeGatekeeper, access_to, decided, request


class Notes:
    def __init__(self) -> None:
        self.uses: Counter[InstanceId] = Counter()
        self.open: Counter[InstanceId] = Counter()

    def used(self, instance: InstanceId) -> None:
        self.uses[instance] += 1

    def session(self, instance: InstanceId, change: int) -> None:
        self.open[instance] += change


def allowed() -> Allow:
    found = decided(request("/api/jobs/", ray_token=SUBMIT), access_to())
    assert isinstance(found, Allow)
    return found


async def test_what_stays_open_is_use_for_as_long_as_it_does() -> None:
    notes, allow = Notes(), allowed()
    streams = OpenStreams(FakeGatekeeper(**{SUBMIT: access_to()}), timedelta(milliseconds=5), notes)
    with streams.open(allow, None), streams.open(allow, None, session=True):
        assert notes.uses[allow.instance] == 2 and notes.open[allow.instance] == 1
        async with asyncio.timeout(10):
            while notes.uses[allow.instance] < 5:
                await asyncio.sleep(0.001)
    assert notes.open[allow.instance] == 0
    await streams.close()
    before = notes.uses[allow.instance]
    await asyncio.sleep(0.02)
    assert notes.uses[allow.instance] == before


class Place:
    """A store with instances, and a clock for everything."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = ManualClock()
        self.writes = 0
        self.failing = False
        self.traffic = Traffic(self, self.clock, lambda: self.clock.now().timestamp())  # type: ignore[arg-type]

    async def write(self, work: object) -> object:
        self.writes += 1
        if self.failing:
            raise Unavailable("the disk is full")
        return await self.store.write(work)  # type: ignore[arg-type]

    async def noted(self, instance: InstanceId) -> datetime | None:
        await self.traffic.close()
        return await self.store.read(lambda tx: tx.instances.traffic_at(instance))


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    store = await Store.open(StoreSettings(url=f"sqlite:///{tmp_path}/h.db", master_key=tmp_path / "key"))
    await make_workspaces(store)
    yield Place(store)
    await store.close()


async def instance(place: Place, number: int) -> InstanceId:
    cluster = a_cluster(f"c{number}")
    made = an_instance(cluster)
    await place.store.write(lambda tx: tx.clusters.add(cluster))
    await place.store.write(lambda tx: tx.instances.add(made))
    return made.id


async def test_a_use_is_noted_once_in_half_a_minute(place: Place) -> None:
    one = await instance(place, 1)
    first = place.clock.now()
    for _ in range(100):
        place.traffic.used(one)
    assert await place.noted(one) == first and place.writes == 1
    place.clock.advance(seconds=NOTE_SECONDS - 1)
    place.traffic.used(one)
    assert await place.noted(one) == first and place.writes == 1
    place.clock.advance(seconds=1)
    place.traffic.used(one)
    assert await place.noted(one) == place.clock.now()
    assert 2 * timedelta(seconds=NOTE_SECONDS) <= FRESH


async def test_many_are_noted_in_few_transactions(place: Place) -> None:
    ids = [await instance(place, number) for number in range(1, 6)]
    for id in ids:
        place.traffic.used(id)
    for id in ids:
        assert await place.noted(id) == place.clock.now()
    assert place.writes <= 2


async def test_a_note_that_cannot_be_written_is_lost_without_harm_and_tried_again(place: Place) -> None:
    one = await instance(place, 1)
    place.failing = True
    place.traffic.used(one)
    assert await place.noted(one) is None
    place.failing = False
    place.traffic.used(one)
    assert await place.noted(one) == place.clock.now()


async def test_sessions_are_counted(place: Place) -> None:
    one, other = InstanceId("ci-1"), InstanceId("ci-2")
    for change in (1, 1, -1):
        place.traffic.session(one, change)
    assert (place.traffic.sessions(one), place.traffic.sessions(other)) == (1, 0)
    place.traffic.session(one, -1)
    assert place.traffic.sessions(one) == 0 and not place.traffic._sessions
