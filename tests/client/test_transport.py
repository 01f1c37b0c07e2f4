"""Retries, broken connections, errors and streams, through both clients."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from heliostat.client import AsyncClient, Client, protocol
from heliostat.client import errors as told
from heliostat.client.protocol import EventLines, ServerEvent

from .scripted import Script, events, hang_up, problem, raw, reply, scripted

Call = Callable[[Any], Any]
ME = {"id": "1", "name": "ada", "admin": True, "workspaces": []}
RELEASE = {
    "name": "ray-1", "display": "d", "ray": "2", "python": "3", "stable": True, "default": True, "environment": "ready",
}  # fmt: skip


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes a call with a fresh client of one kind; pauses between attempts are cut short."""
    monkeypatch.setattr("heliostat.client.aio.transport.pause", lambda *_: 0.0)
    monkeypatch.setattr("heliostat.client.sync.transport.pause", lambda *_: 0.0)
    monkeypatch.setattr(protocol, "pause", lambda *_: 0.0)

    def synchronously(url: str, call: Call, **options: Any) -> Any:
        with Client(url, "hlt_x", "w-1", **options) as client:
            result = call(client)
            return list(result) if inspect.isgenerator(result) else result

    def asynchronously(url: str, call: Call, **options: Any) -> Any:
        async def main() -> Any:
            async with AsyncClient(url, "hlt_x", "w-1", **options) as client:
                result = call(client)
                return [row async for row in result] if inspect.isasyncgen(result) else await result

        return asyncio.run(main())

    return synchronously if request.param == "sync" else asynchronously


def asked(script: Script) -> list[str]:
    return [f"{method} {path}" for method, path, _, _ in script.asked]


def test_a_request_says_who_it_is(run: Callable[..., Any]) -> None:
    with scripted(reply(ME)) as script:
        assert run(script.url, lambda client: client.me()).name == "ada"
    _, _, headers, _ = script.asked[0]
    assert headers["authorization"] == "Bearer hlt_x" and headers["user-agent"].startswith("heliostat-python")


@pytest.mark.parametrize(
    "failure", [problem(503, "unavailable", "later"), raw(502, b"bad gateway"), raw(503, b""), hang_up]
)
def test_a_call_that_may_be_repeated_is(run: Callable[..., Any], failure: Any) -> None:
    with scripted(failure, failure, reply(ME)) as script:
        assert run(script.url, lambda client: client.me()).name == "ada"
    assert len(script.asked) == 3


def test_retries_end(run: Callable[..., Any]) -> None:
    with scripted(problem(503, "unavailable", "later")) as script, pytest.raises(told.Unavailable) as caught:
        run(script.url, lambda client: client.me(), retries=2)
    assert len(script.asked) == 3
    assert (caught.value.status, caught.value.request_id) == (503, "R-1")


def test_what_will_not_pass_is_not_repeated(run: Callable[..., Any]) -> None:
    for status, code, kind in (
        (503, "not_ready", told.NotReady),
        (409, "conflict", told.Conflict),
        (500, "internal", told.ServerError),
    ):
        with scripted(problem(status, code)) as script, pytest.raises(kind):
            run(script.url, lambda client: client.releases.list())
        assert len(script.asked) == 1


def test_a_create_is_repeated_with_the_same_key(run: Callable[..., Any]) -> None:
    with scripted(hang_up, problem(409, "conflict")) as script, pytest.raises(told.Conflict):
        run(script.url, lambda client: client.clusters.create("demo"))
    keys = [headers["idempotency-key"] for _, _, headers, _ in script.asked]
    assert len(keys) == 2 and keys[0] == keys[1]
    assert json.loads(script.asked[0][3]) == {"name": "demo", "workers": [], "start": True}


def test_a_call_that_may_not_be_repeated_is_not(run: Callable[..., Any]) -> None:
    with scripted(hang_up) as script, pytest.raises(told.Unavailable):
        run(script.url, lambda client: client.keys.create())
    assert len(script.asked) == 1


def test_a_delete_that_had_worked_the_first_time_is_no_error(run: Callable[..., Any]) -> None:
    with scripted(hang_up, problem(404, "not_found")) as script:
        assert run(script.url, lambda client: client.keys.revoke("tok-1")) is None
    with scripted(problem(404, "not_found")) as script, pytest.raises(told.NotFound):
        run(script.url, lambda client: client.keys.revoke("tok-1"))


