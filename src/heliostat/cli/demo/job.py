"""A Ray job through the gateway: submitted, awaited and read over Ray's Jobs REST API, without Ray on this side.

What a user does with ``ray job submit --address JOB_URL --headers '{"ray-token": "..."}'`` is shown here as three HTTP
calls. The job's code travels in its entrypoint, so that nothing needs to be uploaded or installed for it.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

SCRIPT = """\
import json, os, random, ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On
ray.init(log_to_driver=False)
@ray.remote(num_cpus=0)
def report(samples):
    hits = sum(random.random() ** 2 + random.random() ** 2 < 1 for _ in range(samples))
    node = ray.get_runtime_context().get_node_id()
    return dict(node=node, kind=os.environ.get("RAY_NODE_TYPE_NAME", ""), pid=os.getpid(), hits=hits, samples=samples)
nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
reports = ray.get([report.options(scheduling_strategy=On(node, soft=False)).remote(200_000) for node in nodes])
pi = 4 * sum(row["hits"] for row in reports) / sum(row["samples"] for row in reports)
print("HELIOSTAT-DEMO " + json.dumps(dict(ray=ray.__version__, pi=pi, reports=reports)))
"""
MARK = "HELIOSTAT-DEMO "
ENTRYPOINT = f"python -c {shlex.quote(SCRIPT)}"
POLL_SECONDS = 0.3
ENDED = {"SUCCEEDED", "FAILED", "STOPPED"}


class JobFailed(Exception):
    """The job could not be submitted or did not succeed; the text has Ray's own message and the log's tail."""


@dataclass(frozen=True)
class NodeReport:
    """What one node of the cluster told."""

    node: str
    """Ray's node id, hex."""
    kind: str
    """Node group, as the node itself knows it."""
    pid: int
    hits: int
    samples: int


@dataclass(frozen=True)
class Result:
    job: str
    """Submission id."""
    ray: str
    """Ray's version, as the job saw it."""
    pi: float
    """4 x hits / samples over all nodes: a number that is right only when every node has counted."""
    reports: tuple[NodeReport, ...]


class Jobs:
    """Ray's Jobs API behind the gateway, opened with a cluster's submit token."""

    def __init__(self, job_url: str, submit_token: str, *, timeout: float = 30.0) -> None:
        self._http = httpx.Client(
            base_url=job_url, headers={"ray-token": submit_token}, timeout=timeout, trust_env=False
        )

    def submit(self, entrypoint: str) -> str:
        """The submission id of a new job."""
        reply = self._call("POST", "/api/jobs/", json={"entrypoint": entrypoint, "runtime_env": {}})
        return str(reply["submission_id"])

    def status(self, job: str) -> tuple[str, str]:
        """(``PENDING`` | ``RUNNING`` | ``SUCCEEDED`` | ``FAILED`` | ``STOPPED``, Ray's message)."""
        reply = self._call("GET", f"/api/jobs/{job}")
        return str(reply["status"]), str(reply.get("message") or "")

    def logs(self, job: str) -> str:
        return str(self._call("GET", f"/api/jobs/{job}/logs")["logs"])

    def close(self) -> None:
        self._http.close()

    def _call(self, method: str, path: str, **extra: Any) -> dict[str, Any]:  # httpx's arguments, JSON's values
        reply = self._http.request(method, path, **extra)
        if reply.status_code != 200:
            raise JobFailed(f"{method} {path} was answered with {reply.status_code}: {reply.text[:500].strip()}")
        found: dict[str, Any] = reply.json()
        return found


def run(jobs: Jobs, *, deadline: float, check: Callable[[], None]) -> Result:
    """Submit the demo's job and wait for it until ``deadline`` (monotonic); ``check`` may raise to end the wait.

    Raises JobFailed, TimeoutError and httpx.HTTPError.
    """
    job = jobs.submit(ENTRYPOINT)
    while True:
        check()
        status, message = jobs.status(job)
        if status in ENDED:
            break
        if time.monotonic() > deadline:
            raise TimeoutError(f"the job {job} is still {status.lower()}")
        time.sleep(POLL_SECONDS)
    logs = jobs.logs(job)
    if status != "SUCCEEDED":
        raise JobFailed(f"the job {job} ended as {status.lower()}: {message}\n{tail(logs)}")
    return parse(job, logs)


def parse(job: str, logs: str) -> Result:
    """The result in the job's log. Raises JobFailed when it is not there."""
    for line in logs.splitlines():
        if line.startswith(MARK):
            found = json.loads(line.removeprefix(MARK))
            return Result(job, found["ray"], found["pi"], tuple(NodeReport(**row) for row in found["reports"]))
    raise JobFailed(f"the job {job} succeeded without its result in the log:\n{tail(logs)}")


def tail(text: str, lines: int = 20) -> str:
    """The last lines of a log, indented."""
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines()[-lines:])
