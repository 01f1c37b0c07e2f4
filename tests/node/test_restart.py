"""A head that was killed comes back with its cluster, where the release keeps the GCS on disk."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from heliostat_node import processes

from .support import Instance, Release, until

pytestmark = [pytest.mark.ray, pytest.mark.slow]

COUNTER = """
import ray, sys
ray.init(namespace="test")

@ray.remote(num_cpus=1, resources={"disk": 1}, lifetime="detached", name="counter", get_if_exists=True)
class Counter:
    def __init__(self):
        self.value = 0

    def next(self):
        self.value += 1
        return self.value

print("COUNT", ray.get(Counter.remote().next.remote()))
"""


def test_workers_and_actors_survive_a_killed_head(
    newest: Release, make_instance: Callable[..., Instance], tmp_path: Path
) -> None:
    instance = make_instance(newest)
    (instance.base / "gcs").mkdir()
    head = instance.spec("head", gcs_storage_dir=str(instance.base / "gcs"))
    worker = instance.spec("worker", resources={"disk": 1})
    for spec in (head, worker):
        instance.start(spec)
    instance.wait_registered(head, worker)
    instance.wait_dashboard()
    program = tmp_path / "counter.py"
    program.write_text(COUNTER)
    assert "COUNT 1" in instance.wait_job(instance.submit(f"python {program}"))
    before = {spec.node: instance.status(spec) for spec in (head, worker)}
    cluster = instance.http("/api/version")

    os.kill(before[head.node].pid, signal.SIGKILL)
    until(lambda: not processes.kill_node(head.node, before[head.node].pid), "end of the head", 10)
    instance.start(head)
    instance.wait_registered(head)
    instance.wait_dashboard()

    def alive() -> set[str]:
        nodes = instance.http("/api/v0/nodes")["data"]["result"]["result"]
        return {node["node_id"] for node in nodes if node["state"] == "ALIVE"}

    now = instance.status(head)
    assert now.pid != before[head.node].pid
    until(lambda: alive() == {now.ray_node_id, before[worker.node].ray_node_id}, "both nodes ALIVE", 30)
    assert instance.status(worker) == before[worker.node]
    assert instance.http("/api/version") == cluster
    assert "COUNT 2" in instance.wait_job(instance.submit(f"python {program}"))
