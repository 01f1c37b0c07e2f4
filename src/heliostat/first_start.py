"""What a server's first start makes, and later ones check: the home folder, whose database it goes with, the admin and the
credentials file that the CLI finds by itself.
"""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from pathlib import Path

import structlog

from heliostat.domain.errors import NotReady
from heliostat.domain.ids import random_text
from heliostat.engines.base import Engine
from heliostat.services import Services
from heliostat.store import Store
from heliostat_node.protocol import replace_json

log = structlog.get_logger()
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)
KEYS = ("endpoint", "workspace_id", "token", "access_key_id", "access_key_secret")
"""What the file holds, each a text."""


def make_home(home: Path) -> None:
    """The home folder, readable by its owner alone. Raises NotReady."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
    except OSError as error:
        raise NotReady(f"cannot use {home} as home folder: {error.strerror}; choose another with --home") from error


async def keep_to_one_database(home: Path, database: str, engine: Engine) -> None:
    """See to it that the engine's instances belong to the database of this name.

    The loop removes what its database does not know, so a server that is given another one by mistake would end every
    running cluster. Raises NotReady.
    """
    file = home / "database"
    try:
        known = file.read_text() if file.exists() else None
        if known == database:
            return
        running = [] if known is None else await engine.discover()
        if running:
            raise NotReady(
                f"{len(running)} instances below {home} belong to another database than this one; give the one that they "
                f"belong to, or another --home, or remove {file} to have them removed"
            )
        file.write_text(database)
    except OSError as error:
        raise NotReady(f"{file} cannot be used: {error.strerror}") from error


async def keep_to_one_home(home: Path, store: Store) -> None:
    """See to it that no server elsewhere runs this database's instances as processes of its own machine.

    What the local engine runs, no other machine sees: a second server would take a cluster over by starting it again.
    So the database belongs to the home folder of the first server with a local engine. Raises NotReady.
    """
    file = home / "place"
    try:
        if not file.exists():
            file.write_text(random_text(16))
        place = file.read_text()
    except OSError as error:
        raise NotReady(f"{file} cannot be used: {error.strerror}") from error
    if not await store.write(lambda tx: tx.leases.acquire("local-engine", place, BEGINNING, FOR_EVER)):
        raise NotReady(
            "this database belongs to a server with another home folder, whose clusters are processes of its machine; "
            f"start the server with that folder instead of {home}, or give it a database of its own. If that folder is "
            "lost for good, delete the row 'local-engine' of the database's table leases"
        )


def user_name() -> str:
    """Name of the first admin: whoever starts the server."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "admin"


async def keep_credentials_file(
    services: Services, path: Path, endpoint: str, user: str, ca: Path | None = None
) -> None:
    """Write the admin's credentials at the first start (0600), and the endpoint whenever it has changed.

    ``ca`` is the file of the authority that clients must trust for the endpoint, when it is the server's own.

    If the process dies between storing the keys and writing the file, the keys are lost though the store knows them; the
    next start then makes new ones for the same admin, so that nobody is locked out.
    """
    first = await services.identity.first_start(user)
    if first is None and not path.exists():
        first = await services.identity.renew_admin(user)
    trust = {"ca": str(ca)} if ca is not None else {}
    if first is not None:
        content = trust | {
            "endpoint": endpoint,
            "workspace_id": first.workspace,
            "token": first.token.reveal(),
            "access_key_id": first.access_key_id,
            "access_key_secret": first.access_key_secret.reveal(),
        }
        try:
            replace_json(path, content)
        except OSError as error:
            raise NotReady(f"{path} cannot be written: {error.strerror}") from error
        log.info("credentials written", file=str(path))
        return
    try:
        content = json.loads(path.read_text())
        _check(content)
        wanted = {key: value for key, value in content.items() if key != "ca"} | {"endpoint": endpoint} | trust
        if content != wanted:
            replace_json(path, wanted)
        path.chmod(0o600)
    except (OSError, ValueError) as error:
        raise NotReady(f"{path} cannot be read as credentials: {error}; remove it to have new ones made") from error


def _check(content: object) -> None:
    """Raise ValueError unless it is what was written."""
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    missing = [key for key in KEYS if not isinstance(content.get(key), str)]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
