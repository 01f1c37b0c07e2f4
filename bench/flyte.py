"""A Ray task of Flyte that does nothing, through the connector, against ``ray job submit`` of the same entry point, in turns.

Both run on one cluster that is up. The task's time is from CreateTask until GetTask says SUCCEEDED, when what the task has
left has been read; the other is from the POST to the cluster's Jobs API, through the gateway, until that says SUCCEEDED.
Both are asked every 20 ms. Command and environment are the same, made by the translation that the connector uses: in both
``pyflyte-fast-execute`` unpacks the task's code, and the task begins with ``ray.init``, which is most of the time.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from flyteidl.admin import agent_pb2
from flyteidl.core import execution_pb2, identifier_pb2, interface_pb2, literals_pb2, tasks_pb2, types_pb2
from flyteidl.service import agent_pb2_grpc
from google.protobuf import struct_pb2
from support import BenchServer, server

from heliostat.dialects.flyte.settings import FlyteSettings
from heliostat.dialects.flyte.translate.submission import RunPlace, submission
from heliostat.dialects.flyte.translate.task import CLUSTER_LABEL, read_task
from heliostat.domain.installation import Installation
from heliostat.domain.releases import BUILT_IN
from tests.environments import ready

# flyteidl's messages have types that only its newest releases tell, so they are Any here.
PATIENCE = 120
LOOK_SECONDS = 0.02
RELEASE = "flyte-1.3.1"
CLUSTER = {"name": "flyte", "release": RELEASE, "head": {"cpu": "2", "memory": "2Gi"}, "workers": []}
SUCCEEDED = execution_pb2.TaskExecution.SUCCEEDED
OVER = (SUCCEEDED, execution_pb2.TaskExecution.FAILED, execution_pb2.TaskExecution.RETRYABLE_FAILED)
TASK = """
from flytekit import task
from flytekitplugins.ray import RayJobConfig, WorkerNodeConfig

@task(task_config=RayJobConfig(worker_node_config=[WorkerNodeConfig(group_name="workers", replicas=0)]))
def nothing(number: int) -> int:
    return number
"""


class Bucket:
    """Where the data are, below the server's own root."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True)
        self.code = self._at("code.tar.gz")
        with tarfile.open(folder / "code.tar.gz", "w:gz") as archive:
            entry = tarfile.TarInfo("noop.py")
            entry.size = len(TASK.encode())
            archive.addfile(entry, io.BytesIO(TASK.encode()))

    def inputs(self, values: literals_pb2.LiteralMap, name: str) -> str:
        (self._folder / name).mkdir()
        (self._folder / name / "inputs.pb").write_bytes(values.SerializeToString())
        return self._at(f"{name}/inputs.pb")

    def outputs(self, name: str) -> str:
        return self._at(f"{name}/0")

    def check(self, name: str) -> None:
        """The task was really run."""
        if not (self._folder / name / "0" / "outputs.pb").is_file():
            raise RuntimeError(f"{name}: the task left no outputs")

    def _at(self, path: str) -> str:
        return f"file://{self._folder / path}"


