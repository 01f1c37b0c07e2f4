"""``/v1/workspaces/{workspace}/clusters``: definitions and their life."""

from __future__ import annotations

import re
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Path, Query, Request
from starlette.responses import Response

from heliostat.domain.errors import InvalidRequest, NotFound
from heliostat.domain.ids import ClusterId, InstanceId, WorkspaceId
from heliostat.domain.records import Cluster
from heliostat.domain.states import State

from .. import documents, streams
from ..context import Context, Here, IdempotencyKey, answer, nothing
from ..definition import patched, planned, replaced, spec_of
from ..edge import named
from ..models.answers import ClusterAnswer, ClusterPage, EventList, ExplanationAnswer, NodeList, PlanAnswer
from ..models.bodies import Definition, NewCluster, PlanRequest, RestartRequest, StopRequest

router = APIRouter(prefix="/v1/workspaces/{workspace}/clusters", tags=["clusters"])

WorkspacePath = Annotated[str, Path(description="Id of the workspace.", examples=["w-0123456789abcdef"])]
ClusterPath = Annotated[str, Path(description="Id or name of the cluster.", examples=["demo"])]
Seconds = Annotated[float | None, Query(gt=0, le=86400, description="End the stream after so many seconds.")]
EventNumber = Annotated[int | None, Query(ge=0, le=2**53)]
CLUSTER_ID = re.compile(r"ray-[a-z0-9]{16}")
MAX_PAGE = 500
Generation = Annotated[
    int | None,
    Query(
        alias="expected_generation", ge=1, le=2**31 - 1,
        description="Conflict unless the cluster has this generation: no other change came between.",
    ),
]  # fmt: skip


@router.post("", status_code=201, response_model=ClusterAnswer, summary="Create a cluster")
async def create(here: Here, workspace: WorkspacePath, body: NewCluster, key: IdempotencyKey = None) -> Response:
    """Store a definition and, unless `start` is false, start it. The reply does not wait for Ray."""
    place = WorkspaceId(workspace)
    spec = spec_of(body, here.services.installation.catalogue.default_release.name)
    record = await here.services.clusters.create(here.caller, place, spec, start=body.start, client_token=key)
    return await _shown(here, record, status=201)


@router.get("", response_model=ClusterPage, summary="List clusters")
async def list_clusters(
    here: Here,
    workspace: WorkspacePath,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
    page_token: Annotated[
        str | None, Query(pattern=r"^ray-[a-z0-9]{16}$", description="`next_page_token` of the page before.")
    ] = None,
    state: Annotated[list[State] | None, Query(description="Only these; may be given more than once.")] = None,
    name: Annotated[str | None, Query(max_length=64, description="Only names that contain this.")] = None,
    temporary: Annotated[bool, Query(description="Also those that were made for a job.")] = False,
) -> Response:
    """Newest first. Addresses, findings and what may hold secrets are left out: get the one that you mean."""
    try:
        views = await here.services.clusters.list(
            here.caller,
            WorkspaceId(workspace),
            limit=limit + 1,
            before=ClusterId(page_token) if page_token else None,
            states=state,
            name_contains=name,
            temporary=temporary,
        )
    except InvalidRequest as error:
        raise InvalidRequest(error.message, path="page_token" if error.path == "before" else error.path) from None
    page = views[:limit]
    return answer(
        {
            "clusters": [here.documents.listed(view) for view in page],
            "next_page_token": page[-1].cluster.id if len(views) > limit else None,
        }
    )


@router.get("/{cluster}", response_model=ClusterAnswer, summary="Get a cluster")
async def get(here: Here, workspace: WorkspacePath, cluster: ClusterPath) -> Response:
    """The cluster, with its addresses while it runs, and what the engine makes of its fields."""
    place = WorkspaceId(workspace)
    view = await here.services.clusters.get(here.caller, place, await cluster_id(here, place, cluster))
    return answer(here.documents.cluster(here.caller, view))


_MERGE_PATCH = {
    "requestBody": {
        "required": True,
        "content": {
            media: {
                "schema": {
                    "type": "object",
                    "description": "The fields of a definition that shall change; null puts one back to its default.",
                    "properties": {name: {} for name in Definition.model_fields},
                    "additionalProperties": False,
                    "examples": [{"description": "nightly runs", "labels": {"team": "search"}}],
                }
            }
            for media in ("application/merge-patch+json", "application/json")
        },
    }
}


