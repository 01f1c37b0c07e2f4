"""``heliostat login``: remember a server and a token, once they are known to work, and set up Google's and Flyte's clients."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..app import App, pass_app, shared_options
from ..framework import Command

if TYPE_CHECKING:
    from heliostat.client.models import Me

    from ..flyte_login import Configuration
    from ..vertex_login import Environment

_LONGEST = 1 << 16
"""Characters of what stands in the place of a token that are looked at."""


@click.command(
    cls=Command,
    examples="""
        heliostat login --endpoint https://ray.example.com
        heliostat login --endpoint https://ray.example.com --profile prod --workspace w-0123456789abcdef < token.txt
        heliostat login --endpoint https://ray.intern --ca ca.pem --token-file token.txt
        heliostat login --profile prod --forget
        eval "$(heliostat login --vertex)"
        eval "$(heliostat login --flyte)"
    """,
)
@click.option("--token-file", type=click.Path(dir_okay=False, path_type=Path), help="File with the token.")
@click.option(
    "--ca", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Private certificate authority."
)
@click.option("--forget", is_flag=True, help="Forget the profile instead.")
@click.option(
    "--vertex", is_flag=True, help="Print the environment that Vertex AI's clients need, for the login that is there."
)
@click.option("--flyte", is_flag=True, help="Write a configuration for Flyte's clients, for the login that is there.")
@click.option(
    "--google-json", type=click.Path(path_type=Path), metavar="FILE",
    help="With --vertex: use this key file, instead of one that is made for you.",
)  # fmt: skip
@click.option("--project", metavar="WORKSPACE", help="With --vertex: the workspace to use; id, name or number.")
@shared_options
@pass_app
def command(
    app: App, token_file: Path | None, ca: Path | None, forget: bool, vertex: bool, flyte: bool, google_json: Path | None,
    project: str | None,
) -> None:  # fmt: skip
    """Check an endpoint and a token, and remember them.

    The token is asked for, or read from --token-file, HELIOSTAT_TOKEN or stdin, so that it is never in the list of
    processes. The profile (--profile, else "default") becomes the current one; its file is readable by you alone.

    With --vertex it prints variables for a shell instead (-o json for programs), with which the unmodified clients of
    Vertex AI work with the server. It makes a key file for them once, and checks that it works.

    With --flyte it writes a configuration for the unmodified clients of Flyte, and prints the variable that names it. The
    configuration holds no token: the clients call "heliostat token". ~/.flyte is left alone.
    """
    if vertex or flyte:
        option = "--vertex" if vertex else "--flyte"
        if vertex and flyte:
            raise click.UsageError("--vertex and --flyte are for two kinds of clients; give one of them")
        if token_file is not None or ca is not None or forget:
            raise click.UsageError(f"{option} is for a login that is there; log in first, without {option}")
        if vertex:
            _vertex(app, project, google_json)
            return
    if google_json is not None or project is not None:
        raise click.UsageError("--google-json and --project go with --vertex")
    if flyte:
        _flyte(app)
        return
    from dataclasses import replace

    from heliostat.client import Client, credentials

    from ..exits import ExitCode
    from ..failures import Failure
    from ..output import Card, emit

    name = app.profile or os.environ.get("HELIOSTAT_PROFILE") or "default"
    if forget:
        if not credentials.remove_profile(name):
            raise Failure(f"no profile is named {name!r}", code=ExitCode.NOT_FOUND)
        emit(app, {"profile": name, "forgotten": True}, lambda: Card(f"profile {name} is forgotten"))
        return
    endpoint = app.endpoint or os.environ.get("HELIOSTAT_ENDPOINT") or _asked_endpoint()
    token = _token(token_file)
    os.environ.pop("HELIOSTAT_PROFILE", None)  # it names the profile to write, which need not exist yet
    with Client(endpoint, token, app.workspace, ca=str(ca.resolve()) if ca else None, retries=0) as client:
        me = client.me()
        workspace = _workspace(me, client.credentials.workspace, required=app.workspace)
        found = replace(client.credentials, workspace=workspace)
    path = credentials.save_profile(name, found)
    document = {
        "profile": name,
        "endpoint": found.endpoint,
        "principal": me.name,
        "workspace": workspace,
        "file": str(path),
    }
    fields = (("endpoint", found.endpoint), ("workspace", workspace or "none yet"), ("kept in", str(path)))
    emit(app, document, lambda: Card(f"logged in as {me.name}, profile {name}", fields))


def _vertex(app: App, project: str | None, google_json: Path | None) -> None:
    from ..vertex_login import prepare

    _print(app, prepare(app, project, google_json))


def _flyte(app: App) -> None:
    from ..flyte_login import prepare

    _print(app, prepare(app))


def _print(app: App, found: Environment | Configuration) -> None:
    from ..app import Format
    from ..output import serialised

    if app.output is Format.TABLE:
        click.echo("\n".join(found.lines()))
    else:
        click.echo(serialised(found.document(), app.output), nl=False)


def _asked_endpoint() -> str:
    if not sys.stdin.isatty():
        raise click.UsageError("say which server: --endpoint URL")
    found: str = click.prompt("Endpoint", default="http://127.0.0.1:8600", err=True)
    return found


def _token(file: Path | None) -> str:
    if file is not None:
        try:
            token = file.read_text().strip()
        except OSError as error:
            raise click.BadParameter(f"cannot read {file}: {error.strerror}", param_hint="--token-file") from error
    elif os.environ.get("HELIOSTAT_TOKEN"):
        token = os.environ["HELIOSTAT_TOKEN"]
    elif sys.stdin.isatty():
        token = click.prompt("Token", hide_input=True, err=True)
    else:
        token = sys.stdin.readline().strip()
        if token.startswith("{"):
            token += sys.stdin.read(_LONGEST)
    if token.startswith("{"):
        _refuse_document(token, str(file or "stdin"))
    if not token:
        raise click.UsageError("no token was given; make one on the server with: heliostat key create")
    return str(token)


def _refuse_document(text: str, place: str) -> None:
    """A whole document where a token should be: most likely a key file."""
    from heliostat.client import google_keys

    google_keys.refuse_googles(text, place)
    raise click.UsageError(
        f"{place} holds a document and no token; a key file for Google's clients goes to: heliostat login --vertex "
        "--google-json FILE"
    )


def _workspace(me: Me, kept: str | None, *, required: str | None) -> str | None:
    """The workspace to remember: the one asked for, the one kept before, or the only one."""
    mine = [row.id for row in me.workspaces]
    if required is not None:
        if required not in mine:
            raise click.BadParameter(f"{me.name} has no role in {required}", param_hint="--workspace")
        return required
    if kept in mine:
        return kept
    if len(mine) > 1:
        names = ", ".join(f"{row.id} ({row.name})" for row in me.workspaces)
        raise click.UsageError(f"say which workspace to work in: --workspace ID; yours are: {names}")
    return mine[0] if mine else None
