"""``heliostat job logs``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..app import App, pass_app, shared_options
from ..framework import Command, pass_name

if TYPE_CHECKING:
    from heliostat.client import Client

DRIVER = "driver"
"""The log of the entry point, whatever its file is called."""


@click.command(
    "logs",
    cls=Command,
    examples="""
        heliostat job logs rj-0123456789abcdef
        heliostat job logs nightly --follow --tail 20
        heliostat job logs nightly --grep 'loss=0\\.[0-9]+'
        heliostat job logs nightly --attempt 1
        heliostat job logs nightly --list
        heliostat job logs nightly --file nodes/head/raylet.out
    """,
)
@pass_name("job")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written, until the job has ended.")
@click.option("--tail", type=click.IntRange(min=1), metavar="N", help="Begin with the last N lines.")
@click.option("--grep", metavar="REGEX", help="Only the lines that match.")
@click.option(
    "--file", metavar="NAME", default=DRIVER, help="This log file, as --list names it (that of the entry point)."
)
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="That of an earlier attempt (the last).")
@click.option("--list", "names", is_flag=True, help="List the log files.")
@shared_options
@pass_app
def logs(
    app: App, /, job: str, follow: bool, tail: int | None, grep: str | None, file: str, attempt: int | None, names: bool
) -> None:
    """Print a job's log, also long after the job and its cluster are gone.

    --follow begins with the first attempt and goes on with those after it.
    """
    given = {"--follow": follow, "--tail": tail, "--grep": grep, "--attempt": attempt, "--file": file != DRIVER}
    wrong = [name for name, value in given.items() if value]
    if names and wrong:
        raise click.UsageError(f"{wrong[0]} is for reading one log, not for --list")
    if attempt is not None and file != DRIVER:
        raise click.UsageError("--attempt chooses a log of the entry point; --file names another one")
    if not names:
        _refuse_documents(app)
    with app.client() as client:
        id = client.jobs.get(job).id
        if names:
            _list(app, client, id)
        else:
            _show(app, client, id, file, follow=follow, tail=tail, grep=grep, attempt=attempt)


def _show(
    app: App, /, client: Client, id: str, file: str, *, follow: bool, **which: Any
) -> None:  # the SDK's arguments
    from ..log_output import show

    given = {name: value for name, value in which.items() if value is not None}
    try:
        show(client.jobs.follow_log(id, file, **given) if follow else client.jobs.read_log(id, file, **given))
    except KeyboardInterrupt:
        app.say(f"\nonly the looking ended; look again with: heliostat job logs {id} --follow")
        raise


def _list(app: App, /, client: Client, id: str) -> None:
    from .. import job_tables
    from ..output import emit

    rows = client.jobs.logs(id)
    emit(app, [dict(row.raw) for row in rows], lambda: job_tables.log_files(rows))


def _refuse_documents(app: App) -> None:
    from ..app import Format

    if app.output is not Format.TABLE:
        raise click.UsageError("a log is neither JSON nor YAML; -o is for --list")
