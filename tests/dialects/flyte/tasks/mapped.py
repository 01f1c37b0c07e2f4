"""A Ray task over which one maps: each element is a run of its own."""

import ray
from flytekit import task
from flytekitplugins.ray import RayJobConfig, WorkerNodeConfig


@ray.remote
def squared(number: int) -> int:
    return number * number


@task(task_config=RayJobConfig(worker_node_config=[WorkerNodeConfig(group_name="workers", replicas=0)]))
def square(number: int) -> int:
    return ray.get(squared.remote(number))
