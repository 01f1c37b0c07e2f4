"""What the SDK would never send: tampered and replayed requests, odd methods, bodies, paths and headers."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings

from heliostat.testing.harness import HarnessServer
from tests.dialects.emr.bodies import JSON, SCRAMBLED
from tests.dialects.emr.signing import signed_headers


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Wire:
    server: HarnessServer

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    @property
    def clusters(self) -> str:
        return f"/api/v1/workspaces/{self.server.workspace}/rayCluster"

    def signed(self, method: str, path: str, **options: Any) -> dict[str, str]:
        key, secret = self.server.access_key_id, self.server.access_key_secret
        return signed_headers(method, path, key=key, secret=secret, host=self.host, **options)

    def bearer(self, **headers: str) -> dict[str, str]:
        return {"host": self.host, "x-acs-version": "2023-08-08", "x-acs-bearer-token": self.server.token, **headers}

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value.encode())
            if body or method == "POST":
                connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            data = response.read()
            found = {name.lower(): value for name, value in response.getheaders()}
        finally:
            connection.close()
        if method == "HEAD":
            return Answer(response.status, found, None)
        parsed = json.loads(data)
        assert isinstance(parsed, dict)
        assert found["content-type"] == "application/json;charset=utf-8"
        assert found["x-acs-request-id"] == parsed.get("RequestId", parsed.get("requestId"))
        return Answer(response.status, found, parsed)

    def code(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, str]:
        answer = self.send(method, target, headers, body)
        return answer.status, answer.body.get("Code", "ok")


@pytest.fixture
def wire(server: HarnessServer) -> Wire:
    return Wire(server)


class TestSignatures:
    def test_a_good_one(self, wire: Wire) -> None:
        headers = wire.signed("GET", wire.clusters, query={"pageSize": "1"})
        assert wire.code("GET", wire.clusters + "?pageSize=1", headers) == (200, "ok")

    def test_a_replay(self, wire: Wire) -> None:
        headers = wire.signed("GET", wire.clusters)
        assert wire.code("GET", wire.clusters, headers) == (200, "ok")
        assert wire.code("GET", wire.clusters, headers) == (400, "SignatureNonceUsed")

    def test_a_bad_signature_does_not_use_up_a_nonce(self, wire: Wire) -> None:
        headers = wire.signed("GET", wire.clusters)
        assert wire.code("GET", wire.clusters + "?x=1", headers) == (400, "SignatureDoesNotMatch")
        assert wire.code("GET", wire.clusters, headers) == (200, "ok")

    def test_a_replay_of_a_failed_request(self, wire: Wire) -> None:
        path = wire.clusters + "/ray-0000000000000000"
        headers = wire.signed("GET", path)
        assert wire.code("GET", path, headers) == (404, "ResourceNotFound")
        assert wire.code("GET", path, headers) == (400, "SignatureNonceUsed")

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"x-acs-date": "2026-01-01T00:00:00Z"}, "InvalidTimeStamp.Expired"),
            ({"x-acs-date": "yesterday"}, "InvalidTimeStamp.Format"),
            ({"x-acs-signature-nonce": "other"}, "SignatureDoesNotMatch"),
            ({"x-acs-content-sha256": hashlib.sha256(b"x").hexdigest()}, "SignatureDoesNotMatch"),
            ({"x-acs-security-token": "slipped in"}, "IncompleteSignature"),
            ({"accept": "text/html"}, "SignatureDoesNotMatch"),
            ({"authorization": "Basic YTpi"}, "IncompleteSignature"),
            ({"authorization": "acs key:c2ln"}, "InvalidSignatureMethod"),
        ],
    )
    def test_tampered_headers(self, wire: Wire, changes: dict[str, str], code: str) -> None:
        headers = wire.signed("GET", wire.clusters) | changes
        assert wire.code("GET", wire.clusters, headers) == (400, code)

    def test_a_changed_body(self, wire: Wire) -> None:
        body = b'{"name":"a"}'
        headers = wire.signed("POST", wire.clusters, body=body)
        assert wire.code("POST", wire.clusters, headers, b'{"name":"b"}') == (400, "SignatureDoesNotMatch")
        rehashed = headers | {"x-acs-content-sha256": hashlib.sha256(b'{"name":"b"}').hexdigest()}
        assert wire.code("POST", wire.clusters, rehashed, b'{"name":"b"}') == (400, "SignatureDoesNotMatch")

    def test_a_changed_path_and_method(self, wire: Wire) -> None:
        headers = wire.signed("POST", wire.clusters + "/a/start")
        assert wire.code("POST", wire.clusters + "/a/stop", headers) == (400, "SignatureDoesNotMatch")
        headers = wire.signed("GET", wire.clusters + "/a")
        assert wire.code("DELETE", wire.clusters + "/a", headers) == (400, "SignatureDoesNotMatch")

    @pytest.mark.parametrize("minutes", [-16, 16])
    def test_clocks_that_are_off(self, wire: Wire, minutes: int) -> None:
        headers = wire.signed("GET", wire.clusters, now=datetime.now(UTC) + timedelta(minutes=minutes))
        assert wire.code("GET", wire.clusters, headers) == (400, "InvalidTimeStamp.Expired")

    def test_no_credential(self, wire: Wire) -> None:
        assert wire.code("GET", wire.clusters, {"host": wire.host}) == (400, "IncompleteSignature")
        assert wire.code("GET", wire.clusters, {"host": wire.host, "x-acs-zero-trust-idtoken": "t"}) == (
            400,
            "InvalidSignatureMethod",
        )

    def test_the_refusal_shows_the_string_to_sign(self, wire: Wire) -> None:
        headers = wire.signed("GET", wire.clusters)
        message = wire.send("GET", wire.clusters + "?a=b", headers).body["Message"]
        assert "ACS3-HMAC-SHA256\n" in message
        assert wire.server.access_key_secret not in message

    def test_ids_with_an_escaped_slash_are_one_segment(self, wire: Wire) -> None:
        headers = wire.signed("GET", "/api/v1/workspaces/a%2Fb")
        assert wire.code("GET", "/api/v1/workspaces/a%2Fb", headers) == (400, "SignatureDoesNotMatch")
        assert wire.code("GET", "/api/v1/workspaces/a%252Fb", headers) == (404, "ResourceNotFound")


class TestVersionAndAction:
    def test_version(self, wire: Wire) -> None:
        assert wire.code("GET", wire.clusters, wire.bearer(**{"x-acs-version": "2020-01-01"})) == (
            400,
            "InvalidVersion",
        )
        without = {"host": wire.host, "x-acs-bearer-token": wire.server.token}
        assert wire.code("GET", wire.clusters, without) == (400, "InvalidVersion")

    def test_action(self, wire: Wire) -> None:
        assert wire.code("GET", wire.clusters, wire.bearer(**{"x-acs-action": "ListRayCluster"})) == (200, "ok")
        wrong = wire.bearer(**{"x-acs-action": "DeleteRayCluster"})
        assert wire.code("GET", wire.clusters, wrong) == (404, "InvalidAction.NotFound")


class TestPathsAndMethods:
    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
    def test_known_path_other_method(self, wire: Wire, method: str) -> None:
        answer = wire.send(method, wire.clusters, {"host": wire.host})
        assert (answer.status, answer.body["Code"]) == (405, "UnsupportedHTTPMethod")
        assert answer.headers["allow"] == "GET, POST"

    def test_head_has_headers_only(self, wire: Wire) -> None:
        assert wire.send("HEAD", wire.clusters, {"host": wire.host}).status == 405

    @pytest.mark.parametrize(
        "path",
        [
            "/api/v1/",
            "/api/v1/nothing",
            "/api/v1/workspaces/update",
            "/api/v1/workspaces/w/rayCluster/c/restart",
            "/api/v1/workspaces/w/raycluster",
            "/api/interactive/v1/workspace/w/ray/rj-1/files",
            "/api/interactive/v1/workspaces/w/ray/rj-1/logs",
        ],
    )
    def test_unknown_paths(self, wire: Wire, path: str) -> None:
        assert wire.code("GET", path, wire.bearer()) == (404, "InvalidAction.NotFound")

    def test_nothing_is_redirected(self, wire: Wire) -> None:
        assert wire.code("GET", "/api/v1/workspaces/", wire.bearer()) == (404, "ResourceNotFound")
        assert wire.code("GET", wire.clusters + "/", wire.bearer()) == (404, "ResourceNotFound")

    def test_the_route_comes_before_the_credential(self, wire: Wire) -> None:
        assert wire.code("GET", "/api/v1/nothing", {"host": wire.host}) == (404, "InvalidAction.NotFound")


class TestBodies:
    def test_too_large(self, wire: Wire) -> None:
        answer = wire.send("POST", wire.clusters, wire.bearer(), b" " * ((1 << 20) + 1))
        assert (answer.status, answer.body["Code"]) == (413, "RequestEntityTooLarge")
        assert wire.send("POST", wire.clusters, {"host": wire.host}, b" " * (2 << 20)).status == 413, (
            "before the credential"
        )

    def test_too_large_in_chunks(self, wire: Wire) -> None:
        with socket.create_connection(("127.0.0.1", wire.server.port), timeout=10) as raw:
            head = f"POST {wire.clusters} HTTP/1.1\r\nhost: {wire.host}\r\ntransfer-encoding: chunked\r\n\r\n"
            chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
            raw.sendall(head.encode() + chunk * 17 + b"0\r\n\r\n")
            assert raw.recv(12) == b"HTTP/1.1 413"

    @pytest.mark.parametrize("body", [b"{", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", b"\0"])
    def test_not_a_json_object(self, wire: Wire, body: bytes) -> None:
        for path in (wire.clusters, wire.clusters + "/ray-0000000000000000/start"):
            answer = wire.send("POST", path, wire.bearer(), body)
            assert (answer.status, answer.body["Code"]) == (400, "InvalidParameter")
            assert answer.body["Message"].startswith("body: ")

    def test_none_at_all(self, wire: Wire) -> None:
        assert wire.code("POST", wire.clusters, wire.bearer()) == (400, "MissingParameter")
        assert wire.code("POST", wire.clusters + "/ray-0000000000000000/stop", wire.bearer()) == (
            404,
            "ResourceNotFound",
        )

    def test_content_types_do_not_matter(self, wire: Wire) -> None:
        headers = wire.bearer(**{"content-type": "application/octet-stream"})
        assert wire.code("GET", wire.clusters, headers) == (200, "ok")


class TestQueries:
    @pytest.mark.parametrize(
        "query", ["pageNum=", "pageNum=%00", "pageNum=1.5", "pageSize=%F0", "pageNum=99999999999999999999"]
    )
    def test_bad_numbers(self, wire: Wire, query: str) -> None:
        assert wire.code("GET", f"{wire.clusters}?{query}", wire.bearer()) == (400, "InvalidParameter")

    @pytest.mark.parametrize("query", ["regionId=x&regionId=y", "&&", "a", "=", "%", "name=%00"])
    def test_odd_but_harmless(self, wire: Wire, query: str) -> None:
        code = "InvalidParameter" if "%00" in query else "ok"
        assert wire.code("GET", f"/api/v1/workspaces?{query}", wire.bearer())[1] == code

    @pytest.mark.parametrize("tag", ["{", "{}", "[1]", '[{"key":1}]', '[{"key":"k","value":[]}]'])
    def test_bad_tags(self, wire: Wire, tag: str) -> None:
        target = "/api/v1/workspaces?tag=" + "".join(f"%{byte:02X}" for byte in tag.encode())
        assert wire.code("GET", target, wire.bearer()) == (400, "InvalidParameter")


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=SCRAMBLED | JSON)
def test_no_body_breaks_the_server(server: HarnessServer, body: Any) -> None:
    """Whatever is sent is refused as the client's fault, or becomes a cluster that can be read and changed by the same."""
    wire = Wire(server)
    data = json.dumps(body).encode()
    made = wire.send("POST", wire.clusters, wire.bearer(), data)
    event(f"create: {made.status}")
    assert made.status in (200, 400, 409), made.body
    assert made.status == 200 or made.body["Code"] in ("InvalidParameter", "MissingParameter", "ResourceAlreadyExists")
    if made.status == 200:
        path = f"{wire.clusters}/{made.body['clusterId']}"
        assert wire.send("GET", path, wire.bearer()).body["name"] == body["name"]
        assert wire.send("POST", path, wire.bearer(), data).status == 200
        assert wire.send("DELETE", path, wire.bearer()).status == 200
