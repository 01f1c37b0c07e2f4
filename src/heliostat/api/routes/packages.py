"""``/v1/workspaces/{workspace}/packages/{sha256}``: code that is uploaded once, whatever the number of jobs that use it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from heliostat.domain.errors import NotFound
from heliostat.domain.ids import WorkspaceId

from ..context import Context, Here, answer
from ..models.job_answers import PackageAnswer
from .clusters import WorkspacePath

router = APIRouter(prefix="/v1/workspaces/{workspace}/packages", tags=["packages"])

HashPath = Annotated[str, Path(description="SHA-256 of the zip: 64 lower-case hex digits.", examples=["0" * 64])]
_ZIP: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get("/{sha256}", response_model=PackageAnswer, summary="Look up a package")
async def get(here: Here, workspace: WorkspacePath, sha256: HashPath) -> Response:
    """Its size; 404 means that it has to be uploaded. What was looked up stays for the job that wants it."""
    return await _known(here, workspace, sha256)


@router.head("/{sha256}", summary="Ask for a package", response_class=Response)
async def head(here: Here, workspace: WorkspacePath, sha256: HashPath) -> Response:
    """The same without a body."""
    await _known(here, workspace, sha256)
    return Response()


@router.put("/{sha256}", status_code=201, response_model=PackageAnswer, summary="Upload a package", openapi_extra=_ZIP)
async def put(here: Here, request: Request, workspace: WorkspacePath, sha256: HashPath) -> Response:
    """Store a zip, which is refused unless its SHA-256 is the one in the path. `package://<sha256>` names it then."""
    size = await here.services.packages.put(here.caller, WorkspaceId(workspace), sha256, request.stream())
    return answer({"sha256": sha256, "size": size}, 201)


async def _known(here: Context, workspace: str, sha256: str) -> Response:
    size = await here.services.packages.size(here.caller, WorkspaceId(workspace), sha256)
    if size is None:
        raise NotFound("package", sha256, "upload it")
    return answer({"sha256": sha256, "size": size})
