"""Following: what a watcher is told, when the stream ends, and that it does not outlive its welcome."""

from __future__ import annotations

import asyncio
import time

import pytest

from heliostat.api import end_streams, streams
from heliostat.domain.records import Role

from .support import House, Looks, frames


async def test_a_watcher_is_told_of_every_state_and_of_the_end(house: House, looks: Looks) -> None:
    made = await house.create(start=False)
    client = house.admin
    watching = asyncio.create_task(client.get(f"{house.clusters}/demo/watch", params={"seconds": 30}))
    await _open(house)
    await house.admin.post(f"{house.clusters}/demo/start")
    await house.until("demo", "Running")
    await looks.another()  # so that the state is seen before it is left
    await house.admin.delete(f"{house.clusters}/demo", params={"stop": "true"})
    answer = await asyncio.wait_for(watching, 10)
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = frames(answer.text)
    states = [document.get("state") for kind, document in told if kind == "cluster"]
    assert states[0] == "Stopped" and "Running" in states
    assert told[-1] == ("gone", {})
    assert all(document["id"] == made["id"] for kind, document in told if kind == "cluster")
    assert house.app.state.shared.open_streams == 0


async def test_nothing_is_told_twice_and_the_stream_ends_on_time(house: House) -> None:
    await house.create(start=False)
    since = time.monotonic()
    answer = await house.admin.get(f"{house.clusters}/demo/watch", params={"seconds": 0.7})
    assert 0.6 < time.monotonic() - since < 5
    assert [kind for kind, _ in frames(answer.text)] == ["cluster"]


async def test_followers_get_every_event_once_in_order(house: House, looks: Looks) -> None:
    await house.create(start=False)
    path = f"{house.clusters}/demo/events"
    following = asyncio.create_task(house.admin.get(path, params={"follow": "true", "seconds": 30}))
    await _open(house)
    await house.admin.post(f"{house.clusters}/demo/start")
    await house.until("demo", "Running")
    await house.admin.post(f"{house.clusters}/demo/stop")
    await house.until("demo", "Stopped")
    await looks.another()
    await house.admin.delete(f"{house.clusters}/demo")
    told = frames((await asyncio.wait_for(following, 10)).text)
    assert [document["reason"] for kind, document in told if kind == "event"] == [
        "Created", "StartRequested", "Running", "StopRequested", "Stopped",
    ]  # fmt: skip
    assert told[-1][0] == "gone"


async def test_followers_go_on_where_they_were(house: House) -> None:
    await house.create()
    await house.until("demo", "Running")
    path = f"{house.clusters}/demo/events"
    rows = (await house.admin.get(path)).json()["events"]
    for params, headers in (
        ({"after": rows[1]["id"]}, {}),
        ({"after": 0}, {"last-event-id": str(rows[1]["id"])}),
    ):
        answer = await house.admin.get(path, params={"follow": "true", "seconds": 0.01, **params}, headers=headers)
        assert [document["id"] for _, document in frames(answer.text)] == [rows[0]["id"]]


async def test_more_events_than_one_look_takes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BATCH", 2)
    await house.create()
    await house.until("demo", "Running")
    answer = await house.admin.get(f"{house.clusters}/demo/events", params={"follow": "true", "seconds": 0.01})
    assert [document["reason"] for _, document in frames(answer.text)][:2] == ["Created", "StartRequested"]


async def test_a_stream_ends_when_its_reader_loses_the_role(house: House) -> None:
    await house.create(start=False)
    client = await house.principal("eve", Role.VIEWER)
    watching = asyncio.create_task(client.get(f"{house.clusters}/demo/watch", params={"seconds": 30}))
    await _open(house)
    await house.admin.delete(f"/v1/workspaces/{house.workspace}/roles/eve")
    monkey = pytest.MonkeyPatch()
    monkey.setattr(streams, "CHECK_SECONDS", 0.0)
    try:
        answer = await asyncio.wait_for(watching, 10)
    finally:
        monkey.undo()
    assert frames(answer.text)[-1][0] == "gone"


async def test_a_stream_ends_when_its_token_is_revoked(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CHECK_SECONDS", 0.0)
    await house.create(start=False)
    made = (await house.admin.post("/v1/keys", json={})).json()
    client = house.client(made["secret"])
    watching = asyncio.create_task(client.get(f"{house.clusters}/demo/watch", params={"seconds": 30}))
    await _open(house)
    await house.admin.delete(f"/v1/keys/{made['key']['id']}")
    kind, problem = frames((await asyncio.wait_for(watching, 10)).text)[-1]
    assert (kind, problem["code"]) == ("error", "unauthenticated")


async def test_a_cluster_that_keeps_changing_does_not_keep_a_revoked_reader(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(streams, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(streams, "SIGN_OF_LIFE_SECONDS", 0.05)
    await house.create(start=False)
    made = (await house.admin.post("/v1/keys", json={})).json()
    client = house.client(made["secret"])
    watching = asyncio.create_task(client.get(f"{house.clusters}/demo/watch", params={"seconds": 30}))
    await _open(house)
    await house.admin.delete(f"/v1/keys/{made['key']['id']}")
    admin = house.admin
    async with asyncio.timeout(10):
        for number in range(10_000):
            await admin.patch(f"{house.clusters}/demo", json={"description": str(number)})
            if watching.done():
                break
    kind, problem = frames(watching.result().text)[-1]
    assert (kind, problem["code"]) == ("error", "unauthenticated")


async def test_one_stream_too_many_is_told_to_come_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS", 1)
    await house.create(start=False)
    first = asyncio.create_task(house.admin.get(f"{house.clusters}/demo/watch", params={"seconds": 30}))
    await _open(house)
    second = await house.admin.get(f"{house.clusters}/demo/watch")
    assert (second.status_code, second.json()["code"]) == (429, "throttled")
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    async with asyncio.timeout(5):
        while house.app.state.shared.open_streams:
            await asyncio.sleep(0.01)
    assert (await house.admin.get(f"{house.clusters}/demo/watch?seconds=0.01")).status_code == 200


async def _open(house: House) -> None:
    async with asyncio.timeout(5):
        while not house.app.state.shared.open_streams:
            await asyncio.sleep(0.01)


async def test_the_servers_end_ends_streams_at_once(house: House) -> None:
    await house.create(start=False)
    paths = [f"{house.clusters}/demo/watch", f"{house.clusters}/demo/events?follow=true"]
    open_ones = [asyncio.create_task(house.admin.get(path)) for path in paths]
    async with asyncio.timeout(5):
        while house.app.state.shared.open_streams < len(paths):
            await asyncio.sleep(0.01)
    since = time.monotonic()
    end_streams(house.app)
    answers = await asyncio.wait_for(asyncio.gather(*open_ones), 5)
    assert time.monotonic() - since < 1
    assert all(kind != "gone" for answer in answers for kind, _ in frames(answer.text))
