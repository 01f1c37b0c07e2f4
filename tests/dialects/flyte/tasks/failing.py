"""Tasks that fail: by the user's fault, without declared outputs, worth another attempt, and without a word."""

import os

from flytekit import task
from flytekit.exceptions.user import FlyteRecoverableException
from flytekitplugins.ray import RayJobConfig, WorkerNodeConfig

CONFIG = RayJobConfig(worker_node_config=[WorkerNodeConfig(group_name="workers", replicas=0)])


@task(task_config=CONFIG)
def broken(n: int) -> int:
    if n:
        raise ValueError(f"broken by {n}")
    return n


@task(task_config=CONFIG)
def void_broken() -> None:
    raise ValueError("broken without outputs")


@task(task_config=CONFIG, retries=1)
def again() -> int:
    """The second attempt succeeds."""
    if os.environ["FLYTE_ATTEMPT_NUMBER"] == "0":
        raise FlyteRecoverableException("worth another attempt")
    return int(os.environ["FLYTE_ATTEMPT_NUMBER"])


@task(task_config=CONFIG)
def killed(status: int) -> int:
    if status:
        os._exit(status)
    return status
