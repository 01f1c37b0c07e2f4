"""One port for HTTP and HTTP/2: each connection reaches its own, with TLS and without, and nothing is in HTTP's way."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import grpc
import grpc.aio
import pytest
import trustme

from heliostat import port
from heliostat.client import AsyncClient, AsyncCluster
from heliostat.engines.simulated import World
from heliostat.testing.harness import HarnessServer, running

from .ray_client import FakeHead, playing_client_server
from .support import Head


@dataclass(frozen=True)
class Site:
    server: HarnessServer
    client: AsyncClient
    head: Head
    ray: FakeHead
    authority: trustme.CA | None

    @property
    def context(self) -> ssl.SSLContext | None:
        if self.authority is None:
            return None
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    async def cluster(self, name: str) -> AsyncCluster:
        cluster = await self.client.clusters.create(name, workers=1, cpu=1, memory="1Gi")
        return await cluster.wait(deadline=20)

    def channel(self) -> grpc.aio.Channel:
        address = f"localhost:{self.server.port}"
        if self.authority is None:
            return grpc.aio.insecure_channel(address)
        roots = grpc.ssl_channel_credentials(self.authority.cert_pem.bytes())
        return grpc.aio.secure_channel(address, roots)


@pytest.fixture(params=["plain", "TLS"])
async def site(request: pytest.FixtureRequest, tmp_path: Path, head: Head) -> AsyncIterator[Site]:
    authority = trustme.CA() if request.param == "TLS" else None
    settings: dict[str, object] = {}
    if authority is not None:
        leaf = authority.issue_cert("localhost", "127.0.0.1")
        files = {"tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem"}
        files["tls_cert"].write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        files["tls_key"].write_bytes(leaf.private_key_pem.bytes())
        settings.update(files)
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with playing_client_server() as ray:
        world = World(dashboard=head.address, client=ray.address)
        async with running(tmp_path / "home", world=world, **settings) as server:
            ca = str(tmp_path / "ca.pem") if authority else None
            client = AsyncClient(endpoint=server.url, token=server.token, workspace=server.workspace, ca=ca)
            async with client:
                yield Site(server, client, head, ray, authority)


async def call(channel: grpc.aio.Channel, metadata: Mapping[str, str], message: bytes = b"hello") -> bytes:
    answer: bytes = await channel.unary_unary("/ray.rpc.RayletDriver/ClusterInfo")(
        message, metadata=tuple(metadata.items()), timeout=10
    )
    return answer


async def test_two_clusters_and_http_on_one_port(site: Site) -> None:
    first, second = await site.cluster("first"), await site.cluster("second")
    async with site.channel() as channel, aiohttp.ClientSession() as session:
        for cluster in (first, second):
            assert await call(channel, {"authorization": f"Bearer {cluster.submit_token}"}) == b"hello"
        sent = [dict(row)["authorization"] for row in site.ray.metadata]
        assert len(set(sent)) == 2
        assert not {first.submit_token, second.submit_token} & {value.removeprefix("Bearer ") for value in sent}
        headers = {"ray-token": first.submit_token}
        url = f"{site.server.url.replace('127.0.0.1', 'localhost')}/api/version"
        for _ in range(2):
            async with session.get(url, headers=headers, ssl=site.context or True) as answer:
                assert answer.status == 200
                assert answer.version == aiohttp.HttpVersion11


async def test_the_address_is_shown_while_the_cluster_runs(site: Site) -> None:
    cluster = await site.cluster("shown")
    assert cluster.ray_url == f"ray://127.0.0.1:{site.server.port}"
    await cluster.stop(wait=True, deadline=20)
    assert (await cluster.refresh()).endpoints is None


async def test_a_preface_in_pieces_is_understood_and_what_only_begins_like_one_is_http(site: Site) -> None:
    reader, writer = await asyncio.open_connection("localhost", site.server.port, ssl=site.context)
    for place in range(len(port.PREFACE)):
        writer.write(port.PREFACE[place : place + 1])
        await writer.drain()
    writer.write(b"\0\0\0\x04\0\0\0\0\0")  # an empty SETTINGS frame
    async with asyncio.timeout(10):
        assert (await reader.readexactly(9))[3] == 4  # SETTINGS of the other side
    writer.close()
    reader, writer = await asyncio.open_connection("localhost", site.server.port, ssl=site.context)
    writer.write(b"PR")
    await writer.drain()
    writer.write(b"OPFIND / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(10):
        assert (await reader.read()).startswith(b"HTTP/1.1 4")
    writer.close()


async def test_a_silent_connection_is_closed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "OPENING_SECONDS", 0.1)
    reader, writer = await asyncio.open_connection("localhost", site.server.port, ssl=site.context)
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()
