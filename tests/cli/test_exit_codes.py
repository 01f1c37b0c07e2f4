"""Every error has its exit code, a sentence on stderr and nothing on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from heliostat.cli.app import App
from heliostat.cli.exits import ExitCode
from heliostat.cli.failures import explained
from heliostat.client import errors
from heliostat.engines.simulated import World
from heliostat.testing.harness import HarnessServer

from .conftest import Type

TABLE = {
    errors.InvalidRequest: 2, errors.MissingField: 2, errors.NotFound: 3, errors.Conflict: 4, errors.AlreadyExists: 4,
    errors.IdempotencyMismatch: 4, errors.QuotaExceeded: 4, errors.NotRunning: 4, errors.Unauthenticated: 5,
    errors.Forbidden: 5, errors.NoCredentials: 5, errors.Unavailable: 6, errors.Unreachable: 6, errors.RequestTimeout: 6,
    errors.DeadlineExceeded: 7, errors.Throttled: 1, errors.NotReady: 1, errors.ServerError: 1, errors.ClusterFailed: 1,
    errors.JobFailed: 1, errors.NotCollected: 3,
}  # fmt: skip


def kinds(root: type[errors.HeliostatError]) -> Iterator[type[errors.HeliostatError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_every_error_of_the_sdk_is_in_the_table() -> None:
    assert set(kinds(errors.HeliostatError)) == set(TABLE)


@pytest.mark.parametrize(("kind", "code"), TABLE.items(), ids=lambda value: getattr(value, "__name__", str(value)))
def test_each_error_has_its_code(
    kind: type[errors.HeliostatError], code: int, type_: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(app: App, **options: object) -> None:
        raise kind("the cause, and what to do", path="workers[0].cpu")

    monkeypatch.setattr(App, "client", fail)
    answer = type_("cluster", "list")
    assert answer.code == code
    assert answer.out == ""
    assert answer.err.startswith("error: workers[0].cpu: the cause, and what to do\n")
    assert "Traceback" not in answer.err


def test_what_was_named_in_an_option_is_listed_as_well(type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(app: App, **options: object) -> None:
        raise errors.NotFound("cluster 'nope' does not exist", path="cluster")

    monkeypatch.setattr(App, "client", fail)
    answer = type_("job", "list", "--cluster", "nope")
    assert answer.code == 3
    assert "see what there is with: heliostat cluster list" in answer.err


def test_a_defect_is_admitted_without_a_traceback_unless_asked(type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(app: App, **options: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(App, "client", fail)
    quiet, loud = type_("cluster", "list"), type_("cluster", "list", "--debug")
    assert quiet.code == loud.code == 1
    assert "Traceback" not in quiet.err
    assert "--debug" in quiet.err
    assert "Traceback" in loud.err and "ZeroDivisionError: oops" in loud.err


def test_ctrl_c_is_130(type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(app: App, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(App, "client", interrupted)
    answer = type_("cluster", "list")
    assert answer.code == 130
    assert answer.err.strip().endswith("interrupted")


def test_a_server_error_names_its_request() -> None:
    failure = explained(errors.ServerError("something broke", request_id="ABC-1"))
    assert "ABC-1" in failure.message


@pytest.mark.parametrize("words", ["--help", "completion bash"])
def test_a_closed_pipe_is_no_error(words: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "heliostat.cli.main", *words.split()]
    done = subprocess.run(command, check=False, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert done.returncode == 0
    assert done.stderr == ""


class TestAgainstAServer:
    def test_table(self, server: HarnessServer, world: World, type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
        world.failing["broken"] = "no such interpreter"
        world.start_seconds = 0.2
        steps: list[tuple[int, str, str]] = [
            (0, "cluster create a --no-start", ""),
            (4, "cluster create a --no-start", "exists already"),
            (3, "cluster get nobody", "heliostat cluster list"),
            (2, "cluster create b --cpu lots", "head.cpu"),
            (2, "cluster create b --release 0.1", "release"),
            (2, "cluster create b --workers -1", "--workers"),
            (2, "cluster update a", "nothing to change"),
            (1, "cluster create broken", "heliostat cluster why broken"),
            (2, "cluster start a --timeout 1x", "90s"),
            (0, "cluster start a", ""),
            (4, "cluster start a", "Running"),
            (4, "cluster delete a", "stop it first"),
            (4, "cluster stop a --instance ray-other", "not the present run"),
            (0, "cluster delete a --stop", ""),
            (3, "workspace get w-0000000000000000", "workspace"),
            (3, "key revoke tok-0000", "heliostat key list"),
            (3, "release prepare 0.1", "heliostat release list"),
        ]
        for code, words, told in steps:
            answer = type_(*words.split())
            assert (answer.code, words) == (code, words), answer.err
            assert told in answer.err
            assert "Traceback" not in answer.err
        world.start_seconds = 60
        late = type_("cluster", "create", "late", "--timeout", "0.3s")
        assert late.code == ExitCode.TIMEOUT
        assert "heliostat cluster get late --watch" in late.err
        monkeypatch.setenv("HELIOSTAT_TOKEN", "hlt_wrong")
        denied = type_("cluster", "list")
        assert denied.code == ExitCode.NOT_PERMITTED
        assert "hlt_wrong" not in denied.err

    def test_a_key_that_is_over_before_it_begins(self, server: HarnessServer, type_: Type) -> None:
        answer = type_("key", "create", "--lifetime", "0s")
        assert (answer.code, answer.out) == (2, "")
        assert "at least 1s" in answer.err

    def test_no_server(self, type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
        assert type_("cluster", "list").code == ExitCode.NOT_PERMITTED
        monkeypatch.setenv("HELIOSTAT_ENDPOINT", "http://127.0.0.1:9")
        monkeypatch.setenv("HELIOSTAT_TOKEN", "hlt_any")
        answer = type_("cluster", "list")
        assert answer.code == ExitCode.UNREACHABLE
        assert "heliostat serve" in answer.err

    def test_a_viewer_may_look_but_not_make(
        self, server: HarnessServer, type_: Type, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = json.loads(type_("key", "create", "--principal", "eve", "-o", "json").out)
        assert type_("workspace", "grant", "eve", "viewer").code == 0
        monkeypatch.setenv("HELIOSTAT_TOKEN", made["secret"])
        assert type_("cluster", "list").code == 0
        answer = type_("cluster", "create", "mine")
        assert answer.code == ExitCode.NOT_PERMITTED
        assert "editor" in answer.err
        assert type_("workspace", "grant", "eve", "owner").code == ExitCode.NOT_PERMITTED
        monkeypatch.delenv("HELIOSTAT_TOKEN")
        taken = json.loads(type_("workspace", "revoke", "eve", "-o", "json").out)
        assert taken == {"workspace": server.workspace, "principal": "eve", "role": None}
        monkeypatch.setenv("HELIOSTAT_TOKEN", made["secret"])
        assert type_("cluster", "list", "--workspace", server.workspace).code == ExitCode.NOT_FOUND
