"""The door for gRPC by itself: who serves a method, who the peer is, how held calls end, how many there can be."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from heliostat.grpc_door import GrpcDoor, PeerOf, server
from heliostat.tls import authority_file, server_context
from heliostat.tls.authority import OwnCertificate
from tests.gateway.support import eventually

HOLD, TELL, STUCK = "/dialect.Service/Hold", "/dialect.Service/Tell", "/dialect.Service/Stuck"


class Dialect(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc is untyped
    """Holds calls until it is told that the server stops."""

    def __init__(self, peer_of: PeerOf) -> None:
        self.peer_of = peer_of
        self.held = 0
        self.stopping = asyncio.Event()
        self.closed = False
        self.drained: Callable[[], Any] = lambda: None

    def service(self, details: Any) -> Any:
        answers = {HOLD: self._hold, TELL: self._tell, STUCK: self._stuck}
        answer = answers.get(details.method)
        return None if answer is None else grpc.unary_unary_rpc_method_handler(answer)

    async def _hold(self, message: bytes, context: Any) -> bytes:
        self.held += 1
        try:
            await self.stopping.wait()
        finally:
            self.held -= 1
        return b"as it is now"

    async def _tell(self, message: bytes, context: Any) -> bytes:
        peer = self.peer_of(context.peer())
        return f"{peer.address} {peer.server_name}".encode()

    async def _stuck(self, message: bytes, context: Any) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def drain(self) -> None:
        self.stopping.set()
        await asyncio.sleep(0)
        self.drained()

    async def aclose(self) -> None:
        self.closed = True


class Taker(asyncio.Protocol):
    def __init__(self, door: GrpcDoor) -> None:
        self._door = door

    def connection_made(self, transport: Any) -> None:
        side = self._door.admit(transport, b"", lambda side: None)
        if side is not None:
            transport.set_protocol(side)


class Site:
    def __init__(self) -> None:
        self.dialect: Dialect | None = None
        self.made = 0
        self.door = GrpcDoor(self._make, connections=3)
        self.port = 0

    def _make(self, peer_of: PeerOf) -> list[Any]:
        self.made += 1
        if self.made == 1:
            raise OSError("the disk was full")
        self.dialect = Dialect(peer_of)
        return [self.dialect]

    @contextlib.asynccontextmanager
    async def channel(self, name: str = "127.0.0.1", **secure: Any) -> AsyncIterator[grpc.aio.Channel]:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 50))
        address = f"{name}:{self.port}"
        opened = (
            grpc.aio.secure_channel(address, options=options, **secure)
            if secure
            else grpc.aio.insecure_channel(address, options=options)
        )
        try:
            yield opened
        finally:
            await opened.close()


@pytest.fixture(params=["plain"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    site = Site()
    context = None
    if request.param == "TLS":
        context = server_context()
        OwnCertificate(tmp_path, ("localhost", "*.ray.localhost")).load_into(context)
    listening = await asyncio.get_running_loop().create_server(lambda: Taker(site.door), "127.0.0.1", 0, ssl=context)
    site.port = listening.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        listening.close()
        await site.door.aclose()


async def ask(channel: grpc.aio.Channel, method: str, seconds: float = 30) -> bytes:
    answer: bytes = await channel.unary_unary(method)(b"x", timeout=seconds, wait_for_ready=True)
    return answer


async def code_of(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


async def test_a_start_that_failed_is_tried_again_by_the_next_connection(site: Site) -> None:
    async with site.channel() as channel:
        assert await ask(channel, TELL) == b"127.0.0.1 "
    assert site.made == 2


async def test_what_nobody_serves_is_unimplemented(site: Site) -> None:
    async with site.channel() as channel:
        await ask(channel, TELL)
        for method in ("/grpc.health.v1.Health/Check", "/dialect.Service/Other"):
            code, details = await code_of(ask(channel, method))
            assert code is grpc.StatusCode.UNIMPLEMENTED
            assert "ray://" in details


async def test_what_is_compressed_is_refused_and_not_unpacked(site: Site) -> None:
    async with site.channel() as channel:
        await ask(channel, TELL)
        call = channel.unary_unary(TELL)(b"\0" * (8 << 20), timeout=30, compression=grpc.Compression.Gzip)
        assert (await code_of(call))[0] is grpc.StatusCode.UNIMPLEMENTED
        assert await ask(channel, TELL) == b"127.0.0.1 "


@pytest.mark.parametrize("site", ["TLS"], indirect=True)
@pytest.mark.parametrize("name", ["localhost", "c-Some.ray.localhost"])
async def test_a_handler_is_told_which_name_was_asked_for(site: Site, tmp_path: Path, name: str) -> None:
    roots = grpc.ssl_channel_credentials(authority_file(tmp_path).read_bytes())
    async with site.channel(name, credentials=roots) as channel:
        assert await ask(channel, TELL) == f"127.0.0.1 {name.lower()}".encode()


@pytest.mark.parametrize("site", ["TLS"], indirect=True)
async def test_a_client_may_ask_for_no_name_at_all(site: Site) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    for name in ("", "example.com"):
        _, writer = await asyncio.open_connection("127.0.0.1", site.port, ssl=context, server_hostname=name)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        writer.close()


async def test_held_calls_are_answered_before_the_server_stops(site: Site) -> None:
    async with site.channel() as channel:
        await ask(channel, TELL)
        assert site.dialect is not None
        held = [asyncio.create_task(ask(channel, HOLD)) for _ in range(20)]
        await eventually(lambda: site.dialect is not None and site.dialect.held == 20)
        stuck = asyncio.create_task(code_of(ask(channel, STUCK)))
        await asyncio.wait_for(site.door.drain(), 10)
        assert await asyncio.gather(*held) == [b"as it is now"] * 20
        assert (await stuck)[0] in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert not site.dialect.closed
        code, _ = await code_of(channel.unary_unary(TELL)(b"x", timeout=10))
        assert code is grpc.StatusCode.UNAVAILABLE
    await site.door.aclose()
    assert site.dialect.closed


@pytest.mark.parametrize("how", ["fails", "hangs"])
async def test_a_handler_that_cannot_end_does_not_keep_the_server(
    site: Site, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "DRAIN_SECONDS", 0.2)
    async with site.channel() as channel:
        await ask(channel, TELL)
        assert site.dialect is not None

        async def drain() -> None:
            if how == "fails":
                raise RuntimeError("a defect")
            await asyncio.Event().wait()

        monkeypatch.setattr(site.dialect, "drain", drain)
        call = asyncio.create_task(code_of(ask(channel, HOLD)))
        await eventually(lambda: site.dialect is not None and site.dialect.held)
        await asyncio.wait_for(site.door.drain(), 10)
        assert (await call)[0] in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_a_door_that_nobody_used_ends_at_once(site: Site) -> None:
    began = time.monotonic()
    await site.door.drain()
    assert time.monotonic() - began < 0.5
    assert site.made == 0
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(_.read(), 10) == b""
    writer.close()


async def test_a_thousand_calls_are_held_by_one_connection(site: Site) -> None:
    async with site.channel() as channel:
        await ask(channel, TELL)
        assert site.dialect is not None
        held = [asyncio.create_task(ask(channel, HOLD, 60)) for _ in range(1200)]
        await eventually(lambda: site.dialect is not None and site.dialect.held == 1200, 60)
        assert await ask(channel, TELL) == b"127.0.0.1 "
        site.dialect.stopping.set()
        assert set(await asyncio.gather(*held)) == {b"as it is now"}


async def test_who_says_nothing_keeps_no_place(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert dict(server.OPTIONS)["grpc.max_connection_idle_ms"]
    others = [(name, value) for name, value in server.OPTIONS if name != "grpc.max_connection_idle_ms"]
    monkeypatch.setattr(server, "OPTIONS", (*others, ("grpc.max_connection_idle_ms", 200)))
    async with site.channel() as channel:
        assert await ask(channel, TELL) == b"127.0.0.1 "
        held = asyncio.create_task(ask(channel, HOLD))
        await eventually(lambda: site.dialect is not None and site.dialect.held)
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        await asyncio.wait_for(reader.read(), 20)
        writer.close()
        assert site.dialect is not None
        site.dialect.stopping.set()
        assert await held == b"as it is now"


async def test_connections_are_counted(site: Site) -> None:
    async with contextlib.AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(site.channel()) for _ in range(4)]
        for channel in channels[:3]:
            assert await ask(channel, TELL) == b"127.0.0.1 "
        code, _ = await code_of(channels[3].unary_unary(TELL)(b"x", timeout=10))
        assert code is grpc.StatusCode.UNAVAILABLE
        await channels[0].close()
        assert await ask(channels[3], TELL) == b"127.0.0.1 "
