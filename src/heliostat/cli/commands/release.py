"""``heliostat release ...``: which Ray with which Python clusters may run, and whether it is ready here."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from ..app import App, pass_app, shared_options
from ..durations import Duration, seconds
from ..framework import Command, Group, pass_name

if TYPE_CHECKING:
    from heliostat.client.models import Release

POLL_SECONDS = 0.5


@click.group(
    cls=Group,
    examples="""
        heliostat release list
        heliostat release prepare ray-1.3.1
    """,
)
@shared_options
def command() -> None:
    """See the Ray and Python versions on offer and prepare them."""


@command.command(
    "list",
    cls=Command,
    examples="""
        heliostat release list
        heliostat release list --watch
        heliostat release list -o json
    """,
)
@click.option("-w", "--watch", is_flag=True, help="Go on, and show what changes.")
@shared_options
@pass_app
def list_releases(app: App, watch: bool) -> None:
    """List the releases and whether their environments are built."""
    from .. import tables
    from ..output import emit
    from ..watching import poll

    with app.client() as client:
        if watch:
            poll(app, client.releases.list, key=lambda row: row.name, table=tables.releases)
            return
        rows = client.releases.list()
    emit(app, [dict(row.raw) for row in rows], lambda: tables.releases(rows))


@command.command(
    "prepare",
    cls=Command,
    examples="""
        heliostat release prepare ray-1.3.1
        heliostat release prepare 2.47.1 --no-wait
        heliostat release prepare ray-1.3.1 --timeout 10m
    """,
)
@pass_name("release")
@click.option("--wait/--no-wait", default=True, help="Wait until it is built, showing progress (wait).")
@click.option(
    "--timeout", type=Duration(), metavar="TIME", help="Longest time to wait; exit code 7 after it (no limit)."
)
@shared_options
@pass_app
def prepare(app: App, release: str, wait: bool, timeout: timedelta | None) -> None:
    """Build a release's environment ahead of the first start.

    RELEASE is a name (ray-1.3.1) or a Ray version (2.60.0). Once built it serves every cluster of that release.
    """
    from .. import tables
    from ..exits import ExitCode
    from ..failures import Failure
    from ..output import emit

    began = time.monotonic()
    with app.client() as client:
        row = client.releases.prepare(release)
        told = ""
        with _Told(app) as shown:
            while wait and row.environment not in ("ready", "failed"):
                if timeout is not None and time.monotonic() - began > timeout.total_seconds():
                    raise Failure(
                        f"{row.name} is not ready after {timeout.total_seconds():g} s: {row.detail or row.environment}",
                        code=ExitCode.TIMEOUT,
                        remedy="it goes on; look again with: heliostat release list --watch",
                    )
                told = shown.tell(row, time.monotonic() - began, told)
                time.sleep(POLL_SECONDS)
                row = client.releases.get(row.name)
    if row.environment == "failed":
        raise Failure(f"the environment of {row.name} cannot be built: {row.detail or row.problem}")
    emit(app, dict(row.raw), lambda: tables.releases([row]))


class _Told:
    """News of a build: one line that is rewritten on a terminal, a line per change on a pipe."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._drawn = False

    def tell(self, row: Release, elapsed: float, before: str) -> str:
        """Returns what was told, to be given as ``before`` the next time."""
        news = row.detail or row.environment
        if self._app.lively:
            text = f"{row.name}  {seconds(elapsed)}  {news}"
            click.echo(f"\r\033[2K{text[: _width()]}", err=True, nl=False)
            self._drawn = True
        elif news != before:
            self._app.say(f"{row.name}  {seconds(elapsed)}  {news}")
        return news

    def __enter__(self) -> _Told:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._drawn:
            click.echo("\r\033[2K", err=True, nl=False)


def _width() -> int:
    import shutil

    return shutil.get_terminal_size().columns - 1
