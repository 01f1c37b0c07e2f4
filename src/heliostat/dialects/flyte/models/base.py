"""What all models have in common: they are what their message is, whatever their attributes look like."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

from .text import outline

Idl = Any
"""A message of flyteidl, which ships no types."""


class FlyteModel(ABC):
    """An immutable description that has a protobuf message."""

    @abstractmethod
    def to_flyte_idl(self) -> Idl:
        """The message. Raises protobuf's TypeError or ValueError for values that do not fit into it."""

    @classmethod
    @abstractmethod
    def from_flyte_idl(cls, proto: Idl) -> Self:
        """What the message describes."""

    def serialize_to_string(self) -> bytes:
        """The message's bytes. The order of a map's entries in them is not fixed."""
        return bytes(self.to_flyte_idl().SerializeToString())

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to serialize."""
        return not self.serialize_to_string()

    def short_string(self) -> str:
        """For people: a line for each field that is set, long values shortened."""
        return f"Flyte Serialized object ({type(self).__name__}):\n{outline(self.to_flyte_idl(), indent=2)}"

    def verbose_string(self) -> str:
        """The same as :meth:`short_string`; flytekit had it until 1.16.6."""
        return self.short_string()

    def __str__(self) -> str:
        return self.short_string()

    def __repr__(self) -> str:
        return str(self.to_flyte_idl())

    def _repr_html_(self) -> str:
        """For notebooks."""
        return f"<h4>{type(self).__name__}</h4><pre>{outline(self.to_flyte_idl())}</pre>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FlyteModel) and bool(other.to_flyte_idl() == self.to_flyte_idl())

    def __hash__(self) -> int:
        return hash(self.to_flyte_idl().SerializeToString(deterministic=True))


def message_of(model: FlyteModel | None) -> Idl:
    """The message of a model that may be missing."""
    return model.to_flyte_idl() if model else None
