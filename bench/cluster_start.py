"""The whole way of a start: the call to a running server, against ``ray start`` typed node after node, in turns.

Ours counts from the start call until the API reports all three nodes alive, and until the Jobs API answers through the
gateway; the typed one as in :mod:`node_start`, which it is taken from. Both use environments with compiled bytecode, and
the server has started the release once before, as a server in use has.
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import tempfile
import time
from pathlib import Path

from node_start import Instance, Release, Zygote, typed
from support import BenchServer, server

from heliostat.domain.releases import BUILT_IN, DEFAULT
from tests.environments import ready

PATIENCE = 120
CLUSTER = {
    "name": "start",
    "start": False,
    "release": DEFAULT,
    "head": {"cpu": "1", "memory": "1Gi"},
    "workers": [{"name": "g", "replicas": 2, "cpu": "1", "memory": "1Gi"}],
}


def ours(up: BenchServer) -> dict[str, float]:
    """One start and one stop."""
    connection = up.connection()
    began = time.perf_counter()
    up.native(connection, "POST", "/clusters/start/start")
    seen: dict[str, float] = {}
    while len(seen) < 2:
        now = time.perf_counter() - began
        if now > PATIENCE:
            raise RuntimeError("the cluster did not come up")
        found = up.native(connection, "GET", "/clusters/start")
        if "alive" not in seen and found["instance"]["nodes_up"] == 3:
            seen["alive"] = time.perf_counter() - began
        if found["endpoints"] and answers(up, found["endpoints"]["submit_token"]):
            seen["jobs"] = time.perf_counter() - began
        time.sleep(0.02)
    up.native(connection, "POST", "/clusters/start/stop")
    while up.native(connection, "GET", "/clusters/start")["state"] != "Stopped":
        time.sleep(0.05)
    return seen


def answers(up: BenchServer, token: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=10)
    connection.request("GET", "/api/jobs/", headers={"ray-token": token})
    return connection.getresponse().status == 200


def main(runs: int = 5) -> list[dict[str, object]]:
    release = next(row for row in BUILT_IN if row.name == DEFAULT)
    environments = ready([release])
    results: dict[str, list[dict[str, float]]] = {"typed": [], "ours": []}
    with tempfile.TemporaryDirectory(prefix="hn", dir="/tmp", ignore_cleanup_errors=True) as folder:
        home, base = Path(folder) / "h", Path(folder) / "t"
        base.mkdir()
        (home / "local").mkdir(parents=True, mode=0o700)
        (home / "local" / "environments").symlink_to(environments.folder)
        python = environments[release.ray] / "bin" / "python"
        zygote = Zygote(python)
        try:
            with server("local", home) as up:
                connection = up.connection()
                up.native(connection, "POST", "/clusters", CLUSTER)
                ours(up)
                for run in range(runs):
                    results["typed"].append(typed(Instance(Release(release.ray, python), zygote, base)))
                    results["ours"].append(ours(up))
                    print(f"run {run + 1}: {results['typed'][-1]} {results['ours'][-1]} load {os.getloadavg()[0]:.1f}")
                up.native(connection, "DELETE", "/clusters/start")
        finally:
            zygote.close()
    medians = {
        way: {key: statistics.median(row[key] for row in rows) for key in ("alive", "jobs")}
        for way, rows in results.items()
    }
    return [
        {
            "what": f"1 head + 2 workers, {what}",
            "ray_start_s": round(medians["typed"][key], 2),
            "heliostat_s": round(medians["ours"][key], 2),
            "ratio": round(medians["ours"][key] / medians["typed"][key], 2),
        }
        for key, what in (("alive", "start call to all nodes alive"), ("jobs", "start call to the Jobs API answering"))
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    for row in main(parser.parse_args().runs):
        print(row)
