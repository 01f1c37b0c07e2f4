"""``cluster apply``, its plan, and ``cluster restart``, against a running server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heliostat.engines.simulated import World
from heliostat.testing.harness import HarnessServer

from .conftest import Type

BEFORE = """\
name: demo
head: {cpu: 1, memory: 1Gi}
workers:
- {name: w, replicas: 1, cpu: 1, memory: 1Gi, env: {KEY: hush-one}}
idle_stop_after: 30m
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "demo.yaml"
    path.write_text(BEFORE)
    return path


def test_a_definition_is_planned_applied_and_restarted(server: HarnessServer, file: Path, type_: Type) -> None:
    planned = type_("cluster", "apply", "-f", str(file), "--plan")
    assert (planned.code, planned.out) == (10, "") and "demo would be made" in planned.err
    assert type_("cluster", "get", "demo").code == 3, "a plan makes nothing"
    made = json.loads(type_("cluster", "apply", "-f", str(file), "-o", "json").out)
    assert made["state"] == "Running" and made["spec"]["idle_stop_after"] == "30m"
    nothing = type_("cluster", "apply", "-f", str(file), "--dry-run")
    assert (nothing.code, nothing.out) == (0, "") and "already" in nothing.err

    file.write_text(BEFORE.replace("replicas: 1", "replicas: 2").replace("30m", "1h"))
    in_place = type_("cluster", "apply", "-f", str(file), "--plan")
    assert in_place.code == 10
    assert "workers[w].replicas  1    2     in place" in in_place.out and "idle_stop_after" in in_place.out
    document = json.loads(type_("cluster", "apply", "-f", str(file), "--plan", "-o", "json").out)
    assert (document["action"], document["restart"], document["generation"]) == ("change", False, 1)
    applied = json.loads(type_("cluster", "apply", "-f", str(file), "-o", "json").out)
    assert not applied["modified"] and applied["instance"]["nodes_wanted"] == 3

    file.write_text(
        file.read_text().replace("hush-one", "hush-two").replace("cpu: 1, memory: 1Gi}", "cpu: 2, memory: 1Gi}", 1)
    )
    restart = type_("cluster", "apply", "-f", str(file), "--plan")
    assert restart.code == 11 and "hush" not in restart.out + restart.err
    assert (
        "for new nodes" in restart.out and "needs a restart" in restart.out and "a rolling one will do" in restart.err
    )
    assert type_("cluster", "apply", "-f", str(file), "--generation", "1").code == 4
    done = type_("cluster", "apply", "-f", str(file), "--rolling", "-o", "json")
    after = json.loads(done.out)
    assert not after["modified"] and after["instance"]["id"] == made["instance"]["id"]
    assert after["instance"]["renewing"] == 0
    again = json.loads(type_("cluster", "restart", "demo", "-o", "json").out)
    assert again["instance"]["id"] != made["instance"]["id"] and again["state"] == "Running"


def test_a_plan_that_would_be_refused(server: HarnessServer, file: Path, type_: Type) -> None:
    file.write_text(BEFORE + "release: ray-9\nvolumes: [none]\n")
    refused = type_("cluster", "apply", "-f", str(file), "--plan")
    assert refused.code == 2
    assert "release" in refused.out and "volumes[0]" in refused.out and refused.out.count("refused") == 2
    assert type_("cluster", "apply", "-f", str(file)).code == 2
    assert type_("cluster", "apply", "-f", "-", "--plan", stdin="workers: 1\n").code == 2, "it has no name"


def test_a_rolling_restart_that_cannot_be(server: HarnessServer, world: World, type_: Type) -> None:
    assert type_("cluster", "create", "demo", "--workers", "1").code == 0
    world.renews_heads = False
    assert type_("cluster", "update", "demo", "--head-cpu", "2").code == 0
    refused = type_("cluster", "restart", "demo", "--rolling")
    assert refused.code == 4 and "head.cpu" in refused.err


def test_metrics_logs_and_mounts_by_options_and_by_file(server: HarnessServer, file: Path, type_: Type) -> None:
    words = ("--no-metrics", "--no-collect-logs", "--nfs-mount", "10.0.0.2:/exports=data", "--no-start", "-o", "json")
    made = json.loads(type_("cluster", "create", "quiet", *words).out)
    mount = {"server": "10.0.0.2", "path": "/exports", "mount_point": "data"}
    assert [made["spec"][name] for name in ("metrics", "collect_logs", "nfs_mounts")] == [False, False, [mount]]
    assert [row["path"] for row in made["findings"]] == ["nfs_mounts[0]"]
    written = type_("cluster", "get", "quiet", "-o", "yaml").out
    assert "metrics: false" in written and "collect_logs: false" in written and "mount_point: data" in written
    file.write_text(written)
    assert type_("cluster", "apply", "-f", str(file), "--plan").code == 0, "what was printed is what is stored"
    changed = json.loads(type_("cluster", "update", "quiet", "--collect-logs", "--metrics", "-o", "json").out)
    assert (changed["spec"]["metrics"], changed["spec"]["collect_logs"]) == (True, True)
    planned = type_("cluster", "apply", "-f", str(file), "--plan")
    assert planned.code in (10, 11)
    assert "metrics" in planned.out and "collect_logs" in planned.out
    bad = type_("cluster", "update", "quiet", "--nfs-mount", "10.0.0.2:/exports=../up")
    assert bad.code == 2 and "nfs_mounts[0].mount_point" in bad.err
