"""How long one head and two workers take: by zygote and shims, against ``ray start`` typed node after node.

Both are measured in the same run, by the same observer, in turns, from the same environment with compiled bytecode:
seconds from the first command until the GCS has three nodes ALIVE, and until the Jobs API answers.

    python bench/node_start.py [--runs 5] [--release 2.60.0] [--only ours]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from heliostat_node import processes  # noqa: E402
from tests.environments import TESTED, ready  # noqa: E402
from tests.node.support import Instance, Release, Zygote, free_port  # noqa: E402

NODES = 3
MEASURES = ("alive", "jobs")

OBSERVER = """
import json, os, signal, socket, sys, time, http.client
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
wish = json.loads(sys.stdin.readline())
os.environ.update(wish["environment"])
from ray._raylet import GcsClient
import ray._private.node
print("ready", flush=True)
sys.stdin.readline()
def port(host, number):
    while True:
        try:
            return socket.create_connection((host, number), timeout=1).close()
        except OSError:
            time.sleep(0.01)
port(wish["host"], wish["gcs"])
signal.alarm(120)
client, seen = GcsClient(address=f"{wish['host']}:{wish['gcs']}"), {}
while len(seen) < 2:
    time.sleep(0.03)
    if "alive" not in seen:
        nodes = client.get_all_node_info(timeout=5).values()
        if sum(node.state == 0 for node in nodes) >= wish["nodes"]:
            seen["alive"] = time.time()
    if "jobs" not in seen:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", wish["dashboard"], timeout=5)
            connection.request("GET", "/api/jobs/", headers={"User-Agent": "bench", **wish["headers"]})
            if connection.getresponse().status == 200:
                seen["jobs"] = time.time()
        except OSError:
            pass
print(json.dumps(seen), flush=True)
"""


class Observer:
    """A process in the Ray environment that watches one cluster come up."""

    def __init__(self, instance: Instance, host: str, variables: dict[str, str]) -> None:
        command = [str(instance.release.python), "-I", "-c", OBSERVER]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        headers = {"Authorization": f"Bearer {instance.token}"} if instance.release.features.token_auth else {}
        wish = {"host": host, "gcs": instance.gcs_port, "dashboard": instance.dashboard_port, "nodes": NODES}
        self._say(json.dumps({**wish, "headers": headers, "environment": variables}))
        self._hear()

    def go(self) -> None:
        """The clock starts."""
        self.started = time.time()
        self._say("go")

    def result(self) -> dict[str, float]:
        """Seconds from the start to each measure."""
        seen = json.loads(self._hear())
        self._process.wait()
        return {name: seen[name] - self.started for name in MEASURES}

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def auth(instance: Instance) -> dict[str, str]:
    """What a Ray process needs to use the instance's token."""
    if not instance.release.features.token_auth:
        return {}
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(instance.base / "token")}


def ours(instance: Instance) -> dict[str, float]:
    """All three nodes asked for at once."""
    observer = Observer(instance, "127.0.0.1", auth(instance))
    specs = [instance.spec("head"), instance.spec("worker"), instance.spec("worker")]
    observer.go()
    try:
        for spec in specs:
            instance.start(spec)
        return observer.result() | {"cpu": cpu_seconds(instance.all_pids())}
    finally:
        instance.kill()


def typed(instance: Instance) -> dict[str, float]:
    """``ray start --head``, then ``ray start --address`` twice, each when the one before has returned."""
    host = routable()
    variables = {
        "PATH": f"{instance.release.python.parent}:/usr/bin:/bin",
        "HOME": str(instance.base),
        "RAY_USAGE_STATS_ENABLED": "0",
        **auth(instance),
    }
    common = ["--num-cpus=1", "--memory=1073741824", f"--object-store-memory={100 << 20}", "--disable-usage-stats"]
    common += ["--dashboard-agent-listen-port=0"]
    head = ["--head", f"--port={instance.gcs_port}", f"--dashboard-port={instance.dashboard_port}"]
    head += [f"--ray-client-server-port={free_port()}", f"--temp-dir={instance.base / 'r'}"]
    observer = Observer(instance, host, variables)
    sessions: list[int] = []
    observer.go()
    try:
        for options in (head, *[[f"--address={host}:{instance.gcs_port}"]] * (NODES - 1)):
            ray = str(instance.release.python.with_name("ray"))
            command = [str(instance.release.python), ray, "start", *options, *common]
            with (instance.base / "typed.log").open("w") as log:
                process = subprocess.Popen(
                    command, env=variables, stdout=log, stderr=log, start_new_session=True, cwd=instance.base
                )
            sessions.append(process.pid)
            if process.wait(120):
                raise SystemExit(f"failed: {command}\n{(instance.base / 'typed.log').read_text()}")
        return observer.result() | {"cpu": cpu_seconds(members(sessions))}
    finally:
        while left := members(sessions):
            processes.send(left, signal.SIGKILL)
            time.sleep(0.01)


def members(sessions: list[int]) -> set[int]:
    """Live processes of these sessions."""
    table = processes.table().values()
    return {process.pid for process in table if process.session in sessions and process.alive}


def cpu_seconds(pids: set[int]) -> float:
    """CPU time of these processes and of the children that they have collected."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def routable() -> str:
    """The address that ``ray start`` will choose: it does not take 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 53))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def main() -> None:
    """Run in turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--release", default="2.60.0")
    parser.add_argument("--only", choices=("ours", "typed"))
    options = parser.parse_args()
    environments = ready(row for row in TESTED if row.ray == options.release)
    release = Release(options.release, environments[options.release] / "bin" / "python")
    ways = {"typed": typed, "ours": ours}
    if options.only:
        ways = {options.only: ways[options.only]}
    results: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    zygote = Zygote(release.python)
    zygote.ask(op="ping")
    with tempfile.TemporaryDirectory(prefix="hn", dir="/tmp", ignore_cleanup_errors=True) as base:
        for run in range(options.runs):
            for name, way in ways.items():
                result = way(Instance(release, zygote, Path(base)))
                results[name].append(result)
                figures = "  ".join(f"{key} {value:6.2f}" for key, value in result.items())
                print(f"run {run + 1}  {name:6} {figures}  load {os.getloadavg()[0]:.2f}", flush=True)
    zygote.close()
    medians = {
        name: {key: statistics.median(run[key] for run in runs) for key in (*MEASURES, "cpu")}
        for name, runs in results.items()
    }
    for name, median in medians.items():
        print(f"median {name:6} " + "  ".join(f"{key} {value:6.2f}" for key, value in median.items()))
    if len(medians) == len({"typed", "ours"}):
        ratios = {key: medians["ours"][key] / medians["typed"][key] for key in medians["ours"]}
        print("ratio         " + "  ".join(f"{key} {value:6.2f}" for key, value in ratios.items()))


if __name__ == "__main__":
    main()
