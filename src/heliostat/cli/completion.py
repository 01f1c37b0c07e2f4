"""Names for the shell's completion, asked of the server while the user waits at the prompt.

So: a short deadline, and silence when anything is in the way. A prompt is no place for an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from .app import App

if TYPE_CHECKING:
    from heliostat.client import Client

PATIENCE_SECONDS = 1.5


def cluster_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _asked(ctx, incomplete, lambda client: [row.name for row in client.clusters.list(limit=200)])


def release_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _asked(ctx, incomplete, lambda client: [row.name for row in client.releases.list()])


def job_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Ids of the newest, and names once somebody has begun to type one."""

    def names(client: Client) -> list[str]:
        rows = list(client.jobs.list(limit=100))
        return [row.id for row in rows] + [
            name for name in {row.name: 0 for row in rows if row.name != row.id} if incomplete
        ]

    return _asked(ctx, incomplete, names)


def key_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _asked(ctx, incomplete, lambda client: [row.id for row in client.keys.list() if row.revoked_at is None])


def workspace_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _asked(ctx, incomplete, lambda client: [row.id for row in client.workspaces.list()])


def queue_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _asked(ctx, incomplete, lambda client: [row.name for row in client.queues.list()])


def secret_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return _asked(ctx, incomplete, lambda client: [row.name for row in client.secrets.list()])


def _asked(ctx: click.Context, incomplete: str, names: Callable[[Client], list[str]]) -> list[str]:
    from heliostat.client.errors import HeliostatError

    app = ctx.find_object(App) or App()
    try:
        with app.client(timeout=PATIENCE_SECONDS, retries=0) as client:
            return [name for name in names(client) if name.startswith(incomplete)]
    except (HeliostatError, OSError, ValueError):
        return []
