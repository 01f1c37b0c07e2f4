"""What every command shares: the options that any of them takes, the client made of them, and the two outputs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from heliostat.client import Client

Function = TypeVar("Function", bound=Callable[..., Any])  # click's own bound


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class App:
    """The state of one command line. Made by :func:`heliostat.cli.main.run`, filled by :func:`shared_options`."""

    output: Format = Format.TABLE
    endpoint: str | None = None
    workspace: str | None = None
    profile: str | None = None
    home: str | None = None
    quiet: bool = False
    debug: bool = field(default_factory=lambda: os.environ.get("HELIOSTAT_DEBUG", "") not in ("", "0"))
    now: Callable[[], datetime] = _now

    def client(self, **extra: Any) -> Client:  # the client's own arguments
        """A client for the server that the options, the environment or the profile name. Raises NoCredentials."""
        from heliostat.client import Client

        return Client(endpoint=self.endpoint, workspace=self.workspace, profile=self.profile, home=self.home, **extra)

    def say(self, text: str = "") -> None:
        """A message for people: to stderr, unless ``--quiet``."""
        if not self.quiet:
            click.echo(text, err=True)

    @property
    def lively(self) -> bool:
        """Whether stderr is a terminal on which lines may be redrawn."""
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not self.quiet


pass_app = click.make_pass_decorator(App, ensure=True)


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> Any:  # click's own types
    """Note a given option; one that is given after the command wins over one before it."""
    if value is not None and value is not False:
        setattr(ctx.ensure_object(App), str(param.name), Format(value) if param.name == "output" else value)
    return value


def shared_options(function: Function) -> Function:
    """The options that every command takes, before the command's name and after it."""
    options = (
        click.option(
            "-o", "--output", type=click.Choice([form.value for form in Format]), callback=_keep, expose_value=False,
            help="Form of the result on stdout (table).",
        ),
        click.option(
            "--endpoint", metavar="URL", callback=_keep, expose_value=False,
            help="Server to talk to [HELIOSTAT_ENDPOINT].",
        ),
        click.option(
            "--workspace", metavar="ID", callback=_keep, expose_value=False,
            help="Workspace to work in [HELIOSTAT_WORKSPACE].",
        ),
        click.option(
            "--profile", metavar="NAME", callback=_keep, expose_value=False,
            help="Login to use [HELIOSTAT_PROFILE].",
        ),
        click.option(
            "--home", metavar="DIR", callback=_keep, expose_value=False,
            help="State folder of a local server [HELIOSTAT_HOME].",
        ),
        click.option("-q", "--quiet", is_flag=True, callback=_keep, expose_value=False, help="No progress, no messages."),
        click.option(
            "--debug", is_flag=True, callback=_keep, expose_value=False,
            help="Show tracebacks [HELIOSTAT_DEBUG].",
        ),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


SHARED = frozenset({"output", "endpoint", "workspace", "profile", "home", "quiet", "debug"})
"""Names of the parameters of :func:`shared_options`, which the help lists in a section of their own."""
