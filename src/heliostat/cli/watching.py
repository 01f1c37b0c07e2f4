"""``--watch``: results that go on until Ctrl-C.

On a terminal a table is redrawn in place; on a pipe the rows that changed are printed below each other, and JSON and
YAML print one document per change.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import click

from . import job_tables, tables
from .app import App, Format
from .output import Table, column_widths, plain_lines, screen_lines, stream, without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heliostat.client import Client, ClusterInfo
    from heliostat.client.models import Event, JobInfo

POLL_SECONDS = 2.0


class Told(Protocol):
    """A model of the SDK with the JSON it came from."""

    @property
    def raw(self) -> Mapping[str, Any]: ...


T = TypeVar("T", bound=Told)


def hidden(row: Told) -> dict[str, Any]:
    """The JSON of a thing without its secrets."""
    return without_secrets(row.raw)


def poll(
    app: App,
    look: Callable[[], Sequence[T]],
    *,
    key: Callable[[T], Hashable],
    table: Callable[[Sequence[T]], Table],
    document: Callable[[T], dict[str, Any]] = hidden,
) -> None:
    """Look every two seconds, for ever. ``document`` is what programs are told of a row."""
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
    teller: Teller[T] = Teller(app, table, document)
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
    teller: Teller[ClusterInfo] = Teller(
        app, lambda rows: tables.clusters(rows, app.now()), (lambda row: dict(row.raw)) if show_secrets else hidden
    )
    before: Any = None
    for seen in client.clusters.watch(client.clusters.get(cluster).id):
        row = tables.cluster_row(seen.info, seen.info.created_at)
        if app.output is not Format.TABLE or row != before:
            teller.tell([seen.info])
        before = row


def follow_job(app: App, client: Client, first: JobInfo) -> None:
    """A job now and at every change, until it has ended."""
    from .job_progress import FINAL, Story

    if app.output is Format.TABLE and sys.stdout.isatty():
        from rich.console import Console

        from .progress import LiveBoard

        with LiveBoard(first.name, read=Story().sight, console=Console(highlight=False)) as board:
            for seen in client.jobs.watch(first.id):
                board.show(seen.info)
                if seen.info.status in FINAL:
                    return
        app.say(f"{first.id} is gone")
        return
    teller: Teller[JobInfo] = Teller(
        app, lambda rows: job_tables.jobs(rows, app.now()), lambda row: dict(job_tables.without_values(row.raw))
    )
    before: Any = None
    for seen in client.jobs.watch(first.id):
        row = job_tables.job_row(seen.info, seen.info.submitted_at)
        if app.output is not Format.TABLE or row != before:
            teller.tell([seen.info])
        before = row
        if seen.info.status in FINAL:
            return


def follow_events(app: App, client: Client, cluster: str, rows: Sequence[Event]) -> None:
    """Those already there, then each as it comes, until the cluster is gone."""
    tell_events(app, rows, lambda after: client.clusters.follow_events(cluster, after=after))


def tell_events(app: App, rows: Sequence[Event], coming: Callable[[int | None], Iterable[Event]]) -> None:
    """Those already there, then each as it comes; ``coming`` is asked for those after the id of the last."""
    teller = Teller(app, tables.events, hidden)
    teller.tell(rows)
    for event in coming(rows[-1].id if rows else None):
        teller.tell([event])


class Teller(Generic[T]):
    """Prints rows as they come: a heading once, columns that never get narrower."""

    def __init__(
        self, app: App, table: Callable[[Sequence[T]], Table], document: Callable[[T], dict[str, Any]]
    ) -> None:
        self._app = app
        self._table = table
        self._document = document
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
                stream(self._app, self._document(row))
        sys.stdout.flush()
