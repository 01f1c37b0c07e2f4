"""``heliostat login --flyte`` and ``heliostat token``: what is written works, and holds no secret."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from heliostat.testing.harness import HarnessServer

from .conftest import Type


def written(text: str) -> Path:
    """The file that a shell is told of."""
    line = text.splitlines()[0]
    assert line.startswith("export FLYTECTL_CONFIG=") and text.splitlines()[1].startswith("#")
    return Path(shlex.split(line.removeprefix("export FLYTECTL_CONFIG="))[0])


def test_a_configuration_is_written_and_its_command_prints_the_token(
    server: HarnessServer, type_: Type, tmp_path: Path
) -> None:
    answer = type_("login", "--flyte")
    assert answer.code == 0, answer.err
    file = written(answer.out)
    assert file.parent == tmp_path / "flyte"
    admin = yaml.safe_load(file.read_text())["admin"]
    assert (admin["endpoint"], admin["insecure"]) == (f"dns:///127.0.0.1:{server.port}", True)
    assert admin["authType"] == "ExternalCommand" and "caCertFilePath" not in admin
    assert server.token not in file.read_text() + answer.out + answer.err
    said = subprocess.run(admin["command"], capture_output=True, text=True, check=True)
    assert said.stdout == f"{server.token}\n" and said.stderr == ""
    again = type_("login", "--flyte", "-o", "json")
    told = json.loads(again.out)
    assert told["file"] == told["environment"]["FLYTECTL_CONFIG"] == str(file) and told["admin"] == admin


def test_the_profile_that_was_named_is_the_one_that_is_used(server: HarnessServer, type_: Type, tmp_path: Path) -> None:
    secret = tmp_path / "token.txt"
    secret.write_text(server.token)
    assert type_("login", "--endpoint", server.url, "--profile", "prod", "--token-file", str(secret)).code == 0
    admin = yaml.safe_load(written(type_("login", "--flyte", "--profile", "prod").out).read_text())["admin"]
    assert admin["command"][-4:-2] == ["--profile", "prod"]
    assert type_("token", "--profile", "prod").out == f"{server.token}\n"
    told = json.loads(type_("token", "--profile", "prod", "-o", "json").out)
    assert told["token"] == server.token and "prod" in told["source"]


def test_a_token_that_is_not_kept_is_told_of(
    server: HarnessServer, type_: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELIOSTAT_TOKEN", server.token)
    monkeypatch.setenv("HELIOSTAT_ENDPOINT", server.url)
    monkeypatch.setenv("HELIOSTAT_HOME", str(tmp_path / "nothing"))
    answer = type_("login", "--flyte")
    assert answer.code == 0 and "HELIOSTAT_TOKEN must be set" in answer.err
    assert type_("token").out == f"{server.token}\n"


def test_what_does_not_go_together(type_: Type) -> None:
    for words in (
        ("login", "--flyte", "--vertex"),
        ("login", "--flyte", "--forget"),
        ("login", "--flyte", "--token-file", "x"),
        ("login", "--flyte", "--project", "x"),
    ):
        assert type_(*words).code == 2, words
    answer = type_("token")
    assert answer.code != 0 and answer.out == "" and "heliostat login" in answer.err


def test_a_login_that_no_longer_works_writes_nothing(
    server: HarnessServer, type_: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELIOSTAT_TOKEN", "hlt_gone")
    monkeypatch.setenv("HELIOSTAT_ENDPOINT", server.url)
    answer = type_("login", "--flyte")
    assert answer.code != 0 and not (tmp_path / "flyte").exists()
