"""The gateway in its place: one port, the real store and services, tokens as the native API hands them out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from heliostat.client import AsyncClient, AsyncCluster
from heliostat.domain.ids import InstanceId
from heliostat.engines.simulated import World
from heliostat.testing.harness import HarnessServer, running

from .support import Head

NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site"}


@dataclass(frozen=True)
class Site:
    server: HarnessServer
    client: AsyncClient
    session: aiohttp.ClientSession
    head: Head

    async def ask(
        self, target: str, headers: Mapping[str, str], method: str = "GET"
    ) -> tuple[int, str, Mapping[str, str]]:
        """Status, text and headers of an answer on the common port."""
        body = b"{}" if method == "POST" else None
        url = f"http://127.0.0.1:{self.server.port}{target}"
        async with self.session.request(method, url, headers=headers, data=body, allow_redirects=False) as answer:
            return answer.status, await answer.text(), answer.headers

    async def status(self, target: str, headers: Mapping[str, str], method: str = "GET") -> int:
        return (await self.ask(target, headers, method))[0]

    async def cluster(self, name: str) -> AsyncCluster:
        cluster = await self.client.clusters.create(name, workers=1, cpu=1, memory="1Gi")
        return await cluster.wait(deadline=20)

    async def session_cookie(self, cluster: AsyncCluster) -> dict[str, str]:
        """What a browser has after opening the dashboard link."""
        link = urlsplit(cluster.dashboard_url)
        status, _, headers = await self.ask(f"/?{link.query}", {"Host": link.netloc, **NAVIGATION})
        assert (status, headers["Location"]) == (303, "/")
        return {"Host": link.netloc, "Cookie": headers["Set-Cookie"].partition(";")[0], **NAVIGATION}

    async def viewer(self) -> tuple[str, str]:
        """A token of somebody who may only look, and its id."""
        headers = {"Authorization": f"Bearer {self.server.token}"}
        url = self.server.url + "/v1"
        async with self.session.post(
            f"{url}/keys", headers=headers, json={"kind": "token", "principal": "vera"}
        ) as made:
            assert made.status == 201, await made.text()
            key = await made.json()
        role = f"{url}/workspaces/{self.server.workspace}/roles/vera"
        async with self.session.put(role, headers=headers, json={"role": "viewer"}) as given:
            assert given.status == 204, await given.text()
        return key["secret"], key["key"]["id"]


@pytest.fixture
async def site(tmp_path: Path, head: Head) -> AsyncIterator[Site]:
    async with running(tmp_path, world=World(dashboard=head.address)) as server:
        client = AsyncClient(endpoint=server.url, token=server.token, workspace=server.workspace)
        async with client, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            yield Site(server, client, session, head)


async def test_the_submit_token_runs_code_and_rays_own_stays_inside(site: Site) -> None:
    cluster = await site.cluster("demo")
    assert cluster.job_url == site.server.url
    status, text, _ = await site.ask("/api/jobs/", {"ray-token": cluster.submit_token}, "POST")
    assert (status, '"path": "/api/jobs/"' in text) == (200, True)
    sent = site.head.seen[0].headers["Authorization"].removeprefix("Bearer ")
    assert sent not in (cluster.submit_token, site.server.token)
    shown = repr(
        await site.ask(
            f"/v1/workspaces/{site.server.workspace}/clusters/{cluster.id}",
            {"Authorization": f"Bearer {site.server.token}"},
        )
    )
    assert cluster.submit_token in shown
    assert sent not in shown


async def test_a_link_opens_its_own_cluster_and_no_other(site: Site) -> None:
    mine, other = await site.cluster("mine"), await site.cluster("other")
    browser = await site.session_cookie(mine)
    assert await site.status("/", browser) == 200
    elsewhere = {**browser, "Host": urlsplit(other.dashboard_url).netloc}
    assert await site.status("/", elsewhere) == 401
    query = urlsplit(mine.dashboard_url).query
    assert await site.status(f"/?{query}", {**NAVIGATION, "Host": elsewhere["Host"]}) == 401
    assert await site.status("/", {"Host": browser["Host"], **NAVIGATION}) == 401


async def test_an_api_token_needs_a_cluster_and_a_role(site: Site) -> None:
    cluster = await site.cluster("demo")
    viewer, key = await site.viewer()
    admin = {"Authorization": f"Bearer {site.server.token}"}
    looking = {"Authorization": f"Bearer {viewer}"}
    at = f"/c/{cluster.id}"
    assert await site.status(f"{at}/api/jobs/", admin, "POST") == 200
    assert await site.status("/api/jobs/", admin, "POST") == 401
    assert await site.status("/api/jobs/", {"Authorization": f"Bearer {site.server.token}~{cluster.id}"}, "POST") == 200
    assert await site.status(f"{at}/nodes", looking) == 200
    assert await site.status(f"{at}/api/jobs/", looking, "POST") == 403
    async with site.session.delete(f"{site.server.url}/v1/keys/{key}", headers=admin) as gone:
        assert gone.status == 204
    assert await site.status(f"{at}/nodes", looking) == 401


async def test_with_the_run_everything_that_opened_it_ends(site: Site) -> None:
    cluster = await site.cluster("demo")
    browser = await site.session_cookie(cluster)
    submit = {"ray-token": cluster.submit_token}
    admin = {"Authorization": f"Bearer {site.server.token}"}
    await cluster.stop(wait=True, deadline=20)
    assert await site.status("/api/version", submit) == 401
    assert await site.status("/", browser) == 401
    status, text, _ = await site.ask(f"/c/{cluster.id}/api/version", admin)
    assert (status, f"heliostat cluster start {cluster.id}" in text) == (503, True)
    await cluster.start(wait=True, deadline=20)
    assert await site.status("/api/version", submit) == 401
    assert await site.status("/", browser) == 401
    assert await site.status("/api/version", {"ray-token": cluster.submit_token}) == 200


async def test_the_other_doors_stay_open_beside_it(site: Site) -> None:
    cluster = await site.cluster("demo")
    admin = {"Authorization": f"Bearer {site.server.token}"}
    site.head.seen.clear()
    assert await site.status(f"/v1/workspaces/{site.server.workspace}/clusters/{cluster.id}", admin) == 200
    assert await site.status("/healthz", {}) == 200
    assert "Ray" not in (await site.ask("/api/v1/nothing", admin))[1]
    assert not site.head.seen


async def test_a_dead_head_is_reported_and_not_hidden(site: Site) -> None:
    cluster = await site.cluster("demo")

    async def drop(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    site.head.answer = drop
    status, text, _ = await site.ask("/api/version", {"ray-token": cluster.submit_token})
    assert (status, f"heliostat cluster why {cluster.id}" in text) == (502, True)


async def test_use_is_noted_and_a_refused_request_is_none(site: Site) -> None:
    cluster = await site.cluster("demo")
    work, store = site.server.running.server.work, site.server.running.server.store
    assert cluster.instance_id is not None
    instance = InstanceId(cluster.instance_id)
    assert await site.status("/nodes?view=summary", {"ray-token": "0" * 32}) == 401
    await work.traffic.close()
    assert await store.read(lambda tx: tx.instances.traffic_at(instance)) is None
    assert await site.status("/nodes?view=summary", {"ray-token": cluster.submit_token}) == 200
    await work.traffic.close()
    assert await store.read(lambda tx: tx.instances.traffic_at(instance)) is not None
