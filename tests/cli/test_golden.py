"""Whole outputs against files in ``golden/``. ``UPDATE_GOLDEN=1`` writes them anew: read the difference before you commit it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from heliostat.cli.app import App

from . import fakes
from .conftest import Type

GOLDEN = Path(__file__).parent / "golden"
COMMANDS = {
    "cluster-list": ("cluster", "list"),
    "cluster-get": ("cluster", "get", "training"),
    "cluster-get-failed": ("cluster", "get", "broken"),
    "cluster-nodes": ("cluster", "nodes", "training"),
    "cluster-events": ("cluster", "events", "training"),
    "cluster-why": ("cluster", "why", "broken"),
    "cluster-logs": ("cluster", "logs", "training"),
    "job-list": ("job", "list"),
    "job-get": ("job", "get", "nightly"),
    "job-get-starting": ("job", "get", "first"),
    "job-get-failed": ("job", "get", "broken"),
    "job-logs": ("job", "logs", "nightly", "--list"),
    "job-events": ("job", "events", "nightly"),
    "job-why": ("job", "why", "nightly"),
    "release-list": ("release", "list"),
    "workspace-list": ("workspace", "list"),
    "queue-list": ("queue", "list"),
    "queue-get": ("queue", "get", "research"),
    "usage": ("usage",),
    "secret-list": ("secret", "list"),
    "key-list": ("key", "list"),
    "key-create": ("key", "create"),
}


@pytest.fixture(autouse=True)
def same_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(App, "client", lambda self, **options: fakes.FakeClient())
    monkeypatch.setattr(App, "__init__", _with_fixed_clock(App.__init__))


def _with_fixed_clock(original: Any) -> Any:  # a method
    def initialise(self: App, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **{"now": lambda: fakes.NOW, **kwargs})

    return initialise


@pytest.mark.parametrize("form", ["table", "json", "yaml"])
@pytest.mark.parametrize("name", COMMANDS)
def test_output_is_as_in_the_file(name: str, form: str, type_: Type) -> None:
    answer = type_(*COMMANDS[name], "-o", form)
    assert answer.code == 0, answer.err
    path = GOLDEN / f"{name}.{form.replace('table', 'txt')}"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(answer.out)
    assert answer.out == path.read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_json_and_yaml_say_the_same_and_nothing_else_is_on_stdout(name: str, type_: Type) -> None:
    as_json, as_yaml = (type_(*COMMANDS[name], "-o", form).out for form in ("json", "yaml"))
    assert json.loads(as_json) == yaml.safe_load(as_yaml)


def test_an_option_before_the_command_holds_and_one_after_it_wins(type_: Type) -> None:
    assert type_("-o", "json", "cluster", "list").out == type_("cluster", "list", "-o", "json").out
    assert type_("-o", "json", "cluster", "-o", "table", "list").out == type_("cluster", "list").out


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "key-create"])
@pytest.mark.parametrize("form", ["table", "json", "yaml"])
def test_no_secret_is_printed_unasked(name: str, form: str, type_: Type) -> None:
    answer = type_(*COMMANDS[name], "-o", form)
    for secret in (fakes.TOKEN, fakes.SECRET, "hlt_never_printed"):
        assert secret not in answer.out + answer.err


@pytest.mark.parametrize("form", ["table", "json", "yaml"])
def test_the_submit_token_is_printed_when_asked_for(form: str, type_: Type) -> None:
    assert fakes.TOKEN in type_("cluster", "get", "training", "--show-secrets", "-o", form).out


def test_version_shows_both_sides(type_: Type) -> None:
    told = json.loads(type_("version", "-o", "json").out)
    assert told["server"] == {"version": "9.9.9", "api": "v1", "endpoint": "http://127.0.0.1:8600"}
    assert told["client"]["version"]


class TestField:
    @pytest.mark.parametrize(
        ("path", "text"),
        [
            ("state", "Running"),
            ("generation", "1"),
            ("endpoints.job_url", "http://127.0.0.1:8600"),
            ("spec.workers.0.name", "workers"),
            ("spec.labels", '{"team": "vision"}'),
            ("spec.head.gpu", "null"),
        ],
    )
    def test_a_field_is_printed_bare(self, path: str, text: str, type_: Type) -> None:
        answer = type_("cluster", "get", "training", "--field", path)
        assert (answer.code, answer.out, answer.err) == (0, f"{text}\n", "")

    @pytest.mark.parametrize("path", ["nothing", "state.more", "spec.workers.7.name", "spec.workers.name", ""])
    def test_a_field_that_is_not_there(self, path: str, type_: Type) -> None:
        answer = type_("cluster", "get", "training", "--field", path or ".")
        assert (answer.code, answer.out) == (3, "")
        assert "there is no field" in answer.err

    def test_a_secret_field_needs_to_be_asked_for_twice(self, type_: Type) -> None:
        words = ("cluster", "get", "training", "--field")
        refused = type_(*words, "endpoints.submit_token")
        assert (refused.code, refused.out) == (2, "")
        assert type_(*words, "endpoints.submit_token", "--show-secrets").out == f"{fakes.TOKEN}\n"
        assert fakes.TOKEN not in type_(*words, "endpoints").out
