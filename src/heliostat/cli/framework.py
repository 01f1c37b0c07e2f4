"""Groups that import their commands late, and commands whose help ends with examples."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from .app import SHARED, Function


@dataclass(frozen=True)
class Late:
    """A command that is imported when it is called."""

    module: str
    """Where it is defined; its attribute ``command`` is the click command."""
    summary: str
    """Its line in the group's help, so that the help imports nothing. Equal to the command's own first line."""


class _WithExamples(click.Command):
    """A command whose help ends with examples, one command line each, ``#`` lines between them."""

    examples: str = ""

    def example_lines(self) -> list[str]:
        return [line.strip() for line in self.examples.strip().splitlines()]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own: list[tuple[str, str]] = []
        shared: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = None if isinstance(parameter, click.Argument) else parameter.get_help_record(ctx)
            if record is not None:
                (shared if parameter.name in SHARED else own).append(record)
        for title, rows in (("Options", own), ("Options of every command", shared)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for line in self.example_lines():
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n" if line else "\n")


class Command(_WithExamples):
    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:  # click's own signature
        super().__init__(*args, **kwargs)
        self.examples = examples


class Program(Command):
    """A command whose last arguments are a program of the user's, with options of its own behind ``--``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            hint = "Options of your own program go behind --"
            raise click.UsageError(f"{error.format_message()} {hint}", ctx) from error


class Group(_WithExamples, click.Group):
    """A group with sections of :class:`Late` commands, shown in the order given."""

    def __init__(
        self,
        *args: Any,  # click's own signature
        sections: Mapping[str, Mapping[str, Late]] | None = None,
        examples: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.sections = sections or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*(name for section in self.sections.values() for name in section), *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for section in self.sections.values():
            if cmd_name in section:
                found: click.Command = importlib.import_module(section[cmd_name].module).command
                return found
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            import difflib

            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"{ctx.command_path} has no command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if not self.sections:
            rows = [(name, self.commands[name].get_short_help_str(limit=90)) for name in self.commands]
            with formatter.section("Commands"):
                formatter.write_dl(rows)
            return
        for title, section in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, late.summary) for name, late in section.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[click.shell_completion.CompletionItem]:
        from click.shell_completion import CompletionItem

        late = {name: row.summary for section in self.sections.values() for name, row in section.items()}
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        items = [CompletionItem(name, help=late.get(name) or self._summary(name)) for name in names]
        return items + click.Command.shell_complete(self, ctx, incomplete)

    def _summary(self, name: str) -> str:
        return self.commands[name].get_short_help_str(limit=90)


def walk(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group with its path of words, the group itself first. Imports all of them."""
    yield path, group
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from walk(found, (*path, name))
        elif found is not None:
            yield (*path, name), found


def pass_name(kind: str, name: str | None = None, *, metavar: str | None = None) -> Callable[[Function], Function]:
    """The argument ``CLUSTER``, ``RELEASE``... with completion from the server, passed as ``name`` (else ``kind``)."""
    from . import completion

    completer: Callable[..., list[str]] = getattr(completion, f"{kind}_names")
    return click.argument(name or kind, metavar=metavar or kind.upper(), shell_complete=completer)
