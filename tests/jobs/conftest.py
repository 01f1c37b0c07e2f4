"""A server of each test's own, on real Ray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .support import Server, serving


@pytest.fixture
def server(tmp_path: Path, ray_environments_folder: Path) -> Iterator[Server]:
    with serving(tmp_path, ray_environments_folder) as server:
        yield server
