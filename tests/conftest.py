"""What all tests share: real Ray environments, built once, and plain logs."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from .environments import Ready, ready

RAY_FIXTURES = {"ray_environments", "ray_environments_folder"}

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real Ray runs one test at a time, so each that starts it must say so."""
    for item in items:
        if RAY_FIXTURES & set(getattr(item, "fixturenames", ())) and item.get_closest_marker("ray") is None:
            raise pytest.UsageError(f"{item.nodeid} asks for a real Ray environment; mark it with pytest.mark.ray")
