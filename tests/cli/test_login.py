"""Logging in keeps only what works, where only its owner can read it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from heliostat.testing.harness import HarnessServer

from .conftest import Type


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No home folder with credentials; the file that profiles go to."""
    monkeypatch.setenv("HELIOSTAT_HOME", str(tmp_path / "nowhere"))
    return tmp_path / "profiles.json"


def test_login_checks_keeps_and_is_used(server: HarnessServer, elsewhere: Path, type_: Type) -> None:
    answer = type_("login", "--endpoint", server.url, stdin=server.token + "\n")
    assert answer.code == 0, answer.err
    assert server.token not in answer.out + answer.err
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o600
    kept = json.loads(elsewhere.read_text())["profiles"]["default"]
    assert kept["token"] == server.token
    assert kept["workspace_id"] == server.workspace
    assert type_("cluster", "list").code == 0


def test_a_token_that_does_not_work_is_not_kept(server: HarnessServer, elsewhere: Path, type_: Type) -> None:
    answer = type_("login", "--endpoint", server.url, stdin="hlt_wrong\n")
    assert answer.code == 5
    assert not elsewhere.exists()
    assert type_("login", "--endpoint", "http://127.0.0.1:9", stdin="hlt_any\n").code == 6
    assert type_("login", "--endpoint", server.url, "--workspace", "w-other", stdin=server.token).code == 2
    assert type_("login", "--endpoint", server.url, stdin="\n").code == 2
    assert type_("login", stdin=server.token).code == 2
    assert not elsewhere.exists()


def test_a_token_from_a_file_or_the_environment(
    server: HarnessServer, elsewhere: Path, type_: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(server.token + "\n")
    words = ("login", "--endpoint", server.url)
    assert type_(*words, "--token-file", str(tmp_path / "token"), "--profile", "a").code == 0
    monkeypatch.setenv("HELIOSTAT_TOKEN", server.token)
    assert type_(*words, "--profile", "b").code == 0
    assert json.loads(elsewhere.read_text())["current"] == "b"
    assert type_(*words, "--token-file", str(tmp_path / "missing")).code == 2


def test_several_workspaces_need_one_to_be_named(server: HarnessServer, elsewhere: Path, type_: Type) -> None:
    words = ("login", "--endpoint", server.url)
    assert type_(*words, stdin=server.token).code == 0
    made = json.loads(type_("workspace", "create", "vision", "-o", "json").out)
    assert type_(*words, "--profile", "default", stdin=server.token).code == 0, "the one kept before goes on"
    elsewhere.unlink()
    answer = type_(*words, stdin=server.token)
    assert answer.code == 2
    assert made["id"] in answer.err
    assert type_(*words, "--workspace", made["id"], stdin=server.token).code == 0
    assert json.loads(type_("queue", "list", "-o", "json").out)[0]["workspace"] == made["id"]


def test_a_profile_is_forgotten(server: HarnessServer, elsewhere: Path, type_: Type) -> None:
    type_("login", "--endpoint", server.url, "--profile", "prod", stdin=server.token)
    assert type_("login", "--profile", "prod", "--forget").code == 0
    assert type_("login", "--profile", "prod", "--forget").code == 3
    assert server.token not in elsewhere.read_text()
    assert type_("cluster", "list").code == 5
