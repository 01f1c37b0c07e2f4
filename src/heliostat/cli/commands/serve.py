"""``heliostat serve``: the server. The only command that imports it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..app import App, pass_app
from ..framework import Command

if TYPE_CHECKING:
    from heliostat.server import Running


@click.command(
    cls=Command,
    examples="""
        heliostat serve
        heliostat serve --home /srv/heliostat --port 9000
        heliostat serve --warm 1
        heliostat serve --host 0.0.0.0 --own-tls
        heliostat serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem --public-url https://ray.example.com
        heliostat serve --flyte-listen 8602 --flyte-requirements requirements.txt
        heliostat serve --database-url postgresql+psycopg://heliostat@db/heliostat
    """,
)
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of everything it keeps [HELIOSTAT_HOME] (your data folder).",
)
@click.option("--host", metavar="ADDRESS", help="Address to listen on [HELIOSTAT_HOST] (127.0.0.1).")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="PORT", help="0 takes a free one [HELIOSTAT_PORT] (8600)."
)
@click.option(
    "--database-url", metavar="URL", help="SQLAlchemy URL [HELIOSTAT_DATABASE_URL] (SQLite in the home folder)."
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="TOML file [HELIOSTAT_CONFIG] (config.toml in the home folder, if it is there).",
)
@click.option(
    "--tls-cert", type=click.Path(dir_okay=False, path_type=Path), help="Certificate chain, PEM [HELIOSTAT_TLS_CERT]."
)
@click.option(
    "--tls-key", type=click.Path(dir_okay=False, path_type=Path), help="Its private key, PEM [HELIOSTAT_TLS_KEY]."
)
@click.option(
    "--own-tls",
    is_flag=True,
    default=None,
    help="TLS on the port, with a certificate of its own authority [HELIOSTAT_OWN_TLS].",
)
@click.option(
    "--tls-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="A second port, with TLS and its own certificate; 0 takes a free one [HELIOSTAT_TLS_PORT] (the one after --port "
    "when that is plain and on this machine).",
)
@click.option("--no-tls-port", is_flag=True, help="No second port.")
@click.option("--public-url", metavar="URL", help="Where users reach it, behind a proxy [HELIOSTAT_PUBLIC_URL].")
@click.option(
    "--gateway-domain",
    metavar="NAME",
    help="Clusters answer at c-<id>.NAME [HELIOSTAT_GATEWAY_DOMAIN] (localhost with the port).",
)
@click.option(
    "--insecure", is_flag=True, default=None, help="Allow plain http beyond this machine [HELIOSTAT_INSECURE]."
)
@click.option(
    "--engine", type=click.Choice(["local", "simulated"]), help="What runs clusters [HELIOSTAT_ENGINE] (local)."
)
@click.option(
    "--warm",
    type=click.IntRange(min=0),
    metavar="NUMBER",
    help="Clusters of the default release that are kept ready, so that a start takes under a second; about 1 GB each "
    "[HELIOSTAT_WARM] (0).",
)
@click.option(
    "--flyte-listen",
    metavar="[ADDRESS:]PORT",
    help="A door for Flyte's propellers, which send no credential; on this machine without an address, a free port by 0 "
    "[HELIOSTAT_FLYTE_LISTEN] (none).",
)
@click.option(
    "--flyte-requirements",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Requirements file: what Flyte's tasks need beside flytekit [HELIOSTAT_FLYTE_REQUIREMENTS].",
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[HELIOSTAT_LOG_LEVEL] (info)."
)
@click.option(
    "--log-format",
    type=click.Choice(["auto", "console", "json"]),
    help="[HELIOSTAT_LOG_FORMAT] (auto: lines on a terminal, JSON elsewhere).",
)
@click.option("-q", "--quiet", is_flag=True, help="No banner.")
@click.option("--debug", is_flag=True, help="Show tracebacks [HELIOSTAT_DEBUG].")
@pass_app
def command(
    app: App, /, quiet: bool, debug: bool, no_tls_port: bool, **options: Any
) -> None:  # fields of heliostat.config.Settings
    """Run the server.

    It runs until Ctrl-C or SIGTERM. Clusters outlive it: the next server on the same home folder finds them running.
    The first start writes credentials.json, readable by you alone, which this program and the SDK find by themselves.
    """
    from pydantic import ValidationError

    from heliostat.config import Settings
    from heliostat.domain.errors import NotReady, Unavailable
    from heliostat.server import run

    from ..failures import Failure

    app.debug, app.quiet = app.debug or debug, app.quiet or quiet
    given = {key: value for key, value in options.items() if value is not None}
    if no_tls_port:
        if "tls_port" in given:
            raise click.UsageError("--no-tls-port and --tls-port exclude each other")
        given["tls_port"] = -1
    if "home" not in given and app.home is not None:
        given["home"] = Path(app.home)
    given |= {key: value.expanduser() for key, value in given.items() if isinstance(value, Path)}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise click.UsageError(f"HELIOSTAT_{name.upper()}: {first['msg'].removeprefix('Value error, ')}") from error
    try:
        run(settings, announce=lambda running: app.say(banner(running)))
    except Unavailable as error:
        remedy = "start the database, or correct --database-url" if settings.database_url else ""
        raise Failure(str(error), remedy=remedy) from error
    except NotReady as error:
        raise Failure(str(error)) from error


def banner(running: Running) -> str:
    """Where it answers, where its keys are, and how to go on."""
    from heliostat.addresses import LOCAL
    from heliostat.tls import authority_file

    settings, address = running.server.settings, running.server.address
    home = settings.home.absolute()
    default = type(settings).model_fields["home"].get_default(call_default_factory=True)
    prefix = "" if home == default or os.environ.get("HELIOSTAT_HOME") else f"HELIOSTAT_HOME={home} "
    rows = [("answers at", address.url)]
    if running.tls_port is not None:
        host = "localhost" if settings.host in LOCAL else settings.host
        rows.append(("and at", f"https://{f'[{host}]' if ':' in host else host}:{running.tls_port}"))
    if running.propellers_port is not None:
        rows.append(("propellers", f"at port {running.propellers_port}, without credentials"))
    if running.tls_port is not None or settings.own_tls:
        rows.append(("its CA", str(authority_file(home))))
    rows += [
        ("credentials", str(home / "credentials.json")),
        ("go on with", f"{prefix}heliostat cluster create demo --workers 2"),
        ("stop with", "Ctrl-C (clusters go on running)"),
    ]
    lines = [click.style("heliostat is up", bold=True)]
    lines += [f"  {click.style(name.ljust(11), dim=True)}  {text}" for name, text in rows]
    return "\n".join(lines) + "\n"
