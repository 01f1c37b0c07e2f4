"""``heliostat cluster apply`` and ``cluster restart``."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from .. import definitions
from ..app import App, pass_app, shared_options
from ..arriving import arrived, print_cluster
from ..framework import Command, pass_name
from ..options import waiting

if TYPE_CHECKING:
    from heliostat.client.models import Plan


@click.command(
    "apply",
    cls=Command,
    examples="""
        heliostat cluster apply -f training.yaml --plan
        heliostat cluster apply -f training.yaml
        heliostat cluster apply -f training.yaml --restart
        heliostat cluster apply training -f base.yaml --plan -o json
    """,
)
@click.argument("name", required=False)
@click.option("-f", "--file", metavar="FILE", required=True, help="Definition in YAML or JSON ('-': stdin).")
@click.option(
    "--plan",
    "--dry-run",
    "plan_only",
    is_flag=True,
    help="Change nothing; show what would change. Exit code 10 or 11 if anything would.",
)
@click.option(
    "--generation",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only if the cluster has this generation still, as --plan told it (exit code 4).",
)
@click.option("--start/--no-start", default=True, help="Start it if it is made by this (start).")
@click.option("--restart", "restart_it", is_flag=True, help="Restart it if the change needs that.")
@click.option("--rolling", is_flag=True, help="The same, node by node.")
@waiting
@shared_options
@pass_app
def apply(
    app: App,
    /, name: str | None, file: str, plan_only: bool, generation: int | None, start: bool, restart_it: bool, rolling: bool,
    wait: bool, timeout: timedelta | None,
) -> None:  # fmt: skip
    """Have a cluster be what a file says, and make it if there is none.

    NAME is the name in the file if left out. What the file leaves out has its default; only the release stays. What a
    running cluster can have without a restart it gets at once.

    With --plan nothing is changed: exit code 0 says that nothing would, 10 that all of it can be had at once, 11 that a
    restart is needed, and 2 that it would be refused.
    """
    given = definitions.read(file)
    known = name or given.get("name")
    if not isinstance(known, str) or not known:
        raise click.UsageError(f"{file} has no name; give one: heliostat cluster apply NAME -f {file}")
    fields: dict[str, Any] = definitions.creation(given, workers=None, groups=(), shape={}, head={}, plain={})
    definition = {**fields, "name": given.get("name") or known}
    with app.client() as client:
        plan = client.clusters.plan(definition, cluster=known, expected_generation=generation)
        if plan_only:
            raise click.exceptions.Exit(_show(app, plan))
        found = client.clusters.apply(definition, cluster=known, start=start, expected_generation=plan.generation)
        info = found.info
        app.say(
            {"create": f"created {info.name} ({info.id})", "nothing": "nothing to change"}.get(plan.action, "changed")
        )
        if info.modified and (restart_it or rolling):
            info = client.clusters.restart(info.id, rolling=rolling).info
            if wait:
                info = arrived(app, client, info, "renewed" if rolling else "Running", timeout)
        elif plan.action == "create" and start and wait:
            info = arrived(app, client, info, "Running", timeout)
        print_cluster(app, info)
        if info.modified and not rolling:
            app.say(f"some of it needs a restart: heliostat cluster restart {info.name}")


@click.command(
    "restart",
    cls=Command,
    examples="""
        heliostat cluster restart training
        heliostat cluster restart training --rolling
        heliostat cluster restart training --rolling --timeout 30m
        heliostat cluster restart training --no-wait
    """,
)
@pass_name("cluster")
@click.option("--rolling", is_flag=True, help="Keep it running, and replace its nodes one after the other.")
@click.option("--instance", metavar="ID", help="Restart this run only; another one is left alone (exit code 4).")
@waiting
@shared_options
@pass_app
def restart(
    app: App, /, cluster: str, rolling: bool, instance: str | None, wait: bool, timeout: timedelta | None
) -> None:
    """Restart a cluster as it is stored now: a new run with its own token and addresses.

    With --rolling the run stays. Its workers finish what they run and are replaced, group by group; then the head, if what
    is stored for it is another thing and the release can do that.
    """
    with app.client() as client:
        info = client.clusters.restart(cluster, rolling=rolling, instance=instance).info
        if wait:
            info = arrived(app, client, info, "renewed" if rolling else "Running", timeout)
        print_cluster(app, info)


def _show(app: App, /, plan: Plan) -> int:
    """Print a plan; the exit code that tells what it is."""
    from ..exits import ExitCode
    from ..output import emit
    from ..plan_tables import changes, summary

    emit(app, dict(plan.raw), lambda: changes(plan))
    for line in summary(plan):
        app.say(line)
    if plan.refused:
        return ExitCode.USAGE
    if plan.action == "nothing":
        return ExitCode.OK
    return ExitCode.NEEDS_RESTART if plan.restart else ExitCode.CHANGES
