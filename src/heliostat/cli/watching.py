"""``--watch``: results that go on until Ctrl-C.

On a terminal a table is redrawn in place; on a pipe the rows that changed are printed below each other, and JSON and
YAML print one document per change.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import click

from . import tables
from .app import App, Format
from .output import Table, column_widths, plain_lines, screen_lines, stream, without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heliostat.client import Client, ClusterInfo
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
        from rich.text import Text

        console = Console(highlight=False)
        with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                lines = screen_lines(table(look()), console.width)
                live.update(Text.from_ansi("\n".join(lines)), refresh=True)
                time.sleep(POLL_SECONDS)
    teller: Teller[T] = Teller(app, table)
    before: dict[Hashable, Any] = {}
    while True:
        rows = {key(row): row for row in look()}
        teller.tell([row for name, row in rows.items() if before.get(name) != row])
        for name in before:
            if name not in rows and app.output is Format.TABLE:
                app.say(f"gone: {name}")
        before = dict(rows)
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
    teller: Teller[ClusterInfo] = Teller(app, lambda rows: tables.clusters(rows, app.now()), show_secrets=show_secrets)
    before: Any = None
    for seen in client.clusters.watch(client.clusters.get(cluster).id):
        row = tables.cluster_row(seen.info, seen.info.created_at)
        if app.output is not Format.TABLE or row != before:
            teller.tell([seen.info])
        before = row


def follow_events(app: App, client: Client, cluster: str, rows: Sequence[Event]) -> None:
    """Those already there, then each as it comes, until the cluster is gone."""
    teller = Teller(app, tables.events)
    teller.tell(rows)
    after = rows[-1].id if rows else None
    for event in client.clusters.follow_events(cluster, after=after):
        teller.tell([event])


class Teller(Generic[T]):
    """Prints rows as they come: a heading once, columns that never get narrower."""

    def __init__(self, app: App, table: Callable[[Sequence[T]], Table], *, show_secrets: bool = False) -> None:
        self._app = app
        self._table = table
        self._show_secrets = show_secrets
        self._widths: Sequence[int] = ()
        self._headed = False

    def tell(self, rows: Sequence[T]) -> None:
        if self._app.output is Format.TABLE:
            table = self._table(rows)
            self._widths = column_widths(table, self._widths)
            lines = plain_lines(table, heading=not self._headed, widths=self._widths)
            self._headed = True
            if lines:
                click.echo("\n".join(lines))
        else:
            for row in rows:
                stream(self._app, dict(row.raw) if self._show_secrets else without_secrets(row.raw))
        sys.stdout.flush()
