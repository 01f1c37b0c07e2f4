"""``heliostat version``: of this program and, if one answers, of the server."""

from __future__ import annotations

import platform

import click

from ..app import App, pass_app, shared_options
from ..framework import Command

PATIENCE_SECONDS = 3.0


@click.command(
    cls=Command,
    examples="""
        heliostat version
        heliostat version -o json
    """,
)
@click.option("--client", "client_only", is_flag=True, help="Of this program alone; ask no server.")
@shared_options
@pass_app
def command(app: App, client_only: bool) -> None:
    """Show the versions of this program and of the server."""
    from importlib.metadata import version

    from heliostat.client.errors import HeliostatError, NoCredentials

    from ..output import Card, emit

    own = {"version": version("heliostat"), "python": platform.python_version()}
    server: dict[str, str] | None = None
    note = "not asked"
    if not client_only:
        try:
            with app.client(timeout=PATIENCE_SECONDS, retries=0) as client:
                told = client.version()
                server = {"version": told.version, "api": told.api, "endpoint": client.endpoint}
        except HeliostatError as error:
            note = "none known; see: heliostat login" if isinstance(error, NoCredentials) else error.message
    fields = [("python", own["python"])]
    fields.append(
        ("server", note if server is None else f"{server['version']} at {server['endpoint']}, API {server['api']}")
    )
    emit(app, {"client": own, "server": server}, lambda: Card(f"heliostat {own['version']}", tuple(fields)))
