"""The app itself, without a network: what only a broken or a far-away caller meets."""

from __future__ import annotations

import json

import pytest
from starlette.types import Scope
from structlog.testing import capture_logs

from heliostat.dialects.emr import EmrSettings
from heliostat.domain.errors import Unavailable
from heliostat.domain.records import Role
from heliostat.services import Caller, ClusterService
from heliostat.testing.clock import ManualClock

from .door import Door, converse
from .signing import signed_headers


async def test_bearer_tokens_come_over_tls_or_from_this_machine(door: Door) -> None:
    far = {"client": ("192.0.2.7", 1)}
    status, _, body = await door.send("GET", door.clusters, door.bearer(), **far)
    assert (status, body["Code"]) == (403, "InvalidBearerToken")
    assert (await door.send("GET", door.clusters, door.bearer(), scheme="https", **far))[0] == 200
    for near in (("::1", 1), ("::ffff:127.0.0.1", 1), None):
        assert (await door.send("GET", door.clusters, door.bearer(), client=near))[0] == 200
    for odd in (("example", 1), ("::ffff:192.0.2.7", 1)):
        assert (await door.send("GET", door.clusters, door.bearer(), client=odd))[0] == 403
    trusting = Door(door.services, door.first, EmrSettings(bearer_without_tls=True))
    assert (await trusting.send("GET", door.clusters, door.bearer(), **far))[0] == 200


async def test_viewers_see_no_value_that_may_be_a_secret(door: Door) -> None:
    identity, workspace = door.services.identity, door.first.workspace
    admin = Caller(await identity.by_token(door.first.token.reveal()))
    made = await identity.create_token(admin, principal="vera")
    await identity.grant(admin, workspace, "vera", Role.VIEWER)
    node = {"queueName": "root_queue", "cpu": "1", "memory": "1Gi", "env": "A=s3cret,B=s3cret"}
    node["rayStartParams"] = """--labels=team=s3cret"""
    tolerance = {"gftEnabled": True, "gftConfig": {"redisUrl": "redis://:s3cret@h", "redisPassword": "s3cret"}}
    extra = json.dumps({"key": "s3cret"})
    body = {
        "name": "c",
        "headSpec": node | tolerance,
        "workerSpec": [node | {"extraParam": extra}],
        "extraParam": extra,
    }
    cluster = (await door.send("POST", door.clusters, door.bearer(), json.dumps(body).encode()))[2]["clusterId"]

    path = f"{door.clusters}/{cluster}"
    assert (await door.send("GET", path, door.bearer()))[2]["extraParam"] == extra
    status, _, seen = await door.send("GET", path, door.bearer() | {"x-acs-bearer-token": made.token.reveal()})
    assert status == 200 and "s3cret" not in json.dumps(seen)
    assert seen["workerSpec"][0]["env"] == "A=******\nB=******" and seen["headSpec"]["rayStartParams"] == "******"


async def test_signatures_come_from_anywhere(door: Door) -> None:
    headers = signed_headers(
        "GET", door.clusters, key=door.first.access_key_id, secret=door.first.access_key_secret.reveal(), host="h",
        now=door.services.clock.now(),
    )  # fmt: skip
    assert (await door.send("GET", door.clusters, headers, client=("192.0.2.7", 1)))[0] == 200


async def test_of_two_bearer_tokens_none_is_believed(door: Door) -> None:
    good = [(name.encode(), value.encode()) for name, value in door.bearer().items()]
    other = (b"x-acs-bearer-token", b"hlt_other")
    for headers in ([*good, other], [other, *good], good + good):
        scope: Scope = {
            "type": "http", "method": "GET", "raw_path": door.clusters.encode(), "query_string": b"", "headers": headers,
        }  # fmt: skip
        start, end = await converse(door.app, scope, [{"type": "http.request"}])
        assert (start["status"], json.loads(end["body"])["Code"]) == (400, "IncompleteSignature")


async def test_a_request_line_in_absolute_form_as_proxies_send_it(door: Door) -> None:
    headers = signed_headers(
        "GET", door.clusters, key=door.first.access_key_id, secret=door.first.access_key_secret.reveal(), host="h",
        now=door.services.clock.now(),
    )  # fmt: skip
    assert (await door.send("GET", f"http://h{door.clusters}", headers))[0] == 200


async def test_a_bug_is_a_500_with_nothing_internal(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*args: object, **options: object) -> None:
        raise RuntimeError("the inner secret")

    monkeypatch.setattr(ClusterService, "list", broken)
    with capture_logs() as logs:
        status, headers, body = await door.send("GET", door.clusters, door.bearer())
    assert (status, body["Code"]) == (500, "InternalError")
    assert "secret" not in json.dumps(body)
    assert headers["x-acs-request-id"] == body["RequestId"] == logs[0]["request"]
    assert (logs[0]["event"], logs[0]["log_level"]) == ("request failed", "error")


async def test_a_backend_that_is_down_says_when_to_come_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(*args: object, **options: object) -> None:
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(ClusterService, "list", down)
    status, headers, body = await door.send("GET", door.clusters, door.bearer())
    assert (status, body["Code"]) == (503, "ServiceUnavailable")
    assert (headers["x-acs-retry-after"], headers["retry-after"]) == ("1000", "1")


async def test_nobody_is_answered_who_hung_up(door: Door) -> None:
    scope: Scope = {
        "type": "http", "method": "POST", "raw_path": door.clusters.encode(), "query_string": b"", "headers": [],
    }  # fmt: skip
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    assert await converse(door.app, scope, messages) == []


async def test_a_body_in_pieces(door: Door) -> None:
    headers = [(name.encode(), value.encode()) for name, value in door.bearer().items()]
    scope: Scope = {
        "type": "http", "method": "POST", "raw_path": door.clusters.encode(), "query_string": b"", "headers": headers,
    }  # fmt: skip
    pieces = [{"type": "http.request", "body": piece, "more_body": True} for piece in (b'{"na', b'me": 7}')]
    start, end = await converse(door.app, scope, [*pieces, {"type": "http.request"}])
    assert (start["status"], json.loads(end["body"])["Message"]) == (400, "name: must be a string, not a number")


async def test_the_nonce_is_forgotten_when_the_date_would_be_refused(door: Door) -> None:
    clock = door.services.clock
    assert isinstance(clock, ManualClock)

    async def attempt() -> str:
        headers = signed_headers(
            "GET", door.clusters, key=door.first.access_key_id, secret=door.first.access_key_secret.reveal(), host="h",
            now=clock.now(), nonce="the same",
        )  # fmt: skip
        return str((await door.send("GET", door.clusters, headers))[2].get("Code", "ok"))

    assert [await attempt(), await attempt()] == ["ok", "SignatureNonceUsed"]
    clock.advance(minutes=29)
    assert await attempt() == "SignatureNonceUsed"
    clock.advance(minutes=2)
    assert await attempt() == "ok"


async def test_it_runs_alone_under_any_server(door: Door) -> None:
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = await converse(door.app, {"type": "lifespan"}, messages)
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    closed = await converse(door.app, {"type": "websocket"}, [{"type": "websocket.connect"}])
    assert [message["type"] for message in closed] == ["websocket.close"]
