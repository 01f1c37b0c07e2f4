"""Servers in rooms without a way out, for the vendor's unmodified SDK to talk to.

The SDK's environment is built once with uv below ``.cache`` from the pinned ``requirements.txt``, or taken from
``HELIOSTAT_TEST_VERTEX_SDK``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sdk_environment import sdk_python

from .room import opened
from .served import HELIOSTAT, Served, served


@pytest.fixture(scope="session")
def vertex_sdk() -> Path:
    """The interpreter of the SDK's environment."""
    return sdk_python("vertex-sdk", Path(__file__).with_name("requirements.txt"))


@pytest.fixture(scope="session")
def simulated(vertex_sdk: Path) -> Iterator[Served]:
    """On the simulated engine; one for all tests that need no Ray."""
    with tempfile.TemporaryDirectory(prefix="hsvx") as folder, opened() as room:
        program = [sys.executable, "-m", f"{__package__}.simulated_server", folder]
        with served(room, Path(folder), vertex_sdk, program) as up:
            yield up


@pytest.fixture(scope="session")
def real(vertex_sdk: Path, ray_environments_folder: Path) -> Iterator[Served]:
    """On the local engine, with environments that are there already."""
    with tempfile.TemporaryDirectory(prefix="hsvx", ignore_cleanup_errors=True) as folder, opened() as room:
        home = Path(folder)
        (home / "local").mkdir(mode=0o700)
        (home / "local" / "environments").symlink_to(ray_environments_folder)
        with served(room, home, vertex_sdk, [HELIOSTAT, "serve", "--home", home, "--port", "0"]) as up:
            yield up