def test_nobody_there_is_told_with_the_remedy(run: Callable[..., Any]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(told.Unreachable) as caught:
        run(url, lambda client: client.me())
    assert f"no Heliostat server at {url}" in str(caught.value) and "heliostat serve" in str(caught.value)


def test_silence_is_a_timeout(run: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(told.RequestTimeout):
        run(f"http://127.0.0.1:{silent.getsockname()[1]}", lambda client: client.me(), timeout=0.1, retries=0)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (422, "invalid", told.InvalidRequest), (422, "missing", told.MissingField),
        (401, "unauthenticated", told.Unauthenticated),
        (403, "forbidden", told.Forbidden), (404, "not_found", told.NotFound), (409, "already_exists", told.AlreadyExists),
        (409, "idempotency_mismatch", told.IdempotencyMismatch), (409, "quota_exceeded", told.QuotaExceeded),
        (418, "from_the_future", told.HeliostatError),
    ],
)  # fmt: skip
def test_codes_become_classes(run: Callable[..., Any], status: int, code: str, kind: type[told.HeliostatError]) -> None:
    with scripted(problem(status, code, path="workers[1].cpu")) as script, pytest.raises(kind) as caught:
        run(script.url, lambda client: client.me())
    error = caught.value
    assert (error.code, error.status, error.path, error.request_id) == (code, status, "workers[1].cpu", "R-1")
    assert str(error) == f"workers[1].cpu: it is {code}"


@pytest.mark.parametrize(
    "answer",
    [raw(200, b"<html>a proxy's page</html>"), raw(404, b"<html>"), raw(500, b""), reply({"id": 1}), reply([])],
)
def test_another_kind_of_server_is_an_error_of_ours(run: Callable[..., Any], answer: Any) -> None:
    with scripted(answer) as script, pytest.raises(told.HeliostatError):
        run(script.url, lambda client: client.me(), retries=0)


def test_new_fields_and_absent_optional_ones_are_no_error(run: Callable[..., Any]) -> None:
    with scripted(reply({"releases": [{**RELEASE, "colour": "blue"}]})) as script:
        (row,) = run(script.url, lambda client: client.releases.list())
    assert (row.name, row.problem, row.raw["colour"]) == ("ray-1", None, "blue")


def test_names_are_one_segment_of_the_path(run: Callable[..., Any]) -> None:
    with scripted(problem(404, "not_found")) as script, pytest.raises(told.NotFound):
        run(script.url, lambda client: client.clusters.get("../a b?c"))
    assert asked(script) == ["GET /v1/workspaces/w-1/clusters/..%2Fa%20b%3Fc"]


def event(number: int, reason: str) -> str:
    row = {"id": number, "at": "2026-01-01T00:00:00Z", "actor": "ada", "reason": reason, "message": "m"}
    return f"id: {number}\nevent: event\ndata: {json.dumps(row)}"


def test_following_goes_on_behind_the_last_event_when_the_connection_breaks(run: Callable[..., Any]) -> None:
    stream = [
        events(event(1, "A"), ": still here", event(2, "B")),
        hang_up,
        events(event(3, "C"), "event: gone\ndata: {}"),
    ]
    with scripted(*stream) as script:
        rows = run(script.url, lambda client: client.clusters.follow_events("demo"))
    assert [row.reason for row in rows] == ["A", "B", "C"]
    path = "GET /v1/workspaces/w-1/clusters/demo/events?follow=true"
    assert asked(script) == [path, f"{path}&after=2", f"{path}&after=2"]


def test_an_error_within_a_stream_is_raised(run: Callable[..., Any]) -> None:
    last = 'event: error\ndata: {"status": 401, "code": "unauthenticated", "detail": "revoked"}'
    with scripted(events(event(1, "A"), last)) as script, pytest.raises(told.Unauthenticated, match="revoked"):
        run(script.url, lambda client: client.clusters.follow_events("demo"))


def test_a_stream_that_stays_broken_is_given_up(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "STREAM_PATIENCE_SECONDS", 0.05)
    with scripted(hang_up) as script, pytest.raises(told.Unavailable):
        run(script.url, lambda client: client.clusters.follow_events("demo"))
    assert len(script.asked) > 1


def test_event_lines() -> None:
    lines = EventLines()
    text = 'event: a\ndata: {"x":\ndata: 1}\nid: 7\n\n: life\nretry: 5\n\ndata: 2\n\nevent: empty\n\ndata: 3\n\n'
    found = [row for row in map(lines.feed, text.split("\n")) if row is not None]
    assert found == [
        ServerEvent("a", {"x": 1}, "7"), ServerEvent(""), ServerEvent("message", 2, "7"), ServerEvent("message", 3, "7"),
    ]  # fmt: skip


def test_pauses_grow_and_heed_the_server() -> None:
    assert 0.05 <= protocol.pause(0) <= 0.1
    assert 2.5 <= protocol.pause(50) <= 5.0
    assert protocol.pause(0, {"retry-after": "7"}) == 7.0
    assert protocol.pause(0, {"retry-after": "100000"}) == 30.0
    assert protocol.pause(0, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}) <= 0.1
