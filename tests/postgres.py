"""A real PostgreSQL for tests, started from the distribution's packages and gone when the tests are over.

Import the fixtures into a ``conftest.py``::

    from tests.postgres import postgres_server, postgres_url  # noqa: F401

``postgres_url`` is a new, empty database for one test; the server behind it is started once per session, listens on a
socket in a private folder only, and dies with the test process even when that is killed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

INSTALL = "apt-get install -y --no-install-recommends postgresql"
_START_SECONDS = 60


class PostgresServer:
    """A running server. ``execute`` runs a statement as its superuser."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self._folder = folder
        self._process = process

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self._folder}"

    def execute(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(host=str(self._folder), user="postgres", dbname=database, autocommit=True) as connection:
            connection.execute(statement.encode())

    def stop(self) -> None:
        """Fast shutdown: sessions are cut off."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)


def start(folder: Path) -> PostgresServer:
    """Makes a database cluster in ``folder`` and serves it. RuntimeError says what is missing."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not binaries:
        raise RuntimeError(f"PostgreSQL is not installed; run: {INSTALL}")
    bin = binaries[-1].parent
    user: list[str] = []
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        user = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    data = folder / "data"
    subprocess.run(
        ["setpriv", *user, bin / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
        check=True,
        capture_output=True,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        cwd=folder,
    )
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "shared_buffers": "32MB",
        "max_connections": "60",
        "deadlock_timeout": "100ms",
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *("setpriv", *user, "--pdeathsig=INT", bin / "postgres", "-D", data),
                *(word for name, value in options.items() for word in ("-c", f"{name}={value}")),
            ],
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
    server = PostgresServer(folder, process)
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            server.execute("SELECT 1")
            return server
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                server.stop()
                raise RuntimeError((folder / "server.log").read_text()) from None
            time.sleep(0.05)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The session's server."""
    folder = Path(tempfile.mkdtemp(prefix="hs-pg-"))
    try:
        server = start(folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database, for one test."""
    name = f"test_{uuid4().hex}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    try:
        yield postgres_server.url(name)
    finally:
        postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")
