"""What the tests of Flyte share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .kit import environment
from .kit.serializing import Serializer
from .kit.serializing import serializer as serializing


@pytest.fixture(scope="session")
def flyte_environment() -> Path:
    """The folder of the environment that is flytekit's and the release ``flyte-1.3.1`` at once."""
    return environment.flyte_environment()


@pytest.fixture(scope="session")
def serializer(flyte_environment: Path) -> Iterator[Serializer]:
    """Makes templates and inputs of the tasks in ``tasks``."""
    with serializing(flyte_environment) as ready:
        yield ready
