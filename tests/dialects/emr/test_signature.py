"""The verifier against two really captured requests and everything that can be done to them on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.dialects.emr.errors import EmrError
from heliostat.dialects.emr.request import Request
from heliostat.dialects.emr.signature import SKEW, canonical_requests, read_claim
from heliostat.domain.secret import Secret

from .signing import signed_headers

KEY = "LTAI5tFAKEKEYFORDOCS"
SECRET = Secret("FakeSecretForDocs0123456789abcd")
NOW = datetime(2026, 11, 21, 8, 14, 44, tzinfo=UTC)
HOST = "127.0.0.1:40373"
AGENT = "AlibabaCloud (Linux; x86_64) Python/3.11.7 Core/0.4.3 TeaDSL/2"
SIGNED = (
    "accept;content-type;host;user-agent;x-acs-action;x-acs-content-sha256;x-acs-credentials-provider;x-acs-date;"
    "x-acs-signature-nonce;x-acs-version"
)
WITHOUT_TYPE = SIGNED.replace("content-type;", "")


def authorization(signed: str, signature: str) -> str:
    return f"ACS3-HMAC-SHA256 Credential={KEY},SignedHeaders={signed},Signature={signature}"


START = Request(
    method="POST",
    path="/api/v1/workspaces/w-d2d82aa09155/rayCluster/ray-uiulpgow9xljimm1/start",
    query="",
    header_list=(
        ("host", HOST),
        ("x-acs-version", "2023-08-08"),
        ("x-acs-action", "StartRayCluster"),
        ("user-agent", AGENT),
        ("x-acs-date", "2026-11-21T08:14:44Z"),
        ("x-acs-signature-nonce", "70dde7749e4a63c0e601ec8db7560f8b"),
        ("accept", "application/json"),
        ("content-type", "application/json; charset=utf-8"),
        ("x-acs-content-sha256", "65db2d531860b69580b6c9f7063c088ad33098a5aaa049ba8d49fbd0e4698f56"),
        ("x-acs-credentials-provider", "static_ak"),
        ("authorization", authorization(SIGNED, "63aca3c97649f64df48ff4d6cbc524a6cb2d5e506c4bc3620a139f33bdd960e2")),
        ("content-length", "22"),
    ),
    body=b'{"clientToken":"ct-1"}',
)
LIST_QUERY = (
    "name=job+1%2A~&pageNum=1&pageSize=20&submissionId=rj-0123456789abcdef&submitTime=%7B%22endTime%22%3A1723722279900"
    "%2C%22startTime%22%3A1723722279800%7D&taskBizId=TSK-1"
)
LIST = Request(
    method="GET",
    path="/api/v1/workspaces/w-d2d82aa09155/rayJob",
    query=LIST_QUERY,
    header_list=(
        ("host", HOST),
        ("x-acs-version", "2023-08-08"),
        ("x-acs-action", "ListRayJob"),
        ("user-agent", AGENT),
        ("x-acs-date", "2026-11-21T08:14:44Z"),
        ("x-acs-signature-nonce", "004626a52eed3a9d39c7ff90b27f0352"),
        ("accept", "application/json"),
        ("x-acs-content-sha256", hashlib.sha256(b"").hexdigest()),
        ("x-acs-credentials-provider", "static_ak"),
        (
            "authorization",
            authorization(WITHOUT_TYPE, "8f607e73a95a94313ac2172f5c05242faf0ac1caf3c1285fa1db5ddcfc756fe1"),
        ),
    ),
)


def with_header(request: Request, name: str, value: str) -> Request:
    """The request with another value of a header."""
    pairs = tuple((own, value if own == name else text) for own, text in request.header_list)
    assert pairs != request.header_list
    return replace(request, header_list=pairs)


def without_header(request: Request, name: str) -> Request:
    return replace(request, header_list=tuple(pair for pair in request.header_list if pair[0] != name))


def more_header(request: Request, name: str, value: str) -> Request:
    return replace(request, header_list=(*request.header_list, (name, value)))


def verdict(request: Request, now: datetime = NOW, secret: Secret = SECRET) -> str:
    """``ok`` or the code of the refusal."""
    try:
        claim = read_claim(request, now)
    except EmrError as error:
        return error.code
    return "ok" if claim.proven_by(secret) else claim.mismatch().code


class TestWorkedVectors:
    def test_start_with_a_body(self) -> None:
        claim = read_claim(START, NOW)
        digest = "777b1d858ead2bb8a1f705712f1d285dd7811dae3bd2bb0eb36c62870d9b05c2"
        assert claim.strings_to_sign == (f"ACS3-HMAC-SHA256\n{digest}",)
        assert (claim.key, claim.nonce) == (KEY, "70dde7749e4a63c0e601ec8db7560f8b")
        assert claim.proven_by(SECRET)

    def test_list_with_a_query(self) -> None:
        claim = read_claim(LIST, NOW)
        digest = "96abc528a9f3637bbb45fb1eeb9a85dba38ca7372489a93cfb62fe5703e67d33"
        assert claim.strings_to_sign == (f"ACS3-HMAC-SHA256\n{digest}",)
        assert claim.proven_by(SECRET)

    def test_canonical_query(self) -> None:
        [text] = canonical_requests(LIST, WITHOUT_TYPE.split(";"), hashlib.sha256(b"").hexdigest())
        assert text.splitlines()[2] == LIST_QUERY.replace("job+1", "job%201")

    def test_the_async_client_escapes_the_same_query_differently(self) -> None:
        looser = LIST_QUERY.replace("%2A", "*").replace("%3A", ":").replace("%2C", ",")
        assert looser != LIST_QUERY
        assert verdict(replace(LIST, query=looser)) == "ok"

    def test_the_old_empty_payload_form_of_async_bodiless_requests(self) -> None:
        asynchronous = more_header(LIST, "content-type", "application/octet-stream")
        assert verdict(more_header(asynchronous, "content-length", "0")) == "ok"


FLIPPED = START.headers["authorization"][:-1] + "3"
OTHER_BODY = b'{"clientToken":"ct-2"}'
OTHER_HASH = hashlib.sha256(OTHER_BODY).hexdigest()
Tamper = Callable[[Request], Request]


def put(name: str, value: str) -> Tamper:
    return lambda request: with_header(request, name, value)


def drop(name: str) -> Tamper:
    return lambda request: without_header(request, name)


def add(name: str, value: str) -> Tamper:
    return lambda request: more_header(request, name, value)


def edit(old: str, new: str) -> Tamper:
    """Change the Authorization header."""
    return put("authorization", START.headers["authorization"].replace(old, new, 1))


TAMPERED: dict[str, list[tuple[str, Tamper]]] = {
    "SignatureDoesNotMatch": [
        ("body", lambda request: replace(request, body=OTHER_BODY)),
        (
            "body with its hash",
            lambda request: replace(put("x-acs-content-sha256", OTHER_HASH)(request), body=OTHER_BODY),
        ),
        ("method", lambda request: replace(request, method="DELETE")),
        ("path", lambda request: replace(request, path=request.path.replace("/start", "/stop"))),
        ("path prefix", lambda request: replace(request, path="/emr" + request.path)),
        ("escaped slash", lambda request: replace(request, path=request.path.replace("/start", "%2Fstart"))),
        ("added query", lambda request: replace(request, query="force=true")),
        ("action", put("x-acs-action", "StopRayCluster")),
        ("host", put("host", "evil.example")),
        ("user agent", put("user-agent", "curl/8")),
        ("content type", put("content-type", "text/plain")),
        ("moved date", put("x-acs-date", "2026-11-21T08:14:45Z")),
        ("nonce", put("x-acs-signature-nonce", "0" * 32)),
        ("digit of the signature", put("authorization", FLIPPED)),
    ],
    "IncompleteSignature": [
        ("no Authorization", drop("authorization")),
        ("malformed Authorization", put("authorization", "ACS3-HMAC-SHA256 Credential=x")),
        ("empty Authorization", put("authorization", "")),
        ("nonce not signed", edit("x-acs-signature-nonce;", "")),
        ("host not signed", edit("host;", "")),
        ("content type not signed", edit("content-type;", "")),
        ("unsorted list", edit("accept;content-type", "content-type;accept")),
        ("header named twice", edit("accept;", "accept;accept;")),
        ("upper case in the list", edit("host;", "Host;")),
        ("signed header is missing", drop("accept")),
        ("date is missing", drop("x-acs-date")),
        ("hash is missing", drop("x-acs-content-sha256")),
        ("security token slipped in", add("x-acs-security-token", "t")),
        ("second date", add("x-acs-date", "2026-11-21T08:14:44Z")),
        ("second host", add("host", "evil.example")),
        ("second Authorization", add("authorization", START.headers["authorization"])),
        ("endless nonce", put("x-acs-signature-nonce", "0" * 129)),
    ],
    "InvalidSignatureMethod": [
        ("relabelled algorithm", edit("HMAC-SHA256", "HMAC-SM3")),
        ("RSA", edit("ACS3-HMAC", "ACS3-RSA")),
        ("old scheme", put("authorization", f"acs {KEY}:c2lnbmF0dXJl=")),
    ],
    "InvalidTimeStamp.Format": [
        ("malformed date", put("x-acs-date", "21 Nov 2026 08:14:44")),
        ("impossible date", put("x-acs-date", "2026-13-41T08:14:44Z")),
        ("date with a fraction", put("x-acs-date", "2026-11-21T08:14:44.5Z")),
    ],
    "InvalidTimeStamp.Expired": [
        ("stale date", put("x-acs-date", "2026-11-21T07:59:43Z")),
        ("date of the future", put("x-acs-date", "2026-11-21T08:29:45Z")),
    ],
}
CASES = [pytest.param(tamper, code, id=name) for code, rows in TAMPERED.items() for name, tamper in rows]


@pytest.mark.parametrize(("tamper", "code"), CASES)
def test_tampered(tamper: Tamper, code: str) -> None:
    assert verdict(tamper(START)) == code


@pytest.mark.parametrize("name", ["host", "x-acs-date", "x-acs-content-sha256", "x-acs-signature-nonce"])
def test_the_least_that_must_be_signed(name: str) -> None:
    """Neither sent nor named in SignedHeaders, so that nothing contradicts itself."""
    unnamed = edit(f"{name};", "")(START)
    assert verdict(without_header(unnamed, name)) == "IncompleteSignature"


def test_a_changed_query_value_is_refused() -> None:
    assert verdict(replace(LIST, query=LIST_QUERY.replace("pageNum=1", "pageNum=2"))) == "SignatureDoesNotMatch"
    assert verdict(replace(LIST, query=LIST_QUERY.replace("&taskBizId=TSK-1", ""))) == "SignatureDoesNotMatch"


def test_another_secret_is_refused() -> None:
    assert verdict(START, secret=Secret("another")) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("seconds", [-900, 0, 900])
def test_the_window_is_fifteen_minutes_each_way(seconds: int) -> None:
    assert timedelta(seconds=900) == SKEW
    assert verdict(START, NOW + timedelta(seconds=seconds)) == "ok"
    beyond = seconds + (1 if seconds > 0 else -1 if seconds < 0 else 0)
    assert verdict(START, NOW + timedelta(seconds=beyond)) == ("ok" if not seconds else "InvalidTimeStamp.Expired")


def test_the_refusal_shows_what_the_server_signs_and_no_secret() -> None:
    claim = read_claim(with_header(START, "authorization", FLIPPED), NOW)
    message = claim.mismatch().message
    assert claim.strings_to_sign[0] in message
    assert SECRET.reveal() not in message


def request_of(method: str, path: str, query: dict[str, str], body: bytes, wire_query: str, **more: str) -> Request:
    headers = signed_headers(
        method, path, key=KEY, secret=SECRET.reveal(), host=HOST, query=query, body=body, now=NOW, headers=more
    )
    return Request(
        method=method,
        path="/".join(quote(segment, safe="") for segment in path.split("/")),
        query=wire_query,
        header_list=tuple(headers.items()),
        body=body,
    )


def test_keys_of_the_query_may_be_signed_unescaped_as_the_python_sdk_does() -> None:
    query = {"odd key*": "v"}
    assert verdict(request_of("GET", "/api/v1/workspaces", query, b"", "odd+key%2A=v")) == "ok"


def test_fewer_signed_headers_as_other_languages_send_them() -> None:
    headers = signed_headers(
        "GET", "/api/v1/workspaces", key=KEY, secret=SECRET.reveal(), host=HOST, now=NOW, unsigned=("accept",)
    )
    assert "accept" not in headers["authorization"]
    request = Request("GET", "/api/v1/workspaces", "", tuple(headers.items()))
    assert verdict(request) == "ok"


def test_several_values_of_an_unimportant_header_are_sorted_and_joined() -> None:
    headers = signed_headers("GET", "/", key=KEY, secret=SECRET.reveal(), host=HOST, now=NOW, headers={"x-tag": "a,b"})
    pairs = [pair for pair in headers.items() if pair[0] != "x-tag"]
    assert verdict(Request("GET", "/", "", (*pairs, ("x-tag", "b"), ("x-tag", "a")))) == "ok"


def test_the_key_in_the_sts_header_must_be_the_signing_one() -> None:
    good = request_of("GET", "/x", {}, b"", "", **{"x-acs-accesskey-id": KEY})
    assert verdict(good) == "ok"
    assert verdict(request_of("GET", "/x", {}, b"", "", **{"x-acs-accesskey-id": "other"})) == "IncompleteSignature"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SEGMENT = TEXT.filter(lambda text: text not in (".", ".."))


@given(
    segments=st.lists(SEGMENT, min_size=1, max_size=4),
    query=st.dictionaries(st.sampled_from(["name", "pageNum", "tag", "x"]), TEXT),
    body=st.binary(max_size=64),
    loose=st.booleans(),
)
def test_whatever_a_client_signs_is_accepted(
    segments: list[str], query: dict[str, str], body: bytes, loose: bool
) -> None:
    """Any text in paths and queries, escaped as strictly or as loosely as clients do."""
    path = "/" + "/".join(segment.replace("/", "") for segment in segments)
    safe = "/:,*?@" if loose else ""
    wire = "&".join(f"{key}={quote_plus(value, safe=safe)}" for key, value in query.items())
    assert verdict(request_of("POST", path, query, body, wire)) == "ok"


@given(st.text(max_size=80))
def test_no_authorization_text_is_more_than_refused(text: str) -> None:
    assert verdict(replace(START, header_list=(("authorization", text),))) in {
        "IncompleteSignature",
        "InvalidSignatureMethod",
    }
