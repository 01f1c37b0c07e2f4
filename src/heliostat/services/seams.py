"""What the use cases need of the rest of the server, as protocols, so that they import neither engines nor the loop."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from heliostat.domain.documents import Document
from heliostat.domain.engine import Finding
from heliostat.domain.ids import ClusterId, JobId, WorkspaceId
from heliostat.domain.releases import Release
from heliostat.domain.spec import ClusterSpec


class Clock(Protocol):
    def now(self) -> datetime:
        """The present time, aware, UTC."""


class Wake(Protocol):
    def __call__(self, cluster: ClusterId, /) -> None:
        """Tell the control loop to look at a cluster. Losing a wake is harmless: the loop also ticks."""


class WakeJob(Protocol):
    def __call__(self, job: JobId, /) -> None:
        """The same for a job."""


class WakeQueues(Protocol):
    def __call__(self, workspace: WorkspaceId, /) -> None:
        """Tell admission to look at a workspace's queues. Losing it is harmless, too."""


class CodeSources(Protocol):
    """Where the code of jobs may come from."""

    def check(self, url: str, path: str) -> None:
        """Raises InvalidSpec, naming ``path``, for a URL that can never be fetched here: a scheme without a driver, a
        folder that the operator does not allow. Fast; whether there is something is found out later."""


class Capabilities(Protocol):
    """What the engine can say without waiting."""

    def support(self, spec: ClusterSpec) -> list[Finding]: ...

    async def release_problem(self, release: Release) -> str | None: ...

    def renews_head(self, release: Release) -> bool:
        """Whether a head of this release can be replaced while its cluster goes on."""

    async def begin_preparation(self, release: Release) -> None:
        """Start building the environment in the background. Raises NotReady when something is missing."""

    def preparation(self, release: Release) -> tuple[str, str]: ...


class Attendant(Protocol):
    """Looks after the open documents of a kind. At most one look at a document at a time, whatever the number of servers.

    A look may be cut off at any point and comes again: it must go on from what is stored. A HeliostatError or OSError of it
    is logged and the look tried again, ever later.
    """

    kind: str

    async def look(self, document: Document) -> timedelta | None:
        """Bring it a step further; says when to look again at the latest, None for "when woken"."""

    async def forget(self, document: Document) -> None:
        """It has expired and is about to be removed: remove what is kept for it elsewhere. Repeatable."""
