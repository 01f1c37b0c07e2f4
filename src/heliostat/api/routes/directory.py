"""Workspaces, network services and releases."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from heliostat.domain.ids import WorkspaceId
from heliostat.domain.records import Role

from .. import documents
from ..context import Here, answer, nothing
from ..models.answers import (
    NetworkServiceList,
    ReleaseAnswer,
    ReleaseList,
    WorkspaceAnswer,
    WorkspacePage,
)
from ..models.bodies import NewWorkspace, RoleGrant
from .clusters import WorkspacePath

router = APIRouter(prefix="/v1")

PrincipalPath = Annotated[str, Path(description="Name of the principal.", examples=["ada"])]
ReleasePath = Annotated[str, Path(description="Name, display text or Ray version.", examples=["ray-1.3.1"])]


@router.get("/workspaces", response_model=WorkspacePage, tags=["workspaces"], summary="List your workspaces")
async def workspaces(
    here: Here,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    page_token: Annotated[str | None, Query(max_length=64, description="`next_page_token` of the page before.")] = None,
    name: Annotated[str | None, Query(max_length=64, description="Only names that contain this.")] = None,
) -> Response:
    """Those in which you have a role, by id."""
    after = WorkspaceId(page_token) if page_token else None
    rows = await here.services.directory.workspaces(here.caller, limit=limit + 1, after=after, name_contains=name)
    page = rows[:limit]
    return answer(
        {
            "workspaces": [documents.workspace(here.caller, row) for row in page],
            "next_page_token": page[-1].id if len(rows) > limit else None,
        }
    )


@router.post(
    "/workspaces", status_code=201, response_model=WorkspaceAnswer, tags=["workspaces"], summary="Create a workspace"
)
async def create_workspace(here: Here, body: NewWorkspace) -> Response:
    """With its `root_queue`. For installation admins."""
    row = await here.services.directory.create_workspace(here.caller, body.name)
    return answer(documents.workspace(here.caller, row), 201)


@router.get("/workspaces/{workspace}", response_model=WorkspaceAnswer, tags=["workspaces"], summary="Get a workspace")
async def workspace(here: Here, workspace: WorkspacePath) -> Response:
    row = await here.services.directory.workspace(here.caller, WorkspaceId(workspace))
    return answer(documents.workspace(here.caller, row))


@router.get(
    "/workspaces/{workspace}/network-services",
    response_model=NetworkServiceList,
    tags=["workspaces"],
    summary="List network services",
)
async def network_services(here: Here, workspace: WorkspacePath) -> Response:
    """Networks that a definition may name."""
    rows = await here.services.directory.network_services(here.caller, WorkspaceId(workspace))
    return answer({"network_services": [documents.network_service(row) for row in rows]})


@router.put("/workspaces/{workspace}/roles/{principal}", status_code=204, tags=["workspaces"], summary="Give a role")
async def grant(here: Here, workspace: WorkspacePath, principal: PrincipalPath, body: RoleGrant) -> Response:
    """Give a principal a role in the workspace, in place of the one it has. Takes an owner."""
    await here.services.identity.grant(here.caller, WorkspaceId(workspace), principal, Role(body.role))
    return nothing()


@router.delete("/workspaces/{workspace}/roles/{principal}", status_code=204, tags=["workspaces"], summary="Take a role")
async def revoke(here: Here, workspace: WorkspacePath, principal: PrincipalPath) -> Response:
    """Takes an owner."""
    await here.services.identity.grant(here.caller, WorkspaceId(workspace), principal, None)
    return nothing()


@router.get("/releases", response_model=ReleaseList, tags=["releases"], summary="List releases")
async def releases(here: Here) -> Response:
    """Which Ray with which Python a definition may ask for, and whether it can run here."""
    return answer({"releases": [documents.release(row) for row in await here.services.directory.releases(here.caller)]})


@router.get("/releases/{release}", response_model=ReleaseAnswer, tags=["releases"], summary="Get a release")
async def release(here: Here, release: ReleasePath) -> Response:
    return answer(documents.release(await here.services.directory.release(here.caller, release)))


@router.post(
    "/releases/{release}/prepare", status_code=202, response_model=ReleaseAnswer, tags=["releases"],
    summary="Build a release's environment ahead of the first start",
)  # fmt: skip
async def prepare(here: Here, release: ReleasePath) -> Response:
    """Returns at once; `environment` and `detail` of the release tell how far it is."""
    return answer(documents.release(await here.services.directory.prepare(here.caller, release)), 202)
