"""A task of several files. It is on no path: only the archive brings it to the driver and to the workers."""

import ray
from fast_parts.arithmetic import doubled
from flytekit import task
from flytekitplugins.ray import RayJobConfig, WorkerNodeConfig


@task(task_config=RayJobConfig(worker_node_config=[WorkerNodeConfig(group_name="workers", replicas=0)]))
def total(n: int) -> int:
    return sum(ray.get([doubled.remote(number) for number in range(n)]))
