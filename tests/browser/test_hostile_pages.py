"""A person with an open session at one cluster visits another, whose head serves a hostile page: a real browser's view.

The clusters' hosts are made to be of one site (``*.ray.localhost``), which is the harder case: the browser sends the
cookie of the victim along, and only the gateway's rules stand in between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import BrowserContext, Page, expect

from heliostat.domain.passes import Purpose
from heliostat.gateway import Gateway, GatewaySettings
from heliostat.gateway.upload import Receive, Scope, Send
from heliostat.services.access import Access

from ..gateway.conftest import playing, served
from ..gateway.support import CLUSTER, OTHER, FakeGatekeeper, Head, access_to

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
VICTIM, EVIL = CLUSTER, OTHER

EVIL_PAGE = """<!doctype html><title>evil</title><body>
<script>
const victim = "VICTIM_ORIGIN";
const said = (promise) => promise.then(() => "done", (error) => "failed: " + error.name);
const image = (url) => new Promise((done) => { const i = new Image(); i.onload = i.onerror = done; i.src = url; });
const script = (url) => new Promise((done) => {
  const s = document.createElement("script"); s.onload = s.onerror = done; s.src = url; document.body.append(s);
});
const frame = (url) => new Promise((done) => {
  const f = document.createElement("iframe"); f.onload = () => done(f); f.src = url; document.body.append(f);
});
async function attack() {
  const results = {};
  results.read = await said(fetch(victim + "/nodes", {credentials: "include"}).then((a) => a.text()));
  await said(fetch(victim + "/nodes?nocors", {credentials: "include", mode: "no-cors"}));
  await said(fetch(victim + "/api/actors/kill?actor_id=fetch", {credentials: "include", mode: "no-cors"}));
  await said(fetch(victim + "/api/jobs/", {method: "POST", credentials: "include", mode: "no-cors", body: "{}"}));
  results.put = await said(fetch(victim + "/api/packages/gcs/x", {method: "PUT", credentials: "include", body: "x"}));
  results.own_token = await said(fetch(victim + "/nodes", {headers: {"ray-token": "0".repeat(32)}}));
  await image(victim + "/api/actors/kill?actor_id=image");
  await script(victim + "/static/js/main.js");
  await image(victim + "/favicon.ico");
  for (const path of ["/", "/nodes"]) {
    const f = await frame(victim + path);
    try { results["frame " + path] = f.contentDocument === null ? "unreadable" : f.contentDocument.body.innerText; }
    catch (error) { results["frame " + path] = "unreadable"; }
  }
  results.socket = await new Promise((done) => {
    const socket = new WebSocket(victim.replace("http", "ws") + "/api/jobs/j/logs/tail");
    socket.onopen = () => done("open"); socket.onerror = () => done("refused");
  });
  results.worker = await said(navigator.serviceWorker.register("/worker.js", {scope: "/"}));
  document.cookie = "__Host-heliostat=evil; Path=/; Secure; Domain=ray.localhost";
  document.cookie = "__Host-heliostat=evil; Path=/; Secure";
  results.cookie = document.cookie;
  return results;
}
</script>"""


@dataclass
class Stage:
    """The gateway before two heads, and what it was asked by the browser for the victim's host."""

    port: int
    victim: Head
    evil: Head
    asked: list[tuple[str, str, bool, int]]
    """Method, path, whether the victim's session came along, status."""

    def origin(self, cluster: str) -> str:
        return f"http://c-{cluster}.ray.localhost:{self.port}"

    def reached(self) -> list[str]:
        """What the victim's head was asked, but for the icon that the browser fetches for the victim's own page."""
        asked = [f"{request.method} {request.path_qs}" for request in self.victim.seen]
        return [request for request in asked if request != "GET /favicon.ico"]


class Sessions(FakeGatekeeper):
    """Like the real one, each session is of one cluster."""

    def session(self, access: Access) -> str:
        return f"hlp_session-{access.cluster}"


def watched(gateway: Gateway, asked: list[tuple[str, str, bool, int]]) -> Any:  # an ASGI application
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        session = f"hlp_session-{VICTIM}".encode() in headers.get(b"cookie", b"")

        async def note(message: Any) -> None:
            if message["type"].endswith("response.start") and VICTIM.encode() in headers[b"host"]:
                asked.append((scope.get("method", "WEBSOCKET"), scope["path"], session, message["status"]))
            await send(message)

        await gateway(scope, receive, note)

    return app


