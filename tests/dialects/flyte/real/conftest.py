"""A server as its users start it, on real Ray, with the release that real flytekit is in."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from heliostat.client import Head, WorkerGroup
from tests.environments import FOLDER
from tests.jobs.support import Server, serving

from ..kit.routing import Configuration, Endpoint
from ..kit.serializing import TASKS

HELIOSTAT = Path(sys.executable).parent / "heliostat"
SHARED = "shared"
"""A cluster that is there, for tasks that name it."""
REUSE_SECONDS = 60


@dataclass(frozen=True)
class Place:
    """The server, its door for propellers, and flytekit."""

    server: Server
    propellers: int
    """Port."""
    environment: Path
    """Flytekit's."""
    folder: Path
    """Outside of the server's home; tasks may read and write there."""

    @property
    def configuration(self) -> Configuration:
        """A propeller's, as Flyte contract 4.3 has it."""
        return Configuration(Endpoint(f"127.0.0.1:{self.propellers}", 10.0))

    @property
    def clean(self) -> dict[str, str]:
        """The environment of somebody who has flytekit, our command line and no configuration of either."""
        path = f"{self.environment}/bin:{HELIOSTAT.parent}:/usr/bin:/bin"
        home = str(self.folder)
        return {"PATH": path, "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8", "FLYTE_SDK_LOGGING_LEVEL": "40"}

    def run(self, *words: str | Path, env: Mapping[str, str] = {}, status: int = 0) -> str:
        """What a program printed, to both."""
        done = subprocess.run(
            words, cwd=TASKS, env=self.clean | dict(env), text=True, timeout=120, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == status, f"{done.stdout[-4000:]}\n{self.server.log[-2000:]}"
        return done.stdout

    def logged_in(self) -> dict[str, str]:
        """What ``heliostat login --flyte`` has its user export."""
        words = [HELIOSTAT, "login", "--flyte", "--endpoint", f"http://127.0.0.1:{self.server.port}"]
        told = self.run(*words, env={"HELIOSTAT_HOME": str(self.server.home)})
        line = next(line for line in told.splitlines() if line.startswith("export "))
        name, _, value = line.removeprefix("export ").partition("=")
        return {name: value}


@pytest.fixture(scope="package")
def place(flyte_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("flyte", numbered=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with zipfile.ZipFile(folder / "shipped.zip", "w") as archive:
        archive.writestr("shipped.txt", "carried here")
    configuration = f"""
        [jobs]
        code_folders = ["{folder}"]
        [flyte]
        reuse_idle_seconds = {REUSE_SECONDS}
        [flyte.env]
        FOR_EVERY_TASK = "from the operator"
        [flyte.connector]
        listen = "127.0.0.1:{port}"
    """
    # In this process a test may have made Ray's variables; tasks would see them.
    variables = {"RAY_ADDRESS": ""} if "RAY_ADDRESS" in os.environ else {}
    with serving(folder / "server", FOLDER, configuration, **variables) as server:
        shape = Head(cpu=2, memory="2Gi")
        group = WorkerGroup(name="workers", cpu=2, memory="1Gi", replicas=1)
        server.client.clusters.create(SHARED, release="flyte-1.3.1", head=shape, workers=[group], start=True)
        yield Place(server, port, flyte_environment, folder)
