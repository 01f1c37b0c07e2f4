"""The vendor's SDK in an environment of its own, and servers for it to talk to.

The environment is built once with uv below ``.cache`` from the pinned ``requirements.txt``, or taken from
``HELIOSTAT_TEST_EMR_SDK``. The SDK calls nobody else when it is given explicit credentials and an endpoint; the driver
forbids it all the same.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from heliostat.engines.simulated import World
from heliostat.testing.harness import HarnessServer, threaded
from tests.postgres import PostgresServer, postgres_server  # noqa: F401 - a fixture
from tests.sdk_environment import sdk_python as sdk_python_of

from .sdk import Driver, Sdk

HERE = Path(__file__).parent
UNLIMITED = "[emr]\nreads_per_second = 0\nwrites_per_second = 0\n"
VOLUMES = '[[volumes]]\nid = "vol-1234567890"\npath = "/tmp"\n'


def world() -> World:
    """One whose nodes and jobs have the time that the server has."""
    return World(clock=lambda: datetime.now(UTC))


def configure(home: Path) -> None:
    """A server without rate limits, with one volume, that takes the code of jobs from its folder ``code``."""
    code = home / "code"
    code.mkdir()
    with zipfile.ZipFile(code / "job.zip", "w") as archive:
        archive.writestr("main.py", "print('hello')\n")
    (code / "a.json").write_text("{}")
    (code / "requirements.txt").write_text("six\n")
    (home / "config.toml").write_text(UNLIMITED + f"[jobs]\ncode_folders = ['{code}']\n" + VOLUMES)


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """The interpreter of the SDK's environment."""
    return sdk_python_of("emr-sdk", HERE / "requirements.txt")


@pytest.fixture(scope="session")
def driver(sdk_python: Path) -> Iterator[Driver]:
    with Driver.start(sdk_python) as started:
        yield started


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HarnessServer]:
    """A server without rate limits, with one volume, on the simulated engine; on both databases."""
    home = tmp_path_factory.mktemp("emr")
    configure(home)
    database = None
    if request.param == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        postgres.execute("create database emr")
        database = postgres.url("emr")
    with threaded(home, database_url=database, world=world()) as up:
        yield up


@pytest.fixture(scope="session")
def private_ca(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A certificate authority of our own: its certificate, and a server's certificate and key for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("ca")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    ca, certificate, key = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    authority.cert_pem.write_to_path(ca)
    for index, part in enumerate(issued.cert_chain_pems):
        part.write_to_path(certificate, append=index > 0)
    issued.private_key_pem.write_to_path(key)
    return ca, certificate, key


@pytest.fixture(scope="session")
def tls_server(
    tmp_path_factory: pytest.TempPathFactory, private_ca: tuple[Path, Path, Path]
) -> Iterator[HarnessServer]:
    """The same over https."""
    home = tmp_path_factory.mktemp("emr-tls")
    configure(home)
    _, certificate, key = private_ca
    with threaded(home, tls_cert=certificate, tls_key=key, world=world()) as up:
        yield up


@dataclass(frozen=True)
class Way:
    """How a user comes: transport, kind of client, credential."""

    server: HarnessServer
    sdk: Sdk
    ca: Path | None
    """What the server's certificate is checked with; None over plain http."""
    name: str


@pytest.fixture
def way(request: pytest.FixtureRequest, driver: Driver, server: HarnessServer) -> Way:
    """One of :data:`http_ways` or :data:`https_ways`."""
    transport, flavour, credential = request.param
    ca = None
    if transport == "https":
        server = request.getfixturevalue("tls_server")
        ca = request.getfixturevalue("private_ca")[0]
    sdk = Sdk.for_server(driver, server, ca=ca, bearer=credential == "bearer token")
    return Way(server, replace(sdk, flavour=flavour), ca, f"{flavour} {credential}")


def _ways(*ways: tuple[str, str, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("way", ways, ids="-".join, indirect=True)


http_ways = _ways(("http", "sync", "key pair"), ("http", "async", "bearer token"))
https_ways = _ways(("https", "sync", "bearer token"), ("https", "async", "key pair"))
"""Together with :data:`http_ways`, each two of the values meet."""
sqlite_only = pytest.mark.parametrize("server", ["sqlite"], indirect=True, scope="session")
"""For what is the same whatever the database."""


@pytest.fixture
def sdk(driver: Driver, server: HarnessServer) -> Sdk:
    """The SDK with the admin's key pair, over http, sync."""
    return Sdk.for_server(driver, server)
