"""The second door: the very same server by TLS, with names that lead to clusters and open nothing by themselves."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import grpc
import grpc.aio
import pytest

import heliostat
from heliostat import listeners
from heliostat.client import AsyncClient, AsyncCluster
from heliostat.domain.errors import NotReady
from heliostat.engines.simulated import World
from heliostat.testing.harness import HarnessServer, running, threaded
from heliostat.tls import authority_file

from .ray_client import FakeHead, playing_client_server
from .support import Head, eventually

METHOD = "/ray.rpc.RayletDriver/ClusterInfo"
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}


@dataclass(frozen=True)
class Site:
    server: HarnessServer
    client: AsyncClient
    session: aiohttp.ClientSession
    ray: FakeHead
    context: ssl.SSLContext

    @property
    def port(self) -> int:
        assert self.server.running.tls_port is not None
        return self.server.running.tls_port

    async def ask(
        self, target: str, headers: Mapping[str, str], method: str = "GET", *, tls: bool = True
    ) -> tuple[int, str, Mapping[str, str]]:
        """Status, text and headers of an answer."""
        url = f"https://localhost:{self.port}" if tls else f"http://127.0.0.1:{self.server.port}"
        async with self.session.request(
            method, url + target, headers=headers, ssl=self.context, allow_redirects=False
        ) as answer:
            return answer.status, await answer.text(), answer.headers

    async def cluster(self, name: str) -> AsyncCluster:
        cluster = await self.client.clusters.create(name, workers=0, cpu=1, memory="1Gi")
        return await cluster.wait(deadline=20)

    async def call(self, name: str, *metadata: tuple[str, str]) -> bytes | grpc.StatusCode:
        """The answer to a call of Ray Client that is made to this host name."""
        roots = grpc.ssl_channel_credentials(authority_file(self.server.home).read_bytes())
        options = (("grpc.use_local_subchannel_pool", 1),)
        async with grpc.aio.secure_channel(f"{name}:{self.port}", roots, options=options) as channel:
            try:
                answer: bytes = await channel.unary_unary(METHOD)(b"hello", metadata=metadata, timeout=20)
            except grpc.aio.AioRpcError as error:
                code: grpc.StatusCode = error.code()
                return code
            return answer


@pytest.fixture
async def site(tmp_path: Path, head: Head) -> AsyncIterator[Site]:
    async with playing_client_server() as ray:
        world = World(dashboard=head.address, client=ray.address)
        async with running(tmp_path / "home", world=world) as server:
            context = ssl.create_default_context(cafile=authority_file(server.home))
            client = AsyncClient(endpoint=server.url, token=server.token, workspace=server.workspace)
            async with client, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
                yield Site(server, client, session, ray, context)


async def test_the_same_server_by_tls(site: Site) -> None:
    server = site.server.running.server
    place = f"localhost:{site.port}"
    assert server.address.tls_place == place == server.address.universe
    bearer = {"Authorization": f"Bearer {site.server.token}"}
    for tls in (True, False):
        status, text, _ = await site.ask("/v1/me", bearer, tls=tls)
        assert (status, json.loads(text)["admin"]) == (200, True)
    endpoint, ca = f"https://{place}", str(authority_file(site.server.home))
    async with AsyncClient(endpoint, site.server.token, workspace=site.server.workspace, ca=ca) as client:
        assert (await client.me()).admin
    assert json.loads((site.server.home / "credentials.json").read_text())["endpoint"] == site.server.url


async def test_http_is_offered_before_http2_and_who_knows_only_that_gets_it(site: Site) -> None:
    for offered, chosen in ((["h2", "http/1.1"], "http/1.1"), (["h2"], "h2"), ([], None)):
        context = ssl.create_default_context(cafile=authority_file(site.server.home))
        if offered:
            context.set_alpn_protocols(offered)
        _, writer = await asyncio.open_connection("localhost", site.port, ssl=context)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == chosen
        writer.close()


async def test_the_gateways_forms_of_address(site: Site) -> None:
    cluster = await site.cluster("one")
    bearer = {"Authorization": f"Bearer {site.server.token}"}
    assert (await site.ask(f"/c/{cluster.id}/api/version", bearer))[0] == 200
    assert (await site.ask("/api/version", {"ray-token": cluster.submit_token}))[0] == 200
    host = {"Host": f"c-{cluster.id}.localhost:{site.port}"}
    assert (await site.ask("/api/version", {**host, **bearer}))[0] == 200
    assert (await site.ask("/api/version", host))[0] == 401
    assert (await site.ask(f"/c/{cluster.id}/api/version", {}))[0] == 401


async def test_a_browsers_session_there_is_secure_and_its_own_origin_is_https(site: Site) -> None:
    cluster = await site.cluster("one")
    host = {"Host": f"c-{cluster.id}.localhost:{site.port}"}
    link = urlsplit(cluster.dashboard_url)
    status, _, headers = await site.ask(f"/?{link.query}", {**host, **NAVIGATION})
    assert status == 303
    cookie = headers["Set-Cookie"]
    assert cookie.startswith("__Host-heliostat=") and cookie.endswith("; Secure")
    assert "Strict-Transport-Security" not in headers  # it would close the plain door of the same host
    session = {**host, "Cookie": cookie.partition(";")[0], "Sec-Fetch-Site": "same-origin"}
    origin = {"Origin": f"https://{host['Host']}"}
    assert (await site.ask("/api/jobs/", {**session, **origin}))[0] == 200
    assert (await site.ask("/api/jobs/", {**session, "Origin": f"http://{host['Host']}"}))[0] == 403


async def test_ray_client_finds_its_cluster_by_the_host_name(site: Site) -> None:
    first, second = await site.cluster("first"), await site.cluster("second")
    token = ("authorization", f"Bearer {site.server.token}")
    assert await site.call(f"c-{first.id}.ray.localhost", token) == b"hello"
    assert await site.call(f"c-{second.id}.ray.localhost", token) == b"hello"
    sent = [dict(row)["authorization"] for row in site.ray.metadata]
    assert len(set(sent)) == 2
    by_metadata = ("x-heliostat-cluster", first.id)
    assert await site.call(f"c-{second.id}.ray.localhost", token, by_metadata) == b"hello"
    assert dict(site.ray.metadata[-1])["authorization"] == sent[0]
    submit = ("authorization", f"Bearer {first.submit_token}")
    assert await site.call(f"c-{second.id}.ray.localhost", submit) == b"hello"
    assert dict(site.ray.metadata[-1])["authorization"] == sent[0]


async def test_a_host_name_opens_nothing(site: Site) -> None:
    cluster = await site.cluster("one")
    name = f"c-{cluster.id}.ray.localhost"
    token = ("authorization", f"Bearer {site.server.token}")
    unknown = ("authorization", f"Bearer hlt_{'x' * 43}")
    refused = grpc.StatusCode.UNAUTHENTICATED
    assert await site.call(name) is refused
    assert await site.call(name, unknown) is refused
    assert await site.call("localhost", token) is refused
    assert await site.call("c-ray-zzzzzzzzzzzzzzzz.ray.localhost", token) is refused
    bearer = {"Authorization": f"Bearer {site.server.token}"}
    made = await site.session.post(
        f"{site.server.url}/v1/keys", headers=bearer, json={"kind": "token", "principal": "stranger"}
    )
    assert made.status == 201
    stranger = ("authorization", f"Bearer {(await made.json())['secret']}")
    assert await site.call(name, stranger) is refused
    assert site.ray.methods == []


async def test_both_doors_close_together(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        ports = (server.port, server.running.tls_port)
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.parametrize(("port", "there"), [(-1, False), (0, True)])
async def test_whether_there_is_a_second_door(tmp_path: Path, port: int, there: bool) -> None:
    async with running(tmp_path, tls_port=port) as server:
        assert (server.running.tls_port is not None) is there
        assert (server.running.server.address.tls_place is not None) is there
        assert (tmp_path / "tls").exists() is there


async def test_a_port_that_is_taken_matters_only_when_it_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as first, socket.socket() as taken:
        first.bind(("127.0.0.1", 0))
        port = first.getsockname()[1]
        while True:
            try:
                taken.bind(("127.0.0.1", port + 1))
                break
            except OSError:
                port = 20000 + port % 10000
        taken.listen()
        first.close()
        async with running(tmp_path, port=port) as server:
            assert (server.port, server.running.tls_port) == (port, None)
        assert "no door with TLS" in capsys.readouterr().out
        with pytest.raises(NotReady, match="--tls-port"):
            async with running(tmp_path, tls_port=port + 1):
                pass


def test_a_server_with_tls_of_its_own_is_found_by_its_clients(tmp_path: Path) -> None:
    with threaded(tmp_path, own_tls=True) as server:
        assert server.url == f"https://127.0.0.1:{server.port}"
        assert server.running.tls_port is None
        with heliostat.Client(home=tmp_path, retries=0) as client:
            assert client.me().admin
    with threaded(tmp_path, tls_port=-1) as server, heliostat.Client(home=tmp_path, retries=0) as client:
        assert client.me().admin
    assert "ca" not in json.loads((tmp_path / "credentials.json").read_text())


async def test_a_running_server_looks_after_its_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(listeners, "LOOK_AT_CERTIFICATE_SECONDS", 0.02)
    certificate, key = (tmp_path / "tls" / name for name in ("server.pem", "ca.key"))
    async with running(tmp_path) as server:
        good = key.read_bytes()
        key.write_bytes(b"damaged")
        await eventually(lambda: "certificate not renewed" in capsys.readouterr().out)
        key.write_bytes(good)
        certificate.unlink()
        await eventually(certificate.exists)
        context = ssl.create_default_context(cafile=authority_file(tmp_path))
        _, writer = await asyncio.open_connection("localhost", server.running.tls_port, ssl=context)
        writer.close()
