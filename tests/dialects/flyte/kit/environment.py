"""Flytekit's environment, built once per checkout by the engine's own builder, in the versions of ``constraints.txt``."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from heliostat.domain.releases import BUILT_IN, Release
from heliostat.engines.local.clock import SystemClock
from heliostat.engines.local.environments import Environments
from tests.environments import FOLDER

RELEASE = next(row for row in BUILT_IN if row.name == "flyte-1.3.1")
CONSTRAINTS = Path(__file__).with_name("constraints.txt")
NOTE = "constraints.txt"
"""In the environment: with which constraints it was made."""


def flyte_environment() -> Path:
    """The folder with ``bin/python`` and ``bin/pyflyte``; built when it is missing, raises NotReady with the cause.

    It is below :data:`tests.environments.FOLDER`, so a server whose ``<home>/local/environments`` is a link to that folder
    has the release ``flyte-1.3.1`` ready. Tests that run tasks ask for this first: a server would build it with whatever
    versions are newest.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER.parent / "flyte.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the workers of one run may all come at once
        return asyncio.run(_ensure(RELEASE))


@contextmanager
def flytekit_process(environment: Path, program: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A program of flytekit's that answers lines with lines. What flytekit leaves in its folder of temporary files goes with
    that."""
    with (
        tempfile.TemporaryDirectory(prefix="hsfl", ignore_cleanup_errors=True) as folder,
        subprocess.Popen(
            [environment / "bin" / "python", program], env={**os.environ, "TMPDIR": folder},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as process,
    ):  # fmt: skip
        yield process


async def _ensure(release: Release) -> Path:
    wanted = CONSTRAINTS.read_text()
    environments = Environments(FOLDER, lambda release: None, False, SystemClock())
    found = environments.find(release)
    if found is not None and not ((found / NOTE).is_file() and (found / NOTE).read_text() == wanted):
        shutil.rmtree(found)
        found = None
    if found is None:
        with mock.patch.dict(os.environ, UV_CONSTRAINT=str(CONSTRAINTS)):  # the builder leaves uv its variables
            found = await environments.ensure(release)
        (found / NOTE).write_text(wanted)
    return found
