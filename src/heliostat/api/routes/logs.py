"""Logs of jobs and of runs of clusters, and of whoever holds a ticket."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from heliostat.domain.errors import InvalidRequest, NotCollected, NotFound
from heliostat.domain.ids import InstanceId, WorkspaceId
from heliostat.domain.jobs import Job, LogFile, driver_log

from .. import job_documents, log_streams, log_text
from ..context import Context, Here, answer, request_id_of, shared_of
from ..edge import named
from ..log_sources import DRIVER, DriverLog, JobLog, RunLog, Source
from ..models.job_answers import LogFileList
from .clusters import ClusterPath, Seconds, WorkspacePath, cluster_id
from .jobs import JobPath, job_id

router = APIRouter(tags=["logs"])

NamePath = Annotated[str, Path(description="Name of the file, as the list tells it.")]
Offset = Annotated[int | None, Query(ge=0, le=2**53, description="Begin behind so many bytes.")]
Tail = Annotated[int | None, Query(ge=0, le=1_000_000, description="Only the last so many lines.")]
Grep = Annotated[
    str | None, Query(min_length=1, max_length=log_text.MAX_PATTERN, description="Only lines that match (RE2 syntax).")
]
Follow = Annotated[bool, Query(description="Go on with what is written from now on, until nothing more will come.")]
_PLACE = re.compile(r"([0-9]{1,16})")
_DRIVER_PLACE = re.compile(r"([0-9]{1,6})-([0-9]{1,16})")
_TEXT: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
_EVENTS: dict[str, Any] = {"text/event-stream": {"schema": {"type": "string"}}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": _TEXT | _EVENTS, "description": "The log, or what is asked for of it"},
    206: {"content": _TEXT, "description": "The range that was asked for"},
}
_TICKET_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": _TEXT, "description": "The log"},
    206: _ANSWERS[206],
}


@router.get("/v1/workspaces/{workspace}/jobs/{job}/logs", response_model=LogFileList, summary="List the logs of a job")
async def of_job(here: Here, workspace: WorkspacePath, job: JobPath) -> Response:
    """Every attempt's driver's log, as much of each as is stored by now."""
    place = WorkspaceId(workspace)
    rows = await here.services.logs.files(here.caller, place, await job_id(here, place, job))
    return answer(job_documents.log_files(rows))


@router.get(
    "/v1/workspaces/{workspace}/jobs/{job}/logs/{name:path}",
    summary="Read or follow a log of a job",
    response_class=Response,
    responses=_ANSWERS,
)
async def read_of_job(
    here: Here,
    request: Request,
    workspace: WorkspacePath,
    job: JobPath,
    name: Annotated[str, Path(description="Name of the file, or `driver`: the driver's log of the last attempt.")],
    attempt: Annotated[int | None, Query(ge=1, le=1000, description="Which attempt's log `driver` is.")] = None,
    offset: Offset = None,
    tail: Tail = None,
    grep: Grep = None,
    follow: Follow = False,
    seconds: Seconds = None,
) -> Response:
    """Text, whole or by `Range`, or what the parameters choose of it: first `offset` and `tail`, then `grep`.

    With `follow` the answer lasts until the job has ended and its log is complete; `driver` goes on with the log of the
    next attempt when there is one. With `Accept: text/event-stream` it has `log` events with the text, whose ids serve as
    `Last-Event-ID` of the next call, and at last an `end` event with the job's status.
    """
    place, chosen = WorkspaceId(workspace), named(name)
    if attempt is not None and chosen != DRIVER:
        raise InvalidRequest(f"goes with the name {DRIVER!r} only", path="attempt")
    target = await job_id(here, place, job)
    lines = None if grep is None else log_text.pattern(grep)
    record = await here.services.logs.job(here.caller, place, target)
    number = attempt or max(1, len(record.attempts))
    owned = driver_log(target, number) if chosen == DRIVER else chosen
    if not follow:
        blank = _blank(record, owned) if chosen == DRIVER and number <= max(1, len(record.attempts)) else None
        return await _read(here, request, place, target, owned, offset, tail, lines, blank)
    await _expect(here, place, target, owned)
    source: Source = JobLog(place, target, chosen)
    if chosen == DRIVER:
        source = DriverLog(place, target, number, chosen=attempt is not None)
    return await _follow(here, request, source, offset, tail, lines, seconds)


@router.get(
    "/v1/workspaces/{workspace}/clusters/{cluster}/logs",
    response_model=LogFileList,
    summary="List the logs of a cluster",
)
async def of_cluster(
    here: Here,
    workspace: WorkspacePath,
    cluster: ClusterPath,
    instance: Annotated[str | None, Query(min_length=1, max_length=64, description="Only those of this run.")] = None,
) -> Response:
    """What was kept of the logs of its nodes, of all its runs. A cluster that is gone is named by its id."""
    place = WorkspaceId(workspace)
    rows = await here.services.logs.files(here.caller, place, await cluster_id(here, place, cluster))
    return answer(job_documents.log_files([row for row in rows if instance in (None, row.owner)]))


@router.get(
    "/v1/workspaces/{workspace}/clusters/{cluster}/logs/{instance}/{name:path}",
    summary="Read or follow a log of a run of a cluster",
    response_class=Response,
    responses=_ANSWERS,
)
async def read_of_cluster(
    here: Here,
    request: Request,
    workspace: WorkspacePath,
    cluster: ClusterPath,
    instance: Annotated[str, Path(description="Id of the run.")],
    name: NamePath,
    offset: Offset = None,
    tail: Tail = None,
    grep: Grep = None,
    follow: Follow = False,
    seconds: Seconds = None,
) -> Response:
    """As a log of a job. With `follow` until the file is complete or the run has ended."""
    place, chosen = WorkspaceId(workspace), named(name)
    target = await cluster_id(here, place, cluster)
    run = InstanceId(named(instance))
    if not run.startswith(f"{target}-"):
        raise NotFound("run", run)
    lines = None if grep is None else log_text.pattern(grep)
    if not follow:
        return await _read(here, request, place, run, chosen, offset, tail, lines)
    await here.services.logs.file(here.caller, place, run, chosen)
    return await _follow(here, request, RunLog(place, target, run, chosen), offset, tail, lines, seconds)


@router.get(
    "/v1/log-tickets/{ticket}",
    summary="Read the log of a ticket",
    response_class=Response,
    responses=_TICKET_ANSWERS,
)
async def of_ticket(request: Request, ticket: Annotated[str, Path(max_length=4096)]) -> Response:
    """Whoever has a ticket may read its file for an hour, without a token. `Range` is understood."""
    logs = shared_of(request).services.logs
    file = await logs.redeem(ticket)
    header = _range(request)
    return await log_streams.part(logs, file, request_id_of(request), header, 0, log_text.Bytes())


async def _read(
    here: Context,
    request: Request,
    workspace: WorkspaceId,
    owner: str,
    name: str,
    offset: int | None,
    tail: int | None,
    lines: log_text.LinePattern | None,
    blank: LogFile | None = None,
) -> Response:
    """``blank`` stands for a file that is not there."""
    logs = here.services.logs
    try:
        file = await logs.file(here.caller, workspace, owner, name)
    except NotFound as error:
        if blank is None or error.kind != "log" or isinstance(error, NotCollected):
            raise
        file = blank
    start = offset or 0
    if tail is not None:
        start = await log_streams.tail_start(logs, file, tail, start)
    plain = (offset, tail, lines) == (None, None, None)
    shape = log_text.Bytes() if lines is None else log_text.Lines(lines)
    header = _range(request) if plain else None
    return await log_streams.part(logs, file, here.caller.request, header, start, shape)


async def _expect(here: Context, workspace: WorkspaceId, owner: str, name: str) -> None:
    """Raises NotCollected for a log that is not there and is not going to be."""
    try:
        await here.services.logs.file(here.caller, workspace, owner, name)
    except NotFound as error:
        if isinstance(error, NotCollected) or error.kind != "log":
            raise


def _blank(job: Job, name: str) -> LogFile | None:
    """What the driver's log is before anything of it was stored; None when there should be one."""
    if job.status.final and job.attempts:
        return None
    return LogFile(job.id, job.workspace, name, 0, 0, job.submitted_at)


async def _follow(
    here: Context,
    request: Request,
    source: Source,
    offset: int | None,
    tail: int | None,
    lines: log_text.LinePattern | None,
    seconds: float | None,
) -> Response:
    resumed = _resumed(source, request.headers.get("last-event-id", ""))
    if resumed is None:
        begin = await log_streams.start_of(here, source, offset or 0, tail)
    else:
        source, begin = resumed
    if "text/event-stream" in request.headers.get("accept", ""):
        return log_streams.followed(here, source, begin, lines, seconds)
    return log_streams.followed_plainly(here, source, begin, lines, seconds)


def _resumed(source: Source, last: str) -> tuple[Source, int] | None:
    """Where a reader goes on that has read as far as ``last``; None when that names no place."""
    if isinstance(source, DriverLog):
        match = _DRIVER_PLACE.fullmatch(last)
        return None if match is None else (replace(source, attempt=max(1, int(match[1]))), int(match[2]))
    match = _PLACE.fullmatch(last)
    return None if match is None else (source, int(match[1]))


def _range(request: Request) -> str | None:
    return None if "if-range" in request.headers else request.headers.get("range")
