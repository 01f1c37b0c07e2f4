"""Bytes and headers through a real port to a real head, and back."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
import structlog
from aiohttp import web

from heliostat.gateway import GatewaySettings, create_app
from heliostat.gateway.upload import Message

from .conftest import VIEWER
from .support import (
    API_TOKEN,
    CLUSTER,
    HOST,
    LINK,
    ORIGIN,
    OTHER,
    RAY_TOKEN,
    SESSION,
    SUBMIT,
    FakeGatekeeper,
    Front,
    Head,
    access_to,
    eventually,
)

MIB = 2**20
COOKIE = f"__Host-heliostat={SESSION}"


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_a_request_arrives_with_rays_token_and_no_credential_of_the_user(front: Front, head: Head) -> None:
    headers = {
        "ray-token": SUBMIT,
        "Authorization": f"Bearer {SUBMIT}",
        "X-Ray-Authorization": f"Bearer {SUBMIT}",
        "Cookie": f"{COOKIE}; ray-authentication-token=x; other=y",
        "X-Forwarded-For": "1.2.3.4",
        "X-Forwarded-Host": "evil",
        "Forwarded": "for=1.2.3.4",
        "X-Original-URL": "/test/dump",
        "X-HTTP-Method-Override": "DELETE",
        "X-Heliostat-Upstream": "evil:1",
        "Connection": "keep-alive, X-Secret-Hop",
        "X-Secret-Hop": "1",
        "Referer": f"{ORIGIN}/?token={LINK}",
        "User-Agent": "Mozilla/5.0",
        "Origin": ORIGIN,
        "Sec-Fetch-Site": "same-origin",
        "X-Unrelated": "stays",
    }
    async with front.ask("GET", f"/nodes?a=1&token={SUBMIT}", headers) as answer:
        assert (answer.status, await answer.json()) == (200, {"path": "/nodes?a=1", "method": "GET"})
    (seen,) = head.seen
    assert seen.headers.getall("Authorization") == [f"Bearer {RAY_TOKEN}"]
    assert {name.lower(): value for name, value in seen.headers.items() if name.lower() != "accept-encoding"} == {
        "host": head.address,
        "authorization": f"Bearer {RAY_TOKEN}",
        "accept": "*/*",
        "referer": f"{ORIGIN}/",
        "user-agent": "Mozilla/5.0",
        "origin": ORIGIN,
        "sec-fetch-site": "same-origin",
        "x-unrelated": "stays",
    }
    assert SUBMIT not in str(seen.headers)


async def test_nothing_is_added_that_the_client_did_not_send(front: Front, head: Head) -> None:
    raw = f"GET /nodes HTTP/1.1\r\nHost: {HOST}\r\nray-token: {SUBMIT}\r\nConnection: close\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    writer.write(raw.encode())
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.close()
    assert {name.lower() for name in head.seen[0].headers} == {"host", "authorization"}


async def test_the_canonical_path_is_what_the_head_gets(front: Front, head: Head) -> None:
    async with front.ask("GET", "/%61pi/v0/tasks?x=%20&y=%2F") as answer:
        assert answer.status == 200
    assert head.seen[0].raw_path == "/api/v0/tasks?x=%20&y=%2F"
    for odd in ("/api/../nodes", "//nodes", "/nodes%2f..", "/%2e%2e/nodes"):
        async with front.ask("GET", odd) as answer:
            assert answer.status == 400
    assert len(head.seen) == 1


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        (f"/c/{CLUSTER}/api/jobs/", {"Authorization": f"Bearer {API_TOKEN}"}),
        (f"/c/{CLUSTER}/api/jobs/", {"ray-token": SUBMIT}),
        ("/api/jobs/", {"ray-token": SUBMIT}),
        ("/api/jobs/", {"Authorization": f"Bearer {SUBMIT}"}),
        ("/api/jobs/", {"Authorization": f"Bearer {API_TOKEN}~{CLUSTER}"}),
    ],
)
async def test_programs_reach_the_head_by_path_and_by_token(
    front: Front, head: Head, target: str, headers: dict[str, str]
) -> None:
    async with front.ask("GET", target, {**headers, "Host": "127.0.0.1:8600"}) as answer:
        assert (await answer.json())["path"] == "/api/jobs/"
        assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"


async def test_one_clusters_token_is_nothing_at_another(front: Front, head: Head) -> None:
    for headers in ({"ray-token": SUBMIT[::-1]}, {"Cookie": COOKIE, "Host": f"c-{OTHER}.localhost:8600"}):
        async with front.ask("GET", "/nodes", headers) as answer:
            assert answer.status == 401
    async with front.ask(
        "GET", "/", {"Host": "localhost:8600", "Authorization": f"Bearer {API_TOKEN}~{OTHER}"}
    ) as answer:
        assert answer.status == 401
    assert not head.seen


async def test_a_link_becomes_a_cookie_that_works(front: Front, gatekeeper: FakeGatekeeper) -> None:
    navigation = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site"}
    async with front.ask("GET", f"/?token={LINK}", navigation) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}; ")
    async with front.ask("GET", "/", {"Cookie": cookie.partition(";")[0], **navigation}) as answer:
        assert answer.status == 200
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    del gatekeeper.rows[SESSION]
    async with front.ask("GET", "/", {"Cookie": cookie.partition(";")[0], **navigation}) as answer:
        assert answer.status == 401


async def test_an_upload_is_passed_on_whole_and_with_its_length(front: Front, head: Head) -> None:
    body = os.urandom(5 * MIB)
    received: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        received.append(await request.read())
        return web.Response(text=request.headers.get("Content-Length", "none"))

    head.answer = take
    async with front.ask("PUT", "/api/packages/gcs/x.zip", data=body) as answer:
        assert (answer.status, await answer.text()) == (200, str(len(body)))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), MIB):
            yield body[start : start + MIB]

    async with front.ask("PUT", "/api/packages/gcs/x.zip", data=pieces()) as answer:
        assert (answer.status, await answer.text()) == (200, "none")
    async with front.ask("POST", "/api/jobs/x/stop", data=b"") as answer:
        assert (answer.status, await answer.text()) == (200, "0")
    assert received == [body, body, b""]


async def test_a_compressed_answer_is_passed_on_as_it_is(front: Front, head: Head) -> None:
    packed = gzip.compress(b"x" * 10_000)

    async def give(request: web.Request) -> web.Response:
        return web.Response(
            body=packed, headers={"Content-Encoding": "gzip", "ETag": '"1"', "Cache-Control": "max-age=60"}
        )

    head.answer = give
    async with front.ask("GET", "/static/js/main.js") as answer:
        assert await answer.read() == packed
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Content-Length"] == str(len(packed))
        assert (answer.headers["ETag"], answer.headers["Cache-Control"]) == ('"1"', "max-age=60")


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("GET", 404), ("POST", 405), ("GET", 500)]
)
async def test_statuses_come_through(front: Front, head: Head, method: str, status: int) -> None:
    async def give(request: web.Request) -> web.Response:
        return web.Response(status=status, text="" if status in (204, 304) else "said by Ray")

    head.answer = give
    async with front.ask(method, "/api/jobs/", data=b"{}" if method == "POST" else None) as answer:
        assert answer.status == status
        assert await answer.text() == ("" if method == "HEAD" or status in (204, 304) else "said by Ray")
    async with front.ask("GET", "/nodes") as answer:
        assert answer.status == status


async def test_a_slow_reader_slows_the_head_down(front: Front, head: Head) -> None:
    """Backpressure on the way down: with a reader that reads nothing, the head cannot send more than buffers hold."""
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 300 * MIB:
            await response.write(bytes(MIB))
            sent += MIB
        return response

    head.answer = flood
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port, limit=2**16)
    writer.write(f"GET /api/v0/logs/stream HTTP/1.1\r\nHost: {HOST}\r\nray-token: {SUBMIT}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    before = -1
    while sent != before:
        before = sent
        await asyncio.sleep(0.3)
    assert 0 < sent < 60 * MIB
    writer.close()
    await writer.wait_closed()
    await eventually(lambda: len(front.gateway._streams) == 0)
    assert sent < 100 * MIB


async def test_a_slow_head_slows_the_upload_down_and_nothing_is_kept(front: Front, head: Head) -> None:
    go = asyncio.Event()

    highest = 0

    async def slow(request: web.Request) -> web.Response:
        nonlocal highest
        await go.wait()
        size = 0
        async for chunk in request.content.iter_any():
            size += len(chunk)
            highest = max(highest, resident_bytes())
        return web.Response(text=str(size))

    head.answer = slow
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(200):
            yield bytes(MIB)
            sent += 1

    before_it = resident_bytes()
    upload = asyncio.create_task(_status_and_text(front, pieces()))
    before = -1
    while sent != before or sent == 0:
        before = sent
        await asyncio.sleep(0.3)
    assert sent < 60
    go.set()
    assert await upload == (200, str(200 * MIB))
    assert highest - before_it < 50 * MIB


async def _status_and_text(front: Front, body: AsyncIterator[bytes]) -> tuple[int, str]:
    async with front.ask("PUT", "/api/packages/gcs/x.zip", data=body) as answer:
        return answer.status, await answer.text()


async def test_a_dead_head_is_a_sentence_that_helps(front: Front, gatekeeper: FakeGatekeeper) -> None:
    gatekeeper.rows[SUBMIT] = access_to(upstream="127.0.0.1:9")
    async with front.ask("GET", "/api/version") as answer:
        assert answer.status == 502
        assert f"heliostat cluster why {CLUSTER}" in await answer.text()


async def test_a_head_that_breaks_off_leaves_no_whole_answer(front: Front, head: Head) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"x" * 10)
        assert request.transport is not None
        request.transport.close()
        return response

    head.answer = cut
    with pytest.raises(aiohttp.ClientPayloadError):
        async with front.ask("GET", "/nodes") as answer:
            await answer.read()


async def test_each_request_that_runs_code_is_recorded_and_no_secret_with_it(front: Front) -> None:
    with structlog.testing.capture_logs() as lines:
        async with front.ask("POST", "/api/jobs/?x=secret", data=b"{}"):
            pass
        async with front.ask("POST", "/api/jobs/", {"ray-token": VIEWER}, data=b"{}"):
            pass
        async with front.ask("POST", "/api/jobs/", {"ray-token": SUBMIT[::-1]}, data=b"{}"):
            pass
        async with front.ask("GET", "/api/jobs/j/logs", {"ray-token": VIEWER}):
            pass
        async with front.ask("GET", "/nodes"):
            pass
    records = [line for line in lines if line["event"] == "gateway access"]
    assert [(r["who"], r["method"], r["what"], r["decision"], r["cluster"]) for r in records] == [
        ("(submit token)", "POST", "submit a job", "allowed", CLUSTER),
        ("vera", "POST", "submit a job", "forbidden", CLUSTER),
        ("", "POST", "submit a job", "unauthenticated", CLUSTER),
        ("vera", "GET", "read a job's log", "forbidden", CLUSTER),
    ]
    assert all(record["client"] == "127.0.0.1" for record in records)
    assert not any(secret in str(lines) for secret in (SUBMIT, SUBMIT[::-1], VIEWER, RAY_TOKEN, "secret"))


async def test_a_fault_of_the_gateway_tells_nothing(front: Front, gatekeeper: FakeGatekeeper) -> None:
    async def fail(token: str, cluster: object) -> None:
        raise RuntimeError(f"database password {token}")

    gatekeeper.resolve = fail  # type: ignore[assignment,method-assign]
    async with front.ask("GET", "/nodes") as answer:
        assert (answer.status, await answer.text()) == (500, "The gateway failed; the server's log says why.")


class TestTimeouts:
    @pytest.fixture
    def settings(self, settings: GatewaySettings) -> GatewaySettings:
        return replace(settings, upload_timeout=timedelta(seconds=0.2), idle_timeout=timedelta(seconds=0.3))

    async def test_a_stalled_upload_is_ended(self, front: Front, head: Head) -> None:
        async def take(request: web.Request) -> web.Response:
            await request.read()
            return web.Response()

        head.answer = take
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        lines = (
            f"PUT /api/packages/gcs/x HTTP/1.1\r\nHost: {HOST}\r\nray-token: {SUBMIT}\r\nContent-Length: 100\r\n\r\nabc"
        )
        writer.write(lines.encode())
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()

    async def test_a_head_that_says_nothing_is_given_up(self, front: Front, head: Head) -> None:
        async def never(request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(3600)
            raise AssertionError("not reached")

        head.answer = never
        async with front.ask("GET", "/nodes") as answer:
            assert answer.status == 504


async def test_it_can_be_served_alone(gatekeeper: FakeGatekeeper, settings: GatewaySettings) -> None:
    """A server of its own starts and ends it by ASGI's lifespan messages."""
    incoming = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": next(incoming)}

    async def send(message: Message) -> None:
        sent.append(message["type"])

    await create_app(gatekeeper, settings)({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
