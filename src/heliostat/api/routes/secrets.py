"""``/v1/workspaces/{workspace}/secrets``: values that jobs get, and that no answer tells.

A name may have slashes in it, so that it is no segment of a path.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from heliostat.domain.ids import WorkspaceId
from heliostat.domain.secret import Secret
from heliostat.domain.secrets import SecretName, WorkspaceSecret

from ..context import Here, answer, nothing
from ..documents import moment
from ..models.base import Text
from ..models.secret_answers import SecretAnswer, SecretList
from ..models.secret_bodies import NewSecret
from .clusters import WorkspacePath

router = APIRouter(prefix="/v1/workspaces/{workspace}/secrets", tags=["secrets"])


@router.get("", response_model=SecretList, summary="List secrets")
async def list_secrets(
    here: Here,
    workspace: WorkspacePath,
    group: Annotated[Text | None, Query(description="Only those of this group.")] = None,
) -> Response:
    """Names, and who has set them when; no values. Takes an editor."""
    rows = await here.services.secrets.list(here.caller, WorkspaceId(workspace), group)
    return answer({"secrets": [_document(row) for row in rows]})


@router.put("", response_model=SecretAnswer, summary="Set a secret")
async def put(here: Here, workspace: WorkspacePath, body: NewSecret) -> Response:
    """Make it, or replace its value; takes an editor. Attempts of jobs that were begun before keep what they were given."""
    name = SecretName(body.group, body.key, body.version)
    value = Secret(body.value.get_secret_value())
    return answer(_document(await here.services.secrets.set(here.caller, WorkspaceId(workspace), name, value)))


@router.delete("", status_code=204, summary="Delete a secret")
async def delete(
    here: Here,
    workspace: WorkspacePath,
    group: Annotated[Text, Query(description="Its group.")],
    key: Annotated[Text, Query(description="Its key.")],
    version: Annotated[Text, Query(description="Its version, if it has one.")] = "",
) -> Response:
    """Takes an editor. Attempts of jobs that begin afterwards and ask for it fail."""
    await here.services.secrets.delete(here.caller, WorkspaceId(workspace), SecretName(group, key, version))
    return nothing()


def _document(row: WorkspaceSecret) -> dict[str, Any]:  # JSON
    name = row.name
    return {
        "group": name.group,
        "key": name.key,
        "version": name.version,
        "modified_at": moment(row.modified_at),
        "modifier": row.modifier_name,
    }
