"""``heliostat queue ...``: shares of a workspace's capacity."""

from __future__ import annotations

import click

from ..app import App, pass_app, shared_options
from ..framework import Command, Group


@click.group(cls=Group, examples="heliostat queue list")
@shared_options
def command() -> None:
    """See the shares of capacity in a workspace."""


@command.command(
    "list",
    cls=Command,
    examples="""
        heliostat queue list
        heliostat queue list --workspace w-0123456789abcdef -o yaml
    """,
)
@shared_options
@pass_app
def list_queues(app: App) -> None:
    """List the queues of the workspace."""
    from .. import tables
    from ..output import emit

    with app.client() as client:
        rows = client.queues.list()
    emit(app, [dict(row.raw) for row in rows], lambda: tables.queues(rows))
