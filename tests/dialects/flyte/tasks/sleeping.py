"""A task that is there to be aborted."""

import pathlib
import time

import ray
from flytekit import task
from flytekitplugins.ray import RayJobConfig, WorkerNodeConfig


@ray.remote
def sleep() -> None:
    time.sleep(3600)


@task(task_config=RayJobConfig(worker_node_config=[WorkerNodeConfig(group_name="workers", replicas=0)]))
def asleep(path: str) -> int:
    pathlib.Path(path).write_text("asleep")
    ray.get(sleep.remote())
    return 0
