"""``heliostat login --flyte``: a configuration for the unmodified clients of Flyte (Flyte contract, section 6).

It goes into the folder ``flyte`` beside the profiles, one file for each server; nothing is changed in ``~/.flyte``, which may be
somebody's for another backend. The file holds no secret: the client asks ``heliostat token`` for one when it needs it.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from heliostat.client import credentials
from heliostat.client.errors import NoCredentials

from .app import App

_PORTS = {"http": 80, "https": 443}
_NOT_KEPT = ("HELIOSTAT_TOKEN", "HELIOSTAT_ENDPOINT")
"""Variables that only count while they are set, unlike what a file keeps."""


@dataclass(frozen=True)
class Configuration:
    """What was written."""

    file: Path
    endpoint: str
    """``host:port``."""
    insecure: bool
    """Without TLS."""
    command: Sequence[str]
    ca_file: str | None

    def content(self) -> dict[str, Any]:  # YAML
        """Of the file."""
        ca = {} if self.ca_file is None else {"caCertFilePath": self.ca_file}
        return {
            "admin": {
                "endpoint": f"dns:///{self.endpoint}",
                "insecure": self.insecure,
                **ca,
                "authType": "ExternalCommand",
                "command": list(self.command),
            }
        }

    def lines(self) -> list[str]:
        """For a shell."""
        return [
            f"export FLYTECTL_CONFIG={shlex.quote(str(self.file))}",
            "# then: pyflyte run --remote --wait FILE TASK --argument VALUE",
        ]

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {"environment": {"FLYTECTL_CONFIG": str(self.file)}, "file": str(self.file), **self.content()}


def prepare(app: App) -> Configuration:
    """Write the file, once the login is known to work. Raises HeliostatError or Failure with what to do."""
    with app.client() as client:
        client.me()
        endpoint, ca = client.credentials.endpoint, client.credentials.ca
    parts = urlsplit(endpoint)
    place = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else f"{parts.hostname}"
    place = f"{place}:{parts.port or _PORTS[parts.scheme]}"
    folder = credentials.profiles_file().absolute().parent / "flyte"
    found = Configuration(
        file=folder / f"{re.sub(r'[^0-9A-Za-z.-]+', '_', place)}.yaml",
        endpoint=place,
        insecure=parts.scheme == "http",
        command=_command(app, endpoint),
        ca_file=None if ca is None or parts.scheme == "http" else str(Path(ca).absolute()),
    )
    _write(found)
    if not _kept(app, endpoint):
        app.say(
            "this login is not kept: HELIOSTAT_TOKEN must be set when Flyte's client runs, or log in with: heliostat login"
        )
    return found


def _command(app: App, endpoint: str) -> list[str]:
    """What prints the token. It names this program by its interpreter, since the client may run in another environment."""
    words = [sys.executable, "-m", "heliostat.cli.main", "token", "--endpoint", endpoint]
    profile = app.profile or os.environ.get("HELIOSTAT_PROFILE")
    home = app.home or os.environ.get("HELIOSTAT_HOME")
    if profile:
        words += ["--profile", profile]
    if home:
        words += ["--home", str(Path(home).expanduser().absolute())]
    return words


def _kept(app: App, endpoint: str) -> bool:
    """Whether the token is found when no variable holds it."""
    environ = {name: value for name, value in os.environ.items() if name not in _NOT_KEPT}
    try:
        credentials.find(endpoint, profile=app.profile, home=app.home, environ=environ)
    except NoCredentials:
        return False
    return True


def _write(found: Configuration) -> None:
    import yaml

    text = "# Written by: heliostat login --flyte\n" + yaml.safe_dump(found.content(), sort_keys=False)
    found.file.parent.mkdir(parents=True, exist_ok=True)
    partial = found.file.with_name(f".{found.file.name}.{secrets.token_hex(4)}")
    try:
        partial.write_text(text)
        partial.replace(found.file)
    finally:
        partial.unlink(missing_ok=True)
