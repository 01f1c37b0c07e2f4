"""Work on the workers of a cluster of its own."""

import ray
from flytekit import task
from flytekitplugins.ray import HeadNodeConfig, RayJobConfig, WorkerNodeConfig

CONFIG = RayJobConfig(
    head_node_config=HeadNodeConfig(ray_start_params={"num-cpus": "1"}),
    worker_node_config=[WorkerNodeConfig(group_name="workers", replicas=1)],
    shutdown_after_job_finishes=True,
    ttl_seconds_after_finished=0,
)


@ray.remote
def squared(number: int) -> int:
    return number * number


@task(task_config=CONFIG)
def sum_of_squares(n: int) -> int:
    return sum(ray.get([squared.remote(number) for number in range(n)]))


@task(task_config=CONFIG)
def same(text: str) -> str:
    return text
