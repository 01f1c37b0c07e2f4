"""``heliostat key ...``: credentials for people and programs."""

from __future__ import annotations

from datetime import timedelta

import click

from ..app import App, pass_app, shared_options
from ..durations import Duration
from ..framework import Command, Group, pass_name


@click.group(
    cls=Group,
    examples="""
        heliostat key create --description laptop
        heliostat key list
        heliostat key revoke tok-0123456789abcdef
    """,
)
@shared_options
def command() -> None:
    """Create, list and revoke API tokens and access keys."""


@command.command(
    "create",
    cls=Command,
    examples="""
        heliostat key create --description laptop
        heliostat key create --kind access_key --description "EMR SDK in CI" --lifetime 30d
        heliostat key create --principal robot -o json | jq -r .secret
    """,
)
@click.option(
    "--kind", type=click.Choice(["token", "access_key"]), default="token",
    help="token: bearer token, for this program, the SDK and the API (default); access_key: key pair, for the EMR SDK.",
)  # fmt: skip
@click.option(
    "--principal", metavar="NAME", help="Whose it is, if not yours; for admins. A new name is a new principal."
)
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
@click.option("--lifetime", type=Duration(), metavar="TIME", help="When it expires, e.g. 12h or 30d (never).")
@shared_options
@pass_app
def create(app: App, kind: str, principal: str | None, description: str, lifetime: timedelta | None) -> None:
    """Create a key. Its secret is printed this once and kept nowhere."""
    from ..output import Card, emit
    from ..tables import moment

    if lifetime is not None and lifetime < timedelta(seconds=1):
        raise click.BadParameter("must be at least 1s", param_hint="--lifetime")
    with app.client() as client:
        made = client.keys.create(
            kind, principal=principal, description=description,
            lifetime_seconds=None if lifetime is None else round(lifetime.total_seconds()),
        )  # fmt: skip
    key = made.key
    fields = [
        ("id", key.id),
        ("secret", made.secret),
        ("expires", moment(key.expires_at) if key.expires_at else "never"),
    ]
    names = ("access key", "access key secret") if kind == "access_key" else ("token", "token")
    emit(app, dict(made.raw), lambda: Card(names[0], tuple(fields)))
    app.say("keep the secret: it is not shown again")


@command.command(
    "list",
    cls=Command,
    examples="""
        heliostat key list
        heliostat key list -o json
    """,
)
@shared_options
@pass_app
def list_keys(app: App) -> None:
    """List your keys, without their secrets; admins see everybody's."""
    from .. import tables
    from ..output import emit

    with app.client() as client:
        rows = client.keys.list()
    emit(app, [dict(row.raw) for row in rows], lambda: tables.keys(rows, app.now()))


@command.command("revoke", cls=Command, examples="heliostat key revoke tok-0123456789abcdef")
@pass_name("key", metavar="ID")
@shared_options
@pass_app
def revoke(app: App, key: str) -> None:
    """End a key at once."""
    from ..output import Card, emit

    with app.client() as client:
        client.keys.revoke(key)
    emit(app, {"id": key, "revoked": True}, lambda: Card(f"{key} is revoked"))
