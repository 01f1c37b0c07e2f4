"""A place for short names that goes with its test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Where the socket and the names of temp folders are; paths of sockets must be short."""
    with tempfile.TemporaryDirectory(prefix="hs-test-", dir="/tmp") as folder:
        yield Path(folder)
