"""Zygotes and instances for the tests of a node."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.environments import Ready

from .support import Instance, Release, Zygote

VERSIONS = ("2.60.0", "2.47.1")


@pytest.fixture(scope="session", params=VERSIONS)
def release(request: pytest.FixtureRequest, ray_environments: Ready) -> Release:
    """Each supported Ray release."""
    return Release(request.param, ray_environments[request.param] / "bin" / "python")


@pytest.fixture(scope="session")
def newest(ray_environments: Ready) -> Release:
    """The newest Ray alone, for what only it can do or what does not depend on Ray."""
    return Release(VERSIONS[0], ray_environments[VERSIONS[0]] / "bin" / "python")


@pytest.fixture(scope="module")
def short_dir() -> Iterator[Path]:
    """A directory with a short name: Ray's sockets are below it."""
    path = Path(tempfile.mkdtemp(prefix="hn", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def make_instance(short_dir: Path) -> Iterator[Callable[..., Instance]]:
    """Makes instances, each with a zygote of its own unless given one, and ends them all."""
    made: list[Instance] = []
    zygotes: dict[str, Zygote] = {}

    def make(release: Release, client: bool = False) -> Instance:
        if release.version not in zygotes or zygotes[release.version].process.poll() is not None:
            zygotes[release.version] = Zygote(release.python)
        made.append(Instance(release, zygotes[release.version], short_dir, client))
        return made[-1]

    yield make
    for instance in made:
        instance.kill()
    for zygote in zygotes.values():
        zygote.close()
