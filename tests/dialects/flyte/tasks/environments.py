"""What users put into ``runtime_env``: variables, and a working_dir, with which Ray itself refuses flytekit's own."""

import os
import pathlib

import ray
from flytekit import task
from flytekitplugins.ray import RayJobConfig, WorkerNodeConfig

WORKERS = [WorkerNodeConfig(group_name="workers", replicas=0)]
SHIPPED = os.environ.get("TEST_WORKING_DIR", "file:///nowhere.zip")
"""URL of an archive with a file ``shipped.txt``; the test sets it where the task is serialized."""


@ray.remote
def greeting() -> str:
    return os.environ.get("GREETING", "")


@ray.remote
def content() -> str:
    return pathlib.Path("shipped.txt").read_text()


@task(task_config=RayJobConfig(worker_node_config=WORKERS, runtime_env={"env_vars": {"GREETING": "good day"}}))
def variable() -> str:
    return ray.get(greeting.remote())


@task(task_config=RayJobConfig(worker_node_config=WORKERS, runtime_env={"working_dir": SHIPPED}))
def shipped() -> str:
    return ray.get(content.remote())
