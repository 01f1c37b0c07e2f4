"""The life of a cluster from the command line, against a real server with the simulated engine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import yaml

from heliostat.client import Client
from heliostat.engines.simulated import World
from heliostat.testing.harness import HarnessServer

from .conftest import Type


def test_create_waits_shows_progress_and_prints_the_cluster(server: HarnessServer, world: World, type_: Type) -> None:
    world.start_seconds = 0.1
    answer = type_("cluster", "create", "demo", "--workers", "2", "--cpu", "1", "--memory", "1Gi", "--env", "A=1")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("demo  Running  3 of 3 nodes\n")
    assert "submit token   hidden" in answer.out
    assert answer.err.startswith("created demo (ray-")
    assert "starting demo" in answer.err
    assert "3 of 3 nodes up" in answer.err


def test_a_definition_goes_round(server: HarnessServer, type_: Type, tmp_path: Path) -> None:
    words = "--worker-group name=a,replicas=2,cpu=500m,env.X=1 --worker-group name=b,memory=3Gi --label team=vision"
    assert type_("cluster", "create", "one", "--no-start", *words.split()).code == 0
    text = type_("cluster", "get", "one", "-o", "yaml").out
    (tmp_path / "one.yaml").write_text(text)
    assert type_("cluster", "create", "two", "--no-start", "-f", str(tmp_path / "one.yaml")).code == 0
    assert type_("cluster", "create", "three", "--no-start", "-f", "-", stdin=text).code == 0
    one, two, three = (
        yaml.safe_load(type_("cluster", "get", name, "-o", "yaml").out) for name in ("one", "two", "three")
    )
    assert one["spec"] | {"name": ""} == two["spec"] | {"name": ""} == three["spec"] | {"name": ""}
    assert [row["name"] for row in one["spec"]["workers"]] == ["a", "b"]


def test_an_unknown_field_in_a_file_is_refused(server: HarnessServer, type_: Type) -> None:
    answer = type_("cluster", "create", "one", "-f", "-", stdin="wrokers: 2\n")
    assert answer.code == 2
    assert "wrokers" in answer.err


def test_stop_start_update_delete(server: HarnessServer, type_: Type) -> None:
    first = json.loads(type_("cluster", "create", "demo", "--workers", "1", "-o", "json").out)
    stopped = json.loads(type_("cluster", "stop", "demo", "--instance", first["instance"]["id"], "-o", "json").out)
    assert stopped["state"] == "Stopped"
    started = json.loads(type_("cluster", "start", first["id"], "-o", "json").out)
    assert started["instance"]["id"] != first["instance"]["id"]
    changed = type_("cluster", "update", "demo", "--workers", "3", "--head-cpu", "2", "-o", "json")
    document = json.loads(changed.out)
    assert document["modified"] and document["instance"]["nodes_wanted"] == 4
    assert "heliostat cluster restart demo" in changed.err
    restarted = json.loads(type_("cluster", "update", "demo", "--env", "A=1", "--restart", "-o", "json").out)
    assert not restarted["modified"]
    assert restarted["instance"]["nodes_up"] == 4
    gone = type_("cluster", "delete", "demo", "--stop", "-o", "json")
    assert json.loads(gone.out) == {"id": first["id"], "name": "demo", "deleted": True}
    assert type_("cluster", "get", "demo").code == 3


def test_what_is_not_waited_for_goes_on(server: HarnessServer, world: World, type_: Type) -> None:
    world.start_seconds = 30
    answer = type_("cluster", "create", "slow", "--no-wait", "-o", "json")
    assert json.loads(answer.out)["state"] == "Starting"
    assert "heliostat cluster get slow --watch" in answer.err
    assert type_("cluster", "delete", "slow", "--stop").code == 0


def test_quiet_leaves_stderr_empty(server: HarnessServer, type_: Type) -> None:
    assert type_("-q", "cluster", "create", "demo").err == ""


def test_nodes_events_and_why(server: HarnessServer, type_: Type) -> None:
    type_("cluster", "create", "demo", "--workers", "1")
    nodes = json.loads(type_("cluster", "nodes", "demo", "-o", "json").out)
    assert [row["kind"] for row in nodes] == ["head", "worker"]
    events = json.loads(type_("cluster", "events", "demo", "-o", "json").out)
    assert [row["reason"] for row in events][:2] == ["Created", "StartRequested"]
    assert json.loads(type_("cluster", "events", "demo", "--limit", "1", "-o", "json").out) == events[-1:]
    why = type_("cluster", "why", "demo").out
    assert why.startswith("demo is running")
    assert "Evidence" in why


def test_the_cause_of_a_failed_start_is_told(server: HarnessServer, world: World, type_: Type) -> None:
    world.failing["broken"] = "no space left on the device"
    answer = type_("cluster", "create", "broken", "-o", "json")
    assert answer.code == 1
    assert answer.out == ""
    assert "no space left on the device" in answer.err
    assert "heliostat cluster why broken" in answer.err


def test_lists_are_filtered(server: HarnessServer, type_: Type) -> None:
    for name in ("red", "green", "blue"):
        type_("cluster", "create", name, "--no-start")
    type_("cluster", "start", "red")
    assert [row["name"] for row in json.loads(type_("cluster", "list", "-o", "json").out)] == ["blue", "green", "red"]
    assert [row["name"] for row in json.loads(type_("cluster", "list", "--state", "running", "-o", "json").out)] == [
        "red"
    ]
    assert [
        row["name"] for row in json.loads(type_("cluster", "list", "--name", "e", "--limit", "2", "-o", "json").out)
    ] == [
        "blue",
        "green",
    ]


class Watch:
    """A ``--watch`` in a process of its own, read line by line."""

    def __init__(self, *words: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "heliostat.cli.main", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def end(self) -> int:
        self._process.send_signal(2)
        self._process.communicate(timeout=30)
        return self._process.returncode

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.communicate()


def test_events_are_followed(server: HarnessServer, type_: Type) -> None:
    type_("cluster", "create", "demo", "--no-start")
    with Watch("cluster", "events", "demo", "--watch") as watch:
        assert watch.line().split() == ["TIME", "ACTOR", "REASON", "MESSAGE"]
        assert "Created" in watch.line()
        type_("cluster", "start", "demo")
        assert "StartRequested" in watch.line()
        assert watch.end() == 130


def test_a_cluster_is_followed_until_it_is_gone(server: HarnessServer, type_: Type) -> None:
    type_("cluster", "create", "demo", "--no-start")
    with Watch("cluster", "get", "demo", "--watch", "-o", "json") as watch:
        assert json.loads(watch.line())["state"] == "Stopped"
        type_("cluster", "start", "demo")
        states = set()
        deadline = time.monotonic() + 30
        while "Running" not in states and time.monotonic() < deadline:
            row = json.loads(watch.line())
            states.add(row["state"])
            assert row["endpoints"] is None or row["endpoints"]["submit_token"] is None
        assert "Running" in states
        type_("cluster", "delete", "demo", "--stop")
        while line := watch.line():
            json.loads(line)


def test_lists_are_polled_for_what_changed(server: HarnessServer, type_: Type) -> None:
    type_("cluster", "create", "one", "--no-start")
    with Watch("cluster", "list", "--watch") as watch:
        assert watch.line().startswith("NAME")
        assert watch.line().startswith("one ")
        with Client() as client:
            client.clusters.create("two", start=False)
        assert watch.line().startswith("two ")
        assert watch.end() == 130
