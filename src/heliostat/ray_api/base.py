"""The seam: what the loop asks of a running head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from heliostat.domain.activity import RayActivity
from heliostat.domain.errors import HeliostatError
from heliostat.domain.ids import InstanceId
from heliostat.domain.ray_jobs import RaySighting, RaySubmission, WorkSummary
from heliostat.domain.secret import Secret

PACKAGE_LIMIT = 100 << 20
"""The most bytes of a package: every supported release limits the body of a request to its dashboard to this."""
SUMMARY_NAMES = 100
"""How many names of tasks, and of actors, a summary keeps: those with the most."""


class RayRefused(HeliostatError):
    """Ray will never take this submission as it is; the message is Ray's, in one sentence."""

    code = "ray_refused"


def too_large(size: int) -> RayRefused:
    """The refusal of a package of so many bytes."""
    return RayRefused(
        f"the package has {size / 2**20:.1f} MiB, and a head takes at most {PACKAGE_LIMIT >> 20} MiB; leave out what the job "
        "does not need (.rayignore), or put the zip where the nodes fetch it themselves (https, s3, gs)"
    )


@dataclass(frozen=True)
class Head:
    """Where a running head answers."""

    instance: InstanceId
    address: str
    """``host:port`` of its dashboard."""
    token: Secret | None
    """Ray's own token."""


class RayApi(Protocol):
    """Every method raises Unavailable when the head does not answer in time."""

    async def submit(self, head: Head, submission: RaySubmission) -> None:
        """Hand a job over. An id that the head has already is no error and changes nothing. Raises RayRefused."""

    async def sighting(self, head: Head, submission_id: str) -> RaySighting | None:
        """The job as Ray sees it; None when it has no such job."""

    async def stop(self, head: Head, submission_id: str) -> None:
        """Ask for its end: SIGTERM, SIGKILL some seconds later. No error when it has ended or is unknown."""

    async def wake(self, head: Head, submission_id: str) -> None:
        """Have the head's job manager started, which looks after the jobs that an earlier head left."""

    async def has_package(self, head: Head, name: str) -> bool:
        """Whether the head has the package ``name`` (``_ray_pkg_<hash>.zip``).

        Ray keeps a package for ten minutes after it was asked for, and as long as jobs use it: ask before a submission
        also when it was put there just now.
        """

    async def put_package(self, head: Head, name: str, path: Path) -> None:
        """Give it one; ``gcs://<name>`` is then good as a working directory. Raises RayRefused (too large)."""

    async def summary(self, head: Head, ray_job_id: str) -> WorkSummary:
        """Tasks and actors of a driver, counted by name and state."""

    async def activity(self, head: Head) -> RayActivity:
        """What goes on on the whole cluster. Cheap; asked for again and again."""

    async def close(self) -> None: ...
