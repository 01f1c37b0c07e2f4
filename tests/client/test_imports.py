"""Importing the SDK is cheap, and it stands alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("httpx", "pydantic", "fastapi", "sqlalchemy", "rich", "click", "orjson", "asyncio", "ssl")


def loaded(statement: str) -> set[str]:
    """The modules that are there after ``statement`` in a fresh interpreter."""
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement", ["import heliostat", "import heliostat.client", "from heliostat import HeliostatError"]
)
def test_importing_loads_nothing_heavy(statement: str) -> None:
    assert not loaded(statement) & set(HEAVY)


def test_the_synchronous_client_needs_nothing_of_the_server_nor_the_asynchronous_one() -> None:
    ours = {
        name for name in loaded("import heliostat; heliostat.Client, heliostat.Cluster") if name.startswith("heliostat")
    }
    assert all(name == "heliostat" or name.startswith("heliostat.client") for name in ours), ours
    assert not any(name.startswith("heliostat.client.aio") for name in ours)


def test_every_public_name_is_there() -> None:
    import heliostat.client

    for package in (heliostat, heliostat.client):
        for name in package.__all__:
            assert getattr(package, name) is not None
            assert name in dir(package)
    assert heliostat.Cluster is heliostat.client.Cluster
    with pytest.raises(AttributeError, match="nothing_like_this"):
        heliostat.nothing_like_this  # noqa: B018


def test_a_client_does_not_load_httpxs_own_command_line() -> None:
    there = loaded("import heliostat; heliostat.Client('http://127.0.0.1:1', 'hlt_x')")
    assert "httpx" in there
    assert not there & {"rich", "click", "pygments"}


def test_httpx_is_whole_for_others() -> None:
    assert "httpx._main" not in loaded("import heliostat; heliostat.Client; import httpx; httpx.get, httpx.AsyncClient")
    assert "httpx._main" in loaded("import httpx; import heliostat; heliostat.Client")
