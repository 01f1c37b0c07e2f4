"""Where the SDK and the CLI find their endpoint, token and workspace, and where ``heliostat login`` writes them.

Looked for in this order, each value (endpoint, token, workspace) by itself:

1. what the caller gave;
2. ``HELIOSTAT_ENDPOINT``, ``HELIOSTAT_TOKEN``, ``HELIOSTAT_WORKSPACE``;
3. the profile that ``heliostat login`` wrote: ``profiles.json`` in the user's configuration folder
   (``HELIOSTAT_PROFILES`` names another file), the one named by ``profile`` or ``HELIOSTAT_PROFILE``, else the current one;
4. ``credentials.json``, which a server writes at its first start into ``HELIOSTAT_HOME`` (default: the user's data
   folder). It comes before 3 when ``HELIOSTAT_HOME`` is set, since who sets it means that server.

``HELIOSTAT_CA_FILE`` names the file of a private certificate authority, before what 3 and 4 say of it.

A token is only sent to the endpoint that it was found with: when 1 or 2 name another endpoint, a token of 3 or 4 is
not used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import InvalidRequest, NoCredentials


@dataclass(frozen=True)
class Credentials:
    """What a client needs. ``source`` says in words where the token came from."""

    endpoint: str
    token: str = field(repr=False)
    workspace: str | None = None
    ca: str | None = None
    """File of the certificate authority of an https endpoint, when it is a private one."""
    source: str = ""


def find(
    endpoint: str | None = None,
    token: str | None = None,
    workspace: str | None = None,
    *,
    profile: str | None = None,
    home: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Credentials:
    """The credentials to use. Raises NoCredentials with the places that were looked at, InvalidRequest for an endpoint
    that is no address of a server."""
    env = os.environ if environ is None else environ
    endpoint = endpoint or env.get("HELIOSTAT_ENDPOINT") or None
    token_given = token or env.get("HELIOSTAT_TOKEN") or None
    workspace = workspace or env.get("HELIOSTAT_WORKSPACE") or None
    named = profile or env.get("HELIOSTAT_PROFILE") or None
    ca = str(Path(env["HELIOSTAT_CA_FILE"]).expanduser().absolute()) if env.get("HELIOSTAT_CA_FILE") else None
    for kept in _kept(named, home, env, endpoint):
        source = "given" if token_given else kept.source
        return _usable(
            replace(
                kept,
                token=token_given or kept.token,
                workspace=workspace or kept.workspace,
                ca=ca or kept.ca,
                source=source,
            )
        )
    if endpoint and token_given:
        return _usable(Credentials(_trimmed(endpoint), token_given, workspace, ca, source="given"))
    if endpoint:
        check_endpoint(endpoint)
    lacking = "token" if endpoint else "server"
    raise NoCredentials(
        f"no {lacking} is known{f' for {endpoint}' if endpoint else ''}: looked at HELIOSTAT_ENDPOINT and HELIOSTAT_TOKEN, "
        f"{profiles_file(env)} and {home_folder(home, env) / 'credentials.json'}; "
        "start a server with: heliostat serve, or log in with: heliostat login"
    )


def check_endpoint(endpoint: str) -> None:
    """Raises InvalidRequest unless it is ``http(s)://host[:port]``."""
    try:
        parts = urlsplit(endpoint)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole:
        raise InvalidRequest(
            f"{endpoint.rpartition('@')[2]!r} is not the address of a server; write for example http://127.0.0.1:8600",
            path="endpoint",
        )
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise InvalidRequest(
            f"must be scheme, host and port alone: {parts.scheme}://{parts.netloc.rpartition('@')[2]}",
            path="endpoint",
        )


def _usable(found: Credentials) -> Credentials:
    check_endpoint(found.endpoint)
    if not (found.token.isascii() and found.token.isprintable()) or " " in found.token:
        raise NoCredentials(
            f"the token ({found.source}) has characters that no token has; copy it again from: heliostat key create"
        )
    return found


