"""A real cluster's day: a ray:// session, a running task, a detached actor, then nothing, a warning, and the stop."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import IO

import pytest

import heliostat
import heliostat.server
from heliostat.control.activity import ActivitySettings
from heliostat.control.work import WorkSettings
from heliostat.domain import activity
from heliostat.engines.local import LocalEngine, LocalSettings
from heliostat.testing.harness import HarnessServer, threaded
from tests.environments import ready
from tests.gateway.live import RELEASES

pytestmark = [pytest.mark.ray, pytest.mark.slow]
NEWEST = "2.60.0"
DEADLINE_SECONDS = 90
USER = """
import json, os, sys, time
import ray

address, token, end = json.loads(sys.argv[1])
ray.init(address, _metadata=[("authorization", "Bearer " + token)], logging_level="ERROR")
print("connected", flush=True)
sys.stdin.readline()

@ray.remote(num_cpus=0)
class Stays:
    def until(self, path):
        while not os.path.exists(path):
            time.sleep(0.1)
        ray.actor.exit_actor()

@ray.remote(num_cpus=0)
def works():
    time.sleep(1000)

actor = Stays.options(name="stays", lifetime="detached").remote()
ray.get(actor.__ray_ready__.remote())
waiting, working = actor.until.remote(end), works.remote()
print("works", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HarnessServer]:
    """One that looks every second, and for which use through the gateway is over after two."""
    made = heliostat.server.work_settings
    quick = ActivitySettings(timedelta(seconds=1), timedelta(seconds=1), timedelta(0), share=1)

    def settings(*given: object) -> WorkSettings:
        return replace(made(*given), activity=quick)  # type: ignore[arg-type]

    monkeypatch.setattr(heliostat.server, "work_settings", settings)
    monkeypatch.setattr(activity, "FRESH", timedelta(seconds=2))
    environments = ready([RELEASES[NEWEST]])
    with tempfile.TemporaryDirectory(prefix="hsact") as folder:
        home = Path(folder)
        engine = LocalEngine(LocalSettings(home / "local", ready_environment=environments.of))
        with threaded(home, engine=engine) as running:
            yield running


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_cluster_is_kept_while_anything_goes_on_and_then_stopped(server: HarnessServer, tmp_path: Path) -> None:
    environments = ready([RELEASES[NEWEST]])
    with heliostat.Client(server.url, server.token, workspace=server.workspace) as client:
        cluster = client.clusters.create("idle", release=RELEASES[NEWEST].name, cpu=1, memory="1Gi")
        cluster.wait(deadline=180)
        try:
            story(cluster, server, environments[NEWEST] / "bin" / "python", tmp_path)
        finally:
            cluster.delete(stop=True, wait=True, deadline=60)


def story(cluster: heliostat.Cluster, server: HarnessServer, python: Path, tmp_path: Path) -> None:
    def why() -> set[str]:
        return {row.removeprefix("it is not idle: ") for row in cluster.why().evidence if "not idle" in row}

    def said(*reasons: str) -> Callable[[], bool]:
        return lambda: {row for row in why() if not row.startswith("its dashboard")} == set(reasons)

    def told() -> dict[str, str]:
        return {row.reason: row.message for row in cluster.events()}

    def offered() -> bool:
        endpoints = cluster.refresh().endpoints
        return endpoints is not None and endpoints.ray_url is not None

    until(offered, "ray:// is offered")
    end = tmp_path / "end"
    arguments = json.dumps([f"ray://localhost:{server.port}", cluster.submit_token, str(end)])
    user = subprocess.Popen(
        [str(python), "-c", USER, arguments], env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"},
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert line(user.stdout) == "connected"
        until(said("1 ray:// session is open"), "the session is seen")
        go_on(user)
        assert line(user.stdout) == "works"
        until(lambda: {"1 ray:// session is open", "1 actor is alive"} < why(), "the actor is seen")
        until(lambda: any(row in why() for row in ("1 task is running", "2 tasks are running")), "the task is seen")
        cluster.update(idle_stop_after="10s")
        go_on(user)
        assert user.wait(60) == 0
    finally:
        user.kill()
        user.wait()
    until(
        lambda: "1 actor is alive" in why() and not any("session" in row or "driver" in row for row in why()), "alone"
    )
    assert cluster.refresh().state == "Running" and "IdleStopAhead" not in told()
    end.touch()
    until(lambda: any(row.startswith("it is idle since") for row in cluster.why().evidence), "it is idle")
    until(lambda: "IdleStopAhead" in told(), "it is warned")
    until(lambda: cluster.refresh().state == "Stopped", "it is stopped")
    assert "longer than idle_stop_after (10s)" in told()["IdleStopped"]
    assert "was stopped: nothing has gone on since" in cluster.why().summary
