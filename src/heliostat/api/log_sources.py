"""What a reader of logs looks at: one file of a job, its driver's log over all attempts, or a file of a run of a cluster.

Looking again tells how much is there by now and whether more will come.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from heliostat.domain.errors import NotFound
from heliostat.domain.ids import ClusterId, InstanceId, JobId, WorkspaceId
from heliostat.domain.jobs import Job, LogFile, driver_log

from .context import Context

DRIVER = "driver"
"""The name that stands for the driver's log, whichever attempt's."""


@dataclass(frozen=True)
class Look:
    file: LogFile | None
    """None while nothing is stored of it."""
    over: bool
    """Nothing will be added to it."""
    next: Source | None = None
    """Where it goes on when it is over."""
    told: dict[str, Any] = field(default_factory=dict)  # JSON
    """What a follower is told at the end."""


class Source(Protocol):
    @property
    def owner(self) -> str:
        """Whose news are waited for."""

    def place(self, offset: int) -> str:
        """The name of a place in it, for ``Last-Event-ID``."""

    async def look(self, here: Context) -> Look:
        """Raises NotFound when what it belongs to is gone."""


@dataclass(frozen=True)
class JobLog:
    """Any file of a job."""

    workspace: WorkspaceId
    job: JobId
    name: str

    @property
    def owner(self) -> str:
        return self.job

    def place(self, offset: int) -> str:
        return str(offset)

    async def look(self, here: Context) -> Look:
        # The job is read first: what is complete then is complete in the row that is read after it.
        job = await here.services.logs.job(here.caller, self.workspace, self.job)
        file = await _file(here, self.workspace, self.job, self.name)
        over = (file is not None and file.complete) or (job.status.final and job.logs_complete)
        return Look(file, over, told=_end_of(job))


@dataclass(frozen=True)
class DriverLog:
    """The driver's log of an attempt and, unless it was chosen, of those that follow it."""

    workspace: WorkspaceId
    job: JobId
    attempt: int
    chosen: bool

    @property
    def owner(self) -> str:
        return self.job

    def place(self, offset: int) -> str:
        return f"{self.attempt}-{offset}"

    async def look(self, here: Context) -> Look:
        job = await here.services.logs.job(here.caller, self.workspace, self.job)
        file = await _file(here, self.workspace, self.job, driver_log(self.job, self.attempt))
        begun = len(job.attempts) >= self.attempt
        kept = job.attempts[self.attempt - 1].log_complete if begun else job.status.final
        over = kept or (file is not None and file.complete)
        if self.chosen or (job.status.final and len(job.attempts) <= self.attempt):
            return Look(file, over, told=_end_of(job))
        following = replace(self, attempt=self.attempt + 1) if len(job.attempts) > self.attempt else None
        return Look(file, over and following is not None, following)


@dataclass(frozen=True)
class RunLog:
    """A file of one run of a cluster."""

    workspace: WorkspaceId
    cluster: ClusterId
    instance: InstanceId
    name: str

    @property
    def owner(self) -> str:
        return self.instance

    def place(self, offset: int) -> str:
        return str(offset)

    async def look(self, here: Context) -> Look:
        present = await self._present(here)
        file = await _file(here, self.workspace, self.instance, self.name)
        return Look(file, not present or (file is not None and file.complete))

    async def _present(self, here: Context) -> bool:
        """Whether the run goes on."""
        try:
            view = await here.services.clusters.get(here.caller, self.workspace, self.cluster)
        except NotFound:
            return False
        return view.instance is not None and view.instance.id == self.instance


async def _file(here: Context, workspace: WorkspaceId, owner: str, name: str) -> LogFile | None:
    try:
        return await here.services.logs.file(here.caller, workspace, owner, name)
    except NotFound as error:
        if error.kind != "log":
            raise
        return None


def _end_of(job: Job) -> dict[str, Any]:
    """JSON."""
    return {"status": job.status, "message": job.message, "exit_code": job.exit_code}
