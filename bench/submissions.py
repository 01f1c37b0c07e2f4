"""Jobs: how soon one runs against ``ray job submit`` on the same cluster, how far a followed log lags, and 1,000 of them.

*Running* is told by the job itself: its entry point writes the time into a file as its first act, so that neither way
profits from how it is asked. ``ray job submit`` is what a user types; its library, called in a process that has it
imported, is measured too, since most of the command's time is the start of Python and Ray.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support import BenchServer, cpu_seconds, server

from heliostat.domain.releases import BUILT_IN, DEFAULT
from tests.environments import ready

PATIENCE = 120
JOBS = 1000
CLIENTS = 8
LINES = 40
CLUSTER = {"name": "jobs", "release": DEFAULT, "head": {"cpu": "2", "memory": "2Gi"}, "workers": []}
LIBRARY = """
import sys, time
from ray.job_submission import JobSubmissionClient
client = JobSubmissionClient(sys.argv[1], headers={"ray-token": sys.argv[2]})
for line in sys.stdin:
    client.submit_job(entrypoint=line.strip())
    print("sent", flush=True)
"""


def main(runs: int = 5) -> list[dict[str, object]]:
    return [*latency(runs), thousand()]


# --- real Ray -------------------------------------------------------------------------------------------------------------


def latency(runs: int) -> list[dict[str, object]]:
    release = next(row for row in BUILT_IN if row.name == DEFAULT)
    environments = ready([release])
    python = environments[release.ray] / "bin" / "python"
    with tempfile.TemporaryDirectory(prefix="hj", dir="/tmp", ignore_cleanup_errors=True) as folder:
        home, marks = Path(folder) / "h", Path(folder) / "marks"
        marks.mkdir()
        (home / "local").mkdir(parents=True, mode=0o700)
        (home / "local" / "environments").symlink_to(environments.folder)
        with server("local", home) as up:
            connection = up.connection()
            up.native(connection, "POST", "/clusters", CLUSTER)
            try:
                found = _until_running(up, connection)
                rows = _in_turns(up, connection, found, python, marks, runs)
                lag = _lag(up, connection)
            finally:
                up.native(connection, "DELETE", "/clusters/jobs?stop=true")
                _until_gone(up, connection)
    return [
        {
            "what": "submit call to the entry point's first act",
            "heliostat_s": round(rows["ours"], 2),
            "ray_job_submit_s": round(rows["typed"], 2),
            "ratio": round(rows["ours"] / rows["typed"], 2),
            "ray_library_s": round(rows["library"], 2),
            "ratio_to_library": round(rows["ours"] / rows["library"], 2),
        },
        {"what": "a printed line to its follower", "median_s": lag[0], "worst_s": lag[1], "lines": LINES},
    ]


def _in_turns(
    up: BenchServer, connection: http.client.HTTPConnection, found: dict[str, str], python: Path, marks: Path, runs: int
) -> dict[str, float]:
    """Medians of the three ways, each once before it counts."""
    times: dict[str, list[float]] = {"ours": [], "typed": [], "library": []}
    with _library(python, found) as send:
        for run in range(runs + 1):
            for way, seconds in times.items():
                mark = marks / f"{way}-{run}"
                entrypoint = f"date +%s.%N > {mark}.new && mv {mark}.new {mark}"
                began = time.time()
                if way == "ours":
                    up.native(connection, "POST", "/jobs", {"entrypoint": entrypoint, "cluster": "jobs"})
                elif way == "typed":
                    _typed(python, found, entrypoint)
                else:
                    send(entrypoint)
                while not mark.exists():
                    if time.time() - began > PATIENCE:
                        raise RuntimeError(f"{way}: the job did not run")
                    time.sleep(0.01)
                if run:
                    seconds.append(float(mark.read_text()) - began)
            print(f"run {run}: " + ", ".join(f"{way} {row[-1]:.2f}" for way, row in times.items() if row))
    return {way: statistics.median(row) for way, row in times.items()}


def _typed(python: Path, found: dict[str, str], entrypoint: str) -> None:
    headers = f'{{"ray-token": "{found["submit_token"]}"}}'
    command = [python.parent / "ray", "job", "submit", "--no-wait", "--address", found["jobs"], "--headers", headers]
    subprocess.run(
        [*command, "--", "sh", "-c", entrypoint], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=_environment(),
    )  # fmt: skip


@contextlib.contextmanager
def _library(python: Path, found: dict[str, str]) -> Iterator[object]:
    """A function that submits through Ray's own library in a process that has it imported."""
    process = subprocess.Popen(
        [python, "-c", LIBRARY, found["jobs"], found["submit_token"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, bufsize=1, env=_environment(),
    )  # fmt: skip

    def send(entrypoint: str) -> None:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(entrypoint + "\n")
        if process.stdout.readline() != "sent\n":
            raise RuntimeError("the library did not submit")

    try:
        yield send
    finally:
        process.kill()
        process.wait()


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "HELIOSTAT_"))}


