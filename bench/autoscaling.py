"""How soon demand becomes workers: Ray's autoscaler on Heliostat against Ray's own local cluster with fake nodes.

The same driver asks for two actors of one CPU on a head without any, again and again, and tells how long it took until
both workers were alive and both actors answered. Ray's own cluster is what ``ray.cluster_utils.AutoscalingCluster`` starts,
with the same autoscaler (v2), the same interval of one second and the same idle time; it runs in namespaces of its own, since its
processes know nothing of other clusters on the machine.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from support import BenchServer, server

from heliostat.domain.releases import BUILT_IN, DEFAULT
from tests.environments import ready

PATIENCE = 300
IDLE_SECONDS = 4
NAME = "demand"
DRIVER = """
import sys, time, ray
ray.init(address="auto", logging_level="ERROR", log_to_driver=False)

@ray.remote(num_cpus=1)
class Worker:
    def ping(self):
        return True

def alive():
    return sum(node["Alive"] for node in ray.nodes())

for run in range(int(sys.argv[1])):
    while alive() > 1:
        time.sleep(0.1)
    time.sleep(1.3)
    began = time.monotonic()
    workers = [Worker.remote() for _ in range(2)]
    while alive() < 3:
        time.sleep(0.02)
    nodes = time.monotonic() - began
    ray.get([worker.ping.remote() for worker in workers])
    print("TIMES", round(nodes, 3), round(time.monotonic() - began, 3), flush=True)
    del workers
"""
CLUSTER = {
    "name": NAME,
    "release": DEFAULT,
    "head": {"cpu": "1", "memory": "2Gi", "ray_start_params": "--num-cpus=0"},
    "workers": [
        {"name": "w", "replicas": 0, "min_replicas": 0, "max_replicas": 2, "cpu": "1", "memory": "1Gi"},
    ],
    "autoscaling": {"enabled": True, "idle_timeout_seconds": IDLE_SECONDS},
}
FAKE_HEAD = "fffffffffffffffffffffffffffffffffffffffffffffffffff00000"
"""The node id that Ray's fake provider gives its head."""
FAKE_CLUSTER = {
    "cluster_name": "fake",
    "max_workers": 2,
    "idle_timeout_minutes": IDLE_SECONDS / 60,
    "upscaling_speed": 1000,
    "provider": {"type": "fake_multinode", "launch_multiple": True, "head_node_id": FAKE_HEAD},
    "head_node_type": "ray.head.default",
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "w": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2},
    },
    "file_mounts_sync_continuously": False,
    **{key: {} for key in ("auth", "file_mounts")},
    **{key: [] for key in ("cluster_synced_files", "initialization_commands", "setup_commands")},
    **{f"{kind}_{key}": [] for kind in ("head", "worker") for key in ("setup_commands", "start_ray_commands")},
}


def main(runs: int = 5) -> list[dict[str, object]]:
    release = next(row for row in BUILT_IN if row.name == DEFAULT)
    environments = ready([release])
    python = environments[release.ray] / "bin" / "python"
    with tempfile.TemporaryDirectory(prefix="ha", dir="/tmp", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        driver = place / "driver.py"
        driver.write_text(DRIVER)
        own = _by_ray(python, place, driver, runs + 1)
        ours = _by_heliostat(environments.folder, place / "h", driver, runs + 1)
    rows = []
    for at, what in enumerate(("demand to both workers alive", "demand to both actors answering")):
        mine, other = (statistics.median(times[at] for times in way) for way in (ours, own))
        rows.append(
            {"what": what, "heliostat_s": mine, "ray_local_s": other, "ratio": round(mine / other, 2), "runs": runs}
        )
    return rows


def _by_heliostat(environments: Path, home: Path, driver: Path, runs: int) -> list[list[float]]:
    (home / "local").mkdir(parents=True, mode=0o700)
    (home / "local" / "environments").symlink_to(environments)
    with server("local", home) as up:
        connection = up.connection()
        up.native(connection, "POST", "/clusters", CLUSTER)
        try:
            _until(up, connection, f"/clusters/{NAME}", lambda found: found["state"] == "Running")
            job = {"entrypoint": f"python {driver} {runs}", "cluster": NAME}
            path = f"/jobs/{up.native(connection, 'POST', '/jobs', job)['id']}"
            _until(up, connection, path, lambda found: found["status"] in ("Succeeded", "Failed"))
            log = up.connection()
            log.request(
                "GET",
                f"/v1/workspaces/{up.credentials['workspace_id']}{path}/logs/driver",
                headers={"authorization": f"Bearer {up.credentials['token']}"},
            )
            text = log.getresponse().read().decode()
        finally:
            up.native(connection, "DELETE", f"/clusters/{NAME}?stop=true")
            _until(up, connection, "/clusters", lambda found: not found["clusters"])
    return _times(text, runs)


def _by_ray(python: Path, place: Path, driver: Path, runs: int) -> list[list[float]]:
    provider = next(python.parent.parent.glob("lib/python*/site-packages/ray/autoscaler/_private/fake_multi_node"))
    whole = place / "provider"
    shutil.copytree(provider, whole, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (whole / "example.yaml", config := place / "fake.json"):
        file.write_text(json.dumps(FAKE_CLUSTER))
    start = f"ray start --head --num-cpus=0 --autoscaling-config={config} --disable-usage-stats --port=6379"
    complete = f"mount --bind {whole} {provider}"  # Ray's wheels lack the provider's file of defaults
    script = f"ip link set lo up && {complete} && {start} >{place}/ray.log 2>&1 && python {driver} {runs}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "HELIOSTAT_"))} | {
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD,
        "TMPDIR": str(place),
    }
    alone = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--net", "--ipc"]
    process = subprocess.Popen(
        [*alone, "sh", "-c", script], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        text, _ = process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return _times(text, runs)


def _times(text: str, runs: int) -> list[list[float]]:
    """Pairs of seconds, the first run left out: it also pays for what is loaded once."""
    found = [[float(word) for word in line.split()[1:]] for line in text.splitlines() if line.startswith("TIMES")]
    if len(found) != runs:
        raise RuntimeError(f"{len(found)} of {runs} runs were measured: {text[-2000:]}")
    print(json.dumps(found))
    return found[1:]


def _until(up: BenchServer, connection: http.client.HTTPConnection, path: str, reached: object) -> None:
    assert callable(reached)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if reached(up.native(connection, "GET", path)):
            return
        time.sleep(0.1)
    raise RuntimeError(f"{path} did not come to what was waited for")


if __name__ == "__main__":
    for row in main():
        print(row)
