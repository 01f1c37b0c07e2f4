"""What the Tab key offers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest

from heliostat.cli.main import run
from heliostat.testing.harness import HarnessServer

from .conftest import Type

Tab = Callable[..., list[str]]
"""``tab("cluster", "get", "r")``: what is offered for the last word."""


@pytest.fixture
def tab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tab:
    """What bash is offered after these words; the last one is being typed."""

    def offered(*words: str) -> list[str]:
        monkeypatch.setenv("_HELIOSTAT_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", " ".join(["heliostat", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        assert run([]) == 0
        monkeypatch.delenv("_HELIOSTAT_COMPLETE")
        told = capsys.readouterr()
        assert told.err == ""
        return [line.partition(",")[2] for line in told.out.splitlines() if line]

    return offered


def test_commands_and_options(tab: Tab) -> None:
    assert tab("cl") == ["cluster"]
    assert {"create", "list", "get", "why"} <= set(tab("cluster", ""))
    assert "--worker-group" in tab("cluster", "create", "x", "--wor")
    assert tab("cluster", "list", "-o", "j") == ["json"]


def test_names_come_from_the_server(server: HarnessServer, type_: Type, tab: Tab) -> None:
    for name in ("red", "rose", "blue"):
        assert type_("cluster", "create", name, "--no-start").code == 0
    assert sorted(tab("cluster", "get", "r")) == ["red", "rose"]
    assert "ray-1.3.1" in tab("release", "prepare", "ray-1")
    assert "ray-1.3.1" in tab("cluster", "create", "x", "--release", "")
    assert tab("workspace", "get", "") == [server.workspace]
    assert any(name.startswith("tok-") for name in tab("key", "revoke", ""))
    assert tab("cluster", "get", "--endpoint", "http://127.0.0.1:9", "") == []


def test_silence_when_no_server_answers(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tab("cluster", "get", "") == []
    monkeypatch.setenv("HELIOSTAT_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HELIOSTAT_TOKEN", "hlt_any")
    assert tab("cluster", "get", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_for_our_program(shell: str, type_: Type) -> None:
    answer = type_("completion", shell)
    assert answer.code == 0
    assert f"_HELIOSTAT_COMPLETE={shell}_complete" in answer.out
    if shutil.which(shell):
        assert (
            subprocess.run([shell, "-n"], check=False, input=answer.out, text=True, capture_output=True).returncode == 0
        )
