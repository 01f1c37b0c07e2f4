"""Release environments: which Ray in which Python, built once by uv and shared by every cluster of the release.

An environment is known by its content (Ray, Python, further packages, :data:`RECIPE`). It is built in its final place and
becomes one when a marker file is renamed into it last. Not in a temporary place: scripts, ``pyvenv.cfg`` and the file names
inside compiled bytecode hold the path, and Python corrects the latter at every import when it is wrong. A folder without
the marker is the rest of a build that was interrupted, and is removed when the server starts.

Whoever needs an environment waits for the one build of it; when nobody waits any more the build is cancelled. The server's
own environment variables reach uv unchanged, so an index, a proxy or a certificate that is configured for uv is used.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import uv as uv_package

from heliostat.domain.errors import NotReady
from heliostat.domain.releases import Release
from heliostat_node import driver_patch
from heliostat_node.features import features
from heliostat_node.protocol import replace_json

from .clock import Clock
from .interpreters import Interpreters
from .uv import UvFailed, run

RECIPE = 2
"""Grows when the way of building changes what is in an environment."""

MARKER = "heliostat.json"
SPACE_BYTES = 1 << 30

log = structlog.get_logger(__name__)


@dataclass
class _Build:
    """One build under way."""

    task: asyncio.Task[Path]
    detail: str = "starting"
    waiters: int = 0
    listeners: list[Callable[[str], None]] = field(default_factory=list)


class Environments:
    """The environments below one folder. ``ready`` may offer one that somebody else made."""

    def __init__(
        self, folder: Path, ready: Callable[[Release], Path | None], python_downloads: bool, clock: Clock
    ) -> None:
        self._folder = folder
        self._ready = ready
        self._downloads = python_downloads
        self._clock = clock
        self._builds: dict[str, _Build] = {}
        self._failures: dict[str, str] = {}
        self._interpreters = Interpreters(clock)

    def sweep(self) -> None:
        """Remove interrupted builds. Blocking; only before anything is built."""
        for entry in list(self._folder.iterdir()):
            if not (entry / MARKER).exists():
                shutil.rmtree(entry, ignore_errors=True)

    def find(self, release: Release) -> Path | None:
        """The release's environment if it is there."""
        offered = self._ready(release)
        if offered is not None:
            return offered
        folder = self._folder / key(release)
        return folder if (folder / MARKER).exists() and (folder / "bin" / "python").exists() else None

    def state(self, release: Release) -> tuple[str, str]:
        """(``ready`` | ``building`` | ``absent`` | ``failed``, detail for people)."""
        name = key(release)
        if name in self._builds:
            return "building", self._builds[name].detail
        found = self.find(release)
        if found is not None:
            return "ready", str(found)
        if name in self._failures:
            return "failed", self._failures[name]
        return "absent", "built when it is first needed"

    async def problem(self, release: Release) -> str | None:
        """Why the release cannot be had on this machine, with the remedy; None if it can."""
        try:
            able = features(release.ray).node_api
        except ValueError as error:
            return str(error)
        if not able:
            return f"Ray {release.ray} is not supported by this version of Heliostat; choose another release"
        if self.find(release) is not None:
            return None
        return await self._look_for_problem(release)

    async def ensure(self, release: Release, progress: Callable[[str], None] = lambda detail: None) -> Path:
        """The release's environment, built if need be. ``progress`` gets phrases. Raises NotReady with the cause."""
        name = key(release)
        while (build := self._builds.get(name)) is not None and build.task.cancelling():
            await asyncio.wait([build.task])  # nobody wanted it any more, and it still clears away
        found = self.find(release)
        if found is not None:
            return found
        if build is None:
            build = self._builds[name] = _Build(asyncio.create_task(self._build(release, name), name=f"build-{name}"))
            build.task.add_done_callback(lambda task: self._builds.pop(name, None))
        build.waiters += 1
        build.listeners.append(progress)
        progress(build.detail)
        try:
            return await asyncio.shield(build.task)
        finally:
            build.waiters -= 1
            build.listeners.remove(progress)
            if build.waiters == 0 and not build.task.done():
                build.task.cancel()
                await asyncio.wait([build.task])

    async def close(self) -> None:
        """Cancel the builds under way."""
        tasks = [build.task for build in self._builds.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _build(self, release: Release, name: str) -> Path:
        problem = await self.problem(release)
        if problem is not None:
            self._failures[name] = problem
            raise NotReady(problem)
        began = self._clock.now()
        folder = self._folder / name
        uv = uv_package.find_uv_bin()
        environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "automatic" if self._downloads else "never"}
        python = await self._interpreters.find(uv, release.python)
        venv = [
            uv, "venv", "--color", "never", "--no-project", "--clear", "--python", str(python or release.python), str(folder),
        ]  # fmt: skip
        install = [
            uv, "pip", "install", "--color", "never", "--compile-bytecode", "--python", str(folder / "bin" / "python"),
            *requirements(release),
        ]  # fmt: skip
        log.info("environment build started", environment=name)
        try:
            self._tell(name, f"making a Python {release.python} environment")
            await run(venv, environment, self._folder, lambda detail: self._tell(name, detail))
            self._tell(name, "resolving dependencies")
            await run(install, environment, self._folder, lambda detail: self._tell(name, detail))
            if features(release.ray).drivers_go_astray:
                driver_patch.install(folder / "lib" / f"python{release.python}" / "site-packages")
            replace_json(folder / MARKER, {"ray": release.ray, "python": release.python, "recipe": RECIPE})
        except (UvFailed, OSError) as failure:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            message = f"the environment of {release.display} cannot be built: {failure}"
            if isinstance(failure, UvFailed):
                message = (
                    f"the environment of {release.display} cannot be built; uv says:\n{failure}\n"
                    "Check that this machine reaches a package index (for a private one set UV_DEFAULT_INDEX or write a "
                    "uv.toml), then start again."
                )
            self._failures[name] = message
            log.warning("environment build failed", environment=name, cause=str(failure))
            raise NotReady(message) from failure
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)  # thousands of files
            raise
        self._failures.pop(name, None)
        log.info("environment built", environment=name, took=(self._clock.now() - began).total_seconds())
        return folder

    def _tell(self, name: str, detail: str) -> None:
        build = self._builds.get(name)
        if build is not None:
            build.detail = detail
            for listener in list(build.listeners):
                listener(detail)

    async def _look_for_problem(self, release: Release) -> str | None:
        try:
            uv = uv_package.find_uv_bin()
        except FileNotFoundError:
            return "the tool uv, which builds Ray environments, is missing; install it with: pip install uv"
        if not self._downloads and await self._interpreters.find(uv, release.python) is None:
            return (
                f"Python {release.python} is not installed on this machine; install it (for example: "
                f"uv python install {release.python}) or choose a release with another Python"
            )
        free = shutil.disk_usage(self._folder).free
        if free < SPACE_BYTES:
            return (
                f"the environment of {release.display} takes about 1 GiB and {self._folder} has only "
                f"{free >> 20} MiB left; free some space"
            )
        return None


def requirements(release: Release) -> list[str]:
    """What is installed. Ray's ``runtime_env`` with pip clones the environment and calls pip inside it."""
    return [f"ray[default]=={release.ray}", "pip", "virtualenv", *release.packages]


def key(release: Release) -> str:
    """The environment's name: readable, and unique by content."""
    content = "\n".join([release.ray, release.python, *sorted(release.packages), str(RECIPE)])
    return f"ray-{release.ray}-py{release.python}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
