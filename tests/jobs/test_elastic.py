"""One queue, two clusters, one job that needs more than the queue has: real Ray through the SDK, from end to end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from heliostat.client import Autoscaling, Head, WorkerGroup
from heliostat.client.sync.cluster import Cluster

from .support import Server, seen, until

pytestmark = [pytest.mark.slow, pytest.mark.ray]
HEAD = Head(cpu=1, memory="1Gi", ray_start_params="--num-cpus=0")
TASKS = """
import pathlib, ray, time

marks = pathlib.Path({marks!r})
ray.init()

@ray.remote(num_cpus=1)
def work(number):
    (marks / f"task-{{number}}").touch()
    while not (marks / "stop").exists():
        time.sleep(0.05)
    return number

print("SUM", sum(ray.get([work.remote(number) for number in range(3)])))
"""


def counts(cluster: Cluster) -> tuple[int, int]:
    """Live and wanted workers."""
    instance = cluster.refresh().info.instance
    assert instance is not None
    (group,) = instance.groups
    return group.alive, group.wanted


def test_a_queue_shared_by_a_cluster_that_grows_and_one_that_waits(server: Server) -> None:
    client, marks = server.client, server.marks
    client.queues.edit("root_queue", maximum={"cpu": 3})
    group = WorkerGroup(name="w", replicas=0, min_replicas=0, max_replicas=3, cpu=1, memory="1Gi")
    scaling = Autoscaling(idle_timeout_seconds=3)
    growing = client.clusters.create("growing", head=HEAD, workers=[group], autoscaling=scaling, start=True)
    growing.wait()
    assert counts(growing) == (0, 0)

    program = marks / "tasks.py"
    program.write_text(TASKS.format(marks=str(marks)))
    job = client.jobs.submit(f"python {program}", cluster="growing")
    until(lambda: counts(growing) == (2, 3), "two workers are there, a third is wanted")
    until(lambda: len(list(marks.glob("task-*"))) == 2, "two tasks run")
    assert "root_queue" in client.clusters.why(growing.id).summary, "what it waits for is said"
    queue = client.queues.get("root_queue")
    assert (queue.used.cpu, queue.waiting) == ("3", 1)

    second = client.clusters.create("second", head=Head(cpu=1, memory="1Gi"), start=True)
    until(lambda: "waits" in second.refresh().message, "the second one waits")
    assert second.info.state == "Starting"

    Path(marks, "stop").touch()
    seen(job, lambda job: job.status == "Succeeded", "the job has ended")
    assert "SUM 3" in job.log()
    second.wait()
    until(lambda: counts(growing) == (0, 0), "idle workers are gone")
    reasons = [event.reason for event in client.clusters.events(growing.id, limit=100)]
    assert "WorkersAdded" in reasons and "WorkerLost" not in reasons and "WorkerReplaced" not in reasons
    until(lambda: client.queues.get("root_queue").used.cpu == "2", "what was given back is free again")

    grown = client.clusters.update(growing.id, workers=[replace(group, replicas=1, min_replicas=1)])
    assert not grown.info.modified
    until(lambda: counts(growing) == (1, 1), "the new minimum holds without a restart")

    for cluster in (growing, second):
        client.clusters.stop(cluster.id)
        cluster.wait("Stopped")
    assert client.queues.get("root_queue").used.cpu == "0"
    (row,) = [row for row in client.usage(by=["cluster"]).rows if row.cluster == growing.id]
    assert row.starting.cpu_hours > 0 and row.useful.cpu_hours > 0