@router.patch("/{cluster}", response_model=ClusterAnswer, summary="Change a cluster", openapi_extra=_MERGE_PATCH)
async def update(
    here: Here, workspace: WorkspacePath, cluster: ClusterPath, request: Request, generation: Generation = None
) -> Response:
    """A JSON merge patch (RFC 7396) over the definition.

    Absent fields stay, objects are merged, `workers` and `volumes` are replaced as a whole. What a running cluster can have
    without a restart it gets at once; `modified` in the reply tells whether it needs one for the rest.
    """
    try:
        patch = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None
    change = patched(patch, here.services.installation.catalogue.default_release.name)
    place = WorkspaceId(workspace)
    target = await cluster_id(here, place, cluster)
    record = await here.services.clusters.update(here.caller, place, target, change, expected_generation=generation)
    return await _shown(here, record)


@router.put("/{cluster}", response_model=ClusterAnswer, summary="Make or replace a cluster's definition",
            responses={201: {"model": ClusterAnswer, "description": "It was made."}})  # fmt: skip
async def apply(
    here: Here,
    workspace: WorkspacePath,
    cluster: ClusterPath,
    body: Definition,
    generation: Generation = None,
    start: Annotated[bool, Query(description="Start it, if it is made by this.")] = True,
) -> Response:
    """The cluster is as the definition says from now on: what that leaves out has its default.

    Only the release, when it is left out, and the Redis password stay. A cluster that does not exist is made; then the path
    has its name.
    """
    place = WorkspaceId(workspace)
    change = replaced(body, here.services.installation.catalogue.default_release.name)
    target = await _known(here, place, cluster, body)
    if target is None and generation is not None:
        raise NotFound("cluster", cluster, "expected_generation is for one that exists")
    if target is None:
        made = await here.services.clusters.create(here.caller, place, change(None), start=start)
        return await _shown(here, made, status=201)
    record = await here.services.clusters.update(here.caller, place, target, change, expected_generation=generation)
    return await _shown(here, record)


@router.post("/{cluster}/plan", response_model=PlanAnswer, summary="Say what a change would do")
async def plan(
    here: Here, workspace: WorkspacePath, cluster: ClusterPath, body: PlanRequest, generation: Generation = None
) -> Response:
    """Field by field: what would change at once, what would need a restart, what would be refused. Nothing is changed."""
    place = WorkspaceId(workspace)
    release = here.services.installation.catalogue.default_release.name
    change = planned(body, release)
    if body.definition is not None:
        target = await _known(here, place, cluster, body.definition)
    else:
        target = await cluster_id(here, place, cluster)
    row = await here.services.clusters.preview(here.caller, place, target, change, expected_generation=generation)
    return answer(documents.plan(row))


@router.delete("/{cluster}", status_code=204, summary="Delete a cluster")
async def delete(
    here: Here,
    workspace: WorkspacePath,
    cluster: ClusterPath,
    stop: Annotated[bool, Query(description="Stop it first, if it is up.")] = False,
) -> Response:
    """Delete a stopped or failed cluster. One that is up is a conflict unless `stop` is true; then it is gone soon."""
    place = WorkspaceId(workspace)
    await here.services.clusters.delete(here.caller, place, await cluster_id(here, place, cluster), stop_first=stop)
    return nothing()


@router.post("/{cluster}/start", status_code=202, response_model=ClusterAnswer, summary="Start a cluster")
async def start(here: Here, workspace: WorkspacePath, cluster: ClusterPath, key: IdempotencyKey = None) -> Response:
    """Begin a new run, with an id, secrets and addresses of its own. The reply does not wait for Ray."""
    place = WorkspaceId(workspace)
    target = await cluster_id(here, place, cluster)
    record = await here.services.clusters.start(here.caller, place, target, client_token=key)
    return await _shown(here, record, status=202)


@router.post("/{cluster}/stop", status_code=202, response_model=ClusterAnswer, summary="Stop a cluster")
async def stop(
    here: Here, workspace: WorkspacePath, cluster: ClusterPath, body: Annotated[StopRequest | None, Body()] = None
) -> Response:
    """End the present run. Repeating it is harmless; `instance` keeps a late call from stopping a later run."""
    place = WorkspaceId(workspace)
    target = await cluster_id(here, place, cluster)
    instance = InstanceId(body.instance) if body is not None and body.instance is not None else None
    record = await here.services.clusters.stop(here.caller, place, target, instance=instance)
    return await _shown(here, record, status=202)


