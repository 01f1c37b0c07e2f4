"""Websockets through the gateway: everything that was sent arrives, and both sides learn how it ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from heliostat.domain.states import State

from .conftest import VIEWER
from .support import CLUSTER, ORIGIN, RAY_TOKEN, SESSION, SUBMIT, FakeGatekeeper, Front, Head, access_to

TAIL = "/api/jobs/job1/logs/tail"
COOKIE = f"__Host-heliostat={SESSION}"
Talk = Callable[[web.WebSocketResponse], Awaitable[None]]


def talking(head: Head, talk: Talk, **options: object) -> None:
    async def answer(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(**options)  # type: ignore[arg-type]
        await socket.prepare(request)
        await talk(socket)
        return socket

    head.answer = answer


async def rest(socket: aiohttp.ClientWebSocketResponse) -> list[str]:
    """All texts until the other side closes."""
    texts = []
    async with asyncio.timeout(20):
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            texts.append(message.data)
    return texts


async def test_a_log_is_followed_to_its_end(front: Front, head: Head) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        for number in range(1000):
            await socket.send_str(f"line {number}\n" * 10)

    talking(head, talk)
    for _ in range(20):
        async with front.connect(TAIL) as socket:
            assert await rest(socket) == [f"line {number}\n" * 10 for number in range(1000)]
            assert socket.close_code == 1000
    assert head.seen[0].headers.getall("Authorization") == [f"Bearer {RAY_TOKEN}"]
    assert "ray-token" not in head.seen[0].headers


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1008, 1011, 1012, 3000, 4999])
async def test_the_heads_close_code_reaches_the_client(front: Front, head: Head, code: int) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_str("last words")
        await socket.close(code=code, message=b"because")

    talking(head, talk)
    async with front.connect(TAIL) as socket:
        assert await rest(socket) == ["last words"]
        assert socket.close_code == code


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4001])
async def test_the_clients_close_code_reaches_the_head(front: Front, head: Head, code: int) -> None:
    seen: asyncio.Future[tuple[list[object], int | None]] = asyncio.get_running_loop().create_future()

    async def talk(socket: web.WebSocketResponse) -> None:
        said = [message.data async for message in socket]
        seen.set_result((said, socket.close_code))

    talking(head, talk)
    async with front.connect(TAIL) as socket:
        await socket.send_str("text")
        await socket.send_bytes(b"bytes")
        await socket.close(code=code)
    async with asyncio.timeout(10):
        assert await seen == (["text", b"bytes"], code)


async def test_a_client_that_vanishes_lets_the_head_go(front: Front, head: Head) -> None:
    gone = asyncio.Event()

    async def talk(socket: web.WebSocketResponse) -> None:
        with contextlib.suppress(ConnectionError):
            while not socket.closed:
                await socket.send_str("x" * 1000)
                await asyncio.sleep(0.005)
        gone.set()

    talking(head, talk)
    socket = await front.connect(TAIL)
    await socket.receive()
    assert socket._conn is not None and socket._conn.transport is not None
    socket._conn.transport.abort()
    async with asyncio.timeout(10):
        await gone.wait()
    await socket.close()


async def test_a_head_that_vanishes_is_an_error_for_the_client(front: Front, head: Head) -> None:
    async def answer(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("x")
        assert request.transport is not None
        request.transport.abort()
        return socket

    head.answer = answer
    async with front.connect(TAIL) as socket:
        assert await rest(socket) in (["x"], [])
        assert socket.close_code == 1011


async def test_subprotocols_are_the_heads_to_choose(front: Front, head: Head) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_str(str(socket.ws_protocol))

    talking(head, talk, protocols=("b",))
    async with front.connect(TAIL, protocols=("a", "b")) as socket:
        assert socket.protocol == "b"
        assert await rest(socket) == ["b"]


async def test_a_reader_that_reads_nothing_stops_the_head(front: Front, head: Head) -> None:
    sent = 0

    async def talk(socket: web.WebSocketResponse) -> None:
        nonlocal sent
        with contextlib.suppress(ConnectionError):
            while sent < 3000:
                await socket.send_str("x" * 100_000)
                sent += 1

    talking(head, talk)
    async with front.session.get(
        front.url(TAIL),
        headers={
            "Host": f"c-{CLUSTER}.localhost:8600",
            "ray-token": SUBMIT,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        },
    ) as upgraded:
        assert upgraded.status == 101
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.3)
        assert 0 < sent < 600


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"ray-token": SUBMIT[::-1]}, 401),
        ({"ray-token": VIEWER}, 403),
        ({"Cookie": COOKIE}, 403),
        ({"Cookie": COOKIE, "Origin": "http://evil.example"}, 403),
    ],
)
async def test_refusals_are_answers_and_nothing_reaches_the_head(
    front: Front, head: Head, headers: dict[str, str], status: int
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await front.connect(TAIL, headers)
    assert caught.value.status == status
    assert not head.seen


async def test_an_own_page_may_open_one(front: Front, head: Head) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_str("hello")

    talking(head, talk)
    async with front.connect(TAIL, {"Cookie": COOKIE, "Origin": ORIGIN}) as socket:
        assert await rest(socket) == ["hello"]


@pytest.mark.parametrize(
    ("status", "seen"), [(404, 404), (400, 400), (403, 403), (401, 502), (500, 502), (302, 502), (200, 502)]
)
async def test_the_heads_refusal_reaches_the_client(front: Front, head: Head, status: int, seen: int) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=status, text="Job job1 does not exist", headers={"Location": "/"})

    head.answer = refuse
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await front.connect(TAIL)
    assert caught.value.status == seen


async def test_a_dead_head_is_a_502(front: Front, gatekeeper: FakeGatekeeper) -> None:
    gatekeeper.rows[SUBMIT] = access_to(upstream="127.0.0.1:9")
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await front.connect(TAIL)
    assert caught.value.status == 502


@pytest.mark.parametrize("stubborn", [False, True])
async def test_it_ends_soon_after_the_right_to_it(
    front: Front, head: Head, gatekeeper: FakeGatekeeper, stubborn: bool
) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_str("x")
        if stubborn:
            await asyncio.sleep(3600)
        await socket.receive()

    talking(head, talk)
    async with front.connect(TAIL) as socket:
        assert await socket.receive_str() == "x"
        gatekeeper.rows[SUBMIT] = access_to(state=State.STOPPED)
        assert await rest(socket) == []
        assert socket.close_code == 1008


async def test_closing_the_gateway_ends_it(front: Front, head: Head) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_str("x")
        await socket.receive()

    talking(head, talk)
    async with front.connect(TAIL) as socket:
        assert await socket.receive_str() == "x"
        await front.gateway.aclose()
        assert await rest(socket) == []
        assert socket.close_code == 1008
