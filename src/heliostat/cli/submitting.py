"""Submit a job and, if asked to, stay with it to its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .app import App, Format

if TYPE_CHECKING:
    from heliostat.client import Client, Job


def submitted(app: App, client: Client, entrypoint: str, given: Mapping[str, Any]) -> Job:
    """The stored job. ``given`` are arguments of the SDK's ``jobs.submit``."""
    try:
        job = client.jobs.submit(entrypoint, **given)
    except KeyboardInterrupt:
        app.say("\nit may have been submitted; see: heliostat job list")
        raise
    app.say(f"submitted {job.id}" if job.name == job.id else f"submitted {job.name} ({job.id})")
    for row in job.info.raw.get("findings") or ():
        app.say(f"  cluster_spec.{row['path']} is {row['verdict']}: {row['message']}")
    return job


@contextmanager
def alone(app: App, script: str) -> Iterator[str]:
    """A folder with nothing but the script."""
    import shutil
    import tempfile

    app.say(f"only {script} itself is uploaded; name a folder with --working-dir if it needs more")
    with tempfile.TemporaryDirectory(prefix="heliostat-") as folder:
        shutil.copy(script, folder)
        yield folder


def refuse_documents(app: App, option: str) -> None:
    """Raises click.UsageError when stdout is to be a document and a log at once."""
    if app.output is not Format.TABLE:
        raise click.UsageError(f"{option} prints the job's log, which is neither JSON nor YAML; use --wait for these")


def follow_to_the_end(app: App, client: Client, job: Job, *, log: bool, ends_with_us: bool = False) -> NoReturn:
    """Show its progress and (``log``) its log, or else the job at its end; leave with its exit code."""
    from . import job_tables
    from .exits import ExitCode
    from .following import Follower, Terminated, exit_code, finished
    from .output import emit

    try:
        info = Follower(app, client, job, log=log, ends_with_us=ends_with_us).follow()
    except Terminated:
        raise click.exceptions.Exit(ExitCode.JOB_CANCELLED) from None
    if log:
        raise click.exceptions.Exit(finished(app, info))
    info = client.jobs.get(info.id).info
    emit(app, job_tables.without_values(info.raw), lambda: job_tables.job(info, app.now()))
    raise click.exceptions.Exit(exit_code(info))
