"""A person opens a cluster's dashboard link: real server, real Ray of each version, real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import aiohttp
import pytest
from playwright.async_api import BrowserContext, Page, expect

from ..gateway.live import RELEASES, LiveCluster, live_cluster

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
NOT_INSTALLED = re.compile(r"/api/(grafana_health|prometheus_health|serve/applications/|v0/platform_events)")
"""Ray's own answers for what is not installed there."""


@pytest.fixture(scope="module", params=sorted(RELEASES, reverse=True))
def live(request: pytest.FixtureRequest) -> Iterator[LiveCluster]:
    with live_cluster(request.param) as cluster:
        yield cluster


def origin_of(live: LiveCluster) -> str:
    return f"http://c-{live.cluster.id}.localhost:{live.server.port}"


async def opened(context: BrowserContext, live: LiveCluster) -> Page:
    page = await context.new_page()
    await page.goto(live.cluster.refresh().dashboard_url)
    return page


async def test_the_link_opens_the_dashboard_and_the_token_is_gone(context: BrowserContext, live: LiveCluster) -> None:
    sent: list[str] = []
    failed: list[str] = []
    context.on("request", lambda request: sent.append(request.url + str(request.headers)))
    context.on(
        "response", lambda answer: failed.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
    )
    page = await opened(context, live)
    assert page.url.split("#")[0] == origin_of(live) + "/"
    (cookie,) = await context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["secure"]) == ("__Host-heliostat", True, True)
    assert (cookie["sameSite"], cookie["path"]) == ("Lax", "/")
    assert await page.evaluate("document.cookie") == ""

    await page.goto(origin_of(live) + "/#/cluster")
    nodes = [node.ray_node_id for node in live.cluster.nodes()]
    assert len(nodes) == 2
    for node in nodes:
        await expect(page.get_by_role("link", name=node[:5]).first).to_be_visible()
    assert len([request for request in sent if "token=" in request]) == 1
    assert not [answer for answer in failed if not NOT_INSTALLED.search(answer)]


async def test_a_job_and_its_log_are_shown(context: BrowserContext, live: LiveCluster) -> None:
    page = await opened(context, live)
    headers = {"Authorization": f"Bearer {live.server.token}"}
    url, body = f"{live.path_address}/api/jobs/", {"entrypoint": "echo seen by a person"}
    async with aiohttp.ClientSession(headers=headers) as session, session.post(url, json=body) as answer:
        assert answer.status == 200, await answer.text()
        job = (await answer.json())["submission_id"]
    await page.goto(f"{origin_of(live)}/#/jobs/{job}")
    await expect(page.get_by_text("SUCCEEDED").first).to_be_visible(timeout=60_000)
    await page.reload()
    await expect(page.get_by_text("seen by a person").last).to_be_visible()


async def test_the_page_itself_cannot_submit_jobs(context: BrowserContext, live: LiveCluster) -> None:
    """Ray refuses changes by browsers, and the gateway lets it see that it is one."""
    page = await opened(context, live)
    status = await page.evaluate("fetch('/api/jobs/', {method: 'POST', body: '{}'}).then((answer) => answer.status)")
    assert status == 405


async def test_without_a_session_a_form_asks_for_a_token(context: BrowserContext, live: LiveCluster) -> None:
    page = await context.new_page()
    answer = await page.goto(origin_of(live) + "/")
    assert answer is not None and answer.status == 401
    await page.get_by_label("Token").fill("0" * 32)
    await page.get_by_role("button").click()
    await expect(page.get_by_role("alert")).to_contain_text("does not open this cluster")
    await page.get_by_label("Token").fill(live.cluster.submit_token)
    await page.get_by_role("button").click()
    await expect(page).to_have_title(re.compile("Ray Dashboard"))
    assert await page.evaluate("document.cookie") == ""


async def test_the_path_form_points_people_to_the_clusters_own_host(context: BrowserContext, live: LiveCluster) -> None:
    page = await context.new_page()
    answer = await page.goto(live.path_address)
    assert answer is not None and answer.status == 401
    await expect(page.get_by_role("link")).to_have_attribute("href", origin_of(live) + "/")


async def test_rays_own_dialog_works_when_a_session_has_ended(context: BrowserContext, live: LiveCluster) -> None:
    """Ray 2.60 asks for a token by itself; a page of 2.47.1 must be loaded again, and meets the gateway's form."""
    page = await opened(context, live)
    await page.goto(origin_of(live) + "/#/cluster")
    await expect(page.get_by_text("Node Statistics")).to_be_visible()
    await context.clear_cookies()
    if live.ray == "2.47.1":
        await page.reload()
        await expect(page.get_by_label("Token")).to_be_visible()
        return
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    await dialog.get_by_role("textbox").or_(dialog.locator("input")).first.fill("0" * 32)
    await dialog.get_by_role("button", name="Submit").click()
    await expect(dialog).to_contain_text(re.compile("invalid|wrong|failed", re.IGNORECASE))
    await dialog.locator("input").first.fill(live.cluster.submit_token)
    await dialog.get_by_role("button", name="Submit").click()
    await expect(dialog).to_be_hidden()
    assert [cookie["name"] for cookie in await context.cookies()] == ["__Host-heliostat"]