def _lag(up: BenchServer, connection: http.client.HTTPConnection) -> tuple[float, float]:
    """Median and worst time from the printing of a line to its arrival at a follower of the API, in seconds."""
    program = (
        f"import time\nfor n in range({LINES}):\n    print('LINE', time.time(), flush=True)\n    time.sleep(0.15)\n"
    )
    job = up.native(connection, "POST", "/jobs", {"entrypoint": f'python -c "{program}"', "cluster": "jobs"})
    follower = up.connection()
    path = f"/v1/workspaces/{up.credentials['workspace_id']}/jobs/{job['id']}/logs/driver?follow=true"
    follower.request("GET", path, headers={"authorization": f"Bearer {up.credentials['token']}"})
    answer = follower.getresponse()
    lags: list[float] = []
    for line in answer:
        if line.startswith(b"LINE "):
            lags.append(time.time() - float(line.split()[1]))
    if len(lags) != LINES:
        raise RuntimeError(f"{len(lags)} of {LINES} lines arrived")
    return round(statistics.median(lags), 2), round(max(lags), 2)


def _until_running(up: BenchServer, connection: http.client.HTTPConnection) -> dict[str, str]:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = up.native(connection, "GET", "/clusters/jobs")
        if found["state"] == "Running":
            endpoints: dict[str, str] = found["endpoints"]
            return {"jobs": endpoints["job_url"], "submit_token": endpoints["submit_token"]}
        time.sleep(0.05)
    raise RuntimeError("the cluster did not come up")


def _until_gone(up: BenchServer, connection: http.client.HTTPConnection) -> None:
    deadline = time.monotonic() + PATIENCE
    while up.native(connection, "GET", "/clusters")["clusters"] and time.monotonic() < deadline:
        time.sleep(0.05)


# --- the simulated engine -------------------------------------------------------------------------------------------------


def thousand() -> dict[str, object]:
    """1,000 jobs, each on a temporary cluster of its own, from the first call until nothing of any is left."""
    with server("simulated") as up:
        began, cpu = time.perf_counter(), cpu_seconds(up.pid)

        def submit(share: int) -> None:
            connection = up.connection()
            for number in range(share, JOBS, CLIENTS):
                up.native(connection, "POST", "/jobs", {"name": f"s-{number}", "entrypoint": "echo hello"})

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(submit, range(CLIENTS)))
        asked = time.perf_counter() - began
        connection = up.connection()
        while True:
            left = sum(
                len(up.native(connection, "GET", f"/jobs?limit=1&status={status}")["jobs"])
                for status in ("Submitted", "Pending", "Running")
            )
            if not left and not up.native(connection, "GET", "/clusters?limit=1&temporary=true")["clusters"]:
                break
            if time.perf_counter() - began > 300:
                raise RuntimeError("not all jobs ended within 300 s")
            time.sleep(0.05)
        took = time.perf_counter() - began
        done = up.native(connection, "GET", "/jobs?limit=1&status=Failed")["jobs"]
        if done:
            raise RuntimeError(f"a job failed: {done}")
        return {
            "what": f"{JOBS} jobs, each on a cluster of its own, simulated engine",
            "submitted_s": round(asked, 2),
            "ended_s": round(took, 2),
            "server_cpu_s": round(cpu_seconds(up.pid) - cpu, 2),
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", choices=["latency", "thousand"])
    arguments = parser.parse_args()
    parts = {"latency": lambda: latency(arguments.runs), "thousand": lambda: [thousand()]}
    for row in parts[arguments.only]() if arguments.only else main(arguments.runs):
        print(row)