@pytest_asyncio.fixture(loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    asked: list[tuple[str, str, bool, int]] = []
    async with playing() as victim, playing() as evil:
        gatekeeper = Sessions()
        for cluster, head in ((VICTIM, victim), (EVIL, evil)):
            gatekeeper.rows[f"hlp_link-{cluster}"] = access_to(cluster, upstream=head.address, purpose=Purpose.LINK)
            gatekeeper.rows[f"hlp_session-{cluster}"] = access_to(
                cluster, upstream=head.address, purpose=Purpose.SESSION
            )
        router: dict[str, Gateway] = {}

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            port = scope["server"][1]
            gateway = router.setdefault("it", Gateway(gatekeeper, GatewaySettings(domain=f"ray.localhost:{port}")))
            await watched(gateway, asked)(scope, receive, send)

        async with served(app) as port:
            stage = Stage(port, victim, evil, asked)

            async def hostile(request: web.Request) -> web.Response:
                if request.path == "/worker.js":
                    return web.Response(
                        text="", content_type="text/javascript", headers={"Service-Worker-Allowed": "/"}
                    )
                text = EVIL_PAGE.replace("VICTIM_ORIGIN", stage.origin(VICTIM))
                response = web.Response(text=text, content_type="text/html")
                response.headers.add("Set-Cookie", "__Host-heliostat=evil; Path=/; Secure")
                response.headers.add("Set-Cookie", "heliostat=evil; Domain=ray.localhost; Path=/")
                return response

            evil.answer = hostile
            yield stage
            for gateway in router.values():
                await gateway.aclose()


async def enter(page: Page, stage: Stage, cluster: str) -> None:
    answer = await page.goto(f"{stage.origin(cluster)}/?token=hlp_link-{cluster}")
    assert answer is not None and answer.status == 200
    assert page.url == stage.origin(cluster) + "/"


async def test_a_hostile_page_can_do_nothing_with_the_victims_session(context: BrowserContext, stage: Stage) -> None:
    page = await context.new_page()
    await enter(page, stage, VICTIM)
    await enter(page, stage, EVIL)
    stage.victim.seen.clear()
    stage.asked.clear()
    results = await page.evaluate("attack()")
    assert stage.reached() == []
    assert results.pop("worker") in ("failed: SecurityError", "failed: TypeError")
    assert results == {
        "read": "failed: TypeError",
        "put": "failed: TypeError",
        "own_token": "failed: TypeError",
        "frame /": "unreadable",
        "frame /nodes": "unreadable",
        "socket": "refused",
        "cookie": "",
    }
    with_session = [row for row in stage.asked if row[2]]
    assert len(with_session) >= 8, "the browser sent no cookie along, so nothing was proved"
    assert {status for *_, status in stage.asked} <= {401, 403, 405}
    # and the person's sessions are as they were
    cookies = {(cookie["domain"], cookie["name"]): cookie["value"] for cookie in await context.cookies()}
    assert cookies == {
        (f"c-{cluster}.ray.localhost", "__Host-heliostat"): f"hlp_session-{cluster}" for cluster in (VICTIM, EVIL)
    }


@pytest.mark.parametrize(
    "attempt",
    [
        "location.href = '{victim}/api/actors/kill?actor_id=1'",
        "window.open('{victim}/api/actors/kill?actor_id=1')",
        "document.body.innerHTML = '<form method=post action={victim}/api/jobs/><input name=a></form>';"
        "document.forms[0].submit()",
        "document.body.innerHTML = '<form method=post action={victim}/><input name=a></form>'; document.forms[0].submit()",
        "document.body.innerHTML = '<form method=get action={victim}/worker/traceback><input name=pid></form>';"
        "document.forms[0].submit()",
        "document.body.innerHTML = '<a href={victim}/api/actors/kill?actor_id=1 rel=noreferrer>x</a>';"
        "document.querySelector('a').click()",
        "document.body.innerHTML = '<a href=/ ping={victim}/api/jobs/>x</a>'; document.querySelector('a').click()",
    ],
)
async def test_a_hostile_page_cannot_send_the_victim_anywhere_but_to_the_front_door(
    context: BrowserContext, stage: Stage, attempt: str
) -> None:
    page = await context.new_page()
    await enter(page, stage, VICTIM)
    await enter(page, stage, EVIL)
    stage.victim.seen.clear()
    stage.asked.clear()
    await page.evaluate(attempt.replace("{victim}", stage.origin(VICTIM)))
    for _ in range(300):
        if stage.asked:
            break
        await page.wait_for_timeout(10)
    assert [(session, status) for _, _, session, status in stage.asked][:1] == [(True, 403)]
    assert stage.reached() == []


async def test_an_ordinary_link_from_elsewhere_opens_the_dashboard(context: BrowserContext, stage: Stage) -> None:
    page = await context.new_page()
    await enter(page, stage, VICTIM)
    await enter(page, stage, EVIL)
    await page.evaluate(f"location.href = '{stage.origin(VICTIM)}/'")
    await page.wait_for_url(stage.origin(VICTIM) + "/")
    await expect(page.locator("body")).to_contain_text("GET")


async def test_a_hostile_page_cannot_look_into_the_window_it_opens(context: BrowserContext, stage: Stage) -> None:
    page = await context.new_page()
    await enter(page, stage, VICTIM)
    await enter(page, stage, EVIL)
    async with context.expect_page() as opening:
        await page.evaluate(f"window.theirs = window.open('{stage.origin(VICTIM)}/')")
    theirs = await opening.value
    await theirs.wait_for_load_state()
    seen = await page.evaluate(
        "(() => { try { return theirs.document.body.innerText } catch (e) { return e.name } })()"
    )
    assert seen in ("SecurityError", "TypeError")


async def test_in_the_path_form_cookies_count_for_nothing(context: BrowserContext, stage: Stage) -> None:
    page = await context.new_page()
    await enter(page, stage, VICTIM)
    stage.victim.seen.clear()
    for target in (f"/c/{VICTIM}/", f"/c/{VICTIM}/?token=hlp_link-{VICTIM}", f"/c/{VICTIM}/nodes"):
        answer = await page.goto(f"http://ray.localhost:{stage.port}{target}")
        assert answer is not None and answer.status == 401
    assert stage.reached() == []
