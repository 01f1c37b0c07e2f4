"""What all tests share: real Ray environments, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from .environments import Ready, ready


@pytest.fixture(scope="session")
def ray_environments() -> Ready:
    """The environments of the tested releases."""
    return ready()


@pytest.fixture(scope="session")
def ray_environments_folder(ray_environments: Ready) -> Path:
    """A folder for ``<home>/local/environments`` in which the tested releases are built already."""
    return ray_environments.folder
