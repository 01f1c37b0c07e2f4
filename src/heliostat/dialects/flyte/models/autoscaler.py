"""How the number of workers follows the load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from flyteidl.core import literals_pb2
from flyteidl.plugins import ray_pb2

from .base import FlyteModel, Idl, message_of
from .resources import Resources


class AutoscalerOptions(FlyteModel):
    """Options of Ray's autoscaler, and of the container in which Kubernetes runs it."""

    class UpscalingMode:
        """Numbers of the ways to add workers."""

        UNSPECIFIED: int = ray_pb2.AutoscalerOptions.UPSCALING_MODE_UNSPECIFIED
        DEFAULT: int = ray_pb2.AutoscalerOptions.UPSCALING_MODE_DEFAULT
        AGGRESSIVE: int = ray_pb2.AutoscalerOptions.UPSCALING_MODE_AGGRESSIVE
        CONSERVATIVE: int = ray_pb2.AutoscalerOptions.UPSCALING_MODE_CONSERVATIVE

    def __init__(
        self,
        upscaling_mode: int | str | None = None,
        idle_timeout_seconds: int | None = None,
        image: str | None = None,
        env: Mapping[str, str] | None = None,
        resources: Resources | None = None,
    ) -> None:
        self._upscaling_mode = upscaling_mode
        self._idle_timeout_seconds = idle_timeout_seconds
        self._image = image
        self._env = env
        self._resources = resources

    @property
    def upscaling_mode(self) -> int | str | None:
        """A number of :class:`UpscalingMode`, or its whole label (``UPSCALING_MODE_DEFAULT``)."""
        return self._upscaling_mode

    @property
    def idle_timeout_seconds(self) -> int | None:
        """After how long a worker without work is removed."""
        return self._idle_timeout_seconds

    @property
    def image(self) -> str | None:
        return self._image

    @property
    def env(self) -> Mapping[str, str] | None:
        """Environment variables; None rather than empty after reading."""
        return self._env

    @property
    def resources(self) -> Resources | None:
        return self._resources

    def to_flyte_idl(self) -> Idl:
        env = self.env.items() if self.env else ()
        return ray_pb2.AutoscalerOptions(
            upscaling_mode=self.upscaling_mode,
            idle_timeout_seconds=self.idle_timeout_seconds,
            image=self.image,
            env=[literals_pb2.KeyValuePair(key=key, value=value) for key, value in env],
            resources=message_of(self.resources),
        )

    @classmethod
    def from_flyte_idl(cls, proto: Idl) -> Self:
        return cls(
            upscaling_mode=proto.upscaling_mode,
            idle_timeout_seconds=proto.idle_timeout_seconds,
            image=proto.image,
            env={pair.key: pair.value for pair in proto.env} or None,
            resources=Resources.from_flyte_idl(proto.resources) if proto.HasField("resources") else None,
        )
