"""Who you are, and keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from heliostat.services import NewAccessKey

from .. import documents
from ..context import Here, answer, nothing
from ..models.answers import KeyList, MeAnswer, NewKeyAnswer, VersionAnswer
from ..models.bodies import NewKeyRequest

router = APIRouter(prefix="/v1")
MOST_WORKSPACES = 1000


@router.get("/me", response_model=MeAnswer, tags=["identity"], summary="Who am I")
async def me(here: Here) -> Response:
    """The principal that the token belongs to, with its workspaces and the roles in them."""
    rows = await here.services.directory.workspaces(here.caller, limit=MOST_WORKSPACES)
    return answer(documents.me(here.caller, rows))


@router.get("/version", response_model=VersionAnswer, tags=["identity"], summary="Version of the server")
async def version(here: Here) -> Response:
    return answer({"version": here.shared.version, "api": "v1"})


@router.post("/keys", status_code=201, response_model=NewKeyAnswer, tags=["keys"], summary="Create a key")
async def create_key(here: Here, body: NewKeyRequest) -> Response:
    """A bearer token, or an access key for signed requests. The secret is shown this once."""
    identity = here.services.identity
    make = identity.create_token if body.kind == "token" else identity.create_access_key
    lifetime = timedelta(seconds=body.lifetime_seconds) if body.lifetime_seconds is not None else None
    made = await make(here.caller, principal=body.principal, description=body.description, lifetime=lifetime)
    secret = made.secret if isinstance(made, NewAccessKey) else made.token
    return answer({"key": documents.key(made.credential), "secret": secret.reveal()}, 201)


@router.get("/keys", response_model=KeyList, tags=["keys"], summary="List keys")
async def keys(here: Here) -> Response:
    """Your own; an admin sees everybody's. Secrets are never shown again."""
    return answer({"keys": [documents.key(row) for row in await here.services.identity.keys(here.caller)]})


@router.delete("/keys/{key}", status_code=204, tags=["keys"], summary="Revoke a key")
async def revoke_key(here: Here, key: Annotated[str, Path(description="Id of the key.")]) -> Response:
    """It is of no use from now on."""
    await here.services.identity.revoke(here.caller, key)
    return nothing()
