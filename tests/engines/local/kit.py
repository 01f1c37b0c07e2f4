"""A local engine on fake nodes (or on real ones), with proof at the end that nothing is left of it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shutil
import signal
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import heliostat_node
from heliostat.domain.engine import NodeObservation, Observation
from heliostat.engines.local import LocalEngine, LocalSettings
from heliostat.engines.local.clock import Clock, SystemClock

FAKE = Path(__file__).with_name("fake_node.py")


def kill(node: NodeObservation) -> None:
    """SIGKILL the shim of a node, as a user or the kernel might."""
    assert node.pid is not None
    os.kill(node.pid, signal.SIGKILL)


def of_kind(seen: Observation, kind: str) -> list[NodeObservation]:
    return [node for node in seen.nodes if node.kind == kind]


def fake_runtime(folder: Path) -> Path:
    """A ``heliostat_node`` package whose bootstrap is the fake; its folder."""
    package = folder / "heliostat_node"
    package.mkdir(parents=True)
    shutil.copyfile(Path(heliostat_node.__file__).with_name("protocol.py"), package / "protocol.py")
    shutil.copyfile(FAKE, package / "bootstrap.py")
    (package / "__init__.py").touch()
    return package


def fake_environment(folder: Path) -> Path:
    """An environment with this Python and nothing else."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    return folder


class Healthy:
    """Dashboards as the test says: by default all are well."""

    def __init__(self) -> None:
        self.wrong = ""
        self.asked = 0

    async def ask(self, dashboard: str) -> str:
        self.asked += 1
        return self.wrong

    async def close(self) -> None:
        return


class FastClock:
    """Real sleeps, and a time of day that tests can move on; moved back, it leaves sleeps as they are."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)
        self._skipped = 0.0
        self._moved = asyncio.Event()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    async def sleep(self, seconds: float) -> None:
        until = self._steady() + seconds
        while (left := until - self._steady()) > 0:
            moved = self._moved
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(moved.wait(), left)

    def _steady(self) -> float:
        return asyncio.get_running_loop().time() + self._skipped

    def advance(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)
        self._skipped += max(0.0, seconds)
        self._moved.set()
        self._moved = asyncio.Event()


@dataclass
class Lab:
    """An engine and its surroundings; a ``Harness`` of the conformance suite."""

    settings: LocalSettings
    clock: Clock = field(default_factory=SystemClock)
    health: Healthy | None = None
    within: float = 30.0
    engine: LocalEngine = field(init=False)
    others: list[LocalEngine] = field(default_factory=list)

    def make(self, **changes: object) -> LocalEngine:
        self.settings = dataclasses.replace(self.settings, **changes)  # type: ignore[arg-type]
        self.engine = LocalEngine(self.settings, self.clock, self.health)
        return self.engine

    async def open(self, **changes: object) -> LocalEngine:
        await self.make(**changes).open()
        return self.engine

    async def reopen(self) -> None:
        await self.engine.close()
        await self.open()

    async def close(self) -> None:
        """Destroy all that is there, whatever the test did, then end every process that is left and say so."""
        try:
            for instance in await self.engine.discover():
                await self.engine.destroy(instance)
            async with asyncio.timeout(20):
                while await self.remaining():
                    await asyncio.sleep(0.02)
        finally:
            await self.engine.close()
            left = self.processes()
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        assert not left, f"processes are left: {left}"

    async def remaining(self) -> list[str]:
        return [instance for instance in await self.engine.discover() if (await self.engine.observe(instance)).present]

    def processes(self) -> dict[int, str]:
        """Live processes that have something of the state folder in their command line, environment or open files."""
        state = str(self.settings.state)
        return {pid: text for pid, text in _processes_with(state).items() if pid != os.getpid()}


def _processes_with(mark: str) -> dict[int, str]:
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if (entry / "stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                continue
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (entry / "environ").read_bytes().decode(errors="replace")
            files = []
            for link in (entry / "fd").iterdir():
                with contextlib.suppress(OSError):
                    files.append(str(link.readlink()))
            if mark in command or mark in environment or any(mark in file for file in files):
                found[int(entry.name)] = command
    return found
