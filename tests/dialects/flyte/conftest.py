"""What the tests of Flyte share."""

from __future__ import annotations

from pathlib import Path

import pytest

from .kit import environment


@pytest.fixture(scope="session")
def flyte_environment() -> Path:
    """The folder of the environment that is flytekit's and the release ``flyte-1.3.1`` at once."""
    return environment.flyte_environment()
