"""A task without outputs: what it did can be seen in a file."""

import pathlib

from flytekit import task
from flytekitplugins.ray import RayJobConfig, WorkerNodeConfig


@task(task_config=RayJobConfig(worker_node_config=[WorkerNodeConfig(group_name="workers", replicas=0)]))
def noted(path: str) -> None:
    with pathlib.Path(path).open("a") as file:
        file.write("noted\n")
