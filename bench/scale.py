"""1,000 clusters to Running on the simulated engine, through the native API, by one client with 8 connections."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from support import cpu_seconds, server

CLUSTERS = 1000
CLIENTS = 8


def main() -> list[dict[str, object]]:
    with server("simulated") as up:
        began, cpu = time.perf_counter(), cpu_seconds(up.pid)

        def create(share: int) -> None:
            connection = up.connection()
            for number in range(share, CLUSTERS, CLIENTS):
                body = {"name": f"s-{number}", "workers": [{"name": "g", "replicas": 2}]}
                up.native(connection, "POST", "/clusters", body)

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(create, range(CLIENTS)))
        asked = time.perf_counter() - began
        connection = up.connection()
        while up.native(connection, "GET", "/clusters?limit=1&state=Starting")["clusters"]:
            if time.perf_counter() - began > 120:
                raise RuntimeError("not all clusters came up within 120 s")
            time.sleep(0.02)
        took = time.perf_counter() - began
        return [
            {
                "what": f"{CLUSTERS} clusters to Running, simulated engine",
                "created_s": round(asked, 2),
                "running_s": round(took, 2),
                "server_cpu_s": round(cpu_seconds(up.pid) - cpu, 2),
            }
        ]


if __name__ == "__main__":
    for row in main():
        print(row)
