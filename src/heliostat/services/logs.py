"""Read what jobs and nodes have written, while it grows and long after what wrote it is gone.

An *owner* is a job, one run of a cluster, or a cluster (then: all its runs). What exists is known to the database; the
bytes come from the log storage. Logs hold whatever users' code prints, so they take the role of an editor.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from heliostat.domain.errors import NotCollected, NotFound
from heliostat.domain.ids import ClusterId, InstanceId, JobId, WorkspaceId
from heliostat.domain.jobs import Job, LogFile
from heliostat.domain.records import Role
from heliostat.domain.tickets import Ticket, issue, redeem
from heliostat.storage import Storage
from heliostat.store import Store, Transaction

from .caller import Caller, authorise
from .news import News
from .seams import Clock

TICKET_LIFETIME = timedelta(hours=1)
READ_BYTES = 1 << 20
"""The most that one call returns."""


@dataclass(frozen=True)
class LogPiece:
    """A part of a log file."""

    file: LogFile
    offset: int
    data: bytes

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


class LogService:
    """The use cases on logs. Methods with a caller may raise NotFound and Forbidden; all that read, Unavailable."""

    def __init__(self, store: Store, storage: Storage, news: News, clock: Clock) -> None:
        self._store = store
        self._storage = storage
        self._news = news
        self._clock = clock
        self._key = store.derived_key("log tickets")

    async def files(self, caller: Caller, workspace: WorkspaceId, owner: str) -> list[LogFile]:
        """All log files of a job, a run or a cluster, by owner and name. Raises NotFound when the owner is unknown, and
        NotCollected where there are none by its cluster's setting."""

        def work(tx: Transaction) -> list[LogFile]:
            authorise(tx, caller, workspace, Role.EDITOR, "read logs")
            return _files(tx, workspace, owner)

        return await self._store.read(work)

    async def file(self, caller: Caller, workspace: WorkspaceId, owner: str, name: str) -> LogFile:
        """One of them. Raises NotFound, and NotCollected where it would be there but for its cluster's setting."""

        def work(tx: Transaction) -> LogFile:
            authorise(tx, caller, workspace, Role.EDITOR, "read logs")
            return _file(tx, workspace, owner, name)

        return await self._store.read(work)

    async def read(self, file: LogFile, offset: int, size: int) -> bytes:
        """At most ``size`` bytes (and at most READ_BYTES) of a file that the caller was given, up to its known size."""
        wanted = min(size, READ_BYTES, file.size - offset)
        return b"" if offset < 0 or wanted <= 0 else await self._storage.read(file.key, offset, wanted)

    async def wait_for_news(self, owner: str, seconds: float) -> None:
        """Until this server has stored more of the owner's logs, or ``seconds`` have passed."""
        await self._news.wait(owner, seconds)

    async def job(self, caller: Caller, workspace: WorkspaceId, job: JobId) -> Job:
        """The job whose log is followed: it ends when the job is final and its logs are complete."""

        def work(tx: Transaction) -> Job:
            authorise(tx, caller, workspace, Role.EDITOR, "read logs")
            found = tx.jobs.get(workspace, job)
            if found is None:
                raise NotFound("job", job)
            return found

        return await self._store.read(work)

    async def ticket(self, caller: Caller, workspace: WorkspaceId, owner: str, name: str) -> str:
        """A text that opens this one file for an hour, for whoever has it. Raises NotFound."""
        file = await self.file(caller, workspace, owner, name)
        expires = self._clock.now() + TICKET_LIFETIME
        return issue(Ticket(workspace, file.owner, file.name, expires), self._key)

    async def redeem(self, text: str) -> LogFile:
        """The file of a ticket. Raises NotFound for a text that is none, or no longer."""
        ticket = redeem(text, self._key, self._clock.now())
        if ticket is None:
            raise NotFound("log", "of this address", "it has expired or was never given; ask for a new one")
        return await self._store.read(lambda tx: _file(tx, ticket.workspace, ticket.owner, ticket.name))


def _file(tx: Transaction, workspace: WorkspaceId, owner: str, name: str) -> LogFile:
    found = tx.log_files.get(owner, name)
    if found is not None and found.workspace == workspace and not found.expired:
        if found.uncollected:
            raise NotCollected(name)
        return found
    if found is None and _switched_off(tx, workspace, owner):
        raise NotCollected(name)
    raise NotFound("log", f"{owner}/{name}")


def _files(tx: Transaction, workspace: WorkspaceId, owner: str) -> list[LogFile]:
    of_cluster = owner.startswith("ray-") and owner.count("-") == 1
    found = tx.log_files.of_runs(ClusterId(owner)) if of_cluster else tx.log_files.of(owner)
    rows = [row for row in found if row.workspace == workspace and not row.expired]
    if not rows and workspace not in _homes(tx, owner):
        raise NotFound("log owner", owner, "name a job, a cluster or one run of a cluster")
    if not rows and _switched_off(tx, workspace, owner):
        raise NotCollected(owner)
    return rows


def _switched_off(tx: Transaction, workspace: WorkspaceId, owner: str) -> bool:
    """Whether logs of a job, a run or a cluster of the workspace are not collected now."""
    job = tx.jobs.get(workspace, JobId(owner))
    last = job.attempts[-1].instance if job is not None and job.attempts else InstanceId(owner)
    run = tx.instances.get(last)
    if run is not None:
        return run.workspace == workspace and not run.spec.collect_logs
    cluster = tx.clusters.find_any(ClusterId(owner) if job is None else job.cluster)
    return cluster is not None and cluster.workspace == workspace and not cluster.spec.collect_logs


def _homes(tx: Transaction, owner: str) -> list[WorkspaceId]:
    """Where an owner that has no logs is, if there is one with the id."""
    found = (tx.jobs.find(JobId(owner)), tx.clusters.find_any(ClusterId(owner)), tx.instances.get(InstanceId(owner)))
    return [row.workspace for row in found if row is not None]
