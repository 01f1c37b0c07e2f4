"""Who you are, and keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from heliostat.domain.errors import InvalidRequest, MissingField
from heliostat.services import KeyWish, NewAccessKey, ProjectRefused

from .. import documents
from ..context import Here, answer, nothing
from ..models.answers import KeyList, MeAnswer, NewKeyAnswer, VersionAnswer, VertexSetupAnswer
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


@router.get(
    "/vertex",
    response_model=VertexSetupAnswer,
    tags=["identity"],
    summary="How Google's clients are set up for this server",
)
async def vertex(
    here: Here,
    project: Annotated[str | None, Query(description="Number, id or name of a workspace.", max_length=64)] = None,
) -> Response:
    """Where they connect to and what they trust, for one workspace, which they call a project."""
    return answer(documents.vertex_setup(await here.services.google.setup(here.caller, project)))


@router.post("/keys", status_code=201, response_model=NewKeyAnswer, tags=["keys"], summary="Create a key")
async def create_key(here: Here, body: NewKeyRequest) -> Response:
    """A bearer token, an access key for signed requests, or a service account's key for Google's clients.

    The secret is shown this once. A service account's key has none here: you make the key pair and send the public key."""
    lifetime = timedelta(seconds=body.lifetime_seconds) if body.lifetime_seconds is not None else None
    if body.kind == "service_account_key":
        return await _service_account_key(here, body, KeyWish(body.principal, body.description, lifetime))
    for name in ("public_key", "workspace"):
        if getattr(body, name) is not None:
            raise InvalidRequest("is for the kind service_account_key alone", path=name)
    identity = here.services.identity
    make = identity.create_token if body.kind == "token" else identity.create_access_key
    made = await make(here.caller, principal=body.principal, description=body.description, lifetime=lifetime)
    secret = made.secret if isinstance(made, NewAccessKey) else made.token
    return answer({"key": documents.key(made.credential), "secret": secret.reveal(), "google": None}, 201)


@router.get("/keys", response_model=KeyList, tags=["keys"], summary="List keys")
async def keys(here: Here) -> Response:
    """Your own; an admin sees everybody's. Secrets are never shown again."""
    return answer({"keys": [documents.key(row) for row in await here.services.identity.keys(here.caller)]})


@router.delete("/keys/{key}", status_code=204, tags=["keys"], summary="Revoke a key")
async def revoke_key(here: Here, key: Annotated[str, Path(description="Id of the key.")]) -> Response:
    """It is of no use from now on."""
    await here.services.identity.revoke(here.caller, key)
    return nothing()


async def _service_account_key(here: Here, body: NewKeyRequest, wish: KeyWish) -> Response:
    if body.public_key is None:
        raise MissingField("public_key")
    try:
        made = await here.services.google.create_key(here.caller, body.public_key, body.workspace, wish)
    except ProjectRefused as error:
        error.path = "workspace"
        raise
    return answer({"key": documents.key(made.credential), "secret": None, "google": documents.google_key(made)}, 201)
