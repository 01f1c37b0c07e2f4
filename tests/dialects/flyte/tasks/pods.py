"""A task whose target is a pod instead of a container. Its template and those of its nodes bring variables."""

import os

import ray
from flytekit import PodTemplate, task
from flytekitplugins.ray import HeadNodeConfig, RayJobConfig, WorkerNodeConfig
from kubernetes.client import V1Container, V1EnvVar, V1PodSpec, V1ResourceRequirements


def _template(container: str, **env: str) -> PodTemplate:
    variables = [V1EnvVar(name=name, value=value) for name, value in env.items()]
    asked = V1ResourceRequirements(requests={"cpu": "1", "memory": "1Gi"})
    return PodTemplate(
        primary_container_name=container,
        labels={"team": "stars"},
        annotations={"note": "kept"},
        pod_spec=V1PodSpec(containers=[V1Container(name=container, env=variables, resources=asked)]),
    )


@ray.remote
def variable(name: str) -> str:
    return os.environ.get(name, "")


@task(
    task_config=RayJobConfig(
        head_node_config=HeadNodeConfig(pod_template=_template("ray-head", OF_THE_HEAD="head")),
        worker_node_config=[
            WorkerNodeConfig(
                group_name="workers", replicas=0, pod_template=_template("ray-worker", OF_A_WORKER="worker")
            )
        ],
    ),
    pod_template=_template("primary", OF_THE_TASK="task"),
)
def seen() -> str:
    return ray.get(variable.remote("OF_THE_TASK"))
