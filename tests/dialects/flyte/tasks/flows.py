"""Workflows: a plain Python task between Ray tasks, branches, a workflow within another, and a map task."""

import ray
from flytekit import conditional, map_task, task, workflow
from flytekitplugins.ray import RayJobConfig, WorkerNodeConfig

CONFIG = RayJobConfig(worker_node_config=[WorkerNodeConfig(group_name="workers", replicas=0)])


@ray.remote
def squared(number: int) -> int:
    return number * number


@task(task_config=CONFIG)
def squares(n: int) -> list[int]:
    return ray.get([squared.remote(number) for number in range(n)])


@task
def added(numbers: list[int]) -> int:
    return sum(numbers)


@task
def numbers(n: int) -> list[int]:
    return list(range(n))


@task(task_config=CONFIG)
def square(number: int) -> int:
    return ray.get(squared.remote(number))


@task
def small(n: int) -> str:
    return f"{n} is small"


@task(task_config=CONFIG)
def large(n: int) -> str:
    return f"{n} is large"


@workflow
def three_steps(n: int) -> int:
    """The square of the sum of squares."""
    return square(number=added(numbers=squares(n=n)))


@workflow
def choice(n: int) -> str:
    return conditional("size").if_(n < 10).then(small(n=n)).else_().then(large(n=n))


@workflow
def nested(n: int) -> int:
    return square(number=three_steps(n=n))


@workflow
def fan_out(n: int) -> int:
    return added(numbers=map_task(square)(number=numbers(n=n)))
