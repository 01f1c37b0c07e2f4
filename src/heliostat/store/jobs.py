"""Jobs in the database. Read in two steps, as clusters are."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, delete, or_, select, update
from sqlalchemy import func as sql
from sqlalchemy.sql import ColumnElement

from ..domain.errors import AlreadyExists, InvalidRequest, NotFound
from ..domain.ids import ClusterId, JobId, WorkspaceId
from ..domain.job_states import JobGoal, JobStatus
from ..domain.jobs import Job, JobSpec
from .job_codec import decode_job_spec, decode_life, encode_job_spec, encode_life
from .schema import jobs
from .shared import Shared, new_revision
from .statements import AnyRow, Values, batches, changed, contains, insert_new

_J = jobs.c
_IDENTITY = select(_J.id, _J.revision)
_BY_ID = _J.id == bindparam("job")
_FIND = _IDENTITY.where(_BY_ID)
_LOCK = _FIND.with_for_update()
_LOAD = select(jobs).where(_J.id.in_(bindparam("ids", expanding=True)))
_SAVE = update(jobs).where(_BY_ID)
_NEWEST_FIRST = (_J.submitted_at.desc(), _J.id.desc())
_UNSETTLED = select(_J.id).where(_J.settled.is_(False))
_UNSETTLED_ON = _UNSETTLED.where(_J.cluster == bindparam("cluster"))


@dataclass(frozen=True)
class JobFilter:
    """Which jobs of a workspace. None = whatever."""

    name: str | None = None
    """Exactly."""
    name_contains: str | None = None
    id: JobId | None = None
    cluster: ClusterId | None = None
    creator: str | None = None
    """Name of the principal."""
    statuses: Collection[JobStatus] | None = None
    submitted_from: datetime | None = None
    """Inclusive."""
    submitted_to: datetime | None = None
    """Inclusive."""


class Jobs:
    """The repository of jobs."""

    def __init__(self, connection: Connection, shared: Shared) -> None:
        self._connection = connection
        self._shared = shared

    def add(self, job: Job) -> None:
        """Raises AlreadyExists when there is one with the id."""
        values = {"id": job.id, "spec": encode_job_spec(job.spec, self._shared.sealer, job.id), **self._values(job)}
        if not insert_new(self._connection, jobs, values):
            raise AlreadyExists("job", job.id)

    def get(self, workspace: WorkspaceId, id: JobId) -> Job | None:
        found = self.find(id)
        return found if found is not None and found.workspace == workspace else None

    def find(self, id: JobId) -> Job | None:
        """In any workspace."""
        return next(iter(self._many(self._connection.execute(_FIND, {"job": id}))), None)

    def lock(self, id: JobId) -> Job | None:
        """Kept from other writers until this transaction ends. Lock before you save."""
        return next(iter(self._many(self._connection.execute(_LOCK, {"job": id}))), None)

    def save(self, job: Job) -> None:
        """Replaces all but the id and the spec, which never changes. Raises NotFound when it was removed."""
        if not changed(self._connection, _SAVE, {"job": job.id, **self._values(job)}):
            raise NotFound("job", job.id)

    def page(
        self,
        workspace: WorkspaceId,
        which: JobFilter = JobFilter(),
        *,
        limit: int,
        offset: int = 0,
        before: JobId | None = None,
    ) -> list[Job]:
        """Newest first. ``before`` continues after that job of an earlier page; InvalidRequest if it was removed."""
        query = _IDENTITY.where(*_conditions(workspace, which))
        if before is not None:
            last = self._connection.execute(select(_J.submitted_at).where(_J.id == before)).first()
            if last is None:
                raise InvalidRequest("continues after a job that is gone; begin again at the first page", path="before")
            query = query.where(
                or_(_J.submitted_at < last.submitted_at, and_(_J.submitted_at == last.submitted_at, _J.id < before))
            )
        query = query.order_by(*_NEWEST_FIRST).limit(limit)
        return self._many(self._connection.execute(query.offset(offset) if offset else query))

    def count(self, workspace: WorkspaceId, which: JobFilter = JobFilter()) -> int:
        query = select(sql.count()).select_from(jobs).where(*_conditions(workspace, which))
        return self._connection.execute(query).scalar_one()

    def unsettled(self) -> list[JobId]:
        """What the control loop must look after."""
        return [JobId(id) for id in self._connection.execute(_UNSETTLED).scalars()]

    def unsettled_on(self, cluster: ClusterId) -> list[JobId]:
        """Those of them on one cluster."""
        return [JobId(id) for id in self._connection.execute(_UNSETTLED_ON, {"cluster": cluster}).scalars()]

    def on_cluster(self, cluster: ClusterId) -> list[Job]:
        """The unsettled ones of a cluster themselves."""
        query = _IDENTITY.where(_J.settled.is_(False), _J.cluster == cluster).order_by(*_NEWEST_FIRST)
        return self._many(self._connection.execute(query))

    def ended_before(self, time: datetime, *, limit: int) -> list[JobId]:
        """Settled jobs that ended before ``time``, oldest first."""
        query = select(_J.id).where(_J.ended_at < time, _J.settled.is_(True)).order_by(_J.ended_at).limit(limit)
        return [JobId(id) for id in self._connection.execute(query).scalars()]

    def remove(self, id: JobId) -> None:
        """For good, and with it the note of what secrets it was given. Its events and log files are removed by whoever
        calls this, and so are replaced values of secrets (``Secrets.forget_unused``)."""
        self._connection.execute(delete(jobs).where(_J.id == id))

    def _many(self, rows: Iterable[AnyRow]) -> list[Job]:
        cached = self._shared.jobs.get
        found: dict[JobId, Job | None] = {}
        missing: list[JobId] = []
        for id, revision in rows:
            known = cached(id)
            if known is not None and known[0] == revision:
                found[id] = known[1]
            else:
                found[id] = None
                missing.append(id)
        for batch in batches(missing, 500):
            for row in self._connection.execute(_LOAD, {"ids": batch}):
                found[row.id] = job = self._job(row)
                self._shared.jobs.put(job.id, (row.revision, job))
        return [job for job in found.values() if job is not None]

    def _job(self, row: AnyRow) -> Job:
        return Job(
            id=row.id,
            workspace=row.workspace,
            spec=self._spec(row),
            status=JobStatus(row.status),
            goal=JobGoal(row.goal),
            cluster=row.cluster,
            creator_name=row.creator_name,
            submitted_at=row.submitted_at,
            ended_at=row.ended_at,
            settled=row.settled,
            **decode_life(row.life, self._shared.sealer, row.id),
        )

    def _spec(self, row: AnyRow) -> JobSpec:
        known = self._shared.jobs.get(row.id)
        return known[1].spec if known is not None else decode_job_spec(row.spec, self._shared.sealer, row.id)

    def _values(self, job: Job) -> Values:
        return {
            "workspace": job.workspace,
            "revision": new_revision(),
            "name": job.spec.name,
            "status": job.status,
            "goal": job.goal,
            "cluster": job.cluster,
            "creator_name": job.creator_name,
            "submitted_at": job.submitted_at,
            "ended_at": job.ended_at,
            "settled": job.settled,
            "life": encode_life(job, self._shared.sealer),
        }


def _conditions(workspace: WorkspaceId, which: JobFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [_J.workspace == workspace]
    exactly = {"name": which.name, "id": which.id, "cluster": which.cluster, "creator_name": which.creator}
    conditions += [_J[name] == value for name, value in exactly.items() if value is not None]
    if which.name_contains:
        conditions.append(contains(_J.name, which.name_contains))
    if which.statuses is not None:
        conditions.append(_J.status.in_(which.statuses))
    if which.submitted_from is not None:
        conditions.append(_J.submitted_at >= which.submitted_from)
    if which.submitted_to is not None:
        conditions.append(_J.submitted_at <= which.submitted_to)
    return conditions
