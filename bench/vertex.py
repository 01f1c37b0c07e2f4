"""``create_ray_cluster`` of the vendor's SDK against our own client, in turns, by the same server; and what held GETs cost it.

Both make a cluster of one node on Ray 2.47.1, the newest that the SDK knows, and wait until it runs: ours by its events, the
SDK by a GET that the server holds. Both processes have imported everything and made a cluster before. The clusters are
deleted between the turns, which does not count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from support import BenchServer, server

from heliostat.client import Client
from heliostat.domain.releases import BUILT_IN
from tests.dialects.vertex.sdk.held import WAYS, measured
from tests.dialects.vertex.sdk.served import HELIOSTAT, SOURCE
from tests.environments import ready
from tests.sdk_environment import sdk_python

REQUIREMENTS = Path(__file__).parents[1] / "tests" / "dialects" / "vertex" / "sdk" / "requirements.txt"
SCRIPT = Path(__file__).with_name("vertex_client.py")
RELEASE = "ray-1.0.1"
NATIVE, GRPC, REST = "native", "grpc", "rest"


def start_sdk(up: BenchServer) -> subprocess.Popen[str]:
    """The SDK in a process of its own, set up as the documentation says."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(up.home), "HELIOSTAT_HOME": str(up.home)}
    printed = subprocess.run(
        [HELIOSTAT, "login", "--vertex"], env=environment, capture_output=True, text=True, check=True
    )
    (up.home / "vertex.sh").write_text(printed.stdout)
    words = ["sh", "-c", SOURCE, "sh", up.home / "vertex.sh", sdk_python("vertex-sdk", REQUIREMENTS), SCRIPT]
    with (up.home / "sdk.log").open("w") as log:
        return subprocess.Popen(
            words, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )


def by_sdk(sdk: subprocess.Popen[str], transport: str, name: str) -> float:
    if sdk.stdin is None or sdk.stdout is None:
        raise RuntimeError("the SDK's process has no pipes")
    sdk.stdin.write(f"{transport} {name}\n")
    sdk.stdin.flush()
    return float(sdk.stdout.readline())


def natively(client: Client, name: str) -> float:
    began = time.perf_counter()
    cluster = client.clusters.create(name, cpu=1, memory="2Gi", release=RELEASE).wait()
    took = time.perf_counter() - began
    cluster.delete(stop=True)
    while any(row.name == name for row in client.clusters.list()):
        time.sleep(0.1)
    return took


def creations(rounds: int) -> dict[str, list[float]]:
    """Way -> seconds of each round."""
    environments = ready([row for row in BUILT_IN if row.name == RELEASE])
    seen: dict[str, list[float]] = {NATIVE: [], GRPC: [], REST: []}
    with tempfile.TemporaryDirectory(prefix="hn", dir="/tmp", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "h"
        (home / "local").mkdir(parents=True, mode=0o700)
        (home / "local" / "environments").symlink_to(environments.folder)
        with server("local", home, "--warm", "0") as up:
            made = up.credentials
            with Client(made["endpoint"], made["token"], made["workspace_id"]) as client, start_sdk(up) as sdk:
                turns = {
                    NATIVE: lambda name: natively(client, name),
                    GRPC: lambda name: by_sdk(sdk, GRPC, name),
                    REST: lambda name: by_sdk(sdk, REST, name),
                }
                for way, turn in turns.items():
                    turn(f"first-{way}")
                ways = list(turns)
                for number in range(rounds):
                    for way in ways:
                        seen[way].append(turns[way](f"{way}-{number}"))
                        print(
                            f"round {number + 1} {way}: {seen[way][-1]:.2f} load {os.getloadavg()[0]:.1f}", flush=True
                        )
                    ways = ways[1:] + ways[:1]
    return seen


def main(rounds: int = 6, readers: int = 200) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    if rounds:
        seen = creations(rounds)
        medians = {way: statistics.median(row) for way, row in seen.items()}
        rows = [
            {
                "what": "head only, until it runs, "
                + ("our client" if way == NATIVE else f"create_ray_cluster, {way}"),
                "median_s": round(medians[way], 2),
                "least_s": round(min(seen[way]), 2),
                "most_s": round(max(seen[way]), 2),
                "more_s": round(medians[way] - medians[NATIVE], 2),
            }
            for way in seen
        ]
    for way in WAYS if readers else ():
        cost = measured(way, readers)
        each = round(1024 * cost.mib / readers)
        rows.append({"what": f"{readers} held GETs, {way}", "mib": round(cost.mib, 1), "kib_each": each})
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6, help="of creations; 0 for none")
    parser.add_argument("--readers", type=int, default=200, help="GETs that are held at once; 0 for none")
    options = parser.parse_args()
    for row in main(options.rounds, options.readers):
        print(row)
