"""A whole server with a real Ray cluster behind its gateway, for the tests with real clients and browsers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import heliostat.client
from heliostat.domain.releases import BUILT_IN, Release
from heliostat.engines.local import LocalEngine, LocalSettings
from heliostat.engines.local.clock import SystemClock
from heliostat.engines.local.environments import Environments
from heliostat.testing.harness import HarnessServer, threaded

CACHE = Path(__file__).parents[2] / ".cache" / "environments"
RELEASES = {release.ray: release for release in BUILT_IN if release.python == "3.11"}


def ray_environment(release: Release) -> Path:
    """A real environment: from ``HELIOSTAT_TEST_RAY_ENVS`` (``ray-2.60.0/``, ...), else built once below ``.cache``."""
    given = os.environ.get("HELIOSTAT_TEST_RAY_ENVS")
    if given:
        return Path(given) / f"ray-{release.ray}"
    CACHE.mkdir(parents=True, exist_ok=True)
    return asyncio.run(Environments(CACHE, lambda release: None, False, SystemClock()).ensure(release))


@dataclass(frozen=True)
class LiveCluster:
    """A running cluster of one head and one worker."""

    ray: str
    environment: Path
    """Of its Ray, for clients of the same version."""
    server: HarnessServer
    cluster: heliostat.client.Cluster

    @property
    def path_address(self) -> str:
        return f"{self.server.url}/c/{self.cluster.id}"


@contextlib.contextmanager
def live_cluster(ray: str) -> Iterator[LiveCluster]:
    """Start a server and a cluster of this Ray version; stop both at the end, whatever happens."""
    release = RELEASES[ray]
    environment = ray_environment(release)
    with tempfile.TemporaryDirectory(prefix="hsgw") as folder:
        home = Path(folder)
        settings = LocalSettings(
            home / "local", ready_environment=lambda wanted: environment if wanted.ray == ray else None
        )
        with threaded(home, engine=LocalEngine(settings)) as server:
            client = heliostat.client.Client(endpoint=server.url, token=server.token, workspace=server.workspace)
            cluster = client.clusters.create("live", release=release.name, workers=1, cpu=1, memory="512Mi")
            try:
                yield LiveCluster(ray, environment, server, cluster.wait(deadline=180))
            finally:
                cluster.delete(stop=True, wait=True, deadline=60)
                client.close()
