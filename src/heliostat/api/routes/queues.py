"""Queues, and what was used of them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime
from starlette.responses import Response

from heliostat.domain.errors import NotFound
from heliostat.domain.ids import ClusterId, WorkspaceId

from .. import queue_documents
from ..context import Context, Here, answer, nothing
from ..edge import named
from ..models.base import Text
from ..models.queue_answers import QueueAnswer, QueueDetail, QueueList, UsageAnswer
from ..models.queue_bodies import NewQueue, QueueChange
from .clusters import CLUSTER_ID, WorkspacePath

router = APIRouter(prefix="/v1/workspaces/{workspace}", tags=["queues"])

QueuePath = Annotated[str, Path(description="Name of the queue.", examples=["root_queue"])]
HOLDERS = 100
"""How many of those that hold nodes are shown."""


@router.get("/queues", response_model=QueueList, summary="List queues")
async def list_queues(here: Here, workspace: WorkspacePath) -> Response:
    """Named shares of capacity; every group of nodes is charged to one."""
    rows = await here.services.queues.list(here.caller, WorkspaceId(workspace))
    return answer({"queues": [queue_documents.queue(row) for row in rows]})


@router.post("/queues", status_code=201, response_model=QueueAnswer, summary="Create a queue")
async def create(here: Here, workspace: WorkspacePath, body: NewQueue) -> Response:
    """Takes an owner. What is guaranteed to all queues together must fit into `root_queue`'s maximum."""
    place = WorkspaceId(workspace)
    wish = queue_documents.wish(place, body, here.services.clock.now())
    return answer(queue_documents.queue(await here.services.queues.create(here.caller, place, wish)), 201)


@router.get("/queues/{queue}", response_model=QueueDetail, summary="Get a queue")
async def get(here: Here, workspace: WorkspacePath, queue: QueuePath) -> Response:
    """With the runs that hold most of it."""
    place, name = WorkspaceId(workspace), named(queue)
    view = await here.services.queues.get(here.caller, place, name)
    holders = await here.services.queues.holders(here.caller, place, name)
    return answer(queue_documents.queue_detail(view, holders[:HOLDERS]))


@router.patch("/queues/{queue}", response_model=QueueAnswer, summary="Change a queue")
async def edit(here: Here, workspace: WorkspacePath, queue: QueuePath, body: QueueChange) -> Response:
    """A JSON merge patch (RFC 7396). Takes an owner.

    A maximum below what is held is allowed: nothing is ended for it, and nothing more is let in before enough was given
    back. A higher one lets in what waits, at once.
    """
    change = queue_documents.change(body)
    view = await here.services.queues.edit(here.caller, WorkspaceId(workspace), named(queue), change)
    return answer(queue_documents.queue(view))


@router.delete("/queues/{queue}", status_code=204, summary="Delete a queue")
async def delete(here: Here, workspace: WorkspacePath, queue: QueuePath) -> Response:
    """Takes an owner. A conflict while anything holds or waits for nodes of it, or a definition names it."""
    await here.services.queues.delete(here.caller, WorkspaceId(workspace), named(queue))
    return nothing()


@router.get("/usage", response_model=UsageAnswer, summary="Sum up usage")
async def usage(
    here: Here,
    workspace: WorkspacePath,
    since: Annotated[AwareDatetime | None, Query(description="Beginning; 7 days before `until` when left out.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="End; now when left out.")] = None,
    by: Annotated[
        list[Literal["queue", "cluster", "principal", "hour"]],
        Query(description="A row for each of these; repeatable.", max_length=4),
    ] = [],  # noqa: B006 - FastAPI copies it
    queue: Annotated[Text | None, Query(description="Only what was charged to this queue.")] = None,
    cluster: Annotated[
        Text | None, Query(min_length=1, description="Only this cluster: an id, or the name of one that is there.")
    ] = None,
) -> Response:
    """Hours of nodes, cores, memory and GPUs, split into starting, useful and idle. Whole hours are counted, so that the
    first and the last one may hold more than was asked for."""
    place = WorkspaceId(workspace)
    only = None if cluster is None else await _cluster(here, place, cluster)
    report = await here.services.usage.usage(
        here.caller, place, since=since, until=until, by=by, queue=queue, cluster=only
    )
    return answer(queue_documents.usage(report))


async def _cluster(here: Context, workspace: WorkspaceId, cluster: str) -> ClusterId:
    if CLUSTER_ID.fullmatch(cluster):
        return ClusterId(cluster)  # it may be gone
    try:
        return await here.services.clusters.resolve(here.caller, workspace, cluster)
    except NotFound as error:
        if error.kind == "cluster":
            error.path = "cluster"
        raise
