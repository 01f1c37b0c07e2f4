"""One cluster seen by three: the SDKs of both vendors, and our own command line."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tests.conformance.emr
from tests.conformance.emr.sdk import DRIVER, Driver, Sdk
from tests.sdk_environment import sdk_python

from .served import Served, clean

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
SECONDS = 30


class Vertex:
    """``vertex_ray`` in a process of its own; raises RuntimeError with what the SDK raised."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, *words: str) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(json.dumps(words) + "\n")
        stdin.flush()
        answer = json.loads(stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def until(self, state: str, name: str) -> Any:
        deadline = time.monotonic() + SECONDS
        while (found := self("get", name))["state"] != state:
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        return found

    def until_gone(self, name: str) -> None:
        deadline = time.monotonic() + SECONDS
        with pytest.raises(RuntimeError, match="not found"):
            while found := self("get", name):
                assert time.monotonic() < deadline, found
                time.sleep(0.1)


@pytest.fixture(scope="module")
def vertex(simulated: Served) -> Iterator[Vertex]:
    with simulated.talk("cross.py") as process:
        yield Vertex(process)


@pytest.fixture(scope="module")
def emr(simulated: Served) -> Iterator[Sdk]:
    python = sdk_python("emr-sdk", Path(tests.conformance.emr.__file__ or "").with_name("requirements.txt"))
    made = simulated.credentials
    process = subprocess.Popen(
        simulated.room.command(python, DRIVER), env=clean(simulated.home), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    config = {
        "access_key_id": made["access_key_id"],
        "access_key_secret": made["access_key_secret"],
        "endpoint": made["endpoint"].removeprefix("http://"),
        "protocol": "http",
    }
    with contextlib.closing(process.stdin):  # type: ignore[type-var] # it has one
        yield Sdk(Driver(process), config, made["workspace_id"])
    process.wait(20)


def test_made_in_vertex(simulated: Served, vertex: Vertex, emr: Sdk) -> None:
    name = vertex("create", "of-vertex")
    (row,) = [row for row in emr("ListRayCluster", pageSize=100)["rayClusters"] if row["name"] == "of-vertex"]
    assert row["state"] == "Running"
    found = emr.get(row["clusterId"])
    assert (found["headSpec"]["cpu"], found["headSpec"]["memory"]) == ("2", "7.5Gi")
    assert [(group["replica"], group["cpu"], group["memory"]) for group in found["workerSpec"]] == [(1, "4", "15Gi")]
    ours = simulated.look("cluster", "get", "of-vertex")
    assert (ours["id"], ours["state"]) == (row["clusterId"], "Running")
    assert ours["spec"]["labels"] == {"made": "here"}

    vertex("resize", "of-vertex", "3")
    assert [group["replica"] for group in emr.get(row["clusterId"])["workerSpec"]] == [3]
    assert vertex("get", "of-vertex")["workers"] == [["n1-standard-4", 3]]
    emr("StopRayCluster", row["clusterId"])
    emr.state(row["clusterId"], "Stopped")
    assert vertex("get", "of-vertex")["state"] == "ERROR"
    assert "heliostat cluster start of-vertex" in vertex("error", "of-vertex")
    emr("StartRayCluster", row["clusterId"])
    vertex.until("RUNNING", "of-vertex")
    assert vertex("error", "of-vertex") == ""
    assert vertex("get", name.rpartition("/")[2])["workers"] == [["n1-standard-4", 3]]
    vertex("delete", "of-vertex")
    vertex.until_gone("of-vertex")
    assert "of-vertex" not in str(emr("ListRayCluster", pageSize=100)) + simulated.heliostat("cluster", "list")


def test_made_in_emr(simulated: Served, vertex: Vertex, emr: Sdk) -> None:
    identity = emr.create("of-emr")
    stopped = vertex("get", "of-emr")
    assert (stopped["state"], stopped["workers"]) == ("ERROR", [["custom-1-1024", 1]])
    emr("StartRayCluster", identity)
    running = vertex.until("RUNNING", "of-emr")
    assert running["name"].endswith("/persistentResources/of-emr")
    assert running in vertex("list")
    for size in (2, 3):  # workers like the head: the client resizes them in the head's pool
        vertex("resize", "of-emr", str(size))
        assert [group["replica"] for group in emr.get(identity)["workerSpec"]] == [size]
        assert vertex("get", "of-emr")["workers"] == [["custom-1-1024", size]]
    emr.remove(identity)
    vertex.until_gone("of-emr")


def test_made_with_our_command_line(simulated: Served, vertex: Vertex, emr: Sdk) -> None:
    words = ("--workers", "2", "--cpu", "2", "--memory", "4Gi", "--label", "team=ours")
    made = simulated.look("cluster", "create", "A name for people", *words)
    (listed,) = [row for row in vertex("list") if row["name"].endswith(made["id"])]
    assert (listed["state"], listed["labels"]) == ("RUNNING", {"team": "ours"})
    assert listed["workers"] == [["custom-2-4096", 2]]
    assert emr.get(made["id"])["name"] == "A name for people"
    vertex("delete", made["id"])
    vertex.until_gone(made["id"])
    assert "A name for people" not in simulated.heliostat("cluster", "list", "-o", "json")