def home_folder(home: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The state folder of a local server: ``home``, else ``HELIOSTAT_HOME``, else the user's data folder."""
    env = os.environ if environ is None else environ
    chosen = home or env.get("HELIOSTAT_HOME")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs  # here, since most calls do not need it

    return Path(platformdirs.user_data_dir("heliostat"))


def profiles_file(environ: Mapping[str, str] | None = None) -> Path:
    env = os.environ if environ is None else environ
    chosen = env.get("HELIOSTAT_PROFILES")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_config_dir("heliostat")) / "profiles.json"


def profiles(environ: Mapping[str, str] | None = None) -> tuple[dict[str, Credentials], str | None]:
    """All profiles by name, and the name of the current one."""
    path = profiles_file(environ)
    data = _read(path)
    rows = data.get("profiles")
    found = {}
    for name, row in (rows if isinstance(rows, dict) else {}).items():
        kept = _credentials(row, f"profile {name} of {path}")
        if kept is not None:
            found[str(name)] = kept
    current = data.get("current")
    return found, current if isinstance(current, str) and current in found else None


def save_profile(name: str, credentials: Credentials, environ: Mapping[str, str] | None = None) -> Path:
    """Write a profile and make it the current one; the file is readable by its owner alone. Returns the file."""
    path = profiles_file(environ)
    data = _read(path)
    rows = data.get("profiles")
    row = {"endpoint": _trimmed(credentials.endpoint), "token": credentials.token}
    if credentials.workspace:
        row["workspace_id"] = credentials.workspace
    if credentials.ca:
        row["ca"] = credentials.ca
    _write(path, {"current": name, "profiles": (rows if isinstance(rows, dict) else {}) | {name: row}})
    return path


def remove_profile(name: str, environ: Mapping[str, str] | None = None) -> bool:
    """Forget a profile; False when there is none of that name."""
    path = profiles_file(environ)
    data = _read(path)
    rows = data.get("profiles")
    if not isinstance(rows, dict) or name not in rows:
        return False
    rest = {key: row for key, row in rows.items() if key != name}
    current = data.get("current")
    _write(path, {"current": current if current in rest else next(iter(rest), None), "profiles": rest})
    return True


def _kept(
    named: str | None, home: str | Path | None, env: Mapping[str, str], endpoint: str | None
) -> Iterator[Credentials]:
    """What files hold for ``endpoint`` (None: for whichever is the user's choice), first choice first."""
    rows, current = profiles(env)
    if named is not None:
        if named not in rows:
            raise NoCredentials(f"no profile is named {named!r} in {profiles_file(env)}; log in with: heliostat login")
        candidates = [rows[named]]
    else:
        path = home_folder(home, env) / "credentials.json"
        local = _credentials(_read(path), str(path))
        candidates = [local] if local else []
        if home is None:
            others = [row for name, row in rows.items() if name != current and endpoint is not None]
            mine = [rows[current]] if current else []
            first = [*candidates, *mine] if env.get("HELIOSTAT_HOME") else [*mine, *candidates]
            candidates = [*first, *others]
    yield from (row for row in candidates if endpoint is None or _same(endpoint, row.endpoint))


def _credentials(row: Any, source: str) -> Credentials | None:
    if not isinstance(row, dict) or not isinstance(row.get("endpoint"), str) or not isinstance(row.get("token"), str):
        return None
    workspace, ca = row.get("workspace_id"), row.get("ca")
    return Credentials(
        _trimmed(row["endpoint"]),
        row["token"],
        workspace if isinstance(workspace, str) else None,
        ca if isinstance(ca, str) else None,
        source,
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except PermissionError as error:
        raise NoCredentials(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, OSError) as error:
        raise NoCredentials(f"{path} is not a readable JSON file: {error}") from error
    return data if isinstance(data, dict) else {}


def _write(path: Path, data: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(data, file, indent=2)
        file.write("\n")
    partial.replace(path)


def _trimmed(endpoint: str) -> str:
    return endpoint.rstrip("/")


def _same(one: str, other: str) -> bool:
    return _trimmed(one).lower() == _trimmed(other).lower()
