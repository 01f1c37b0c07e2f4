"""The decision as tables: who, where, what, in which state of the cluster."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.domain.passes import Purpose
from heliostat.domain.records import Role
from heliostat.domain.states import State
from heliostat.gateway.decide import BROWSER_NAME, Allow, Reading, decide, read
from heliostat.gateway.request import GatewayRequest

from .support import (
    API_TOKEN,
    CLUSTER,
    COOKIE,
    HOST,
    LINK,
    ORIGIN,
    PAGE,
    RAY_TOKEN,
    ROOT,
    SESSION,
    SETTINGS,
    SUBMIT,
    access_to,
    answer,
    decided,
    header,
    request,
)

IN_SESSION = access_to(purpose=Purpose.SESSION)
SAME, SITE, CROSS, NONE = "same-origin", "same-site", "cross-site", "none"
EVIL = "http://c-ray-bbbbbbbbbbbbbbbb.localhost:8600"


VIEWER_MAY = [
    "/",
    "/static/js/main.js",
    "/nodes?view=summary",
    "/api/version",
    "/api/jobs/",
    "/api/v0/tasks",
    "/api/cluster_status",
]
VIEWER_MAY_NOT = [
    ("GET", "/api/jobs/job1"),
    ("GET", "/api/jobs/job1/logs"),
    ("GET", "/api/packages/gcs/x.zip"),
    ("GET", "/%61pi/packages/gcs/x.zip"),
    ("GET", "/api/v0/logs/file"),
    ("GET", "/api/v0/tasks?detail=1"),
    ("GET", "/api/v0/actors?limit=1&%64etail=1"),
    ("GET", "/worker/traceback?pid=1"),
    ("GET", "/api/actors/kill?actor_id=1"),
    ("GET", "/something/new"),
    ("POST", "/api/jobs/"),
    ("POST", "/api/jobs/job1/stop"),
    ("DELETE", "/api/jobs/job1"),
    ("PUT", "/api/packages/gcs/x.zip"),
    ("PUT", "/api/serve/applications/"),
]
NOBODY_MAY = [
    ("POST", "/report_events"),
    ("POST", "/api/task_events"),
    ("POST", "/api/job_agent/jobs/"),
    ("GET", "/api/job_agent/jobs/x/logs"),
    ("GET", "/test/dump"),
    ("GET", "/%74est/dump"),
    ("GET", "/api/v0/delay/10"),
]


@pytest.mark.parametrize("target", VIEWER_MAY)
@pytest.mark.parametrize("role", list(Role))
def test_everybody_with_a_role_may_look(role: Role, target: str) -> None:
    assert isinstance(decided(request(target, ray_token=SUBMIT), access_to(role=role)), Allow)


@pytest.mark.parametrize(("method", "target"), VIEWER_MAY_NOT)
def test_code_and_secrets_take_an_editor(method: str, target: str) -> None:
    asked = request(target, method, ray_token=SUBMIT)
    refused = answer(asked, access_to(role=Role.VIEWER))
    assert (refused.status, refused.reason) == (403, "forbidden")
    assert "editor" in refused.body.decode()
    for role in (Role.EDITOR, Role.OWNER):
        decision = decided(asked, access_to(role=role))
        assert isinstance(decision, Allow)
        assert decision.needs is Role.EDITOR


@pytest.mark.parametrize(("method", "target"), NOBODY_MAY)
@pytest.mark.parametrize("host_form", [True, False])
def test_some_things_nobody_may(method: str, target: str, host_form: bool) -> None:
    host, prefix = (HOST, "") if host_form else (ROOT, f"/c/{CLUSTER}")
    given = answer(request(prefix + target, method, host=host, ray_token=SUBMIT), access_to(role=Role.OWNER))
    assert (given.status, given.reason) == (403, "never")


@pytest.mark.parametrize("target", ["/api/jobs/", "/api/v0/jobs?detail=1", "/api/serve/applications/"])
def test_viewers_get_environments_masked_or_not_at_all(target: str) -> None:
    """Ray 2.60 masks them for what it takes for a browser; 2.47.1 has no such thing."""
    asked = request(target, ray_token=SUBMIT, user_agent="python-requests/2.32")
    for_viewer = decided(asked, access_to(role=Role.VIEWER))
    assert isinstance(for_viewer, Allow)
    assert ("user-agent", BROWSER_NAME) in for_viewer.set_headers
    for_editor = decided(asked, access_to(role=Role.EDITOR))
    assert isinstance(for_editor, Allow)
    assert dict(for_editor.set_headers).keys() == {"authorization"}
    assert answer(asked, access_to(role=Role.VIEWER, ray="2.47.1")).status == 403
    assert isinstance(decided(asked, access_to(role=Role.EDITOR, ray="2.47.1")), Allow)


@pytest.mark.parametrize("method", ["OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND"])
def test_other_methods_are_not_served(method: str) -> None:
    given = answer(request("/", method, ray_token=SUBMIT), access_to())
    assert (given.status, header(given, "allow")) == (405, "GET, HEAD, POST, PUT, DELETE")


@pytest.mark.parametrize(
    "asked",
    [
        request("/api/jobs/?a=1", ray_token=SUBMIT),
        request("/api/jobs/?a=1&token=x", ray_token=SUBMIT),
        request("/%61pi/jobs/?a=1", ray_token=SUBMIT),
        request("/api/jobs/?a=1", host=ROOT, authorization=f"Bearer {SUBMIT}"),
        request(f"/c/{CLUSTER}/api/jobs/?a=1", host=ROOT, authorization=f"Bearer {API_TOKEN}"),
        request("/?token=" + LINK + "/api/jobs/?a=1"),
        request("/api/jobs/?a=1", cookie=COOKIE, sec_fetch_site="same-origin"),
    ],
)
def test_each_form_of_address_leads_to_the_same_head(asked: GatewayRequest) -> None:
    decision = decided(asked, IN_SESSION)
    assert isinstance(decision, Allow)
    assert (decision.upstream, decision.path, decision.query) == ("127.0.0.1:8265", "/api/jobs/", "a=1")
    assert decision.set_headers == (("authorization", f"Bearer {RAY_TOKEN}"),)


def test_unknown_and_not_allowed_look_the_same() -> None:
    for target in ("/", "/api/jobs/", "/test/dump", "/new"):
        none = answer(request(f"/c/{CLUSTER}{target}", host=ROOT, ray_token=SUBMIT), None)
        other = answer(request(f"/c/ray-zzzzzzzzzzzzzzzz{target}", host=ROOT, ray_token=SUBMIT), None)
        assert none == other
        assert none.status == 401
        assert header(none, "www-authenticate") == 'Bearer realm="heliostat"'


def test_no_access_is_believed_without_a_credential() -> None:
    assert answer(request("/api/jobs/"), access_to()).status == 401


def test_a_program_is_told_in_one_plain_sentence() -> None:
    given = answer(request("/api/version", host=ROOT, ray_token="x", accept="*/*"), None)
    assert header(given, "content-type") == "text/plain; charset=utf-8"
    assert b"Send a submit token in the header 'ray-token'" in given.body


def test_a_script_that_asks_for_json_gets_it() -> None:
    given = answer(request("/nodes", accept="application/json, text/plain, */*"), None)
    assert json.loads(given.body)["error"]["code"] == "unauthenticated"


def test_a_person_gets_a_form_on_the_clusters_host_and_a_pointer_to_it_elsewhere() -> None:
    form = answer(request("/", **PAGE), None)
    assert form.status == 401
    assert b'<form id="login">' in form.body
    policy = header(form, "content-security-policy")
    assert policy is not None and "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert b"src=" not in form.body
    for target in (f"/c/{CLUSTER}/", f"/c/{CLUSTER}"):
        pointer = answer(request(target, host=ROOT, **PAGE), None)
        assert pointer.status == 401
        assert f'<a href="http://{HOST}/">'.encode() in pointer.body
        assert b"<form" not in pointer.body


def test_a_wrong_token_is_called_wrong_and_not_shown() -> None:
    given = answer(request(f"/?token={LINK}", **PAGE), None)
    assert given.status == 401
    assert b"does not open this cluster" in given.body
    assert LINK.encode() not in given.body


def test_markup_in_an_address_stays_text() -> None:
    given = answer(request('/c/"><b>x/', host=ROOT, **PAGE), None)
    assert given.status == 400
    assert b"<b>" not in given.body
    quoted = answer(request("/c/x'&y/", host=ROOT, **PAGE), None)
    assert b"x'&y" not in quoted.body


def test_a_link_or_token_in_a_cookie_is_not_a_session() -> None:
    for purpose in (None, Purpose.LINK):
        asked = request("/", cookie=COOKIE, sec_fetch_site="same-origin")
        assert answer(asked, access_to(purpose=purpose)).status == 401


def test_the_missing_slash_is_added_for_who_has_access() -> None:
    given = answer(request(f"/c/{CLUSTER}?a=1", host=ROOT, ray_token=SUBMIT), access_to())
    assert (given.status, header(given, "location")) == (308, f"/c/{CLUSTER}/?a=1")
    assert answer(request(f"/c/{CLUSTER}", host=ROOT), access_to()).status == 401


@pytest.mark.parametrize("state", [state for state in State if state is not State.RUNNING])
def test_a_cluster_that_is_not_up_says_so_to_those_with_access(state: State) -> None:
    asked = request("/api/version", ray_token=API_TOKEN, accept="*/*")
    given = answer(asked, access_to(state=state))
    assert (given.status, given.reason) == (503, "not_running")
    assert (
        f"heliostat cluster {'start' if state in (State.STOPPED, State.STOPPING) else 'why'} {CLUSTER}"
        in given.body.decode()
    )
    assert (header(given, "retry-after") is not None) == (state is State.STARTING)
    assert answer(asked, None).status == 401
    page = answer(
        request("/", cookie=COOKIE, sec_fetch_site="none", **PAGE), access_to(state=state, purpose=Purpose.SESSION)
    )
    assert (page.status, header(page, "content-type")) == (503, "text/html; charset=utf-8")


def test_a_link_to_a_cluster_that_is_not_up_makes_no_session() -> None:
    given = answer(request(f"/?token={LINK}", **PAGE), access_to(state=State.ERROR, purpose=Purpose.LINK))
    assert (given.status, given.session) == (503, None)


names = st.sampled_from(
    [
        "authorization",
        "ray-token",
        "cookie",
        "origin",
        "referer",
        "accept",
        "sec-fetch-site",
        "sec-fetch-mode",
        "sec-fetch-dest",
    ]
)
values = st.sampled_from(
    [
        f"Bearer {SUBMIT}",
        SUBMIT,
        API_TOKEN,
        COOKIE,
        ORIGIN,
        EVIL,
        "null",
        "",
        "text/html",
        SAME,
        CROSS,
        SITE,
        NONE,
        "navigate",
        "iframe",
    ]
)
targets = st.sampled_from(
    [
        "/",
        "/nodes",
        "/api/jobs/",
        "/test/dump",
        f"/c/{CLUSTER}/api/jobs/",
        f"/c/{CLUSTER}",
        "/?token=" + LINK,
        "/api/authenticate",
        "/%2e",
    ]
)


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]),
    target=targets,
    host=st.sampled_from([HOST, ROOT, "evil.example"]),
    headers=st.lists(st.tuples(names, values), max_size=6),
    websocket=st.booleans(),
    role=st.sampled_from([None, *Role]),
    purpose=st.sampled_from([None, *Purpose]),
    state=st.sampled_from(list(State)),
)
def test_whatever_is_asked(
    method: str,
    target: str,
    host: str,
    headers: list[tuple[str, str]],
    websocket: bool,
    role: Role | None,
    purpose: Purpose | None,
    state: State,
) -> None:
    path, _, query = target.partition("?")
    asked = GatewayRequest(method, path.encode(), query, (("host", host), *headers), websocket)
    access = access_to(role=role, purpose=purpose, state=state) if role else None
    reading = read(asked, SETTINGS)
    decision = decide(reading, access, SETTINGS) if isinstance(reading, Reading) else reading
    if isinstance(decision, Allow):
        assert isinstance(reading, Reading) and access is not None and access.route is not None
        assert access.role.includes(decision.needs)
        assert reading.credential == decision.credential
        assert "test" not in decision.path
        assert host == HOST or not decision.path.startswith("/c/"), "on its own host a cluster may have any path"
        if reading.credential is not None and reading.credential.source == "cookie":
            assert host == HOST and purpose is Purpose.SESSION
            assert asked.safe or asked.value("origin") == ORIGIN
    else:
        everything = repr(decision.headers) + decision.body.decode()
        assert not any(secret in everything for secret in (SUBMIT, API_TOKEN, LINK, SESSION, RAY_TOKEN))
        assert header(decision, "x-content-type-options") == "nosniff"
        assert header(decision, "cache-control") == "no-store"
        if decision.session is not None:
            assert host == HOST and state is State.RUNNING and access is not None
