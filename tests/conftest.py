"""What all tests share: real Ray environments, built once, and plain logs."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from .environments import Ready, ready

# As the server does it: structlog's own way to print a traceback, with all local variables in colour, takes up to a second.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture(scope="session")
def ray_environments() -> Ready:
    """The environments of the tested releases."""
    return ready()


@pytest.fixture(scope="session")
def ray_environments_folder(ray_environments: Ready) -> Path:
    """A folder for ``<home>/local/environments`` in which the tested releases are built already."""
    return ray_environments.folder
