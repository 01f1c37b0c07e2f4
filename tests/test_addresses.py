"""Where a server says that it is: its address, the place with TLS, and the names that its certificate must have."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from heliostat.addresses import Address
from heliostat.config import Settings

MACHINE = "machine.example"
CERT = {"tls_cert": Path("cert.pem"), "tls_key": Path("key.pem")}


def address(tls_port: int | None = None, **settings: object) -> Address:
    return Address.of(Settings(home=Path("home"), **settings), 8600, tls_port)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: MACHINE)
    monkeypatch.setattr(socket, "gethostname", lambda: "machine")


@pytest.mark.parametrize(
    ("settings", "tls_port", "url", "place", "universe", "own"),
    [
        ({}, 8601, "http://127.0.0.1:8600", "localhost:8601", "localhost:8601", (False, True)),
        ({"host": "::1"}, 8601, "http://[::1]:8600", "localhost:8601", "localhost:8601", (False, True)),
        ({"host": "127.0.0.5"}, 8601, "http://127.0.0.5:8600", "127.0.0.5:8601", "127.0.0.5:8601", (False, True)),
        ({}, None, "http://127.0.0.1:8600", None, None, (False, False)),
        ({"gateway_domain": "ray.example"}, None, "http://127.0.0.1:8600", None, None, (False, False)),
        (
            {"gateway_domain": "ray.example:8601"}, 8601,
            "http://127.0.0.1:8600", "localhost:8601", "ray.example:8601", (False, True),
        ),
        ({"own_tls": True}, None, "https://127.0.0.1:8600", "localhost:8600", "localhost:8600", (True, True)),
        (CERT, None, "https://127.0.0.1:8600", "localhost:8600", "localhost:8600", (False, False)),
        (CERT, 8601, "https://127.0.0.1:8600", "localhost:8600", "localhost:8600", (False, False)),
        (
            {"own_tls": True, "host": "0.0.0.0"}, None,
            f"https://{MACHINE}:8600", f"{MACHINE}:8600", f"{MACHINE}:8600", (True, True),
        ),
        (
            {"public_url": "https://front.example/"}, 8601,
            "https://front.example", "front.example:443", "front.example:443", (False, False),
        ),
        (
            {"public_url": "https://10.0.0.5:8600", "own_tls": True, "host": "0.0.0.0"}, None,
            "https://10.0.0.5:8600", "10.0.0.5:8600", "10.0.0.5:8600", (True, True),
        ),
        (
            {"public_url": "https://front.example", "own_tls": True}, None,
            "https://front.example", "front.example:443", "front.example:443", (False, False),
        ),
        (
            {"public_url": "http://front.example"}, 8601,
            "http://front.example", "localhost:8601", "localhost:8601", (False, True),
        ),
    ],
)  # fmt: skip
def test_places(
    settings: dict[str, object],
    tls_port: int | None,
    url: str,
    place: str | None,
    universe: str | None,
    own: tuple[bool, bool],
) -> None:
    found = address(tls_port, **settings)
    assert (found.url, found.scheme) == (url, url.partition(":")[0])
    assert (found.tls_place, found.universe) == (place, universe)
    assert (found.own_authority, found.own_tls_place) == own


def test_the_names_of_a_server_on_this_machine() -> None:
    assert set(address(8601).names) == {
        "127.0.0.1", "::1", "localhost", "cloudresourcemanager.localhost", "*.localhost", "*.ray.localhost",
    }  # fmt: skip


def test_the_names_of_a_server_for_others() -> None:
    found = address(own_tls=True, host="0.0.0.0", gateway_domain="Ray.Example:8600", public_url="https://10.0.0.5:8600")
    assert set(found.names) == {
        "127.0.0.1", "::1", "localhost", MACHINE, "machine", "10.0.0.5",
        "ray.example", "cloudresourcemanager.ray.example", "*.ray.example", "*.ray.ray.example",
    }  # fmt: skip


def test_an_address_has_nothing_below_it() -> None:
    assert not [
        name for name in address(own_tls=True, host="10.0.0.5").names if name.endswith("10.0.0.5") and "*" in name
    ]


@pytest.mark.parametrize(
    ("settings", "domains"),
    [
        ({}, {"localhost"}),
        ({"gateway_domain": "Ray.example:8600"}, {"ray.example"}),
        ({"own_tls": True, "host": "0.0.0.0"}, {"localhost", MACHINE}),
    ],
)
def test_the_domains_below_which_names_name_clusters(settings: dict[str, object], domains: set[str]) -> None:
    assert address(8601, **settings).domains == domains
