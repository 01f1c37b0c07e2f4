"""Every command explains itself with examples, and the examples are command lines that the program accepts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from heliostat.cli.exits import ExitCode
from heliostat.cli.framework import Command, Group, walk
from heliostat.cli.main import COMMANDS, root

from .conftest import Type

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
EVERY = {" ".join(path): command for path, command in walk(root)}


def examples(command: click.Command) -> list[str]:
    assert isinstance(command, Command | Group)
    return [line for line in command.example_lines() if "heliostat" in line]


def command_lines(text: str) -> Iterator[list[str]]:
    """The words of each call of our program in a line of shell, after ``heliostat``."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    call: list[str] = []
    for token in [*lexer, ";"]:
        if "$(heliostat" in token:
            yield from command_lines(token.partition("$(")[2])
        if set(token) <= set("();<>|&") and token:
            if call[:1] == ["heliostat"]:
                yield call[1:]
            call = []
        elif call or not re.match(r"[A-Z_]+=", token):
            call.append(token)


def accepted(words: list[str]) -> None:
    """Parse a command line as the program does, without running it. Raises click.UsageError."""
    command: click.Command = root
    context = click.Context(root, info_name="heliostat")
    while isinstance(command, click.Group):
        parser = command.make_parser(context)
        _, rest, _ = parser.parse_args(list(words))
        if not rest:
            return
        name, found, words = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, click.Context(found, parent=context, info_name=name)
    real = [word for word in words if word not in ("-h", "--help")]
    checked = click.Command(command.name, params=[_as_text(parameter) for parameter in command.params])
    checked.make_context(str(command.name), real, parent=context.parent)


def _as_text(parameter: click.Parameter) -> click.Parameter:
    """What names a file, which an example's reader has and this machine has not, may have any name."""
    if not isinstance(parameter.type, click.Path):
        return parameter
    if isinstance(parameter, click.Argument):
        return click.Argument([str(parameter.name)], expose_value=False)
    return click.Option([*parameter.opts], expose_value=False)


@pytest.mark.parametrize("name", EVERY)
def test_every_command_has_examples_that_it_accepts(name: str) -> None:
    found = examples(EVERY[name])
    assert found, f"heliostat {name} has no example"
    for line in found:
        calls = list(command_lines(line))
        assert calls, line
        for words in calls:
            accepted(words)


@pytest.mark.parametrize("name", EVERY)
def test_every_help_can_be_shown_and_ends_with_the_examples(name: str, type_: Type) -> None:
    answer = type_(*name.split(), "--help")
    assert answer.code == ExitCode.OK
    assert "Examples:" in answer.out
    assert answer.err == ""


def test_the_summaries_that_are_shown_without_importing_are_the_commands_own() -> None:
    late = {name: row.summary for section in COMMANDS.values() for name, row in section.items()}
    assert late == {name: EVERY[name].get_short_help_str(limit=200) for name in late}


def test_the_help_of_the_program_lists_the_exit_codes(type_: Type) -> None:
    text = type_("--help").out
    for code in ExitCode:
        assert re.search(rf"^ +{code:d}  {re.escape(code.meaning)}$", text, re.MULTILINE)


def test_a_mistyped_command_is_answered_with_the_one_that_was_meant(type_: Type) -> None:
    answer = type_("cluster", "lst")
    assert answer.code == ExitCode.USAGE
    assert "Did you mean 'list'?" in answer.err
    assert answer.out == ""


class TestDocumentation:
    def test_every_command_and_option_is_described(self) -> None:
        text = DOCS.read_text()
        for name, command in EVERY.items():
            if name:
                assert f"heliostat {name}" in text, name
            for parameter in command.params:
                if isinstance(parameter, click.Option):
                    assert max(parameter.opts, key=len) in text, f"{name} {parameter.opts}"

    def test_every_exit_code_is_described(self) -> None:
        text = DOCS.read_text()
        for code in ExitCode:
            assert f"| {code:d} | {code.meaning} |" in text

    def test_its_command_lines_are_accepted(self) -> None:
        blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", DOCS.read_text(), re.DOTALL)
        calls = [
            words
            for block in blocks
            for line in block.replace("\\\n", " ").splitlines()
            for words in command_lines(line)
        ]
        assert len(calls) > 20
        for words in calls:
            accepted(words)