def main(runs: int = 8) -> list[dict[str, object]]:
    release = next(row for row in BUILT_IN if row.name == RELEASE)
    environments = ready([release])
    with tempfile.TemporaryDirectory(prefix="hf", dir="/tmp", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "h"
        (home / "local").mkdir(parents=True, mode=0o700)
        (home / "local" / "environments").symlink_to(environments.folder)
        with server("local", home, "--warm", "0") as up, cluster(up) as (jobs, token):
            return measured(up, Bucket(home / "flyte" / "bench"), jobs, token, runs)


def measured(up: BenchServer, bucket: Bucket, jobs: str, token: str, runs: int) -> list[dict[str, object]]:
    times: dict[str, list[float]] = {"flyte": [], "ray": []}
    answered: list[float] = []
    place = jobs.partition("://")[2].partition("/")[0]
    connection = http.client.HTTPConnection(place, timeout=PATIENCE)
    with grpc.insecure_channel(f"127.0.0.1:{up.port}") as channel:
        stub = agent_pb2_grpc.AsyncAgentServiceStub(channel)
        bearer = (("authorization", f"Bearer {up.credentials['token']}"),)
        ways = list(times)
        for run in range(runs + 1):
            for way in ways:
                name = f"{way}-{run}"
                request = asked(bucket, name)
                began = time.perf_counter()
                if way == "flyte":
                    first = by_connector(stub, bearer, request, began)
                else:
                    by_jobs_api(connection, token, request, name)
                took = time.perf_counter() - began
                bucket.check(name)
                if run:  # the first of each warms up
                    times[way].append(took)
                    answered += [first] if way == "flyte" else []
                    print(f"run {run} {way}: {took:.2f} load {os.getloadavg()[0]:.1f}", flush=True)
            ways.reverse()
    medians = {way: statistics.median(row) for way, row in times.items()}
    return [
        {
            "what": "a Ray task of Flyte that does nothing, until it has succeeded",
            "connector_s": round(medians["flyte"], 2),
            "ray_job_submit_s": round(medians["ray"], 2),
            "ratio": round(medians["flyte"] / medians["ray"], 2),
            "more_s": round(medians["flyte"] - medians["ray"], 2),
            "connector_range_s": f"{min(times['flyte']):.2f}-{max(times['flyte']):.2f}",
            "ray_range_s": f"{min(times['ray']):.2f}-{max(times['ray']):.2f}",
        },
        {
            "what": "CreateTask answers",
            "median_ms": round(1000 * statistics.median(answered), 1),
            "most_ms": round(1000 * max(answered), 1),
        },
    ]


def by_connector(stub: Any, bearer: Any, request: Any, began: float) -> float:
    """Returns after how long CreateTask answered."""
    meta = stub.CreateTask(request, metadata=bearer).resource_meta
    answered = time.perf_counter() - began
    ask = agent_pb2.GetTaskRequest(resource_meta=meta, task_type="ray", output_prefix=request.output_prefix)

    def over() -> bool:
        found = stub.GetTask(ask, metadata=bearer).resource
        if found.phase in OVER and found.phase != SUCCEEDED:
            raise RuntimeError(f"the task failed: {found.message}")
        return bool(found.phase == SUCCEEDED)

    until(over)
    return answered


def by_jobs_api(connection: http.client.HTTPConnection, token: str, request: Any, name: str) -> None:
    """What the connector would submit, given to Ray as it is."""
    id = request.task_execution_metadata.task_execution_id
    owner = id.node_execution_id.execution_id
    place = RunPlace(
        project=owner.project, domain=owner.domain, execution=owner.name, node=id.node_execution_id.node_id,
        attempt=id.retry_attempt, output_prefix=request.output_prefix,
        task=(id.task_id.project, id.task_id.domain, id.task_id.name, id.task_id.version),
    )  # fmt: skip
    settings = FlyteSettings()
    wish = submission(read_task(request.template, settings, Installation()), place, settings, name)
    body = {"submission_id": name, "entrypoint": wish.entrypoint, "runtime_env": dict(wish.runtime_env)}

    def call(method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"ray-token": token, "content-type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return json.loads(text)

    call("POST", "/api/jobs/", body)

    def over() -> bool:
        found = call("GET", f"/api/jobs/{name}")
        if found["status"] in ("FAILED", "STOPPED"):
            raise RuntimeError(f"the job failed: {found['message']}")
        return bool(found["status"] == "SUCCEEDED")

    until(over)


def asked(bucket: Bucket, name: str) -> Any:
    """As a propeller asks for one attempt, with the command as flytekit writes it and the arguments filled in."""
    values = literals_pb2.LiteralMap()
    values.literals["number"].scalar.primitive.integer = 5
    outputs = bucket.outputs(name)
    task = identifier_pb2.Identifier(
        resource_type=identifier_pb2.TASK, project="bench", domain="development", name="noop.nothing", version="1"
    )
    integer = interface_pb2.Variable(type=types_pb2.LiteralType(simple=types_pb2.INTEGER))
    command = [
        "pyflyte-fast-execute", "--additional-distribution", bucket.code, "--dest-dir", ".", "--",
        "pyflyte-execute", "--inputs", bucket.inputs(values, name), "--output-prefix", outputs,
        "--raw-output-data-prefix", f"{outputs}/raw", "--checkpoint-path", f"{outputs}/raw/_flytecheckpoints",
        "--prev-checkpoint", '""', "--resolver", "flytekit.core.python_auto_container.default_task_resolver", "--",
        "task-module", "noop", "task-name", "nothing",
    ]  # fmt: skip
    custom = struct_pb2.Struct()
    custom.update({"rayCluster": {"workerGroupSpec": [{"groupName": "workers", "replicas": 0}]}})
    template = tasks_pb2.TaskTemplate(
        id=task,
        type="ray",
        custom=custom,
        interface=interface_pb2.TypedInterface(
            inputs=interface_pb2.VariableMap(variables={"number": integer}),
            outputs=interface_pb2.VariableMap(variables={"o0": integer}),
        ),
        container=tasks_pb2.Container(image="flytekit:py3.11-1.16.31", args=command),
    )
    template.metadata.metadata.labels[CLUSTER_LABEL] = str(CLUSTER["name"])
    request = agent_pb2.CreateTaskRequest(inputs=values, template=template, output_prefix=outputs)
    id = request.task_execution_metadata.task_execution_id
    id.task_id.CopyFrom(task)
    id.node_execution_id.node_id = "n0"
    owner = id.node_execution_id.execution_id
    owner.project, owner.domain, owner.name = "bench", "development", name
    return request


@contextmanager
def cluster(up: BenchServer) -> Iterator[tuple[str, str]]:
    """Address of the Jobs API and token of a cluster that is up."""
    connection = up.connection()
    up.native(connection, "POST", "/clusters", CLUSTER)
    path = f"/clusters/{CLUSTER['name']}"
    try:
        until(lambda: up.native(connection, "GET", path)["state"] == "Running", seconds=0.1)
        endpoints = up.native(connection, "GET", path)["endpoints"]
        yield endpoints["job_url"], endpoints["submit_token"]
    finally:
        connection = up.connection()
        up.native(connection, "DELETE", f"{path}?stop=true")
        until(lambda: not up.native(connection, "GET", "/clusters")["clusters"], seconds=0.1)


def until(done: Callable[[], bool], seconds: float = LOOK_SECONDS) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError(f"it took more than {PATIENCE} s")
        time.sleep(seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=8)
    for row in main(parser.parse_args().runs):
        print(row)
