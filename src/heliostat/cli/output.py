"""Results on stdout: tables and cards for people, JSON and YAML for programs.

A table is data first (:class:`Table`), so that one content serves a terminal (colours, cut to its width) and a pipe
(plain columns, nothing cut, no colours).
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from .app import App, Format

STATE_COLOURS = {
    "Running": "green", "alive": "green", "ready": "green", "Succeeded": "green",
    "Starting": "yellow", "Stopping": "yellow", "starting": "yellow", "pending": "yellow", "building": "yellow",
    "Submitted": "yellow", "Pending": "yellow", "Cancelling": "yellow", "warning": "yellow",
    "Error": "red", "failed": "red", "exited": "red", "Failed": "red", "Timeout": "red",
    "Stopped": "bright_black", "absent": "bright_black", "revoked": "bright_black", "expired": "bright_black",
    "Cancelled": "bright_black",
}  # fmt: skip


SECRETS = frozenset({"submit_token"})
"""Fields that are shown only when asked for."""


@dataclass(frozen=True)
class Table:
    """Rows under headings. The last column takes what is left of the width."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    empty: str = ""
    """What to say to people, on stderr, when there is no row."""
    whole: bool = False
    """The last column is never cut."""


@dataclass(frozen=True)
class Card:
    """One thing: a heading, named lines, and further blocks of text."""

    title: str
    fields: tuple[tuple[str, str], ...] = ()
    blocks: tuple[tuple[str, tuple[str, ...]], ...] = field(default=())
    state: str = ""
    """Stands behind the title, in its colour."""
    note: str = ""
    """And behind that."""


View = Callable[[], Table | Card]


def emit(app: App, document: Any, view: View) -> None:
    """Print a result: ``document`` (plain JSON values) for programs, ``view()`` for people."""
    if app.output is Format.TABLE:
        seen = view()
        if isinstance(seen, Card):
            print_card(seen)
        elif seen.rows:
            print_table(seen)
        elif seen.empty:
            app.say(seen.empty)
    else:
        click.echo(serialised(document, app.output), nl=False)


def serialised(document: Any, form: Format) -> str:
    """JSON with two blanks of indent, or block-style YAML; keys in the order given, a newline at the end."""
    if form is Format.JSON:
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    import yaml

    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=False, width=100)
    return text


def stream(app: App, document: Any) -> None:
    """Print one of several results of a watch: a JSON line, or a YAML document that begins with ``---``."""
    if app.output is Format.JSON:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo("---\n" + serialised(document, Format.YAML), nl=False)
    sys.stdout.flush()


def plain_lines(table: Table, *, heading: bool = True, widths: Sequence[int] = ()) -> list[str]:
    """The table as aligned text, two blanks between columns, columns at least as wide as ``widths``."""
    rows = [table.columns, *table.rows] if heading else list(table.rows)
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, column_widths(table, widths), strict=True)).rstrip()
        for row in rows
    ]


def column_widths(table: Table, least: Sequence[int] = ()) -> list[int]:
    """What each column needs."""
    whole = [table.columns, *table.rows]
    needed = [max(len(row[index]) for row in whole) for index in range(len(table.columns))]
    return [max(pair) for pair in zip(needed, [*least, *[0] * len(needed)], strict=False)]


def screen_lines(table: Table, columns: int) -> list[str]:
    """The table for a terminal of so many columns: states in colour, the last column cut to what is left."""
    widths = column_widths(table)
    room = max(12, columns - sum(widths[:-1]) - 2 * (len(widths) - 1))
    found = [
        "  ".join(click.style(cell.ljust(width), dim=True) for cell, width in zip(table.columns, widths, strict=True))
    ]
    for row in table.rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = row[-1] if table.whole or len(row[-1]) <= room else row[-1][: room - 1] + "…"
        styled = (click.style(cell, fg=STATE_COLOURS.get(cell.strip())) for cell in cells)
        found.append("  ".join(styled).rstrip())
    return found


def print_table(table: Table) -> None:
    if sys.stdout.isatty():
        click.echo("\n".join(screen_lines(table, shutil.get_terminal_size().columns)))
    else:
        click.echo("\n".join(plain_lines(table)))


def print_card(card: Card) -> None:
    width = max((len(name) for name, _ in card.fields), default=0)
    parts = (click.style(card.title, bold=True), click.style(card.state, fg=STATE_COLOURS.get(card.state)), card.note)
    click.echo("  ".join(part for part in parts if click.unstyle(part)))
    for name, text in card.fields:
        first, *rest = text.splitlines() or [""]
        click.echo(f"  {click.style(name.ljust(width), dim=True)}  {first}".rstrip())
        for line in rest:
            click.echo(f"  {'':{width}}  {line}")
    for title, lines in card.blocks:
        click.echo(click.style(f"\n{title}", bold=True))
        for line in lines:
            click.echo(f"  {line}")


def first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""


def without_secrets(document: Mapping[str, Any], hide: Collection[str] = SECRETS) -> dict[str, Any]:
    """A copy in which the named keys, at any depth, are null."""

    def cleaned(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: None if key in hide else cleaned(part) for key, part in value.items()}
        return [cleaned(part) for part in value] if isinstance(value, list) else value

    found: dict[str, Any] = cleaned(document)
    return found


def value(document: Mapping[str, Any], path: str, *, show_secrets: bool) -> str:
    """One field of a document as bare text: ``endpoints.job_url``, ``spec.workers.0.name``. Raises Failure."""
    from .exits import ExitCode
    from .failures import Failure

    found: Any = document
    for part in path.split("."):
        rows = {str(index): row for index, row in enumerate(found)} if isinstance(found, list) else found
        inside = rows if isinstance(rows, Mapping) else {}
        if part not in inside:
            there = f"there are: {', '.join(inside)}" if inside else "it holds no fields"
            raise Failure(f"there is no field {part!r} in {path!r}; {there}", code=ExitCode.NOT_FOUND)
        if part in SECRETS and not show_secrets:
            raise Failure(f"{path} is a secret", code=ExitCode.USAGE, remedy="add --show-secrets to print it")
        found = inside[part]
    if isinstance(found, Mapping) and not show_secrets:
        found = without_secrets(found)
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
