"""``--watch``: results that go on until Ctrl-C.

On a terminal a table is redrawn in place; on a pipe the rows that changed are printed below each other, and JSON and
YAML print one document per change.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from . import tables
from .app import App, Format
from .output import Table, plain_lines, rich_table, stream, without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heliostat.client import Client
    from heliostat.client.models import Event

POLL_SECONDS = 2.0


class Told(Protocol):
    """A model of the SDK with the JSON it came from."""

    @property
    def raw(self) -> Mapping[str, Any]: ...


T = TypeVar("T", bound=Told)


def poll(
    app: App, look: Callable[[], Sequence[T]], *, key: Callable[[T], Hashable], table: Callable[[Sequence[T]], Table]
) -> None:
    """Look every two seconds, for ever."""
    if app.output is Format.TABLE and sys.stdout.isatty():
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(highlight=False), auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                live.update(rich_table(table(look())), refresh=True)
                time.sleep(POLL_SECONDS)
    before: dict[Hashable, Any] = {}
    first = True
    while True:
        rows = {key(row): row for row in look()}
        changed = [row for name, row in rows.items() if name not in before or before[name] != row]
        gone = [name for name in before if name not in rows]
        _tell(app, changed, table, heading=first)
        if gone and app.output is Format.TABLE:
            app.say("\n".join(f"gone: {name}" for name in gone))
        before, first = dict(rows), False
        time.sleep(POLL_SECONDS)


def follow_cluster(app: App, client: Client, cluster: str, *, show_secrets: bool) -> None:
    """A cluster now and at every change, until it is gone."""
    if app.output is Format.TABLE and sys.stdout.isatty():
        from .progress import LiveBoard

        first = client.clusters.get(cluster).info
        from rich.console import Console

        with LiveBoard(first.name, console=Console(highlight=False)) as board:
            for seen in client.clusters.watch(first.id):
                board.show(seen.info)
        app.say(f"{first.name} is gone")
        return
    heading = True
    before: Any = None
    for seen in client.clusters.watch(client.clusters.get(cluster).id):
        document = dict(seen.info.raw) if show_secrets else without_secrets(seen.info.raw)
        if app.output is not Format.TABLE:
            stream(app, document)
        else:
            row = tables.clusters([seen.info], app.now())
            shown = [cell for index, cell in enumerate(row.rows[0]) if row.columns[index] != "AGE"]
            if shown != before:
                _write(plain_lines(row, heading=heading))
                heading, before = False, shown


def follow_events(app: App, client: Client, cluster: str, rows: Sequence[Event]) -> None:
    """Those already there, then each as it comes, until the cluster is gone."""
    _tell(app, rows, tables.events, heading=True)
    after = rows[-1].id if rows else None
    for event in client.clusters.follow_events(cluster, after=after):
        _tell(app, [event], tables.events, heading=False)


def _tell(app: App, rows: Sequence[T], table: Callable[[Sequence[T]], Table], *, heading: bool) -> None:
    if app.output is not Format.TABLE:
        for row in rows:
            stream(app, without_secrets(row.raw))
    elif rows or heading:
        _write(plain_lines(table(rows), heading=heading))


def _write(lines: Sequence[str]) -> None:
    if lines:
        click.echo("\n".join(lines))
    sys.stdout.flush()
