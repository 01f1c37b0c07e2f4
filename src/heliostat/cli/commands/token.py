"""``heliostat token``: the bearer of the login, for programs that send it by themselves."""

from __future__ import annotations

import click

from ..app import App, Format, pass_app, shared_options
from ..framework import Command


@click.command(
    cls=Command,
    examples="""
        heliostat token
        heliostat token --profile prod
        curl -H "Authorization: Bearer $(heliostat token)" http://127.0.0.1:8600/v1/me
    """,
)
@shared_options
@pass_app
def command(app: App) -> None:
    """Print the token of the login, and nothing else, to stdout.

    For programs that ask a command for it, as Flyte's clients do (authType ExternalCommand), and for scripts. Whoever
    reads it can do what you can: do not show it. No server is asked.
    """
    from heliostat.client import credentials

    from ..output import serialised

    found = credentials.find(app.endpoint, profile=app.profile, home=app.home)
    if app.output is Format.TABLE:
        click.echo(found.token)
    else:
        document = {"token": found.token, "endpoint": found.endpoint, "source": found.source}
        click.echo(serialised(document, app.output), nl=False)
