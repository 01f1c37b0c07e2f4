"""``heliostat secret`` against a server: where a value may come from, and that it is never printed."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from heliostat.testing.harness import HarnessServer

from .conftest import Type

VALUE = "correct horse battery"


def test_a_secret_from_its_setting_to_its_end(type_: Type, server: HarnessServer, tmp_path: Path) -> None:
    made = type_("secret", "set", "db/password", stdin=f"{VALUE}\n")
    assert made.code == 0, made.err
    assert made.out.splitlines()[1].split()[:2] == ["db", "password"]
    (tmp_path / "key.pem").write_text(f"{VALUE}\n")
    second = type_("secret", "set", "prod/tls/key@2", "--from-file", str(tmp_path / "key.pem"), "-o", "json")
    shown = json.loads(second.out)
    assert (shown["group"], shown["key"], shown["version"]) == ("prod/tls", "key", "2")
    listed = type_("secret", "list", "--group", "db", "-o", "json")
    assert [row["key"] for row in json.loads(listed.out)] == ["password"]
    table = type_("secret", "list")
    assert len(table.out.splitlines()) == 3
    words = ("--secret", "PASSWORD=db/password", "--secret", "KEY=prod/tls/key@2")
    job = type_("job", "submit", *words, "-o", "json", "--", "true")
    assert [row["variables"] for row in json.loads(job.out)["secrets"]] == [["PASSWORD"], ["KEY"]]
    seen = type_("job", "get", json.loads(job.out)["id"])
    assert "PASSWORD: db/password\n" in seen.out and "KEY: prod/tls/key@2" in seen.out
    gone = type_("secret", "delete", "db/password")
    assert (gone.code, gone.out) == (0, "secret db/password is deleted\n")
    refused = type_("job", "submit", "--secret", "PASSWORD=db/password", "--", "true")
    assert (refused.code, refused.out) == (2, "") and "heliostat secret set db/password" in refused.err
    for answer in (made, second, listed, table, job, seen, gone, refused):
        assert VALUE not in answer.out + answer.err


WRONG = [
    (("secret", "set", "password"), "x", 2, "GROUP/KEY"),
    (("secret", "set", "db/password@"), "x", 2, "GROUP/KEY"),
    (("secret", "set", "d b/password"), "x", 2, "group:"),
    (("secret", "set", "db/password"), "", 2, "stdin is empty"),
    (("secret", "set", "db/password"), "\n", 2, "stdin is empty"),
    (("secret", "set", "db/password"), "x" * 70_000, 2, "more than 64 KiB"),
    (("secret", "set", "db/password", "--from-file", "/no/such/file"), "", 2, "cannot read"),
    (("secret", "delete", "db/nothing"), "", 3, "heliostat secret list"),
    (("job", "submit", "--secret", "PASSWORD=hunter2", "--", "true"), "", 2, "NAME=GROUP/KEY"),
    (("job", "submit", "--secret", "A=a/b", "--secret", "A=a/c", "--", "true"), "", 2, "names a variable twice"),
]


def test_what_is_wrong_is_told(type_: Type, server: HarnessServer) -> None:
    for words, stdin, code, told in WRONG:
        answer = type_(*words, stdin=stdin)
        assert (answer.code, answer.out) == (code, ""), words
        assert told in answer.err and "hunter2" not in answer.err, words


def test_bytes_arrive_as_they_are_but_for_a_newline_of_stdin(
    type_: Type, server: HarnessServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(
        "heliostat.client.sync.secrets.Secrets.set", lambda self, group, key, value, version: sent.append(value)
    )
    (tmp_path / "file").write_bytes(b"two\r\nlines\r\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    type_("secret", "set", "a/b", "--from-file", str(tmp_path / "file"))
    for stdin in ("one\n\n", "one\r\n", "one\r", " one "):
        type_("secret", "set", "a/b", stdin=stdin)
    assert sent == ["two\r\nlines\r\n", "one\n", "one", "one\r", " one "]
    binary = type_("secret", "set", "a/b", "--from-file", str(tmp_path / "binary"))
    assert binary.code == 2 and "UTF-8" in binary.err and len(sent) == 5


def test_on_a_terminal_it_is_asked_for_twice_and_not_shown(
    type_: Type, server: HarnessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []

    def prompt(text: str, **options: object) -> str:
        asked.append(options)
        return VALUE

    monkeypatch.setattr(click, "prompt", prompt)
    monkeypatch.setattr("heliostat.cli.commands.secret.sys", Terminal())
    answer = type_("secret", "set", "db/asked")
    assert answer.code == 0, answer.err
    assert asked == [{"hide_input": True, "confirmation_prompt": True, "err": True}]


class Terminal:
    """What the command asks of ``sys``."""

    @property
    def stdin(self) -> Terminal:
        return self

    def isatty(self) -> bool:
        return True
