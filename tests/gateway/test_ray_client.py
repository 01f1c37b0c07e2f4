"""The ``ray://`` door with a head that the test plays: who gets in, what arrives on either side, and how calls end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest

from heliostat.domain.ids import InstanceId
from heliostat.domain.passes import Purpose
from heliostat.domain.records import Role
from heliostat.domain.states import State
from heliostat.gateway import GatewaySettings
from heliostat.gateway.decide import Allow
from heliostat.gateway.ray_client.decide import (
    Call,
    CallReading,
    Refusal,
    cluster_of,
    decide_call,
    read_call,
    to_head,
)
from heliostat.gateway.ray_client.proxy import RayClientProxy
from heliostat.gateway.streams import OpenStreams
from heliostat.grpc_door import GrpcDoor
from heliostat.services.access import Access

from .ray_client import UNLIMITED, FakeHead, playing_client_server
from .support import API_TOKEN, CLUSTER, LINK, OTHER, RAY_TOKEN, SUBMIT, FakeGatekeeper, access_to, eventually

METHOD = "/ray.rpc.RayletDriver/ClusterInfo"
DATAPATH = "/ray.rpc.RayletDataStreamer/Datapath"
BEARER = ("authorization", f"Bearer {SUBMIT}")
VIEWER = "hlt_" + "v" * 43
SECOND = SUBMIT[::-1]


def with_client(access: Access, address: str | None) -> Access:
    assert access.route is not None
    return replace(access, route=replace(access.route, client=address))


def decided(access: Access | None, *metadata: tuple[str, str | bytes], method: str = METHOD) -> Allow | Refusal:
    reading = read_call(Call(method, metadata))
    return reading if isinstance(reading, Refusal) else decide_call(reading, access)


@pytest.mark.parametrize(
    ("metadata", "access", "code", "words"),
    [
        ((), access_to(), "UNAUTHENTICATED", "submit token"),
        ((("authorization", SUBMIT),), access_to(), "UNAUTHENTICATED", "submit token"),
        ((("authorization", "Basic abc"),), access_to(), "UNAUTHENTICATED", "submit token"),
        ((("authorization", f"Bearer {'f' * 64}"),), access_to(), "UNAUTHENTICATED", "submit token"),
        ((BEARER,), None, "UNAUTHENTICATED", "submit token"),
        ((BEARER, ("authorization", f"Bearer {SECOND}")), access_to(), "UNAUTHENTICATED", "two different"),
        ((BEARER, ("x-heliostat-cluster", "../up")), access_to(), "INVALID_ARGUMENT", "id of one cluster"),
        ((BEARER, ("x-heliostat-cluster", "a"), ("x-heliostat-cluster", "b")), access_to(), "INVALID_ARGUMENT", "one"),
        ((BEARER,), access_to(role=Role.VIEWER), "PERMISSION_DENIED", "editor"),
        ((BEARER,), access_to(state=State.STOPPED), "FAILED_PRECONDITION", "heliostat cluster start"),
        ((BEARER,), access_to(state=State.STARTING), "UNAVAILABLE", "is starting"),
        ((BEARER,), access_to(), "UNAVAILABLE", "Ray Client server does not answer"),
    ],
)
def test_refusals_say_what_to_do(metadata: Any, access: Access | None, code: str, words: str) -> None:
    refusal = decided(access, *metadata)
    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert words in refusal.sentence
    assert SUBMIT not in refusal.sentence


@pytest.mark.parametrize(
    "method", ["/grpc.health.v1.Health/Check", "/ray.rpc.X", "/ray.rpc.X/Y/../Z", "/ray.rpcx.A/B", ""]
)
def test_only_ray_clients_methods(method: str) -> None:
    refusal = decided(with_client(access_to(), "h:1"), BEARER, method=method)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "UNIMPLEMENTED"


def test_the_same_value_twice_is_one() -> None:
    assert isinstance(decided(with_client(access_to(), "h:1"), BEARER, BEARER), Allow)


@pytest.mark.parametrize(("ray", "sent"), [("2.60.0", [("authorization", f"Bearer {RAY_TOKEN}")]), ("2.47.1", [])])
def test_a_head_gets_its_own_token_or_none_and_no_users(ray: str, sent: list[tuple[str, str]]) -> None:
    allow = decided(with_client(access_to(ray=ray), "127.0.0.1:7"), BEARER)
    assert isinstance(allow, Allow)
    assert allow.upstream == "127.0.0.1:7"
    given = (
        BEARER, ("client_id", "c"), ("thread_id", "1"), ("req_id", "2"), ("x-bin", b"\0"), ("cookie", "a"),
        ("x-heliostat-cluster", CLUSTER), ("x-ray-authorization", "Bearer x"), ("ray-token", SUBMIT), ("grpc-x", "y"),
        ("user-agent", "grpc"),
    )  # fmt: skip
    assert list(to_head(given, allow)) == [
        ("client_id", "c"), ("thread_id", "1"), ("req_id", "2"), ("x-bin", b"\0"), *sent,
    ]  # fmt: skip


DOMAINS = frozenset({"localhost", "ray.example"})
NAMED = ("x-heliostat-cluster", OTHER)


@pytest.mark.parametrize(
    ("name", "cluster"),
    [
        (f"c-{CLUSTER}.localhost", CLUSTER),
        (f"c-{CLUSTER}.ray.localhost", CLUSTER),
        (f"C-{CLUSTER.upper()}.Ray.LOCALHOST", CLUSTER),
        (f"c-{CLUSTER}.localhost.", CLUSTER),
        (f"c-{CLUSTER}.ray.example", CLUSTER),
        (f"c-{CLUSTER}.ray.ray.example", CLUSTER),
        ("", None),
        ("localhost", None),
        ("c-.localhost", None),
        (f"{CLUSTER}.localhost", None),
        (f"c-{CLUSTER}", None),
        (f"c-{CLUSTER}.example", None),
        (f"c-{CLUSTER}.ray.ray.localhost", None),
        (f"c-{CLUSTER}.x.localhost", None),
        (f"c-{CLUSTER}.localhost.evil.example", None),
        (f"c-{CLUSTER}.evillocalhost", None),
        ("c-a_b.localhost", None),
        ("c-../up.localhost", None),
        ("c-a\x00b.localhost", None),
        (f"c-{'a' * 64}.localhost", None),
    ],
)
def test_which_cluster_a_server_name_names(name: str, cluster: str | None) -> None:
    assert cluster_of(name, DOMAINS) == cluster
    assert cluster_of(name, ()) is None


@pytest.mark.parametrize(
    ("token", "metadata", "named", "cluster"),
    [
        (API_TOKEN, (), OTHER, OTHER),
        (API_TOKEN, (NAMED,), CLUSTER, OTHER),
        (f"{API_TOKEN}~{CLUSTER}", (), OTHER, None),
        (f"{API_TOKEN}~{CLUSTER}", (NAMED,), CLUSTER, OTHER),
        (SUBMIT, (), OTHER, None),
        (LINK, (), OTHER, None),
        (SUBMIT, (NAMED,), CLUSTER, OTHER),
    ],
)
def test_metadata_before_the_token_before_the_server_name(
    token: str, metadata: tuple[tuple[str, str], ...], named: str, cluster: str | None
) -> None:
    """What is asked for besides the token; None where the token itself tells."""
    call = Call(METHOD, (("authorization", f"Bearer {token}"), *metadata), server_name=f"c-{named}.ray.localhost")
    reading = read_call(call, DOMAINS)
    assert isinstance(reading, CallReading)
    assert reading.cluster == cluster


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer x"),), (("authorization", "Basic x"),)])
def test_a_server_name_is_no_credential(metadata: tuple[tuple[str, str], ...]) -> None:
    reading = read_call(Call(METHOD, metadata, server_name=f"c-{CLUSTER}.localhost"), DOMAINS)
    assert isinstance(reading, Refusal)
    assert reading.code == "UNAUTHENTICATED"


@dataclass(frozen=True)
class Site:
    head: FakeHead
    second: FakeHead
    gatekeeper: FakeGatekeeper
    door: GrpcDoor
    streams: OpenStreams
    channel: grpc.aio.Channel
    port: int

    async def ask(self, *metadata: tuple[str, str], message: bytes = b"hello", method: str = METHOD) -> bytes:
        answer: bytes = await self.channel.unary_unary(method)(message, metadata=metadata, timeout=20)
        return answer

    async def refused(self, *metadata: tuple[str, str]) -> grpc.StatusCode:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.ask(*metadata)
        code: grpc.StatusCode = caught.value.code()
        return code


class _Taker(asyncio.Protocol):
    def __init__(self, door: GrpcDoor) -> None:
        self._door = door

    def connection_made(self, transport: Any) -> None:
        side = self._door.admit(transport, b"", lambda side: None)
        if side is not None:
            transport.set_protocol(side)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    settings = GatewaySettings(
        recheck_every=timedelta(seconds=0.1), ray_connections=2, server_domains=frozenset({"localhost"})
    )
    async with contextlib.AsyncExitStack() as stack:
        head, second = [await stack.enter_async_context(playing_client_server()) for _ in range(2)]
        rows = {
            SUBMIT: with_client(access_to(subject="(submit token)"), head.address),
            SECOND: with_client(access_to(OTHER, ray="2.47.1"), second.address),
            API_TOKEN: with_client(access_to(), head.address),
            LINK: with_client(access_to(purpose=Purpose.LINK), head.address),
            VIEWER: with_client(access_to(role=Role.VIEWER), head.address),
        }
        gatekeeper = FakeGatekeeper(**rows)
        streams = OpenStreams(gatekeeper, settings.recheck_every)
        door = GrpcDoor(lambda peer_of: [RayClientProxy(gatekeeper, streams, settings, peer_of)])
        server = await asyncio.get_running_loop().create_server(lambda: _Taker(door), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=UNLIMITED)
        try:
            yield Site(head, second, gatekeeper, door, streams, channel, port)
        finally:
            await channel.close()
            server.close()
            await streams.close()
            await door.aclose()


async def test_each_kind_of_token_leads_to_its_cluster(site: Site) -> None:
    for token in (SUBMIT, LINK, f"{API_TOKEN}~{CLUSTER}"):
        assert await site.ask(("authorization", f"Bearer {token}")) == b"hello"
    assert await site.ask(("authorization", f"Bearer {API_TOKEN}"), ("x-heliostat-cluster", CLUSTER)) == b"hello"
    assert (len(site.head.methods), site.second.methods) == (4, [])
    assert await site.ask(("authorization", f"Bearer {SECOND}")) == b"hello"
    assert (len(site.head.methods), site.second.methods) == (4, [METHOD])
    assert all(("authorization", f"Bearer {RAY_TOKEN}") in row for row in site.head.metadata)
    assert not any(key == "authorization" for key, _ in site.second.metadata[0])
    bearer = ("authorization", f"Bearer {VIEWER}")
    assert await site.refused(bearer) is grpc.StatusCode.PERMISSION_DENIED
    assert await site.refused(BEARER, ("x-heliostat-cluster", OTHER)) is grpc.StatusCode.UNAUTHENTICATED


async def test_status_details_and_trailers_come_through(site: Site) -> None:
    async def fail(context: Any) -> None:
        await context.send_initial_metadata((("first", "1"),))
        await context.read()
        await context.write(b"part")
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much", (("last", "2"), ("raw-bin", b"\x00\xff")))

    site.head.answer = fail
    call = site.channel.stream_stream(DATAPATH)(metadata=(BEARER,), timeout=20)
    await call.write(b"x")
    assert ("first", "1") in tuple(await call.initial_metadata())
    assert await call.read() == b"part"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "too much")
    assert {("last", "2"), ("raw-bin", b"\x00\xff")} <= {
        (key, value) for key, value in caught.value.trailing_metadata()
    }


async def test_large_messages_and_long_streams_both_ways(site: Site) -> None:
    big = b"x" * (20 * 2**20)
    assert await site.ask(BEARER, message=big) == big
    call = site.channel.stream_stream(DATAPATH)(metadata=(BEARER,), timeout=20)
    for number in range(200):
        await call.write(b"%d" % number)
        assert await call.read() == b"%d" % number
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_cancelled_call_and_a_passed_deadline_end_at_the_head(site: Site) -> None:
    remaining: list[float] = []

    async def wait(context: Any) -> None:
        remaining.append(context.time_remaining())
        await asyncio.Event().wait()

    site.head.answer = wait
    call = site.channel.stream_stream(DATAPATH)(metadata=(BEARER,))
    await call.write(b"x")
    await eventually(lambda: site.head.methods)
    call.cancel()
    await eventually(lambda: site.head.ended == 1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await site.channel.unary_unary(METHOD)(b"x", metadata=(BEARER,), timeout=0.5)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await eventually(lambda: site.head.ended == 2)
    assert 0 < remaining[1] < 1
    await eventually(lambda: len(site.streams) == 0)


@pytest.mark.parametrize("how", ["revoked", "new run", "viewer now"])
async def test_an_open_stream_ends_with_the_right_to_it(site: Site, how: str) -> None:
    call = site.channel.stream_stream(DATAPATH)(metadata=(BEARER,), timeout=20)
    await call.write(b"x")
    assert await call.read() == b"x"
    row = site.gatekeeper.rows[SUBMIT]
    if how == "revoked":
        del site.gatekeeper.rows[SUBMIT]
    elif how == "new run":
        assert row.route is not None
        site.gatekeeper.rows[SUBMIT] = replace(row, route=replace(row.route, instance=InstanceId(f"{CLUSTER}-2")))
    else:
        site.gatekeeper.rows[SUBMIT] = replace(row, role=Role.VIEWER)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "has ended" in (caught.value.details() or "")
    await eventually(lambda: site.head.ended == 1)


async def test_a_dead_head_is_unavailable_at_once_and_comes_back(site: Site) -> None:
    row = site.gatekeeper.rows[SUBMIT]
    site.gatekeeper.rows[SUBMIT] = with_client(row, "127.0.0.1:9")
    assert await site.refused(BEARER) is grpc.StatusCode.UNAVAILABLE
    site.gatekeeper.rows[SUBMIT] = row
    assert await site.ask(BEARER) == b"hello"


async def test_more_connections_than_allowed_are_refused_and_those_without_a_right_do_not_count(site: Site) -> None:
    address = f"127.0.0.1:{site.port}"
    stranger = grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1), ("n", 9)))
    with pytest.raises(grpc.aio.AioRpcError, match="UNAUTHENTICATED"):
        await stranger.unary_unary(METHOD)(b"x", timeout=10)
    assert await site.ask(BEARER) == b"hello"
    more = [
        grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1), ("n", number)))
        for number in range(2)
    ]
    try:
        codes = []
        for channel in more:
            try:
                await channel.unary_unary(METHOD)(b"x", metadata=(BEARER,), timeout=10)
                codes.append(grpc.StatusCode.OK)
            except grpc.aio.AioRpcError as error:
                codes.append(error.code())
        assert codes == [grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE]
        await more[0].close()
        await eventually(lambda: len(site.door._peers) == 3)
        assert await more[1].unary_unary(METHOD)(b"x", metadata=(BEARER,), timeout=10) == b"x"
    finally:
        for channel in (*more, stranger):
            await channel.close()


async def test_the_clients_address_is_known_behind_the_pipe(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert await site.ask(BEARER, method=DATAPATH) == b"hello"
    shown = capsys.readouterr().out
    assert "gateway access" in shown
    assert "127.0.0.1" in shown
    assert SUBMIT not in shown
