"""Path B whole: the unmodified command line and SDK of Flyte, with no Flyte but ours; and path D, a laptop's own driver."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import SHARED, Place

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(280)]
SCRIPTS = Path(__file__).parent / "scripts"


def test_the_command_line(place: Place) -> None:
    env = place.logged_in()
    run = ["pyflyte", "run", "--remote", "--wait", "--poll-interval", "1"]
    assert "has succeeded" in place.run(*run, "flows.py", "choice", "--n", "44", env=env)
    told = place.run(*run, "failing.py", "broken", "--n", "7", env=env, status=255)
    assert "did not complete successfully, phase FAILED" in told
    assert "[USER:RuntimeError]" in told and "ValueError: broken by 7" in told


def test_the_sdk_with_a_client_secret(place: Place) -> None:
    """A robot's configuration: an access key instead of a command."""
    made = json.loads((place.server.home / "credentials.json").read_text())
    configuration = place.folder / "robot.yaml"
    configuration.write_text(
        f"""
        admin:
          endpoint: dns:///127.0.0.1:{place.server.port}
          insecure: true
          authType: ClientSecret
          clientId: {made["access_key_id"]}
          clientSecretEnvVar: THE_SECRET
        """
    )
    env = {"FLYTECTL_CONFIG": str(configuration), "THE_SECRET": made["access_key_secret"]}
    said = place.run("python", SCRIPTS / "remote.py", str(place.folder / "remote.txt"), env=env | {"PYTHONPATH": "."})
    seen = json.loads(said.strip().splitlines()[-1])
    assert seen == {
        "registered": ["flows.three_steps", "v1"],
        "outputs": ((0 + 1 + 4 + 9) ** 2),
        "nodes": {"n0": 3, "n1": 3, "n2": 3},
        "inner": [0, 1, 4, 9],
        "fetched": ["n0", "n1", "n2"],
        "terminated": [7, "it sleeps too long"],
    }


def test_a_driver_at_home(place: Place) -> None:
    """``pyflyte run`` without a backend: the task's own process stays here, its remote functions run on our cluster."""
    client = place.server.client
    token = json.loads((place.server.home / "credentials.json").read_text())["token"]
    (cluster,) = [cluster for cluster in client.clusters.list() if cluster.name == SHARED]
    env = {
        "RAY_ADDRESS": f"ray://127.0.0.1:{place.server.port}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": f"{token}~{cluster.id}",
        "PYTHONPATH": ".",
    }
    # A script of its own: functions of the main module travel by value, while those of others must be on the cluster.
    script = place.folder / "home.py"
    script.write_text(
        "import os, ray\n"
        "from flytekit import task\n"
        "from flytekitplugins.ray import RayJobConfig, WorkerNodeConfig\n"
        "@ray.remote\n"
        "def where(): return os.environ['HELIOSTAT_NODE']\n"
        "@task(task_config=RayJobConfig(worker_node_config=[WorkerNodeConfig('w', 1)]))\n"
        "def home() -> str: return ray.get(where.remote())\n"
        "if __name__ == '__main__': print('SEEN', home())\n"
    )
    assert f"SEEN {cluster.id}" in place.run("python", str(script), env=env)
