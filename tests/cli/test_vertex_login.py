"""``heliostat login --vertex``: what it prints works, and running it again changes nothing that does."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from heliostat.cli.failures import Failure
from heliostat.cli.vertex_login import check, check_plain
from heliostat.client import Client
from heliostat.client.errors import Unreachable
from heliostat.client.models import VertexSetup
from heliostat.testing.harness import HarnessServer, threaded

from .conftest import Type

VARIABLES = [
    "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_UNIVERSE_DOMAIN", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "GOOGLE_API_USE_CLIENT_CERTIFICATE", "GOOGLE_API_USE_MTLS_ENDPOINT",
    "NO_GCE_CHECK", "no_proxy",
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def evaluated(text: str) -> dict[str, str]:
    """The environment of a shell that was told ``eval "$(...)"``."""
    script = 'eval "$SAID" && env -0'
    done = subprocess.run(
        ["sh", "-c", script], env={"SAID": text, "PATH": os.environ["PATH"]}, capture_output=True, check=True
    )
    rows = (row.partition("=") for row in done.stdout.decode().split("\0") if row)
    return {name: value for name, _, value in rows if name in VARIABLES}


def test_a_shell_gets_the_whole_environment(server: HarnessServer, type_: Type, tmp_path: Path) -> None:
    answer = type_("login", "--vertex")
    assert answer.code == 0, answer.err
    place = server.running.server.services.installation.tls_place
    found = evaluated(answer.out)
    assert list(found) == [name for name in found if name in VARIABLES] and set(found) == set(VARIABLES)
    ca, key = Path(found["SSL_CERT_FILE"]), Path(found["GOOGLE_APPLICATION_CREDENTIALS"])
    assert {found[name] for name in VARIABLES[2:5]} == {str(ca)}
    assert ca.read_text() == (server.home / "tls" / "ca.pem").read_text() and stat.S_IMODE(ca.stat().st_mode) == 0o644
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and tmp_path in key.parents
    assert found["GOOGLE_CLOUD_UNIVERSE_DOMAIN"] == json.loads(key.read_text())["universe_domain"] == place
    assert found["GOOGLE_API_USE_CLIENT_CERTIFICATE"] == "false" and found["GOOGLE_API_USE_MTLS_ENDPOINT"] == "never"
    assert found["NO_GCE_CHECK"] == "true" and found["no_proxy"] == "localhost,127.0.0.1"
    init = f'aiplatform.init(project="default", location="us-central1", api_endpoint="{place}", api_transport="grpc")'
    assert answer.out.splitlines()[-1].startswith("#") and answer.out.splitlines()[-1].endswith(init)
    assert "PRIVATE KEY" not in answer.out + answer.err


def test_again_it_is_the_same_and_in_json_too(
    server: HarnessServer, type_: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = type_("login", "--vertex")
    before = {path: path.read_bytes() for path in (tmp_path / "vertex").rglob("*") if path.is_file()}
    assert type_("login", "--vertex") == type_("login", "--vertex", "--project", "default")
    assert type_("login", "--vertex").out == first.out
    assert before == {path: path.read_bytes() for path in (tmp_path / "vertex").rglob("*") if path.is_file()}
    told = json.loads(type_("login", "--vertex", "-o", "json").out)
    assert told["environment"] == evaluated(first.out) and told["project_id"] == "default"
    monkeypatch.setenv("no_proxy", "intern.example, localhost")
    assert evaluated(type_("login", "--vertex").out)["no_proxy"] == "intern.example,localhost,127.0.0.1"


def test_a_key_that_ended_is_made_anew_unless_it_was_given(server: HarnessServer, type_: Type) -> None:
    first = evaluated(type_("login", "--vertex").out)
    path = Path(first["GOOGLE_APPLICATION_CREDENTIALS"])
    old = json.loads(path.read_text())["private_key_id"]
    assert type_("key", "revoke", old).code == 0
    refused = type_("login", "--vertex", "--google-json", str(path))
    assert refused.code == 5 and "revoked" in refused.err and old in refused.err and refused.out == ""
    assert evaluated(type_("login", "--vertex").out) == first
    assert json.loads(path.read_text())["private_key_id"] != old
    path.write_text("half a f")
    assert evaluated(type_("login", "--vertex").out) == first
    assert json.loads(path.read_text())["type"] == "service_account"


def test_a_given_file_is_used_where_it_is(server: HarnessServer, type_: Type, tmp_path: Path) -> None:
    path = tmp_path / "a robot's.json"
    assert type_("key", "create", "--google-json", str(path), "--principal", "robot").code == 0
    found = evaluated(type_("login", "--vertex", "--google-json", str(path)).out)
    assert found["GOOGLE_APPLICATION_CREDENTIALS"] == str(path)
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "private_key": "nonsense"}))
    assert type_("login", "--vertex", "--google-json", str(path)).code == 2
    path.write_text(json.dumps({**document, "universe_domain": "localhost:1"}))
    refused = type_("login", "--vertex", "--google-json", str(path))
    assert refused.code == 2 and "is a key for localhost:1" in refused.err
    assert type_("login", "--vertex", "--google-json", str(tmp_path / "missing.json")).code == 2


def test_everybody_and_every_project_has_a_key_of_its_own(
    server: HarnessServer, type_: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluated(type_("login", "--vertex").out)["GOOGLE_APPLICATION_CREDENTIALS"]
    assert type_("workspace", "create", "vision").code == 0
    other = type_("login", "--vertex", "--project", "vision")
    assert 'project="vision"' in other.out
    second = evaluated(other.out)["GOOGLE_APPLICATION_CREDENTIALS"]
    token = json.loads(type_("key", "create", "--principal", "eve", "-o", "json").out)["secret"]
    monkeypatch.setenv("HELIOSTAT_TOKEN", token)
    refused = type_("login", "--vertex")
    assert refused.code == 5 and refused.out == "", "eve has no role anywhere"
    monkeypatch.delenv("HELIOSTAT_TOKEN")
    role = f"{server.url}/v1/workspaces/{server.workspace}/roles/eve"
    granted = httpx.put(role, json={"role": "viewer"}, headers={"authorization": f"Bearer {server.token}"})
    assert granted.status_code == 204
    monkeypatch.setenv("HELIOSTAT_TOKEN", token)
    third = evaluated(type_("login", "--vertex").out)["GOOGLE_APPLICATION_CREDENTIALS"]
    assert len({first, second, third}) == 3
    assert json.loads(Path(third).read_text())["client_email"].startswith("eve@")


def test_a_given_certificate_needs_no_file_or_the_one_of_the_login(
    type_: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1", "*.localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    pem = tmp_path / "server.pem"
    with threaded(tmp_path / "home", tls_cert=pem, tls_key=pem) as server:
        words = ("login", "--endpoint", server.url, "--ca", str(tmp_path / "ca.pem"), "--profile", "work")
        assert type_(*words, stdin=server.token).code == 0
        private = type_("login", "--vertex", "--profile", "work")
        assert private.code == 0, private.err
        assert evaluated(private.out)["REQUESTS_CA_BUNDLE"] == str(tmp_path / "ca.pem")
        # As if everybody trusted that authority
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        rows = json.loads((tmp_path / "profiles.json").read_text())
        del rows["profiles"]["work"]["ca"]
        (tmp_path / "profiles.json").write_text(json.dumps(rows))
        public = type_("login", "--vertex", "--profile", "work")
        assert public.code == 0, public.err
        assert not {"REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"} & set(evaluated(public.out))


def test_a_door_that_cannot_be_reached_or_trusted_is_told(server: HarnessServer, type_: Type, tmp_path: Path) -> None:
    key = json.loads(Path(evaluated(type_("login", "--vertex").out)["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
    with Client(server.url, server.token) as client:
        setup = client.keys.google_setup()
    check(key, setup, server.home / "tls" / "ca.pem")
    with pytest.raises(Unreachable, match="cannot be trusted"):
        check(key, setup, None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        nowhere = f"localhost:{taken.getsockname()[1]}"
        moved = replace(setup, api_endpoint=nowhere, token_uri=f"https://{nowhere}/token")
        with pytest.raises(Unreachable, match="nothing answers with TLS"):
            check(key, moved, server.home / "tls" / "ca.pem")
    with pytest.raises(Unreachable, match="does not answer as"):
        check(key, replace(setup, token_uri=f"https://{setup.api_endpoint}/c/x/"), server.home / "tls" / "ca.pem")


@pytest.mark.parametrize(
    "told",
    [
        {"project_id": "default\nrm -rf /"},
        {"project_id": 'x"); import os; ("'},
        {"project_number": "../../1"},
        {"location": ""},
        {"api_endpoint": ".."},
        {"api_endpoint": "localhost:1\n"},
        {"universe_domain": "localhost/.."},
        {"universe_domain": 1},
    ],
)
def test_what_no_server_of_ours_tells_is_neither_printed_nor_made_a_name(told: dict[str, Any]) -> None:
    setup = VertexSetup(
        "default", "123456789012", "us-central1", "[::1]:8601", "localhost:8601", "https://localhost:8601/token", ""
    )
    check_plain(setup)
    with pytest.raises(Failure, match=next(iter(told))):
        check_plain(replace(setup, **told))
