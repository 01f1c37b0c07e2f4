"""``/v1/workspaces/{workspace}/jobs``: submit, read, follow, cancel and remove jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from heliostat.domain.errors import HeliostatError, InvalidRequest, NotFound
from heliostat.domain.ids import ClusterId, JobId, WorkspaceId
from heliostat.domain.job_states import JobStatus
from heliostat.services import JobFilter

from .. import documents, streams
from ..context import Context, Here, IdempotencyKey, answer, nothing
from ..edge import named
from ..job_definition import wish_of
from ..models.answers import EventList, ExplanationAnswer
from ..models.job_answers import JobAnswer, JobCancelAnswer, JobPage
from ..models.job_bodies import NewJob
from .clusters import CLUSTER_ID, MAX_PAGE, STREAM, EventNumber, Seconds, WorkspacePath

router = APIRouter(prefix="/v1/workspaces/{workspace}/jobs", tags=["jobs"])

JobPath = Annotated[
    str, Path(description="Id of the job, or a name: then the newest with it.", examples=["rj-0123456789abcdef"])
]
_JOB_ID = re.compile(r"rj-[a-z0-9]{16}")
_PATHS = {"deadline": "deadline_seconds", "ttl": "ttl_seconds", "before": "page_token"}
"""Native paths that are spelled otherwise here."""


@router.post("", status_code=201, response_model=JobAnswer, summary="Submit a job")
async def submit(here: Here, workspace: WorkspacePath, body: NewJob, key: IdempotencyKey = None) -> Response:
    """Store a job, which then runs whatever happens to the server. The reply does not wait for Ray.

    It runs on the `cluster` named, or on one that is made for it by `cluster_spec` and removed afterwards.
    """
    place = WorkspaceId(workspace)
    target = None if body.cluster is None else await _target(here, place, body.cluster)
    wish = wish_of(body, target, here.services.installation.catalogue.default_release.name)
    with _spelled():
        job = await here.services.jobs.submit(here.caller, place, wish, accept_starting=True, client_token=key)
    return await _shown(here, place, job.id, status=201)


@router.get("", response_model=JobPage, summary="List jobs")
async def list_jobs(
    here: Here,
    workspace: WorkspacePath,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
    page_token: Annotated[
        str | None, Query(pattern=r"^rj-[a-z0-9]{16}$", description="`next_page_token` of the page before.")
    ] = None,
    status: Annotated[list[JobStatus] | None, Query(description="Only these; may be given more than once.")] = None,
    name: Annotated[str | None, Query(max_length=64, description="Only names that contain this.")] = None,
    cluster: Annotated[
        str | None,
        Query(min_length=1, description="Only those on this cluster: an id, or the name of one that is there."),
    ] = None,
    creator: Annotated[
        str | None, Query(max_length=64, description="Only those of the principal of this name.")
    ] = None,
    submitted_after: Annotated[datetime | None, Query(description="Not earlier; UTC unless it says otherwise.")] = None,
    submitted_before: Annotated[datetime | None, Query(description="Not later; UTC unless it says otherwise.")] = None,
) -> Response:
    """Newest first. Code, addresses and what may hold secrets are left out: get the one that you mean."""
    place = WorkspaceId(workspace)
    which = JobFilter(
        name_contains=name,
        cluster=None if cluster is None else await _filter_cluster(here, place, cluster),
        creator=creator,
        statuses=status,
        submitted_from=_utc(submitted_after, "submitted_after"),
        submitted_to=_utc(submitted_before, "submitted_before"),
    )
    before = JobId(page_token) if page_token else None
    with _spelled():
        views = await here.services.jobs.list(here.caller, place, which, limit=limit + 1, before=before)
    page = views[:limit]
    return answer(
        {
            "jobs": [here.jobs.listed(view) for view in page],
            "next_page_token": page[-1].job.id if len(views) > limit else None,
        }
    )


@router.get("/{job}", response_model=JobAnswer, summary="Get a job")
async def get(here: Here, workspace: WorkspacePath, job: JobPath) -> Response:
    """The job, how far it is, its attempts and what it took; also long after everything that it ran on is gone."""
    place = WorkspaceId(workspace)
    return await _shown(here, place, await job_id(here, place, job))


@router.post("/{job}/cancel", status_code=202, response_model=JobCancelAnswer, summary="Cancel a job")
async def cancel(here: Here, workspace: WorkspacePath, job: JobPath) -> Response:
    """Set off its end. Repeating it is harmless; `cancelled` is false when it had ended already."""
    place = WorkspaceId(workspace)
    target = await job_id(here, place, job)
    begun = await here.services.jobs.cancel(here.caller, place, target)
    view = await here.services.jobs.get(here.caller, place, target)
    return answer(here.jobs.job(here.caller, view, cancelled=begun), 202)


@router.delete("/{job}", status_code=204, summary="Delete a job")
async def delete(here: Here, workspace: WorkspacePath, job: JobPath) -> Response:
    """Forget a job that has ended, and its logs. One of which anything goes on is a conflict."""
    place = WorkspaceId(workspace)
    await here.services.jobs.delete(here.caller, place, await job_id(here, place, job))
    return nothing()


@router.get("/{job}/events", response_model=EventList, summary="List or follow events", responses=STREAM)
async def events(
    here: Here,
    request: Request,
    workspace: WorkspacePath,
    job: JobPath,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: EventNumber = None,
    after: EventNumber = None,
    follow: Annotated[
        bool, Query(description="Answer with server-sent events: all since `after`, then new ones.")
    ] = False,
    seconds: Seconds = None,
) -> Response:
    """What happened: newest first, or with `after` oldest first.

    With `follow` the answer is a stream (`text/event-stream`) of `event` events, whose ids serve as `after` or
    `Last-Event-ID` of the next call, then `end` when nothing more will happen, or `gone` when the job was deleted.
    """
    place = WorkspaceId(workspace)
    target = await job_id(here, place, job)
    if follow:
        last = request.headers.get("last-event-id", "")
        since = int(last) if last.isascii() and last.isdigit() and len(last) < 16 else after or 0
        await here.services.jobs.get(here.caller, place, target)
        return streams.response(here, streams.job_event_changes(here, place, target, since, seconds))
    rows = await here.services.jobs.events(here.caller, place, target, limit=limit, before=before, after=after)
    return answer({"events": [documents.event(row) for row in rows]})


@router.get("/{job}/why", response_model=ExplanationAnswer, summary="Explain the present status")
async def why(here: Here, workspace: WorkspacePath, job: JobPath) -> Response:
    """One sentence, the evidence it rests on, and what to do."""
    place = WorkspaceId(workspace)
    target = await job_id(here, place, job)
    return answer(documents.explanation(await here.services.jobs.why(here.caller, place, target)))


@router.get("/{job}/watch", summary="Watch a job", response_class=Response, responses=STREAM)
async def watch(here: Here, workspace: WorkspacePath, job: JobPath, seconds: Seconds = None) -> Response:
    """Server-sent events: `job` with the document now and whenever it changes, then `end` when nothing remains to be
    done for it, or `gone` when it was deleted."""
    place = WorkspaceId(workspace)
    target = await job_id(here, place, job)
    await here.services.jobs.get(here.caller, place, target)
    return streams.response(here, streams.job_changes(here, place, target, seconds))


async def job_id(here: Context, workspace: WorkspaceId, job: str) -> JobId:
    """The id of a path's job. What has the form of an id is one, which saves a look. Raises NotFound."""
    if _JOB_ID.fullmatch(job):
        return JobId(job)
    found = await here.services.jobs.list(here.caller, workspace, JobFilter(name=named(job)), limit=1)
    if not found:
        raise NotFound("job", named(job))
    return found[0].job.id


