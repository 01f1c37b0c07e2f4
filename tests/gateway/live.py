"""A whole server with a real Ray cluster behind its gateway, for the tests with real clients and browsers."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import heliostat.client
from heliostat.domain.releases import BUILT_IN
from heliostat.engines.local import LocalEngine, LocalSettings
from heliostat.testing.harness import HarnessServer, threaded
from tests.environments import ready

RELEASES = {release.ray: release for release in BUILT_IN if release.python == "3.11" and not release.packages}


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
    environments = ready([release])
    environment = environments[ray]
    with tempfile.TemporaryDirectory(prefix="hsgw") as folder:
        home = Path(folder)
        settings = LocalSettings(home / "local", ready_environment=environments.of)
        with threaded(home, engine=LocalEngine(settings)) as server:
            client = heliostat.client.Client(endpoint=server.url, token=server.token, workspace=server.workspace)
            cluster = client.clusters.create("live", release=release.name, workers=1, cpu=1, memory="512Mi")
            try:
                yield LiveCluster(ray, environment, server, cluster.wait(deadline=180))
            finally:
                cluster.delete(stop=True, wait=True, deadline=60)
                client.close()
