"""``heliostat key ...``: credentials for people and programs."""

from __future__ import annotations

import shlex
from datetime import timedelta
from pathlib import Path

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
    """Create, list and revoke API tokens, access keys and key files."""


@command.command(
    "create",
    cls=Command,
    examples="""
        heliostat key create --description laptop
        heliostat key create --kind access_key --description "EMR SDK in CI" --lifetime 30d
        heliostat key create --principal robot -o json | jq -r .secret
        heliostat key create --google-json robot.json --principal robot --lifetime 90d
    """,
)
@click.option(
    "--kind", type=click.Choice(["token", "access_key"]),
    help="token: bearer token, for this program, the SDK and the API (default); access_key: key pair, for the EMR SDK.",
)  # fmt: skip
@click.option(
    "--google-json", type=click.Path(path_type=Path), metavar="FILE",
    help="Make a key file for Google's clients (Vertex AI) instead; its private key never leaves this machine.",
)  # fmt: skip
@click.option(
    "--project", metavar="WORKSPACE", help="With --google-json: the workspace that the file names; id, name or number."
)
@click.option("--force", is_flag=True, help="With --google-json: replace a file that is there.")
@click.option(
    "--principal", metavar="NAME", help="Whose it is, if not yours; for admins. A new name is a new principal."
)
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
@click.option("--lifetime", type=Duration(), metavar="TIME", help="When it expires, e.g. 12h or 30d (never).")
@shared_options
@pass_app
def create(
    app: App, kind: str | None, google_json: Path | None, project: str | None, force: bool, principal: str | None,
    description: str, lifetime: timedelta | None,
) -> None:  # fmt: skip
    """Create a key. Its secret is printed this once and kept nowhere, but for a key file."""
    from ..output import Card, emit
    from ..tables import moment

    if lifetime is not None and lifetime < timedelta(seconds=1):
        raise click.BadParameter("must be at least 1s", param_hint="--lifetime")
    seconds = None if lifetime is None else round(lifetime.total_seconds())
    if google_json is not None:
        if kind is not None:
            raise click.UsageError("--kind and --google-json are two kinds of key; give one of them")
        _key_file(app, google_json, project, principal, description, seconds, force=force)
        return
    if project is not None or force:
        raise click.UsageError("--project and --force go with --google-json")
    kind = kind or "token"
    with app.client() as client:
        made = client.keys.create(kind, principal=principal, description=description, lifetime_seconds=seconds)
    key = made.key
    fields = [
        ("id", key.id),
        ("secret", made.secret),
        ("expires", moment(key.expires_at) if key.expires_at else "never"),
    ]
    names = ("access key", "access key secret") if kind == "access_key" else ("token", "token")
    emit(app, dict(made.raw), lambda: Card(names[0], tuple(fields)))
    app.say("keep the secret: it is not shown again")


def _key_file(
    app: App,
    path: Path,
    project: str | None,
    principal: str | None,
    description: str,
    seconds: int | None,
    *,
    force: bool,
) -> None:
    from ..output import Card, emit
    from ..tables import moment

    with app.client() as client:
        made = client.keys.create_google_key(
            path, project=project, principal=principal, description=description, lifetime_seconds=seconds, force=force
        )
    shown = {name: value for name, value in made.key_file.items() if name != "private_key"}
    fields = (
        ("file", str(path)),
        ("id", made.key.id),
        ("account", str(shown["client_email"])),
        ("project", f"{made.setup.project_id} ({made.setup.project_number})"),
        ("expires", moment(made.key.expires_at) if made.key.expires_at else "never"),
    )
    emit(app, {"file": str(path), "key": dict(made.key.raw), "key_file": shown}, lambda: Card("key file", fields))
    app.say("keep the file: its private key is nowhere else")
    app.say(f'to use it: eval "$(heliostat login --vertex --google-json {shlex.quote(str(path))})"')


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
