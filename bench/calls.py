"""CPU of the server per request: a list of 100 clusters and one cluster, signed (EMR) and by bearer token (native)."""

from __future__ import annotations

import time
from collections.abc import Callable

from support import BenchServer, cpu_seconds, server

REQUESTS = 600
CLUSTER = {"start": True, "head": {"cpu": "1", "memory": "2Gi"}, "workers": [{"name": "g", "replicas": 2, "cpu": "1"}]}


def measure(up: BenchServer, what: str, call: Callable[[], object]) -> dict[str, object]:
    """CPU of the server process and time on the wire, per call, after a warm-up."""
    for _ in range(50):
        call()
    cpu, wall = cpu_seconds(up.pid), time.perf_counter()
    for _ in range(REQUESTS):
        call()
    used, took = cpu_seconds(up.pid) - cpu, time.perf_counter() - wall
    return {"what": what, "cpu_ms": round(used / REQUESTS * 1000, 3), "wall_ms": round(took / REQUESTS * 1000, 3)}


def main() -> list[dict[str, object]]:
    with server("simulated") as up:
        connection = up.connection()
        for number in range(100):
            up.native(connection, "POST", "/clusters", CLUSTER | {"name": f"bench-{number}"})
        deadline = time.monotonic() + 60
        while any(
            row["state"] != "Running" for row in up.emr(connection, "/rayCluster", "pageSize=100")["rayClusters"]
        ):
            if time.monotonic() > deadline:
                raise RuntimeError("the clusters did not come up")
        one = up.emr(connection, "/rayCluster", "pageSize=100")["rayClusters"][50]["clusterId"]
        return [
            measure(up, "EMR ListRayCluster of 100, signed", lambda: up.emr(connection, "/rayCluster", "pageSize=100")),
            measure(up, "EMR GetRayCluster, signed", lambda: up.emr(connection, f"/rayCluster/{one}")),
            measure(up, "native list of 100, bearer", lambda: up.native(connection, "GET", "/clusters?limit=100")),
            measure(up, "native get, bearer", lambda: up.native(connection, "GET", f"/clusters/{one}")),
        ]


if __name__ == "__main__":
    for row in main():
        print(row)
