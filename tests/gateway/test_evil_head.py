"""Heads run users' code: what a hostile one answers must reach no further than its own page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
from aiohttp import web

from heliostat.gateway import GatewaySettings
from heliostat.gateway.headers import to_client
from heliostat.gateway.request import Form

from .support import CLUSTER, HOST, SUBMIT, FakeGatekeeper, Front, Head, access_to

EVIL_HEADERS = [
    ("Set-Cookie", "__Host-heliostat=evil; Path=/; Secure"),
    ("Set-Cookie", "anything=evil; Domain=localhost"),
    ("Service-Worker-Allowed", "/"),
    ("Clear-Site-Data", '"cookies"'),
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Credentials", "true"),
    ("Strict-Transport-Security", "max-age=1; includeSubDomains"),
    ("Alt-Svc", 'h2="evil.example:443"'),
    ("Refresh", "0; url=http://evil.example/"),
    ("Location", "http://evil.example/"),
    ("WWW-Authenticate", 'Basic realm="give me your password"'),
    ("X-Frame-Options", "ALLOWALL"),
    ("X-Content-Type-Options", "none"),
    ("Referrer-Policy", "unsafe-url"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
    ("NEL", "{}"),
    ("Report-To", "{}"),
    ("Connection", "x-hop"),
    ("X-Hop", "1"),
]


async def test_headers_that_reach_beyond_the_page_are_dropped(front: Front, head: Head) -> None:
    async def evil(request: web.Request) -> web.Response:
        response = web.Response(text="page", content_type="text/html")
        for name, value in EVIL_HEADERS:
            response.headers.add(name, value)
        response.headers["X-Harmless"] = "stays"
        return response

    head.answer = evil
    async with front.ask("GET", "/") as answer:
        assert await answer.text() == "page"
        assert {name.lower(): value for name, value in answer.headers.items() if name.lower() != "date"} == {
            "content-type": "text/html; charset=utf-8",
            "content-length": "4",
            "x-harmless": "stays",
            "x-content-type-options": "nosniff",
            "x-frame-options": "SAMEORIGIN",
            "referrer-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "cross-origin-opener-policy": "same-origin",
        }


def test_headers_that_could_not_be_sent_on_are_dropped() -> None:
    given = [(b"ok", b"caf\xe9"), (b"bad name", b"x"), (b"bad", b"a\r\nb"), (b"bad2", b"a\x00")]
    names = [name for name, _ in to_client(given, Form.HOST, GatewaySettings())]
    assert names[0] == b"ok"
    assert not any(name.startswith(b"bad") for name in names)


def test_strict_transport_is_ours_to_say() -> None:
    given = to_client(
        [(b"Strict-Transport-Security", b"max-age=0")], Form.HOST, GatewaySettings("ray.example", secure=True)
    )
    assert [value for name, value in given if name == b"strict-transport-security"] == [b"max-age=31536000"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["http://evil.example/", f"/c/{CLUSTER}/api/jobs/", "relative"])
async def test_a_redirect_is_neither_followed_nor_passed_on(
    front: Front, head: Head, status: int, location: str
) -> None:
    """An SDK would repeat its request, token and all, wherever the head says: at another cluster, or beyond."""

    async def away(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": location})

    head.answer = away
    async with front.ask("POST", "/api/jobs/", data=b"{}") as answer:
        assert answer.status == 502
        assert "Location" not in answer.headers
    assert len(head.seen) == 1


async def test_a_head_that_refuses_our_token_does_not_make_the_users_look_wrong(front: Front, head: Head) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=401, text="Unauthorized")

    head.answer = refuse
    with structlog.testing.capture_logs() as lines:
        async with front.ask("GET", "/nodes") as answer:
            assert answer.status == 502
    assert [line["cause"] for line in lines if line["event"] == "head failed"] == ["it refuses the gateway's token"]


RAW = [
    b"HTTP/1.1 200 OK\r\nX-Huge: " + b"a" * 20_000 + b"\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 1000) for n in range(100_000)) + b"\r\n",
    b"HTTP/1.1 200 " + b"a" * 20_000 + b"\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: evil\r\nConnection: Upgrade\r\n\r\nraw bytes",
    b"HTTP/1.1 abc\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x00" * 100,
    b"",
]


@pytest.fixture(params=range(len(RAW)))
def raw(request: pytest.FixtureRequest) -> Iterator[bytes]:
    yield RAW[request.param]


async def test_what_is_no_http_answer_becomes_a_502(front: Front, gatekeeper: FakeGatekeeper, raw: bytes) -> None:
    async def evil(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        writer.close()

    server = await asyncio.start_server(evil, "127.0.0.1", 0)
    async with server:
        gatekeeper.rows[SUBMIT] = access_to(upstream=f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with asyncio.timeout(20):
            async with front.ask("GET", "/nodes") as answer:
                assert answer.status == 502
            async with front.ask("POST", "/api/jobs/", data=b"{}") as answer:
                assert answer.status == 502


async def test_an_answer_before_the_end_of_the_upload_comes_through(front: Front, head: Head) -> None:
    async def impatient(request: web.Request) -> web.Response:
        return web.Response(status=413, text="too much")

    head.answer = impatient
    go = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await go.wait()

    async with asyncio.timeout(10):
        async with front.ask("PUT", "/api/packages/gcs/x", data=pieces()) as answer:
            assert (answer.status, await answer.text()) == (413, "too much")
            go.set()
    async with front.ask("GET", "/nodes", {"Host": HOST, "ray-token": SUBMIT}) as answer:
        assert answer.status == 413
