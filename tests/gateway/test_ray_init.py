"""Unmodified ``ray.init("ray://...")`` of each supported Ray, and ``heliostat.ray_init``, through the common port."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

import heliostat
from heliostat.engines.local import LocalEngine, LocalSettings
from heliostat.testing.harness import HarnessServer, threaded
from tests.environments import Ready, ready

from .live import RELEASES

pytestmark = [pytest.mark.ray, pytest.mark.slow]
CLIENT_SECONDS = 180
NEWEST, OLDEST = "2.60.0", "2.47.1"
SOURCE = Path(heliostat.__file__).parents[1]

WORK = """
import json, os, sys
import ray

options = json.loads(sys.argv[1])
more = {}
if options.get("metadata"):
    more["_metadata"] = [tuple(row) for row in options["metadata"]]
if options.get("ca"):
    import grpc
    more["_credentials"] = grpc.ssl_channel_credentials(open(options["ca"], "rb").read())
ray.init(options["address"], logging_level="ERROR", **more)

@ray.remote
def square(n):
    return n * n

@ray.remote
class Counter:
    def __init__(self):
        self.n = 0
    def add(self):
        self.n += 1
        return self.n

counter = Counter.remote()
data = os.urandom(options.get("size", 1024))
result = {
    "squares": ray.get([square.remote(n) for n in range(5)]),
    "count": ray.get([counter.add.remote() for _ in range(3)]),
    "same": ray.get(ray.put(data)) == data,
    "node": ray.get_runtime_context().get_node_id(),
}
print("RESULT " + json.dumps(result), flush=True)
if options.get("hold"):
    sys.stdin.readline()
    print("RESULT " + json.dumps({"again": ray.get(square.remote(7))}))
