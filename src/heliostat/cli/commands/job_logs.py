"""``heliostat job logs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..app import App, pass_app, shared_options
from ..framework import Command, pass_name

if TYPE_CHECKING:
    from heliostat.client import Client
    from heliostat.client.models import JobInfo

DRIVER = "driver"
"""The log of the entry point, whatever its file is called."""

_UNBEGUN = "it may not have begun; wait for it with: heliostat job logs"


@click.command(
    "logs",
    cls=Command,
    examples="""
        heliostat job logs rj-0123456789abcdef
        heliostat job logs nightly --follow --tail 20
        heliostat job logs nightly --grep 'loss=0\\.[0-9]+'
        heliostat job logs nightly --attempt 1
        heliostat job logs nightly --list
        heliostat job logs nightly --file rj-0123456789abcdef_driver.log
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

    --follow goes on with the attempts that come after the present one.
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
        if names:
            _list(app, client, job)
        else:
            _show(app, client, client.jobs.get(job).info, file, follow=follow, tail=tail, grep=grep, attempt=attempt)


def _show(
    app: App, /, client: Client, job: JobInfo, file: str, *, follow: bool, tail: int | None, grep: str | None,
    attempt: int | None,
) -> None:  # fmt: skip
    from heliostat.client.errors import NotCollected, NotFound

    from ..exits import ExitCode
    from ..failures import Failure
    from ..log_output import show

    read = client.jobs.follow_log if follow else client.jobs.read_log
    try:
        if not show(read(job.id, file, attempt=attempt, tail=tail, grep=grep)) and grep is None and not follow:
            app.say("there is nothing in it" if job.ended_at is not None else f"{_UNBEGUN} {job.id} --follow")
    except NotCollected as error:
        raise Failure(str(error), code=ExitCode.NOT_FOUND, remedy=f"heliostat job get {job.id}") from error
    except NotFound as error:
        remedy = f"see what there is with: heliostat job logs {job.id} --list"
        if job.ended_at is None:
            remedy = f"{_UNBEGUN} {job.id} --follow"
        raise Failure(str(error), code=ExitCode.NOT_FOUND, remedy=remedy) from error
    except KeyboardInterrupt:
        if job.ended_at is None:
            app.say(f"\n{job.id} goes on; look again with: heliostat job logs {job.id} --follow")
        raise


def _list(app: App, /, client: Client, job: str) -> None:
    from .. import job_tables
    from ..output import emit

    rows = client.jobs.logs(job)
    emit(app, [dict(row.raw) for row in rows], lambda: job_tables.log_files(rows))


def _refuse_documents(app: App) -> None:
    from ..app import Format

    if app.output is not Format.TABLE:
        raise click.UsageError("a log is neither JSON nor YAML; -o is for --list")
