"""Which requests are the gateway's, and what their addresses and credentials say."""

from __future__ import annotations

import pytest

from heliostat.gateway import GatewaySettings, belongs_to_gateway
from heliostat.gateway.canonical import BadPath
from heliostat.gateway.credentials import BadCredential, Credential, Source, credential_of
from heliostat.gateway.request import Form, GatewayRequest, Place, place_of

from .support import API_TOKEN, CLUSTER, DOMAIN, HOST, LINK, RAY_TOKEN, SESSION, SUBMIT, request

SETTINGS = GatewaySettings(domain=DOMAIN)
ROOT = "127.0.0.1:8600"


@pytest.mark.parametrize(
    ("host", "path", "headers", "ours"),
    [
        (HOST, "/", [], True),
        (HOST.upper(), "/anything", [], True),
        (f"c-{CLUSTER}.localhost", "/", [], True),
        (f"c-{CLUSTER}.localhost.:8600", "/", [], True),
        ("c-x.localhost:8600", "/", [], True),
        (f"c-{CLUSTER}.evil.example", "/", [], False),
        (f"c-{CLUSTER}.localhost.evil.example", "/", [], False),
        (f"x.c-{CLUSTER}.localhost", "/", [], False),
        ("localhost:8600", "/", [], False),
        (ROOT, "/c/ray-x/api/version", [], True),
        (ROOT, "/c/ray-x", [], True),
        (ROOT, "/c", [], False),
        (ROOT, "/clusters", [], False),
        (ROOT, "/api/version", [], True),
        (ROOT, "/api/jobs/", [], True),
        (ROOT, "/api/packages/gcs/x.zip", [], True),
        (ROOT, "/api/v0/nodes", [], True),
        (ROOT, "/api/v1", [], False),
        (ROOT, "/api/v1/rayCluster/x", [], False),
        (ROOT, "/api/v10/x", [], True),
        (ROOT, "/api/interactive/v1/x", [], False),
        (ROOT, "/api", [], False),
        (ROOT, "/v1/clusters", [], False),
        (ROOT, "/nodes", [(b"ray-token", b"x")], True),
        (ROOT, "/api/v1/x", [(b"ray-token", b"x")], True),
        (ROOT, "/nodes", [(b"authorization", b"Bearer x")], False),
        ("", "/", [], False),
        ("bad host", "/", [], False),
    ],
)
def test_what_belongs_to_the_gateway(host: str, path: str, headers: list[tuple[bytes, bytes]], ours: bool) -> None:
    assert belongs_to_gateway(host, path.encode(), headers, DOMAIN) is ours


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        (request("/nodes?view=summary"), Place(Form.HOST, CLUSTER, "/nodes", "view=summary", ())),
        (request("/", host=HOST.upper()), Place(Form.HOST, CLUSTER, "/", "", ())),
        (request("/c/x/", host=HOST), Place(Form.HOST, CLUSTER, "/c/x/", "", ())),
        (request(f"/c/{CLUSTER}/api/jobs/", host=ROOT), Place(Form.PATH, CLUSTER, "/api/jobs/", "", ())),
        (request(f"/%63/{CLUSTER}/", host=ROOT), Place(Form.PATH, CLUSTER, "/", "", ())),
        (request(f"/c/{CLUSTER}", host=ROOT), Place(Form.PATH, CLUSTER, "", "", ())),
        (request("/api/version", host=ROOT), Place(Form.ROOT, None, "/api/version", "", ())),
        (request("/?a=1&token=t%2D1&b=2"), Place(Form.HOST, CLUSTER, "/", "a=1&b=2", ("t-1",))),
        (request("/?token=a&token=b"), Place(Form.HOST, CLUSTER, "/", "", ("a", "b"))),
        # Ray's SDK given an address that ends in ?token=T
        (request("/?token=T/api/version"), Place(Form.HOST, CLUSTER, "/api/version", "", ("T",))),
        (request("/?token=T/api/jobs/?a=1"), Place(Form.HOST, CLUSTER, "/api/jobs/", "a=1", ("T",))),
        (request("/nodes?token=T/api/version"), Place(Form.HOST, CLUSTER, "/nodes", "", ("T/api/version",))),
        (request("/?token=T/api/version", host=ROOT), Place(Form.ROOT, None, "/", "", ("T/api/version",))),
    ],
)
def test_what_an_address_says(asked: GatewayRequest, place: Place) -> None:
    assert place_of(asked, DOMAIN) == place