async def _target(here: Context, workspace: WorkspaceId, cluster: str) -> ClusterId:
    """The cluster that a job names. One that is not there is left to the use case, which may know the job by its key."""
    try:
        return await here.services.clusters.resolve(here.caller, workspace, cluster)
    except NotFound as error:
        if error.kind != "cluster":
            raise
        return ClusterId(cluster)


async def _filter_cluster(here: Context, workspace: WorkspaceId, cluster: str) -> ClusterId:
    if CLUSTER_ID.fullmatch(cluster):
        return ClusterId(cluster)  # it may be gone
    try:
        return await here.services.clusters.resolve(here.caller, workspace, cluster)
    except NotFound as error:
        if error.kind == "cluster":
            error.path = "cluster"
        raise


async def _shown(here: Context, workspace: WorkspaceId, job: JobId, *, status: int = 200) -> Response:
    view = await here.services.jobs.get(here.caller, workspace, job)
    return answer(here.jobs.job(here.caller, view), status)


@contextmanager
def _spelled() -> Iterator[None]:
    """Errors leave with their paths as this API spells them."""
    try:
        yield
    except HeliostatError as error:
        if error.path is not None:
            error.path = _PATHS.get(error.path, error.path)
        elif isinstance(error, NotFound) and error.kind == "cluster":
            error.path = "cluster"
        raise


def _utc(at: datetime | None, path: str) -> datetime | None:
    if at is None:
        return None
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError:
        raise InvalidRequest("is beyond what a calendar has", path=path) from None
