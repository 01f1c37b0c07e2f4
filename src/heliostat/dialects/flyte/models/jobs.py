"""A Ray cluster, and the job for which it is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from flyteidl.plugins import ray_pb2

from .autoscaler import AutoscalerOptions
from .base import FlyteModel, Idl, message_of
from .groups import HeadGroupSpec, WorkerGroupSpec
from .quirks import quirks_wanted


class RayCluster(FlyteModel):
    """A head and groups of workers."""

    def __init__(
        self,
        worker_group_spec: Sequence[WorkerGroupSpec],
        head_group_spec: HeadGroupSpec | None = None,
        enable_autoscaling: bool = False,
        autoscaler_options: AutoscalerOptions | None = None,
    ) -> None:
        self._worker_group_spec = worker_group_spec
        self._head_group_spec = head_group_spec
        self._enable_autoscaling = enable_autoscaling
        self._autoscaler_options = autoscaler_options

    @property
    def worker_group_spec(self) -> Sequence[WorkerGroupSpec]:
        return self._worker_group_spec

    @property
    def head_group_spec(self) -> HeadGroupSpec | None:
        """None = the platform's usual head."""
        return self._head_group_spec

    @property
    def enable_autoscaling(self) -> bool:
        """Whether the groups' sizes follow the load, within their bounds."""
        return self._enable_autoscaling

    @property
    def autoscaler_options(self) -> AutoscalerOptions | None:
        return self._autoscaler_options

    def to_flyte_idl(self) -> Idl:
        return ray_pb2.RayCluster(
            head_group_spec=message_of(self.head_group_spec),
            worker_group_spec=[group.to_flyte_idl() for group in self.worker_group_spec],
            enable_autoscaling=self.enable_autoscaling,
            autoscaler_options=message_of(self.autoscaler_options),
        )

    @classmethod
    def from_flyte_idl(cls, proto: Idl) -> Self:
        always = quirks_wanted()
        has_head = always or proto.HasField("head_group_spec")
        has_options = always or proto.HasField("autoscaler_options")
        return cls(
            worker_group_spec=[WorkerGroupSpec.from_flyte_idl(group) for group in proto.worker_group_spec],
            head_group_spec=HeadGroupSpec.from_flyte_idl(proto.head_group_spec) if has_head else None,
            enable_autoscaling=proto.enable_autoscaling,
            autoscaler_options=AutoscalerOptions.from_flyte_idl(proto.autoscaler_options) if has_options else None,
        )


class RayJob(FlyteModel):
    """A job: its cluster, what its processes need, and what becomes of the cluster afterwards."""

    _without_cluster = False
    """It was read from a message that has no cluster, and is written as one; made by hand, it must have a cluster."""

    def __init__(
        self,
        ray_cluster: RayCluster | None,
        runtime_env: str | None = None,
        runtime_env_yaml: str | None = None,
        ttl_seconds_after_finished: int | None = None,
        shutdown_after_job_finishes: bool = False,
    ) -> None:
        self._ray_cluster = ray_cluster
        self._runtime_env = runtime_env
        self._runtime_env_yaml = runtime_env_yaml
        self._ttl_seconds_after_finished = ttl_seconds_after_finished
        self._shutdown_after_job_finishes = shutdown_after_job_finishes

    @property
    def ray_cluster(self) -> RayCluster | None:
        """None only after reading a message without a cluster."""
        return self._ray_cluster

    @property
    def runtime_env(self) -> str | None:
        """Base64 of JSON; older than ``runtime_env_yaml``, which counts when both are there."""
        return self._runtime_env

    @property
    def runtime_env_yaml(self) -> str | None:
        return self._runtime_env_yaml

    @property
    def ttl_seconds_after_finished(self) -> int | None:
        """How long the cluster stays after the job's end."""
        return self._ttl_seconds_after_finished

    @property
    def shutdown_after_job_finishes(self) -> bool:
        """Whether the cluster goes when the job has ended."""
        return self._shutdown_after_job_finishes

    def to_flyte_idl(self) -> Idl:
        # Without a cluster it is an AttributeError, as upstream.
        cluster = None if self._without_cluster else self.ray_cluster.to_flyte_idl()  # type: ignore[union-attr]
        return ray_pb2.RayJob(
            ray_cluster=cluster,
            runtime_env=self.runtime_env,
            runtime_env_yaml=self.runtime_env_yaml,
            ttl_seconds_after_finished=self.ttl_seconds_after_finished,
            shutdown_after_job_finishes=self.shutdown_after_job_finishes,
        )

    @classmethod
    def from_flyte_idl(cls, proto: Idl) -> Self:
        has_cluster = quirks_wanted() or proto.HasField("ray_cluster")
        job = cls(
            ray_cluster=RayCluster.from_flyte_idl(proto.ray_cluster) if has_cluster else None,
            runtime_env=proto.runtime_env,
            runtime_env_yaml=proto.runtime_env_yaml,
            ttl_seconds_after_finished=proto.ttl_seconds_after_finished,
            shutdown_after_job_finishes=proto.shutdown_after_job_finishes,
        )
        job._without_cluster = not has_cluster
        return job
