"""Ray environments, zygotes and instances for the tests of a node.

The environments come from ``HELIOSTAT_TEST_RAY_ENVS`` (a folder with ``ray-2.60.0`` and ``ray-2.47.1``) or are built once
with uv below ``.cache/ray-envs`` of the repository.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heliostat_node import driver_patch
from heliostat_node.features import features

from .support import Instance, Release, Zygote

VERSIONS = ("2.60.0", "2.47.1")
PYTHON = "3.11"
CACHE = Path(__file__).parents[2] / ".cache" / "ray-envs"


def environment(version: str) -> Path:
    """The folder of a Ray environment, built when it is missing."""
    given = os.environ.get("HELIOSTAT_TEST_RAY_ENVS")
    if given:
        return patched(Path(given) / f"ray-{version}", version)
    folder = CACHE / f"ray-{version}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=CACHE))
        python = building / "bin" / "python"
        subprocess.run(["uv", "venv", "--relocatable", "--allow-existing", "-p", PYTHON, str(building)], check=True)
        install = ["uv", "pip", "install", "--compile-bytecode", "-p", str(python), f"ray[default]=={version}"]
        subprocess.run(install, check=True)
        if features(version).drivers_go_astray:
            driver_patch.install(site_packages(building))
        building.rename(folder)
    return folder


def site_packages(folder: Path) -> Path:
    """Where an environment keeps its packages."""
    return folder / "lib" / f"python{PYTHON}" / "site-packages"


def patched(folder: Path, version: str) -> Path:
    """A given environment is not written to: where it lacks the patch, an environment on top of it has it."""
    if not features(version).drivers_go_astray or (site_packages(folder) / f"{driver_patch.MODULE}.pth").exists():
        return folder
    overlay = CACHE / f"overlay-{version}"
    if not overlay.exists():
        overlay.mkdir(parents=True)
        (overlay / "bin").mkdir()
        for name in ("python", "ray"):
            (overlay / "bin" / name).symlink_to((folder / "bin" / name).resolve())
        shutil.copyfile(folder / "pyvenv.cfg", overlay / "pyvenv.cfg")
        site_packages(overlay).mkdir(parents=True)
    (site_packages(overlay) / "base.pth").write_text(f"{site_packages(folder)}\n")
    driver_patch.install(site_packages(overlay))
    return overlay


@pytest.fixture(scope="session", params=VERSIONS)
def release(request: pytest.FixtureRequest) -> Release:
    """Each supported Ray release."""
    return Release(request.param, environment(request.param) / "bin" / "python")


@pytest.fixture(scope="session")
def newest() -> Release:
    """The newest Ray alone, for what only it can do or what does not depend on Ray."""
    return Release(VERSIONS[0], environment(VERSIONS[0]) / "bin" / "python")


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