"""


@dataclass(frozen=True)
class Site:
    server: HarnessServer
    environments: Ready
    clusters: dict[str, heliostat.Cluster]
    ca: Path | None

    @property
    def address(self) -> str:
        return f"ray://localhost:{self.server.port}"

    def options(self, ray: str, **more: Any) -> dict[str, Any]:  # JSON for WORK
        token = f"Bearer {self.clusters[ray].submit_token}"
        found = {"address": self.address, "metadata": [["authorization", token]], **more}
        return {**found, "ca": str(self.ca)} if self.ca else found

    def start(self, ray: str, home: Path, code: str, options: object, **environment: str) -> subprocess.Popen[str]:
        command = [str(self.environments[ray] / "bin" / "python"), "-c", code, json.dumps(options)]
        env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8", **environment}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=env, cwd=home, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def run(self, ray: str, home: Path, options: object, code: str = WORK, **environment: str) -> dict[str, Any]:
        out, err = finish(process := self.start(ray, home, code, options, **environment))
        assert process.returncode == 0, out + err
        return results(out)[0]


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return process.communicate(timeout=CLIENT_SECONDS)
    finally:
        process.kill()
        process.wait()


def results(out: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("RESULT ")) for line in out.splitlines() if line.startswith("RESULT ")]


def assert_works(result: dict[str, Any]) -> None:
    assert result["squares"] == [0, 1, 4, 9, 16]
    assert result["count"] == [1, 2, 3]
    assert result["same"] is True


@dataclass
class Place:
    """A home folder with one running cluster of each Ray, which outlive the servers on it."""

    home: Path
    environments: Ready
    ca: Path
    clusters: dict[str, str]
    """Ray -> name, once they were made."""

    @contextlib.contextmanager
    def site(self, *, tls: bool) -> Iterator[Site]:
        settings = {"tls_cert": self.home / "cert.pem", "tls_key": self.home / "key.pem"} if tls else {}
        engine = LocalEngine(LocalSettings(self.home / "local", ready_environment=self.environments.of))
        with threaded(self.home, engine=engine, **settings) as server:
            url, ca = f"{'https' if tls else 'http'}://localhost:{server.port}", self.ca if tls else None
            with heliostat.Client(url, server.token, workspace=server.workspace, ca=str(ca) if ca else None) as client:
                if not self.clusters:
                    self._make(client)
                clusters = {ray: client.clusters.get(name) for ray, name in self.clusters.items()}
                for cluster in clusters.values():
                    offered(cluster)
                yield Site(server, self.environments, clusters, ca)

    def remove(self) -> None:
        """Delete the clusters, whatever has happened."""
        with self.site(tls=False) as site:
            for cluster in site.clusters.values():
                cluster.delete(stop=True, wait=True, deadline=60)

    def _make(self, client: heliostat.Client) -> None:
        for ray in (NEWEST, OLDEST):
            self.clusters[ray] = f"ray-{ray.replace('.', '-')}"
            client.clusters.create(self.clusters[ray], release=RELEASES[ray].name, cpu=2, memory="1Gi")
        for name in self.clusters.values():
            client.clusters.get(name).wait(deadline=180)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    environments = ready([RELEASES[ray] for ray in (NEWEST, OLDEST)])
    with tempfile.TemporaryDirectory(prefix="hsray") as folder:
        home = Path(folder)
        authority, ca = trustme.CA(), home / "ca.pem"
        made = authority.issue_cert("localhost", "127.0.0.1")
        authority.cert_pem.write_to_path(ca)
        made.private_key_pem.write_to_path(home / "key.pem")
        made.cert_chain_pems[0].write_to_path(home / "cert.pem")
        place = Place(home, environments, ca, {})
        try:
            yield place
        finally:
            place.remove()


def offered(cluster: heliostat.Cluster) -> str:
    """Wait until the client server is there."""
    deadline = time.monotonic() + 60
    while cluster.refresh().endpoints is None or cluster.endpoints.ray_url is None:  # type: ignore[union-attr]
        assert time.monotonic() < deadline, "ray:// is not offered"
        time.sleep(0.1)
    return cluster.ray_url


@pytest.fixture(scope="module", params=["plain", "TLS"])
def site(request: pytest.FixtureRequest, place: Place) -> Iterator[Site]:
    with place.site(tls=request.param == "TLS") as site:
        yield site


plain_only = pytest.mark.parametrize("site", ["plain"], indirect=True, scope="module")
tls_only = pytest.mark.parametrize("site", ["TLS"], indirect=True, scope="module")


@pytest.mark.parametrize("ray", [NEWEST, OLDEST])
def test_tasks_actors_and_objects_with_the_submit_token(site: Site, tmp_path: Path, ray: str) -> None:
    assert_works(site.run(ray, tmp_path, site.options(ray, size=50 * 2**20)))


@plain_only
def test_rays_own_token_variable_needs_no_code(site: Site, tmp_path: Path) -> None:
    token = site.clusters[NEWEST].submit_token
    assert_works(
        site.run(NEWEST, tmp_path, site.options(NEWEST, metadata=None), RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token)
    )


@tls_only
def test_two_clusters_at_once(site: Site, tmp_path: Path) -> None:
    held = {ray: site.start(ray, tmp_path, WORK, site.options(ray, hold=True)) for ray in (NEWEST, OLDEST)}
    outcomes = {}
    for process in held.values():
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for ray, process in held.items():
        out, err = finish(process)
        assert process.returncode == 0, out + err
        outcomes[ray] = results(out)
        assert outcomes[ray][1] == {"again": 49}
    assert len({rows[0]["node"] for rows in outcomes.values()}) == 2


HELPER = """
import json, sys
options = json.loads(sys.argv[1])
sys.path += options["path"]
import heliostat
with heliostat.Client(options["endpoint"], options["token"], ca=options["ca"]) as client:
    try:
        heliostat.ray_init(options["cluster"], client=client, logging_level="ERROR")
    except heliostat.HeliostatError as error:
        print("RESULT " + json.dumps({"error": str(error)}))
        sys.exit()
import ray
print("RESULT " + json.dumps({"up": ray.is_initialized(), "cpus": ray.cluster_resources()["CPU"]}))
"""


def helped(site: Site, home: Path, local: str, cluster: str, token: str) -> tuple[dict[str, Any], float]:
    options = {
        "path": [str(SOURCE), sysconfig.get_path("purelib")],
        "endpoint": f"{'https' if site.ca else 'http'}://localhost:{site.server.port}",
        "token": token,
        "ca": str(site.ca) if site.ca else None,
        "cluster": cluster,
    }
    began = time.monotonic()
    return site.run(local, home, options, HELPER), time.monotonic() - began


@tls_only
@pytest.mark.parametrize("ray", [NEWEST, OLDEST])
def test_the_helper_connects(site: Site, tmp_path: Path, ray: str) -> None:
    result, _ = helped(site, tmp_path, ray, site.clusters[ray].name, site.server.token)
    assert result == {"up": True, "cpus": 2.0}


@plain_only
def test_the_helper_connects_or_fails_fast_and_says_why(site: Site, tmp_path: Path) -> None:
    result, _ = helped(site, tmp_path, NEWEST, site.clusters[NEWEST].name, site.server.token)
    assert result == {"up": True, "cpus": 2.0}
    name = site.clusters[OLDEST].name
    result, took = helped(site, tmp_path, NEWEST, name, site.server.token)
    assert 'pip install "ray[client]==2.47.1"' in result["error"]
    assert took < 15
    result, took = helped(site, tmp_path, NEWEST, name, "hlt_" + "w" * 43)
    assert "token" in result["error"]
    assert took < 15
