"""``heliostat demo``: what ``make demo`` runs."""

from __future__ import annotations

import os
from datetime import timedelta

import click

from ..app import App, pass_app, shared_options
from ..durations import Duration
from ..framework import Command


@click.command(
    cls=Command,
    examples="""
        heliostat demo
        heliostat demo --keep
        heliostat demo --stop
        heliostat demo --release 2.47.1
    """,
)
@click.option("--keep/--no-keep", envvar="KEEP", default=False, help="Leave server and cluster running [KEEP=1] (no).")
@click.option("--stop", is_flag=True, help="End a demo that was kept, or what is left of one that was killed.")
@click.option("--release", metavar="NAME", help="Ray and Python version (the server's default).")
@click.option("--timeout", type=Duration(), metavar="TIME", default="30m", help="Longest time for the start (30m).")
@shared_options
@pass_app
def command(app: App, keep: bool, stop: bool, release: str | None, timeout: timedelta) -> None:
    """Show all of it once: server, cluster, job, and away again.

    Starts a server on a private folder (demo in HELIOSTAT_HOME, else in your cache folder), a Ray cluster of one head and
    two workers, and on it a job that reports from every node, then removes everything again, also after Ctrl-C. The Ray
    environments stay for the next time.
    """
    from ..demo.place import Place
    from ..demo.show import Demo

    show = Demo(app, Place.chosen(app.home or os.environ.get("HELIOSTAT_HOME")), release, keep, timeout)
    if stop:
        show.stop()
    else:
        show.run()
