"""Key files for Google's clients: made here, readable by their owner alone, and whole or not there."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from heliostat.client import AsyncClient, Client, HeliostatError, google_keys
from heliostat.client.errors import InvalidRequest
from heliostat.testing.harness import HarnessServer, threaded

from .conftest import Type

GOOGLES = {
    "type": "service_account", "project_id": "p", "private_key_id": "k", "private_key": "-----BEGIN PRIVATE KEY-----\n",
    "client_email": "robot@p.iam.gserviceaccount.com", "token_uri": "https://oauth2.googleapis.com/token",
}  # fmt: skip


def keys(type_: Type) -> dict[str, dict[str, Any]]:
    rows = json.loads(type_("key", "list", "-o", "json").out)
    return {row["id"]: row for row in rows if row["kind"] == "service_account_key"}


def test_a_key_file_is_made(server: HarnessServer, type_: Type, tmp_path: Path) -> None:
    path = tmp_path / "robot.json"
    answer = type_(
        "key", "create", "--google-json", str(path), "--principal", "robot", "--lifetime", "9d", "-o", "json"
    )
    assert answer.code == 0, answer.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    document = json.loads(path.read_text())
    place = server.running.server.services.installation.tls_place
    assert document["universe_domain"] == place and document["token_uri"] == f"https://{place}/token"
    assert document["client_email"] == "robot@default.iam.heliostat.internal" and document["project_id"] == "default"
    assert list(document)[:4] == ["type", "project_id", "private_key_id", "private_key"]
    private = load_pem_private_key(document["private_key"].encode(), None)
    assert private.key_size == 2048  # type: ignore[union-attr]
    told = json.loads(answer.out)
    assert told["file"] == str(path) and told["key_file"]["private_key_id"] == told["key"]["id"]
    assert "PRIVATE" not in answer.out + answer.err and "private_key" not in told["key_file"]
    listed = type_("key", "list")
    assert "service_account_key" in listed.out and "PRIVATE" not in listed.out
    assert keys(type_)[told["key"]["id"]]["expires_at"] is not None
    assert [file.name for file in tmp_path.iterdir() if "robot" in file.name] == ["robot.json"]
    secret = document["private_key"].splitlines()[1].encode()
    assert not any(secret in file.read_bytes() for file in server.home.rglob("*") if file.is_file())


def test_a_file_that_is_there_stays_unless_it_is_said(server: HarnessServer, type_: Type, tmp_path: Path) -> None:
    path = tmp_path / "robot.json"
    path.write_text("mine")
    refused = type_("key", "create", "--google-json", str(path))
    assert refused.code == 2 and "--force" in refused.err and path.read_text() == "mine"
    assert type_("key", "create", "--google-json", str(path), "--force").code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and json.loads(path.read_text())["type"] == "service_account"
    path.write_text(json.dumps(GOOGLES))
    refused = type_("key", "create", "--google-json", str(path), "--force")
    assert refused.code == 2 and "Google issued" in refused.err and json.loads(path.read_text()) == GOOGLES
    assert len(keys(type_)) == 1


def test_a_place_that_cannot_be_written_makes_no_key(server: HarnessServer, type_: Type, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("missing/robot.json", "file/robot.json", "."):
        refused = type_("key", "create", "--google-json", str(tmp_path / place), "--force")
        assert refused.code == 2, (place, refused.err)
    assert keys(type_) == {}


def test_a_key_whose_file_could_not_be_written_is_taken_back(
    server: HarnessServer, type_: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliostat.client.google_keys.os.link", _no_room)
    refused = type_("key", "create", "--google-json", str(tmp_path / "robot.json"))
    assert refused.code == 2 and "No space left" in refused.err
    assert [row["revoked_at"] is not None for row in keys(type_).values()] == [True]
    assert not [file.name for file in tmp_path.iterdir() if "robot" in file.name]


def _no_room(*paths: Path) -> None:
    raise OSError(28, "No space left on device")


def test_of_two_at_once_one_gets_the_name(tmp_path: Path) -> None:
    path = tmp_path / "robot.json"
    with google_keys.new_file(path) as first, google_keys.new_file(path) as second:
        first.write({"a": 1})
        with pytest.raises(InvalidRequest, match="there already"):
            second.write({"a": 2})
    assert json.loads(path.read_text()) == {"a": 1} and list(tmp_path.iterdir()) == [path]


def test_options_that_do_not_go_together(type_: Type, tmp_path: Path) -> None:
    path = str(tmp_path / "robot.json")
    for words in (("--google-json", path, "--kind", "token"), ("--project", "default"), ("--force",)):
        assert type_("key", "create", *words).code == 2
    for words in (("--google-json", path), ("--project", "default")):
        assert type_("login", *words).code == 2
    for words in (("--forget",), ("--ca", __file__), ("--token-file", path)):
        assert type_("login", "--vertex", *words).code == 2


def test_a_project_that_is_not_there_is_refused(server: HarnessServer, type_: Type, tmp_path: Path) -> None:
    answer = type_("key", "create", "--google-json", str(tmp_path / "robot.json"), "--project", "nowhere")
    assert answer.code == 5 and "nowhere" in answer.err and not (tmp_path / "robot.json").exists()


def test_without_tls_the_remedy_is_shown(type_: Type, tmp_path: Path) -> None:
    with threaded(tmp_path / "home", tls_port=-1):
        for words in (("key", "create", "--google-json", str(tmp_path / "robot.json")), ("login", "--vertex")):
            answer = type_(*words)
            assert answer.code == 1 and "--tls-port" in answer.err and answer.out == ""
        assert keys(type_) == {}
    assert not (tmp_path / "robot.json").exists()


def test_googles_own_credentials_are_refused_everywhere(server: HarnessServer, type_: Type, tmp_path: Path) -> None:
    path = tmp_path / "real.json"
    url = ("--endpoint", server.url)
    for document in (GOOGLES, {**GOOGLES, "universe_domain": "googleapis.com"}, {"type": "authorized_user"}):
        path.write_text(json.dumps(document, indent=2))
        for words, stdin in (
            (("login", "--vertex", "--google-json", str(path)), ""),
            (("login", *url, "--token-file", str(path)), ""),
            (("login", *url), path.read_text()),
        ):
            answer = type_(*words, stdin=stdin)
            assert answer.code == 2, answer.err
            assert "Google issued" in answer.err and "was not sent anywhere" in answer.err, answer.err
    assert not (tmp_path / "profiles.json").exists()


def test_a_key_file_is_no_token(server: HarnessServer, type_: Type, tmp_path: Path) -> None:
    path = tmp_path / "robot.json"
    path.write_text(json.dumps({**GOOGLES, "universe_domain": "localhost:1"}))
    answer = type_("login", "--endpoint", server.url, "--token-file", str(path))
    assert answer.code == 2 and "--vertex" in answer.err


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "is not there"),
        ("", "not a service account"),
        ("[1]", "not a service account"),
        ("[" * 50000, "not a service account"),
        ("{}", "not a service account"),
        (json.dumps({"type": "service_account", "universe_domain": "x"}), "lacks private_key_id"),
        (json.dumps({**GOOGLES, "universe_domain": "elsewhere:8601"}), "is a key for elsewhere:8601"),
    ],
)
def test_files_that_are_no_key_of_this_server(tmp_path: Path, text: str | None, why: str) -> None:
    path = tmp_path / "robot.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidRequest, match=why):
        google_keys.read_file(path, "localhost:8601")


async def test_the_sdk_makes_them_too(server: HarnessServer, tmp_path: Path) -> None:
    async with AsyncClient(server.url, server.token) as client:
        made = await client.keys.create_google_key(tmp_path / "a.json", description="CI")
        assert json.loads((tmp_path / "a.json").read_text()) == made.key_file
        assert made.setup.project_number == (await client.keys.google_setup("default")).project_number
        assert made.key.kind == "service_account_key" and "PRIVATE" not in repr(made)
    with Client(server.url, server.token) as client:
        unsaved = client.keys.create_google_key(project=made.setup.project_number)
        assert unsaved.key_file["private_key"].startswith("-----BEGIN PRIVATE KEY-----")
        with pytest.raises(HeliostatError):
            client.keys.create_google_key(tmp_path / "a.json")
