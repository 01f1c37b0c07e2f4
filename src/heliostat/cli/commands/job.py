"""``heliostat job ...``: everything about Ray jobs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from ..app import App, pass_app, shared_options
from ..completion import cluster_names
from ..framework import Command, Group, pass_name
from ..options import waiting
from .job_logs import logs
from .job_submit import submit

if TYPE_CHECKING:
    from heliostat.client.models import JobInfo

STATUSES = ("Submitted", "Pending", "Running", "Succeeded", "Failed", "Cancelling", "Cancelled", "Timeout")


@click.group(
    cls=Group,
    examples="""
        heliostat job submit --workers 2 --working-dir . --follow -- python main.py
        heliostat job submit --cluster training -- python main.py --epochs 3
        heliostat job list
        heliostat job logs rj-0123456789abcdef --follow
        heliostat job why rj-0123456789abcdef
    """,
)
@shared_options
def command() -> None:
    """Submit, follow, cancel and delete Ray jobs, and read their logs.

    JOB is an id or a name everywhere.
    """


command.add_command(submit)


@command.command(
    "list",
    cls=Command,
    examples="""
        heliostat job list
        heliostat job list --status Running --cluster training
        heliostat job list --name nightly --limit 10 -o json
        heliostat job list --watch
    """,
)
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False), help="Only those with this status.")
@click.option("--name", metavar="TEXT", help="Only those with this in their name.")
@click.option("--cluster", metavar="CLUSTER", shell_complete=cluster_names, help="Only those on this cluster.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", default=100, help="At most so many, newest first (100)."
)
@click.option("-w", "--watch", is_flag=True, help="Go on, and show what changes.")
@shared_options
@pass_app
def list_jobs(app: App, /, status: str | None, name: str | None, cluster: str | None, limit: int, watch: bool) -> None:
    """List jobs, newest first."""
    from .. import job_tables
    from ..output import emit
    from ..watching import poll

    with app.client() as client:

        def look() -> list[JobInfo]:
            return [row.info for row in client.jobs.list(status=status, name=name, cluster=cluster, limit=limit)]

        if watch:
            poll(
                app, look, key=lambda row: row.id, table=lambda rows: job_tables.jobs(rows, app.now()),
                document=lambda row: job_tables.without_values(row.raw),
            )  # fmt: skip
            return
        rows = look()
    documents = [job_tables.without_values(row.raw) for row in rows]
    emit(app, documents, lambda: job_tables.jobs(rows, app.now()))


@command.command(
    "get",
    cls=Command,
    examples="""
        heliostat job get rj-0123456789abcdef
        heliostat job get nightly --watch
        heliostat job get nightly -o yaml
        heliostat job get nightly --field status
    """,
)
@pass_name("job")
@click.option("-w", "--watch", is_flag=True, help="Go on until it has ended, and show what changes.")
@click.option("--field", metavar="PATH", help="Print this field of the JSON alone, e.g. status.")
@shared_options
@pass_app
def get(app: App, /, job: str, watch: bool, field: str | None) -> None:
    """Show one job.

    The values of its environment variables are never shown.
    """
    from ..job_tables import without_values
    from ..output import value
    from ..watching import follow_job

    if watch and field:
        raise click.UsageError("--field is for a single look, without --watch")
    with app.client() as client:
        info = client.jobs.get(job).info
        if watch:
            follow_job(app, client, info)
        elif field:
            click.echo(value(without_values(info.raw), field, show_secrets=False))
        else:
            _print(app, info)


command.add_command(logs)


@command.command(
    "cancel",
    cls=Command,
    examples="""
        heliostat job cancel rj-0123456789abcdef
        heliostat job cancel nightly --no-wait
        heliostat job cancel nightly --timeout 1m
    """,
)
@pass_name("job")
@waiting
@shared_options
@pass_app
def cancel(app: App, /, job: str, wait: bool, timeout: timedelta | None) -> None:
    """Stop a job. A cluster that was made for it goes, too.

    A job that has ended stays as it is; if its cluster was to be kept, that cluster goes now.
    """
    from ..job_progress import FINAL
    from ..job_waiting import end_of

    with app.client() as client:
        info = client.jobs.cancel(job).info
        begun = info.cancelled
        kept = info.status in FINAL
        if wait:
            info = end_of(app, client, info, timeout=timeout)
        elif info.status == "Cancelling":
            app.say(f"it is being stopped; look again with: heliostat job get {info.id} --watch")
    if begun is False:
        app.say(f"{info.id} had ended already")
    elif kept and begun:
        app.say(f"{info.id} had ended already; the cluster that it kept is being removed")
    _print(app, info)


@command.command(
    "why",
    cls=Command,
    examples="""
        heliostat job why rj-0123456789abcdef
        heliostat job why nightly -o json
    """,
)
@pass_name("job")
@shared_options
@pass_app
def why(app: App, /, job: str) -> None:
    """Explain a job's present status, with the evidence."""
    from .. import tables
    from ..output import emit

    with app.client() as client:
        found = client.jobs.why(job)
    emit(app, dict(found.raw), lambda: tables.explanation(found))


@command.command(
    "events",
    cls=Command,
    examples="""
        heliostat job events rj-0123456789abcdef
        heliostat job events nightly --limit 20
        heliostat job events nightly --watch -o json
    """,
)
@pass_name("job")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, metavar="N", help="The newest so many (100).")
@click.option("-w", "--watch", is_flag=True, help="Go on, and show what happens.")
@shared_options
@pass_app
def events(app: App, /, job: str, limit: int, watch: bool) -> None:
    """List what happened to a job, oldest first."""
    from .. import tables
    from ..output import emit
    from ..watching import tell_events

    with app.client() as client:
        key = client.jobs.get(job).id
        rows = client.jobs.events(key, limit=limit)[::-1]
        if watch:
            tell_events(app, rows, lambda after: client.jobs.follow_events(key, after=after))
        else:
            emit(app, [dict(row.raw) for row in rows], lambda: tables.events(rows))


@command.command(
    "delete",
    cls=Command,
    examples="""
        heliostat job delete rj-0123456789abcdef
        heliostat job delete nightly -o json
    """,
)
@pass_name("job")
@shared_options
@pass_app
def delete(app: App, /, job: str) -> None:
    """Forget a job that has ended, and its logs."""
    from ..output import Card, emit

    with app.client() as client:
        info = client.jobs.get(job).info
        client.jobs.delete(info.id)
    document: Mapping[str, Any] = {"id": info.id, "name": info.name, "deleted": True}
    named = info.id if info.name == info.id else f"{info.name} ({info.id})"
    emit(app, document, lambda: Card(f"{named} is deleted"))


def _print(app: App, /, info: JobInfo) -> None:
    from .. import job_tables
    from ..output import emit

    emit(app, job_tables.without_values(info.raw), lambda: job_tables.job(info, app.now()))
