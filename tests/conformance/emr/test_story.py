"""The whole story on real Ray: a user of the vendor's SDK makes a cluster, runs a job on it, stops it, starts it again."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliostat.engines.local import LocalEngine, LocalSettings
from heliostat.testing.harness import threaded
from tests.environments import Ready

from .sdk import Driver, Sdk, SdkError, until

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(290)]
RAY = "2.60.0"
START_SECONDS = 120
HEAD = {"queueName": "root_queue", "cpu": "1", "memory": "1Gi", "rayStartParams": "--num-cpus=0", "env": "HEAD_SAYS=hi"}
GROUP = {"groupName": "g1", "replica": 2, "cpu": "1", "memory": "512Mi", "env": "WORKER_SAYS=a,b"}
REPORT = """
import os, ray, time
ray.init()
@ray.remote(num_cpus=1)
def where():
    time.sleep(1)
    return ray.get_runtime_context().get_node_id(), os.environ["WORKER_SAYS"]
seen = set()
while len(seen) < 2:
    seen |= set(ray.get([where.remote() for _ in range(2)]))
print("from", len({node for node, _ in seen}), "nodes:", {text for _, text in seen})
"""


@pytest.fixture
def client(driver: Driver, ray_environments: Ready) -> Iterator[tuple[Sdk, Path]]:
    """The SDK on a server with the local engine, and the environment of its Ray."""
    environment = ray_environments[RAY]
    with tempfile.TemporaryDirectory(prefix="hsemr") as folder:
        settings = LocalSettings(
            Path(folder) / "local", ready_environment=lambda release: environment if release.ray == RAY else None
        )
        with threaded(Path(folder), engine=LocalEngine(settings)) as server:
            sdk = Sdk.for_server(driver, server)
            try:
                yield sdk, environment
            finally:
                for row in sdk("ListRayCluster", pageSize=100)["rayClusters"]:
                    sdk.remove(row["clusterId"])


def processes_of(instance: str) -> list[str]:
    """Command lines of all processes that name this run in their command line or environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                command = (folder / "cmdline").read_bytes()
                if instance.encode() in command + (folder / "environ").read_bytes():
                    found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


def submit(environment: Path, url: str, token: str, program: str) -> subprocess.CompletedProcess[str]:
    """``ray job submit``, as the vendor's documentation has it."""
    variables = {name: value for name, value in os.environ.items() if "PROXY" not in name.upper()}
    return subprocess.run(
        [environment / "bin" / "python", "-m", "ray.scripts.scripts", "job", "submit", "--address", url,
         "--headers", json.dumps({"ray-token": token}), "--", "python", "-c", program],
        capture_output=True, text=True, timeout=120, env=variables, check=False,
    )  # fmt: skip


def test_a_real_cluster_from_create_to_delete(client: tuple[Sdk, Path]) -> None:
    sdk, environment = client
    cluster = sdk.create("story", displayReleaseVersion="ray-1.3.1", headSpec=HEAD, workerSpec=[GROUP])
    sdk("StartRayCluster", cluster, clientToken="first")

    def running() -> dict[str, object]:
        found: dict[str, object] = until(
            lambda: sdk.get(cluster), lambda body: body["state"] in ("Running", "Error"), START_SECONDS
        )
        assert found["state"] == "Running", found["message"]
        return found

    first = running()
    nodes = first["instances"]
    assert isinstance(nodes, list)
    assert sorted((node["type"], node["phase"]) for node in nodes) == [
        ("Head", "Running"), ("Worker", "Running"), ("Worker", "Running"),
    ]  # fmt: skip
    url, token, instance = (str(first[key]) for key in ("jobUrl", "submitToken", "instanceId"))
    done = submit(environment, url, token, REPORT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from 2 nodes: {'a,b'}" in done.stdout
    assert submit(environment, url, "0" * 32, "print()").returncode != 0, "another token opens nothing"
    assert processes_of(instance)

    sdk("StopRayCluster", cluster, instanceId=instance)
    stopped = until(lambda: sdk.get(cluster), lambda body: body["state"] == "Stopped")
    assert "submitToken" not in stopped
    assert processes_of(instance) == []
    assert submit(environment, url, token, "print()").returncode != 0, "a stopped run's token opens nothing"

    sdk("StartRayCluster", cluster, clientToken="second")
    second = running()
    again = str(second["instanceId"])
    assert again != instance and second["submitToken"] != token
    assert submit(environment, url, str(second["submitToken"]), "print('again')").returncode == 0
    sdk("StopRayCluster", cluster)
    until(lambda: sdk.get(cluster), lambda body: body["state"] == "Stopped")
    sdk.plain("DeleteRayCluster", cluster)
    with pytest.raises(SdkError) as gone:
        sdk.get(cluster)
    assert gone.value.code == "ResourceNotFound"
    assert processes_of(again) == []
