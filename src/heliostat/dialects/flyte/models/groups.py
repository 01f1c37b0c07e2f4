"""The nodes of a Ray cluster: its head, and its groups of equal workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from flyteidl.plugins import ray_pb2

from .base import FlyteModel, Idl, message_of
from .pods import K8sPod
from .quirks import quirks_wanted


class HeadGroupSpec(FlyteModel):
    """The head."""

    def __init__(self, ray_start_params: Mapping[str, str] | None = None, k8s_pod: K8sPod | None = None) -> None:
        self._ray_start_params = ray_start_params
        self._k8s_pod = k8s_pod

    @property
    def ray_start_params(self) -> Mapping[str, str] | None:
        """Options of ``ray start`` without their dashes."""
        return self._ray_start_params

    @property
    def k8s_pod(self) -> K8sPod | None:
        """Laid over the node's pod."""
        return self._k8s_pod

    def to_flyte_idl(self) -> Idl:
        return ray_pb2.HeadGroupSpec(ray_start_params=self.ray_start_params or {}, k8s_pod=message_of(self.k8s_pod))

    @classmethod
    def from_flyte_idl(cls, proto: Idl) -> Self:
        return cls(ray_start_params=_start_params(proto), k8s_pod=_pod(proto))


class WorkerGroupSpec(FlyteModel):
    """Some equal workers. The bounds enclose ``replicas``: other ones are moved there, missing ones are equal to it."""

    def __init__(
        self,
        group_name: str,
        replicas: int,
        min_replicas: int | None = None,
        max_replicas: int | None = None,
        ray_start_params: Mapping[str, str] | None = None,
        k8s_pod: K8sPod | None = None,
    ) -> None:
        self._group_name = group_name
        self._replicas = replicas
        self._max_replicas = replicas if max_replicas is None else max(replicas, max_replicas)
        self._min_replicas = replicas if min_replicas is None else min(replicas, min_replicas)
        self._ray_start_params = ray_start_params
        self._k8s_pod = k8s_pod

    @property
    def group_name(self) -> str:
        """Unique among the groups of a cluster."""
        return self._group_name

    @property
    def replicas(self) -> int:
        """How many workers there are at first."""
        return self._replicas

    @property
    def min_replicas(self) -> int:
        """How many are left when there is nothing to do."""
        return self._min_replicas

    @property
    def max_replicas(self) -> int:
        """How many there may be when there is much to do."""
        return self._max_replicas

    @property
    def ray_start_params(self) -> Mapping[str, str] | None:
        """Options of ``ray start`` without their dashes."""
        return self._ray_start_params

    @property
    def k8s_pod(self) -> K8sPod | None:
        """Laid over the pod of each node."""
        return self._k8s_pod

    def to_flyte_idl(self) -> Idl:
        return ray_pb2.WorkerGroupSpec(
            group_name=self.group_name,
            replicas=self.replicas,
            min_replicas=self.min_replicas,
            max_replicas=self.max_replicas,
            ray_start_params=self.ray_start_params,
            k8s_pod=message_of(self.k8s_pod),
        )

    @classmethod
    def from_flyte_idl(cls, proto: Idl) -> Self:
        return cls(
            group_name=proto.group_name,
            replicas=proto.replicas,
            min_replicas=proto.min_replicas,
            max_replicas=proto.max_replicas,
            ray_start_params=_start_params(proto),
            k8s_pod=_pod(proto),
        )


def _start_params(proto: Idl) -> Mapping[str, str]:
    """A copy; upstream hands out the message's own map, through which the message changes."""
    live: Mapping[str, str] = proto.ray_start_params
    return live if quirks_wanted() else dict(live)


def _pod(proto: Idl) -> K8sPod | None:
    return K8sPod.from_flyte_idl(proto.k8s_pod) if proto.HasField("k8s_pod") else None