@pytest.mark.parametrize(
    "asked",
    [
        request("/a/../b"),
        request("/?token=T/../test/dump"),
        request("/?token=T/%2e%2e/x"),
        request("/?a=\x00"),
        request("/?a b"),
        request("/?a#b"),
        request("/?\xe9"),
        GatewayRequest("GET", b"/", headers=()),
        GatewayRequest("GET", b"/", headers=(("host", HOST), ("host", "other"))),
        request(f"/c/{CLUSTER}%2fapi", host=ROOT),
    ],
)
def test_addresses_without_a_harmless_reading(asked: GatewayRequest) -> None:
    with pytest.raises(BadPath):
        place_of(asked, DOMAIN)


def shown(asked: GatewayRequest) -> tuple[str, Source] | None:
    credential = credential_of(asked, place_of(asked, DOMAIN), SETTINGS)
    return credential and (credential.token.reveal(), credential.source)


RAYS_OWN = "f" * 64
COOKIE = f"__Host-heliostat={SESSION}"


@pytest.mark.parametrize(
    ("asked", "credential"),
    [
        (request(), None),
        (request(ray_token=SUBMIT, host=ROOT), (SUBMIT, Source.HEADER)),
        (request(authorization=f"Bearer {SUBMIT}", host=ROOT), (SUBMIT, Source.HEADER)),
        (request(authorization=f"bearer  {API_TOKEN}", host=ROOT), (API_TOKEN, Source.HEADER)),
        (request(authorization=f"Bearer {API_TOKEN}~{CLUSTER}"), (f"{API_TOKEN}~{CLUSTER}", Source.HEADER)),
        (request(x_ray_authorization=f"Bearer {SUBMIT}"), (SUBMIT, Source.HEADER)),
        (request(authorization=f"Bearer {SUBMIT}", ray_token=SUBMIT), (SUBMIT, Source.HEADER)),
        (request(authorization=f"Bearer {RAYS_OWN}", ray_token=SUBMIT), (SUBMIT, Source.HEADER)),
        (request(authorization=f"Bearer {RAY_TOKEN}"), None),
        (request(authorization=f"Basic {SUBMIT}"), None),
        (request(authorization=f"Bearer {SUBMIT}, Bearer {LINK}"), None),
        (request(ray_token=SUBMIT.upper()), None),
        (request(ray_token=""), None),
        (request(f"/?token={LINK}"), (LINK, Source.QUERY)),
        (request(f"/?token={SUBMIT}"), (SUBMIT, Source.QUERY)),
        (request(f"/?token={LINK}", host=ROOT), None),
        (request(f"/c/{CLUSTER}/?token={LINK}", host=ROOT), None),
        (request(cookie=COOKIE), (SESSION, Source.COOKIE)),
        (request(cookie=f"a=b; {COOKIE}; c=d"), (SESSION, Source.COOKIE)),
        (request(cookie=f"heliostat={SESSION}"), None),
        (request(cookie=f"{COOKIE}; __Host-heliostat={LINK}"), None),
        (request(cookie=COOKIE, host=ROOT), None),
        (request(f"/c/{CLUSTER}/", cookie=COOKIE, host=ROOT), None),
        (request(f"/?token={LINK}", cookie=COOKIE), (LINK, Source.QUERY)),
        (request(cookie=COOKIE, authorization=f"Bearer {SUBMIT}"), (SUBMIT, Source.HEADER)),
        (request(cookie=f"ray-authentication-token={SUBMIT}"), None),
    ],
)
def test_where_credentials_may_be(asked: GatewayRequest, credential: tuple[str, Source] | None) -> None:
    assert shown(asked) == credential


@pytest.mark.parametrize(
    "asked",
    [
        request(ray_token=SUBMIT, authorization=f"Bearer {API_TOKEN}"),
        request(f"/?token={LINK}", ray_token=SUBMIT),
        request(f"/?token={LINK}&token={SUBMIT}"),
        GatewayRequest("GET", b"/", headers=(("host", HOST), ("ray-token", SUBMIT), ("ray-token", SUBMIT[::-1]))),
        request(f"/?token={API_TOKEN}"),
    ],
)
def test_credentials_that_are_refused_as_such(asked: GatewayRequest) -> None:
    with pytest.raises(BadCredential) as caught:
        shown(asked)
    assert not any(secret in str(caught.value) for secret in (SUBMIT, API_TOKEN, LINK))


def test_the_cookie_has_a_plain_name_where_browsers_take_no_other() -> None:
    settings = GatewaySettings(domain="ray.example:8600")
    host = f"c-{CLUSTER}.ray.example:8600"
    asked = request(host=host, cookie=f"heliostat={SESSION}")
    credential = credential_of(asked, place_of(asked, settings.domain), settings)
    assert credential is not None and credential.source is Source.COOKIE


def test_a_credential_does_not_show_in_a_repr() -> None:
    credential = credential_of(request(ray_token=SUBMIT), place_of(request(), DOMAIN), SETTINGS)
    assert isinstance(credential, Credential)
    assert SUBMIT not in repr(credential)
