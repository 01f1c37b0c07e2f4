"""``heliostat.ray_init`` finds out what is wrong before Ray does; a stand-in for Ray, a real server."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import heliostat
from heliostat.client import HeliostatError, InvalidRequest, NotFound, NotReady, NotRunning, Unavailable
from heliostat.engines.simulated import World
from heliostat.testing.harness import threaded


class _Dashboard(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"ray_version": "2.60.0"}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@dataclass
class FakeRay:
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    failures: int = 0

    def init(self, address: str, **options: Any) -> str:
        self.calls.append((address, options))
        if len(self.calls) <= self.failures:
            raise ConnectionAbortedError("Starting Ray client server failed")
        return "connected"


@dataclass(frozen=True)
class Site:
    client: heliostat.Client
    cluster: heliostat.Cluster
    ray: FakeRay
    world: World

    def init(self, **options: Any) -> Any:
        return heliostat.ray_init("demo", client=self.client, **options)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    ray = FakeRay()
    module = ModuleType("ray")
    vars(module).update(init=ray.init, shutdown=lambda: None)
    monkeypatch.setitem(sys.modules, "ray", module)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.60.0" if name == "ray" else version(name))
    dashboard = ThreadingHTTPServer(("127.0.0.1", 0), _Dashboard)
    thread = threading.Thread(target=dashboard.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        world = World(dashboard=f"127.0.0.1:{dashboard.server_port}", client="127.0.0.1:9")
        with (
            threaded(tmp_path, world=world) as server,
            heliostat.Client(server.url, server.token, server.workspace) as client,
        ):
            mine = f"{sys.version_info.major}.{sys.version_info.minor}"
            release = next(row.name for row in client.releases.list() if row.ray == "2.60.0" and row.python == mine)
            cluster = client.clusters.create("demo", release=release, cpu=1, memory="1Gi").wait(deadline=20)
            yield Site(client, cluster, ray, world)
    finally:
        dashboard.shutdown()
        thread.join()
        dashboard.server_close()


def test_it_connects_with_the_clusters_own_token(site: Site) -> None:
    assert site.init(namespace="n") == "connected"
    token = f"Bearer {site.cluster.submit_token}"
    address = site.client.endpoint.replace("http://", "ray://")
    assert site.ray.calls == [(address, {"namespace": "n", "_metadata": [("authorization", token)]})]


def test_rays_own_flake_is_tried_again_once(site: Site) -> None:
    site.ray.failures = 1
    assert site.init() == "connected"
    site.ray.failures = 10
    with pytest.raises(Unavailable, match="the token is good"):
        site.init()
    assert len(site.ray.calls) == 4


@pytest.mark.parametrize(
    ("local", "kind", "words"),
    [("2.47.1", InvalidRequest, r'pip install "ray\[client\]==2.60.0"'), (None, NotReady, "Ray is not installed here")],
)
def test_another_ray_is_told_with_what_to_install(
    site: Site, monkeypatch: pytest.MonkeyPatch, local: str | None, kind: type[HeliostatError], words: str
) -> None:
    def version(name: str) -> str:
        if local is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return local

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(kind, match=words):
        site.init()
    assert site.ray.calls == []


def test_another_python_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    class Version(tuple[int, ...]):
        major, minor = 3, 9

    monkeypatch.setattr(sys, "version_info", Version((3, 9, 0)))
    with pytest.raises(InvalidRequest, match=r"this process is Python 3\.9"):
        site.init()
    assert site.ray.calls == []


def test_stopped_unknown_and_not_offered_are_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heliostat.client.ray_client.OFFER_SECONDS", 0.5)
    with pytest.raises(NotFound):
        heliostat.ray_init("nobody", client=site.client)
    with pytest.raises(InvalidRequest, match="_metadata"):
        site.init(_metadata=[])
    site.cluster.stop(wait=True, deadline=20)
    with pytest.raises(NotRunning, match="heliostat cluster start demo"):
        site.init()
    site.world.client = None
    site.cluster.start(wait=True, deadline=20)
    with pytest.raises(NotRunning, match="does not offer ray://"):
        site.init()
    assert site.ray.calls == []


def test_a_token_of_ones_own_in_the_environment_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
    with pytest.raises(InvalidRequest, match="Unset RAY_AUTH_MODE"):
        site.init()
    monkeypatch.setenv("RAY_AUTH_TOKEN", site.cluster.submit_token)
    assert site.init() == "connected"
    assert site.ray.calls[0][1] == {}
