"""What the autoscaler's door wants of an instance: the part of a supervisor that Ray's autoscaler can reach."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from heliostat.domain.engine import Demand


@dataclass(frozen=True)
class ScalerNode:
    """One node as the autoscaler sees it."""

    node: str
    """Id of the node; Ray knows it as the cloud instance's id."""
    kind: Literal["head", "worker"]
    group: str
    request: str
    """The autoscaler's request that brought the node; empty where the engine began it by itself."""
    running: bool
    """A process of it exists; False while it waits for its turn to start."""


class TooMany(Exception):
    """More nodes than the group may have; the message says how many that are."""


class ScalerTarget(Protocol):
    """An instance in the hands of Ray's autoscaler. Called in the engine's event loop; nothing here waits."""

    def scaler_nodes(self) -> list[ScalerNode]:
        """Everything that is not gone. Drained and dead nodes vanish at once, for the autoscaler counts what it sees."""
        ...

    def scale_up(self, request: str, group: str, count: int) -> None:
        """Want ``count`` more nodes; idempotent by ``request`` and noted on disk before it returns.

        Raises KeyError for a group that the plan does not have, and TooMany.
        """
        ...

    def scale_down(self, nodes: Collection[str]) -> None:
        """End these nodes at once: the autoscaler has drained them or given them up. Unknown ones are none of its."""
        ...

    def report(self, demand: Demand, idle: Mapping[str, float]) -> None:
        """Take note of what waits for workers, and for how many seconds each node (by its id) has been idle."""
        ...
