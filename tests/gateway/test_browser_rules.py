"""Sessions and the rules against forged requests, as tables: what pages may make a browser do."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from heliostat.domain.passes import Purpose
from heliostat.domain.states import State
from heliostat.gateway import GatewaySettings
from heliostat.gateway.decide import Allow, Answer, session_cookie
from heliostat.gateway.request import GatewayRequest

from .support import (
    CLUSTER,
    COOKIE,
    HOST,
    LINK,
    ORIGIN,
    PAGE,
    ROOT,
    SETTINGS,
    SUBMIT,
    access_to,
    answer,
    decided,
    header,
    request,
)

IN_SESSION = access_to(purpose=Purpose.SESSION)


@pytest.mark.parametrize("site", ["none", "cross-site", "same-site", "same-origin"])
def test_a_link_becomes_a_session_and_leaves_the_address(site: str) -> None:
    access = access_to(purpose=Purpose.LINK)
    given = answer(request(f"/?a=1&token={LINK}&b=2", sec_fetch_site=site, cookie=COOKIE, **PAGE), access)
    assert (given.status, header(given, "location")) == (303, "/?a=1&b=2")
    assert given.session is access
    assert header(given, "cache-control") == "no-store"
    assert header(given, "referrer-policy") == "no-referrer"
    assert not given.body


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
@pytest.mark.parametrize("dest", ["iframe", "frame", "embed", "object"])
def test_a_link_is_not_opened_inside_another_page(site: str, dest: str) -> None:
    asked = request(f"/?token={LINK}", sec_fetch_mode="navigate", sec_fetch_site=site, sec_fetch_dest=dest)
    given = answer(asked, access_to(purpose=Purpose.LINK))
    assert (given.status, given.session) == (403, None)


def test_a_link_works_for_browsers_that_say_nothing_about_themselves() -> None:
    given = answer(request(f"/?token={LINK}", accept="text/html"), access_to(purpose=Purpose.LINK))
    assert (given.status, header(given, "location")) == (303, "/")


def test_a_script_with_a_token_in_the_address_gets_no_session() -> None:
    assert isinstance(decided(request(f"/api/version?token={LINK}", accept="*/*"), access_to()), Allow)


@pytest.mark.parametrize(
    ("settings", "secure", "cookie"),
    [
        (SETTINGS, False, "__Host-heliostat=S; Path=/; HttpOnly; SameSite=Lax; Max-Age=28800; Secure"),
        (
            GatewaySettings("ray.example", secure=True),
            False,
            "__Host-heliostat=S; Path=/; HttpOnly; SameSite=Lax; Max-Age=28800; Secure",
        ),
        (
            GatewaySettings("ray.example"),
            True,
            "__Host-heliostat=S; Path=/; HttpOnly; SameSite=Lax; Max-Age=28800; Secure",
        ),
        (GatewaySettings("ray.example"), False, "heliostat=S; Path=/; HttpOnly; SameSite=Lax; Max-Age=28800"),
    ],
)
def test_the_cookie(settings: GatewaySettings, secure: bool, cookie: str) -> None:
    asked = replace(request(), secure=secure)
    assert session_cookie("S", asked, settings) == ("set-cookie", cookie)


def test_rays_own_log_in_is_answered_here() -> None:
    asked = request(
        "/api/authenticate", "POST", authorization=f"Bearer {SUBMIT}", origin=ORIGIN, sec_fetch_site="same-origin"
    )
    given = answer(asked, access_to())
    assert (given.status, given.session) == (200, access_to())
    assert json.loads(given.body)["status"] == "authenticated"
    assert answer(asked, None).status == 403
    assert answer(asked, access_to(state=State.STARTING)).status == 503


@pytest.mark.parametrize(
    "asked",
    [
        request("/api/authenticate", "POST", cookie=COOKIE, origin=ORIGIN),
        request("/api/authenticate", "POST", ray_token=SUBMIT, sec_fetch_site="cross-site"),
        request("/api/authenticate", "POST", ray_token=SUBMIT, sec_fetch_site="same-site"),
        request("/api/authenticate", "POST", ray_token=SUBMIT, origin="http://evil.example"),
        request(f"/api/authenticate?token={LINK}", "POST", origin=ORIGIN),
        request("/api/authenticate", ray_token=SUBMIT),
        request("/api/authenticate", "POST", ray_token=SUBMIT, host=ROOT),
        request(f"/c/{CLUSTER}/api/authenticate", "POST", ray_token=SUBMIT, host=ROOT),
    ],
)
def test_logging_in_takes_a_typed_token_on_the_clusters_own_page(asked: GatewayRequest) -> None:
    given = answer(asked, IN_SESSION)
    assert given.status in (403, 405)
    assert given.session is None


SAME, SITE, CROSS, NONE = "same-origin", "same-site", "cross-site", "none"
DOC = {"sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
FRAME = {"sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"}
FETCH = {"sec_fetch_mode": "cors", "sec_fetch_dest": "empty"}
EVIL = "http://c-ray-bbbbbbbbbbbbbbbb.localhost:8600"

FORGERY = [
    # passes, method, target, headers
    (True, "GET", "/nodes", {"sec_fetch_site": SAME, **FETCH}),
    (True, "GET", "/", {"sec_fetch_site": SAME, **DOC}),
    (True, "GET", "/", {"sec_fetch_site": NONE, **DOC}),
    (True, "GET", "/", {"sec_fetch_site": CROSS, **DOC}),
    (True, "GET", "/", {"sec_fetch_site": SITE, **DOC}),
    (True, "GET", "/api/v0/logs/file?x=1", {"sec_fetch_site": SAME, **DOC}),
    (True, "GET", "/api/v0/nodes", {"sec_fetch_site": NONE, **DOC}),
    (True, "GET", "/", {"sec_fetch_site": SAME, **FRAME}),
    (True, "POST", "/api/jobs/", {"sec_fetch_site": SAME, "origin": ORIGIN, **FETCH}),
    (True, "DELETE", "/api/jobs/x", {"origin": ORIGIN}),
    (True, "GET", "/nodes", {}),
    (True, "GET", "/nodes", {"referer": f"{ORIGIN}/"}),
    (True, "GET", "/", {"accept": "text/html", "referer": "http://evil.example/"}),
    (True, "GET", "/api/v0/logs/file", {"accept": "text/html", "referer": f"{ORIGIN}/"}),
    (False, "GET", "/nodes", {"sec_fetch_site": CROSS, **FETCH}),
    (False, "GET", "/nodes", {"sec_fetch_site": SITE, **FETCH}),
    (False, "GET", "/", {"sec_fetch_site": SITE, **FETCH}),
    (False, "GET", "/", {"sec_fetch_site": CROSS, "sec_fetch_mode": "no-cors", "sec_fetch_dest": "script"}),
    (False, "GET", "/", {"sec_fetch_site": CROSS, **FRAME}),
    (False, "GET", "/", {"sec_fetch_site": SITE, **FRAME}),
    (False, "GET", "/", {"sec_fetch_site": SITE, "sec_fetch_mode": "navigate", "sec_fetch_dest": "object"}),
    (False, "GET", "/", {"sec_fetch_site": SITE, "sec_fetch_mode": "navigate"}),
    (False, "GET", "/api/actors/kill?actor_id=1", {"sec_fetch_site": CROSS, **DOC}),
    (False, "GET", "/worker/cpu_profile?pid=1", {"sec_fetch_site": SITE, **DOC}),
    (False, "GET", "/nodes", {"sec_fetch_site": SAME, "origin": EVIL}),
    (False, "GET", "/nodes", {"origin": "null"}),
    (False, "GET", "/nodes", {"referer": f"{EVIL}/"}),
    (False, "GET", "/api/actors/kill?actor_id=1", {"accept": "text/html"}),
    (False, "GET", "/api/actors/kill?actor_id=1", {"accept": "text/html", "referer": f"{EVIL}/"}),
    (False, "POST", "/api/jobs/", {}),
    (False, "POST", "/api/jobs/", {"sec_fetch_site": SAME}),
    (False, "POST", "/api/jobs/", {"sec_fetch_site": NONE}),
    (False, "POST", "/", {"sec_fetch_site": CROSS, "origin": EVIL, **DOC}),
    (False, "POST", "/api/jobs/", {"origin": EVIL}),
    (False, "POST", "/api/jobs/", {"origin": "null"}),
    (False, "POST", "/api/jobs/", {"sec_fetch_site": CROSS, "origin": ORIGIN}),
    (False, "PUT", "/api/packages/gcs/x", {"origin": f"https://{HOST}"}),
    (False, "DELETE", "/api/jobs/x", {"origin": "http://localhost:8600"}),
    (False, "GET", "/sw.js", {"sec_fetch_site": SAME, "service_worker": "script"}),
]


@pytest.mark.parametrize(("passes", "method", "target", "headers"), FORGERY)
def test_what_pages_may_make_a_browser_with_a_session_do(
    passes: bool, method: str, target: str, headers: dict[str, str]
) -> None:
    decision = decided(request(target, method, cookie=COOKIE, **headers), IN_SESSION)
    assert isinstance(decision, Allow) if passes else isinstance(decision, Answer) and decision.status == 403


@pytest.mark.parametrize(
    ("passes", "headers"),
    [
        (True, {"cookie": COOKIE, "origin": ORIGIN}),
        (True, {"cookie": COOKIE, "origin": ORIGIN, "sec_fetch_site": SAME}),
        (True, {"ray_token": SUBMIT}),
        (True, {"ray_token": SUBMIT, "origin": ORIGIN}),
        (False, {"cookie": COOKIE}),
        (False, {"cookie": COOKIE, "origin": EVIL}),
        (False, {"cookie": COOKIE, "origin": "null"}),
        (False, {"ray_token": SUBMIT, "origin": EVIL}),
    ],
)
def test_websockets_are_opened_by_own_pages_and_programs_only(passes: bool, headers: dict[str, str]) -> None:
    decision = decided(request("/api/jobs/j/logs/tail", websocket=True, **headers), IN_SESSION)
    assert isinstance(decision, Allow) if passes else isinstance(decision, Answer) and decision.status == 403


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("agent", ["python-requests/2.32", "curl/8", "Mozilla/5.0"])
def test_programs_need_no_origin(method: str, agent: str) -> None:
    """A browser-like agent name passes too: Ray itself refuses changes by those, and it must be the one to see them."""
    assert isinstance(decided(request("/api/jobs/x", method, ray_token=SUBMIT, user_agent=agent), access_to()), Allow)
