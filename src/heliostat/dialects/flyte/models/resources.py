"""CPUs, memory and the like, asked for and allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from flyteidl.core import tasks_pb2

from .base import FlyteModel, Idl


class Resources(FlyteModel):
    """Requests and limits, each a sequence of entries."""

    class ResourceName:
        """Numbers of what there is to ask for."""

        UNKNOWN: int = tasks_pb2.Resources.UNKNOWN
        CPU: int = tasks_pb2.Resources.CPU
        GPU: int = tasks_pb2.Resources.GPU
        MEMORY: int = tasks_pb2.Resources.MEMORY
        STORAGE: int = tasks_pb2.Resources.STORAGE
        EPHEMERAL_STORAGE: int = tasks_pb2.Resources.EPHEMERAL_STORAGE

    class ResourceEntry(FlyteModel):
        """So much of one thing."""

        def __init__(self, name: int, value: str) -> None:
            self._name = name
            self._value = value

        @property
        def name(self) -> int:
            """A number of :class:`Resources.ResourceName`."""
            return self._name

        @property
        def value(self) -> str:
            """A quantity as Kubernetes writes it: ``500m``, ``2Gi``."""
            return self._value

        def to_flyte_idl(self) -> Idl:
            return tasks_pb2.Resources.ResourceEntry(name=self.name, value=self.value)

        @classmethod
        def from_flyte_idl(cls, proto: Idl) -> Self:
            return cls(name=proto.name, value=proto.value)

    def __init__(self, requests: Sequence[ResourceEntry], limits: Sequence[ResourceEntry]) -> None:
        self._requests = requests
        self._limits = limits

    @property
    def requests(self) -> Sequence[ResourceEntry]:
        """What is asked for."""
        return self._requests

    @property
    def limits(self) -> Sequence[ResourceEntry]:
        """What may be used at most."""
        return self._limits

    def to_flyte_idl(self) -> Idl:
        return tasks_pb2.Resources(
            requests=[entry.to_flyte_idl() for entry in self.requests],
            limits=[entry.to_flyte_idl() for entry in self.limits],
        )

    @classmethod
    def from_flyte_idl(cls, proto: Idl) -> Self:
        return cls(
            requests=[cls.ResourceEntry.from_flyte_idl(entry) for entry in proto.requests],
            limits=[cls.ResourceEntry.from_flyte_idl(entry) for entry in proto.limits],
        )
