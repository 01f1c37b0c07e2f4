"""``heliostat workspace ...``: the places that clusters belong to."""

from __future__ import annotations

import click

from ..app import App, pass_app, shared_options
from ..framework import Command, Group, pass_name


@click.group(
    cls=Group,
    examples="""
        heliostat workspace list
        heliostat workspace create vision
        heliostat workspace grant robot editor
    """,
)
@shared_options
def command() -> None:
    """See and create workspaces, and say who may do what in them."""


@command.command(
    "list",
    cls=Command,
    examples="""
        heliostat workspace list
        heliostat workspace list -o json
    """,
)
@click.option("--name", metavar="TEXT", help="Only those with this in their name.")
@shared_options
@pass_app
def list_workspaces(app: App, name: str | None) -> None:
    """List the workspaces that you have a role in; * marks the one that commands work in."""
    from .. import tables
    from ..output import emit

    with app.client() as client:
        rows = client.workspaces.list(name=name)
        current = client.credentials.workspace or (rows[0].id if len(rows) == 1 and name is None else None)
    emit(app, [dict(row.raw) for row in rows], lambda: tables.workspaces(rows, app.now(), current))


@command.command("get", cls=Command, examples="heliostat workspace get w-0123456789abcdef")
@pass_name("workspace", "wanted", metavar="ID")
@shared_options
@pass_app
def get(app: App, wanted: str) -> None:
    """Show one workspace."""
    from .. import tables
    from ..output import emit

    with app.client() as client:
        row = client.workspaces.get(wanted)
    emit(app, dict(row.raw), lambda: tables.workspaces([row], app.now(), None))


@command.command(
    "create",
    cls=Command,
    examples="""
        heliostat workspace create vision
        heliostat cluster list --workspace w-0123456789abcdef
    """,
)
@click.argument("name")
@shared_options
@pass_app
def create(app: App, name: str) -> None:
    """Create a workspace with its root_queue; takes an installation admin."""
    from .. import tables
    from ..output import emit

    with app.client() as client:
        row = client.workspaces.create(name)
    emit(app, dict(row.raw), lambda: tables.workspaces([row], app.now(), None))
    app.say(f"work in it with: --workspace {row.id}, or HELIOSTAT_WORKSPACE={row.id}")


@command.command(
    "grant",
    cls=Command,
    examples="""
        heliostat workspace grant robot editor
        heliostat workspace grant alice owner --workspace w-0123456789abcdef
    """,
)
@click.argument("principal")
@click.argument("role", type=click.Choice(["viewer", "editor", "owner"]))
@shared_options
@pass_app
def grant(app: App, principal: str, role: str) -> None:
    """Give somebody a role in the workspace, in place of the present one; takes an owner.

    viewer sees clusters, jobs and events; editor also makes and changes them and runs code; owner also has queues and roles.
    """
    from ..output import Card, emit

    with app.client() as client:
        place = client.workspace()
        client.workspaces.grant(principal, role, workspace=place)
    document = {"workspace": place, "principal": principal, "role": role}
    emit(app, document, lambda: Card(f"{principal} is {role} in {place}"))


@command.command("revoke", cls=Command, examples="heliostat workspace revoke robot")
@click.argument("principal")
@shared_options
@pass_app
def revoke(app: App, principal: str) -> None:
    """Take somebody's role in the workspace; takes an owner."""
    from ..output import Card, emit

    with app.client() as client:
        place = client.workspace()
        client.workspaces.revoke(principal, workspace=place)
    document = {"workspace": place, "principal": principal, "role": None}
    emit(app, document, lambda: Card(f"{principal} has no role in {place}"))
