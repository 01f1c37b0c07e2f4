"""``heliostat usage``: what was used of a workspace's queues."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from ..app import App, pass_app, shared_options
from ..durations import parse
from ..framework import Command

GROUPINGS = ("queue", "cluster", "principal", "hour")


class Moment(click.ParamType[datetime]):
    """``7d`` (ago), or a date or time in ISO 8601, local unless it names its zone."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        app = ctx.find_object(App) if ctx is not None else None
        try:
            return (app or App()).now() - parse(text)
        except OverflowError:
            self.fail(f"{text!r} is too long ago", param, ctx)
        except ValueError:
            pass
        try:
            return datetime.fromisoformat(text).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is no time; write for example 7d for 7 days ago, or 2026-01-31T08:00", param, ctx)


@click.command(
    "usage",
    cls=Command,
    examples="""
        heliostat usage
        heliostat usage --by principal --since 30d
        heliostat usage --by cluster --queue research --since 2026-01-01 --until 2026-02-01
        heliostat usage --by queue --by hour --since 24h -o json
    """,
)
@click.option(
    "--by", type=click.Choice(GROUPINGS), multiple=True, default=("queue",), help="A row for each; repeatable (queue)."
)
@click.option("--since", type=Moment(), help="Beginning: so long ago, or a date or time (7d).")
@click.option("--until", type=Moment(), help="End, likewise (now).")
@click.option("--queue", metavar="NAME", help="Only what was charged to this queue.")
@click.option("--cluster", metavar="CLUSTER", help="Only this cluster: its id, or the name of one that is there.")
@shared_options
@pass_app
def command(
    app: App,
    by: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    queue: str | None,
    cluster: str | None,
) -> None:
    """Sum up the hours of cores, memory and GPUs that were used.

    Hours of cores are split into starting (before the cluster was up), useful (something went on on it) and idle. Whole
    hours are counted.
    """
    from .. import queue_tables
    from ..output import emit

    with app.client() as client:
        report = client.usage(since=since, until=until, by=by, queue=queue, cluster=cluster)
    emit(app, dict(report.raw), lambda: queue_tables.usage(report))
