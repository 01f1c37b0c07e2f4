"""``heliostat cluster logs``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..app import App, Format, pass_app, shared_options
from ..framework import Command, pass_name

if TYPE_CHECKING:
    from heliostat.client import Client
    from heliostat.client.models import LogFile


@click.command(
    "logs",
    cls=Command,
    examples="""
        heliostat cluster logs training
        heliostat cluster logs training --instance ray-0a1b2c3d4e5f6g7h-1a2b3c4d
        heliostat cluster logs training --file nodes/ray-0a1b2c3d4e5f6g7h-1a2b3c4d-head/raylet.out
        heliostat cluster logs training --grep 'OutOfMemory|SIGKILL'
        heliostat cluster logs training --list -o json
    """,
)
@pass_name("cluster")
@click.option("--list", "names", is_flag=True, help="List the log files (what it does without --file and --grep).")
@click.option("--instance", metavar="ID", help="Only those of this run.")
@click.option("--file", metavar="NAME", help="Print this log file, of the newest run that has it.")
@click.option("--grep", metavar="REGEX", help="Only the lines that match; without --file of all log files.")
@shared_options
@pass_app
def logs(app: App, /, cluster: str, names: bool, instance: str | None, file: str | None, grep: str | None) -> None:
    """List and print the logs of a cluster's nodes that were kept when its runs ended.

    Of a deleted cluster give the id.
    """
    if names and (file or grep):
        raise click.UsageError("--list takes neither --file nor --grep")
    reads = bool(file or grep)
    if reads and app.output is not Format.TABLE:
        raise click.UsageError("a log is neither JSON nor YAML; -o is for --list")
    with app.client() as client:
        rows = client.clusters.logs(cluster, instance=instance)
        if not reads:
            _list(app, rows)
        elif file:
            _print(client, cluster, _newest(cluster, rows, file), grep)
        else:
            _search(client, cluster, rows, grep or "")


def _list(app: App, /, rows: Sequence[LogFile]) -> None:
    from .. import job_tables
    from ..output import emit

    emit(app, [dict(row.raw) for row in rows], lambda: job_tables.log_files(rows, owners=True))


def _newest(cluster: str, rows: Sequence[LogFile], name: str) -> LogFile:
    from ..exits import ExitCode
    from ..failures import Failure

    found = [row for row in rows if row.name == name]
    if not found:
        remedy = f"see what there is with: heliostat cluster logs {cluster}"
        raise Failure(f"no log {name} is kept of {cluster}", code=ExitCode.NOT_FOUND, remedy=remedy)
    return max(found, key=lambda row: row.modified_at)


def _print(client: Client, cluster: str, row: LogFile, grep: str | None) -> None:
    from ..log_output import show

    show(client.clusters.read_log(cluster, row.owner, row.name, grep=grep))


def _search(client: Client, cluster: str, rows: Sequence[LogFile], grep: str) -> None:
    from ..log_output import show

    several = len({row.owner for row in rows}) > 1
    for row in rows:
        name = f"{row.owner}/{row.name}" if several else row.name
        show(client.clusters.read_log(cluster, row.owner, row.name, grep=grep), before_each_line=f"{name}: ")