@router.post("/{cluster}/restart", status_code=202, response_model=ClusterAnswer, summary="Restart a cluster")
async def restart(
    here: Here,
    workspace: WorkspacePath,
    cluster: ClusterPath,
    body: Annotated[RestartRequest | None, Body()] = None,
    key: IdempotencyKey = None,
) -> Response:
    """End the present run and begin a new one of what is stored; a cluster that is down is started.

    With `rolling` the run stays, and its nodes are replaced one after the other: workers group by group, then the head, if
    what is stored for it is another thing. What only a full restart can bring is a conflict then.
    """
    place, given = WorkspaceId(workspace), body or RestartRequest()
    target = await cluster_id(here, place, cluster)
    instance = None if given.instance is None else InstanceId(given.instance)
    record = await here.services.clusters.restart(
        here.caller, place, target, rolling=given.rolling, instance=instance, client_token=key
    )
    return await _shown(here, record, status=202)


@router.get("/{cluster}/nodes", response_model=NodeList, summary="List the nodes of the present run")
async def nodes(here: Here, workspace: WorkspacePath, cluster: ClusterPath) -> Response:
    """Head first, then workers by group."""
    place = WorkspaceId(workspace)
    view = await here.services.clusters.get(here.caller, place, await cluster_id(here, place, cluster))
    rows = sorted(
        view.instance.nodes if view.instance else (), key=lambda row: (row.kind != "head", row.group, row.node)
    )
    return answer({"instance": view.instance and view.instance.id, "nodes": [documents.node(row) for row in rows]})


_EVENT = {
    "type": "object",
    "description": "One server-sent event; `data` is a document in JSON.",
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}, "id": {"type": "string"}},
    "required": ["event", "data"],
}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": _EVENT}}, "description": "Successful Response"}
}


@router.get("/{cluster}/events", response_model=EventList, summary="List or follow events", responses=STREAM)
async def events(
    here: Here,
    request: Request,
    workspace: WorkspacePath,
    cluster: ClusterPath,
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
    `Last-Event-ID` of the next call, and of `gone` when the cluster was deleted.
    """
    place = WorkspaceId(workspace)
    target = await cluster_id(here, place, cluster)
    if follow:
        last = request.headers.get("last-event-id", "")
        since = int(last) if last.isascii() and last.isdigit() and len(last) < 16 else after or 0
        await here.services.clusters.get(here.caller, place, target)
        return streams.response(here, streams.event_changes(here, place, target, since, seconds))
    rows = await here.services.clusters.events(here.caller, place, target, limit=limit, before=before, after=after)
    return answer({"events": [documents.event(row) for row in rows]})


@router.get("/{cluster}/why", response_model=ExplanationAnswer, summary="Explain the present state")
async def why(here: Here, workspace: WorkspacePath, cluster: ClusterPath) -> Response:
    """One sentence, the evidence it rests on, and what to do."""
    place = WorkspaceId(workspace)
    target = await cluster_id(here, place, cluster)
    return answer(documents.explanation(await here.services.clusters.why(here.caller, place, target)))


@router.get("/{cluster}/watch", summary="Watch a cluster", response_class=Response, responses=STREAM)
async def watch(here: Here, workspace: WorkspacePath, cluster: ClusterPath, seconds: Seconds = None) -> Response:
    """Server-sent events: `cluster` with the document now and whenever it changes, `gone` when it was deleted."""
    place = WorkspaceId(workspace)
    target = await cluster_id(here, place, cluster)
    await here.services.clusters.get(here.caller, place, target)
    return streams.response(here, streams.cluster_changes(here, place, target, seconds))


async def cluster_id(here: Context, workspace: WorkspaceId, cluster: str) -> ClusterId:
    """The id of a path's cluster. What has the form of an id is one, which saves a look."""
    if CLUSTER_ID.fullmatch(cluster):
        return ClusterId(cluster)
    return await here.services.clusters.resolve(here.caller, workspace, named(cluster))


async def _known(here: Context, workspace: WorkspaceId, cluster: str, body: Definition) -> ClusterId | None:
    """The id of the cluster that a definition is for; None = it would be made."""
    try:
        target = await cluster_id(here, workspace, cluster)
        await here.services.clusters.get(here.caller, workspace, target)
        return target
    except NotFound as error:
        if error.kind != "cluster" or CLUSTER_ID.fullmatch(cluster):
            raise
    if body.name != named(cluster):
        raise InvalidRequest("must be the name in the path when the cluster is made", path="name")
    return None


async def _shown(here: Context, record: Cluster, *, status: int = 200) -> Response:
    """The cluster as it is after a change."""
    view = await here.services.clusters.get(here.caller, record.workspace, record.id)
    return answer(here.documents.cluster(here.caller, view), status)
