"""``heliostat secret ...``: values that jobs get, and that nobody can read back."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..app import App, pass_app, shared_options
from ..framework import Command, Group, pass_name

LONGEST = 64 << 10
"""Bytes of a value that the server takes; of what is longer no more is read than shows that it is."""


@click.group(
    cls=Group,
    examples="""
        heliostat secret set db/password
        heliostat secret list
        heliostat job submit --secret DB_PASSWORD=db/password -- python main.py
        heliostat secret delete db/password
    """,
)
@shared_options
def command() -> None:
    """Set, list and delete secrets of the workspace, which jobs get as environment variables."""


@command.command(
    "set",
    cls=Command,
    examples="""
        heliostat secret set db/password
        printf %s "$PASSWORD" | heliostat secret set db/password
        heliostat secret set tls/key@2026 --from-file key.pem
        heliostat secret set robots/api-token --workspace w-0123456789abcdef < token.txt
    """,
)
@pass_name("secret", "wanted", metavar="GROUP/KEY[@VERSION]")
@click.option(
    "--from-file", type=click.Path(path_type=Path), metavar="FILE", help="Take the value from this file, byte for byte."
)
@shared_options
@pass_app
def set_secret(app: App, wanted: str, from_file: Path | None) -> None:
    """Make a secret or replace its value; takes an editor.

    The value is asked for without showing it, or read from stdin, of which one newline at the end is left out. It is never
    an argument, since others on this machine could read that. Text of at most 64 KiB; jobs that run keep what they were given.
    """
    from heliostat.client import secret_names

    from .. import tables
    from ..output import emit

    name = secret_names.parse(wanted, "GROUP/KEY")
    value = _value(from_file)
    with app.client() as client:
        row = client.secrets.set(name["group"], name["key"], value, version=name["version"])
    emit(app, dict(row.raw), lambda: tables.secrets([row], app.now()))


@command.command(
    "list",
    cls=Command,
    examples="""
        heliostat secret list
        heliostat secret list --group db -o json
    """,
)
@click.option("--group", metavar="GROUP", help="Only those of this group.")
@shared_options
@pass_app
def list_secrets(app: App, group: str | None) -> None:
    """List the names of the secrets, and who has set them when; never values. Takes an editor."""
    from .. import tables
    from ..output import emit

    with app.client() as client:
        rows = client.secrets.list(group=group)
    emit(app, [dict(row.raw) for row in rows], lambda: tables.secrets(rows, app.now()))


@command.command("delete", cls=Command, examples="heliostat secret delete tls/key@2026")
@pass_name("secret", "wanted", metavar="GROUP/KEY[@VERSION]")
@shared_options
@pass_app
def delete(app: App, wanted: str) -> None:
    """Delete a secret; attempts of jobs that begin afterwards and ask for it fail. Takes an editor."""
    from heliostat.client import secret_names

    from ..output import Card, emit

    name = secret_names.parse(wanted, "GROUP/KEY")
    with app.client() as client:
        client.secrets.delete(name["group"], name["key"], version=name["version"])
    emit(app, {**name, "deleted": True}, lambda: Card(f"secret {wanted} is deleted"))


def _value(file: Path | None) -> str:
    """The value, from wherever it comes. Raises click.UsageError, which tells nothing of it."""
    if file is None and sys.stdin.isatty():
        asked: str = click.prompt("Value", hide_input=True, confirmation_prompt=True, err=True)
        return asked
    place = "stdin" if file is None else str(file)
    try:
        if file is None:
            content = sys.stdin.buffer.read(LONGEST + 3)
        else:
            with file.open("rb") as opened:
                content = opened.read(LONGEST + 1)
    except OSError as error:
        raise click.UsageError(f"cannot read {place}: {error.strerror}") from error
    if file is None:
        content = content[:-2] if content.endswith(b"\r\n") else content.removesuffix(b"\n")
    if not content:
        raise click.UsageError(f"{place} is empty; give the value there")
    if len(content) > LONGEST:
        raise click.UsageError(f"{place} has more than {LONGEST >> 10} KiB; a secret is no place for data")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise click.UsageError(f"{place} is no text in UTF-8; encode it first, for example with base64") from None
