"""The Engine protocol: the seam between the control loop and whatever runs Ray."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from heliostat.domain.engine import Finding, InstancePlan, NodeLog, Observation
from heliostat.domain.ids import InstanceId
from heliostat.domain.releases import Release
from heliostat.domain.spec import ClusterSpec


class Engine(Protocol):
    """Runs instances. Every method may be repeated after a crash at any point and must then converge."""

    async def open(self) -> None:
        """Begin: find what earlier runs of the server left, so that :meth:`observe` tells the truth at once."""

    async def close(self) -> None:
        """End the server's side. Instances go on running."""

    async def apply(self, plan: InstancePlan) -> None:
        """Make the world match the plan: start, repair, scale, remove nodes.

        Returns as soon as the work is under way; :meth:`observe` tells how far it is and :meth:`changes` when to look.
        Applying an equal plan again is cheap and changes nothing. A plan of a newer generation is applied in place as
        far as the engine can.
        """

    async def observe(self, instance: InstanceId) -> Observation:
        """What is there now. Cheap: it may be called at every change."""

    async def destroy(self, instance: InstanceId) -> None:
        """Remove it. When :meth:`observe` says ``present=False``, no process, port or folder of it is left.

        May return before that; repeating it is harmless. Destroying what never existed is no error.
        """

    async def discover(self) -> list[InstanceId]:
        """Everything of ours that exists, wanted or not."""

    def changes(self) -> AsyncIterator[InstanceId]:
        """Yields an instance whenever a look at it may show something new. One consumer."""

    def support(self, spec: ClusterSpec) -> list[Finding]:
        """What becomes of each field of the spec that this engine does not honour literally. Pure and fast."""

    async def release_problem(self, release: Release) -> str | None:
        """Why clusters of this release cannot start here, with the remedy (``install Python 3.12``); None if they can."""

    def renews_head(self, release: Release) -> bool:
        """Whether a head of this release can be replaced while its instance goes on."""

    async def prepare(self, release: Release) -> None:
        """Build the release's environment if it is not there. Raises NotReady with the cause."""

    async def begin_preparation(self, release: Release) -> None:
        """Start building it in the background. Raises NotReady at once when something is missing."""

    def preparation(self, release: Release) -> tuple[str, str]:
        """State of the release's environment: (``ready`` | ``building`` | ``absent`` | ``failed``, detail for people)."""

    async def log_files(self, instance: InstanceId) -> list[NodeLog]:
        """The log files of all nodes of an instance, also of dead ones, until it is destroyed; by node, then by name.

        Empty when the instance is unknown. An engine may bound how many dead nodes and how many files of a node it tells of.
        A reader may go on at the offset where it stopped; a file that has become shorter is another one (Ray rotates its
        logs). Raises Unavailable when the files cannot be looked at just now.
        """

    async def read_log(self, instance: InstanceId, log: NodeLog, offset: int, size: int) -> bytes | None:
        """At most ``size`` bytes of a log file from ``offset`` (bytes); fewer at its present end, None when it is gone.

        Only the log's node and name count. Raises Unavailable when it cannot be read just now.
        """
