"""Starts from the warm pool against cold ones, in turns, by the same server with one cluster kept ready.

From the start call until the API says ``Running``, and until a job that was submitted then has run a task on every node but
the head (on the head, where it is alone). A cold cluster differs in one variable of its head, which keeps it from being
given an entry. Before every start the pool is full and the machine is left alone for a moment.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from support import BenchServer, cpu_seconds, memory_mib, server

from heliostat.domain.releases import BUILT_IN, DEFAULT
from heliostat_node import processes
from tests.environments import ready

PATIENCE = 120
QUIET = 3.0
SIZES = (0, 2)
TASK = (
    "import ray; ray.init(); f = ray.remote(num_cpus=1, scheduling_strategy='SPREAD')(lambda: 1); "
    "ray.get([f.remote() for _ in range({})])"
)


def definition(name: str, workers: int, cold: bool) -> dict[str, Any]:
    shape = {"cpu": "1", "memory": "1Gi"}
    return {
        "name": name,
        "start": False,
        "release": DEFAULT,
        "head": {**shape, "env": {"COLD": "1"}} if cold else shape,
        "workers": [{"name": "workers", "replicas": workers, **shape}] if workers else [],
    }


def start(up: BenchServer, name: str, tasks: int) -> dict[str, float]:
    """One start, one job, one stop; seconds from the start call."""
    connection = up.connection()
    began = time.perf_counter()
    up.native(connection, "POST", f"/clusters/{name}/start")
    while (found := up.native(connection, "GET", f"/clusters/{name}"))["state"] != "Running":
        if found["state"] == "Error" or time.perf_counter() - began > PATIENCE:
            raise RuntimeError(f"the cluster did not come up: {found['message']}")
        time.sleep(0.01)
    seen = {"running": time.perf_counter() - began}
    token = found["endpoints"]["submit_token"]
    job = jobs(up, token, "POST", "", {"entrypoint": f'python -c "{TASK.format(tasks)}"'})["submission_id"]
    while (status := jobs(up, token, "GET", job)["status"]) != "SUCCEEDED":
        if status in ("FAILED", "STOPPED"):
            raise RuntimeError(str(jobs(up, token, "GET", job)))
        time.sleep(0.02)
    seen["job"] = time.perf_counter() - began
    up.native(connection, "POST", f"/clusters/{name}/stop")
    while up.native(connection, "GET", f"/clusters/{name}")["state"] != "Stopped":
        time.sleep(0.05)
    return seen


def jobs(up: BenchServer, token: str, method: str, path: str, body: Any = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=30)
    headers = {"ray-token": token, "content-type": "application/json"}
    connection.request(method, f"/api/jobs/{path}", None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
    return json.loads(text)


def wait_full(up: BenchServer) -> None:
    """Until the pool is full, and a moment longer."""
    deadline = time.monotonic() + PATIENCE
    while True:
        connection = up.connection()
        connection.request(
            "GET", f"/v1/releases/{DEFAULT}", headers={"authorization": f"Bearer {up.credentials['token']}"}
        )
        if "1 of 1 clusters are kept ready" in connection.getresponse().read().decode():
            break
        if time.monotonic() > deadline:
            raise RuntimeError("no cluster is kept ready")
        time.sleep(0.1)
    time.sleep(QUIET)


def entry_cost(up: BenchServer, seconds: float) -> dict[str, float]:
    """What the pool's only entry takes: memory, and CPU over some seconds."""
    shims = [json.loads(path.read_text())["pid"] for path in (up.home / "local" / "w").glob("*/nodes/*/status.json")]
    pids = {pid for shim in shims for pid in (shim, *processes.descendants(shim))}
    before = sum(cpu_seconds(pid) for pid in pids)
    time.sleep(seconds)
    used = sum(cpu_seconds(pid) for pid in pids) - before
    return {"memory_mib": round(sum(memory_mib(pid) for pid in pids)), "cpu_percent": round(100 * used / seconds, 1)}


def main(runs: int = 5, idle_seconds: float = 30) -> list[dict[str, object]]:
    environments = ready([row for row in BUILT_IN if row.name == DEFAULT])
    names = {(size, cold): f"{'cold' if cold else 'warm'}-{size}" for size in SIZES for cold in (True, False)}
    results: dict[tuple[int, bool], list[dict[str, float]]] = {key: [] for key in names}
    with tempfile.TemporaryDirectory(prefix="hn", dir="/tmp", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "h"
        (home / "local").mkdir(parents=True, mode=0o700)
        (home / "local" / "environments").symlink_to(environments.folder)
        with server("local", home, "--warm", "1") as up:
            for (size, cold), name in names.items():
                up.native(up.connection(), "POST", "/clusters", definition(name, size, cold))
            wait_full(up)
            cost = entry_cost(up, idle_seconds)
            for run in range(runs):
                for (size, cold), name in names.items():
                    wait_full(up)
                    load = os.getloadavg()[0]
                    results[size, cold].append(start(up, name, max(1, size)))
                    print(f"run {run + 1} {name}: {results[size, cold][-1]} load {load:.1f}")
            for name in names.values():
                up.native(up.connection(), "DELETE", f"/clusters/{name}")
        with server("local", home, "--warm", "0"):
            deadline = time.monotonic() + PATIENCE
            while list((home / "local" / "w").iterdir()) and time.monotonic() < deadline:
                time.sleep(0.1)
    rows: list[dict[str, object]] = []
    for size in SIZES:
        for key, what in (("running", "start call to Running"), ("job", "start call to the end of a first job")):
            warm, cold = (statistics.median(row[key] for row in results[size, way]) for way in (False, True))
            rows.append(
                {
                    "what": f"1 head + {size} workers, {what}",
                    "cold_s": round(cold, 2),
                    "warm_s": round(warm, 2),
                    "ratio": round(warm / cold, 2),
                }
            )
    return [*rows, {"what": "one cluster kept ready, 1 + 2, at rest", **cost}]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--idle", type=float, default=30, help="seconds over which the pool's CPU is measured")
    options = parser.parse_args()
    for row in main(options.runs, options.idle):
        print(row)
