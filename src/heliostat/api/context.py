"""What every route is handed: the services, who asks, and how documents are written."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Any

import orjson
from fastapi import Depends, Header, Request
from fastapi.security import HTTPBearer
from starlette.responses import Response

from heliostat.domain.errors import Unauthenticated
from heliostat.domain.ids import RequestId
from heliostat.services import Caller, Services

from .documents import Documents
from .job_documents import JobDocuments
from .metrics import Metrics

bearer = HTTPBearer(auto_error=False, description="An API token: `Authorization: Bearer hlt_...`")
"""Only for the OpenAPI document; :func:`token_of` reads the header."""


@dataclass
class Shared:
    """What all requests of one API share; kept in ``app.state.shared``."""

    services: Services
    documents: Documents
    jobs: JobDocuments
    metrics: Metrics
    version: str
    open_streams: int = 0
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the server ends: streams end then, and their readers come back to the next server."""


@dataclass(frozen=True)
class Context:
    """One authenticated request."""

    shared: Shared
    caller: Caller
    token: str

    @property
    def services(self) -> Services:
        return self.shared.services

    @property
    def documents(self) -> Documents:
        return self.shared.documents

    @property
    def jobs(self) -> JobDocuments:
        return self.shared.jobs

    async def again(self) -> Context:
        """The same for a stream that has been open for a while: who asks is looked up anew. Raises Unauthenticated."""
        principal = await self.services.identity.by_token(self.token)
        return Context(self.shared, Caller(principal, self.caller.request), self.token)


def shared_of(request: Request) -> Shared:
    shared: Shared = request.app.state.shared
    return shared


def request_id_of(request: Request) -> RequestId:
    return RequestId(request.state.request_id)


def token_of(request: Request) -> str:
    """The bearer token of a request. Raises Unauthenticated.

    Two headers are refused: something in front may have looked at the other one.
    """
    shown = request.headers.getlist("authorization")
    if len(shown) > 1:
        raise Unauthenticated("the request has two Authorization headers; send one")
    scheme, _, token = (shown[0] if shown else "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("show an API token: Authorization: Bearer hlt_...; make one with: heliostat key create")
    return token.strip()


async def _context(request: Request) -> Context:
    shared = shared_of(request)
    token = token_of(request)
    principal = await shared.services.identity.by_token(token)
    return Context(shared, Caller(principal, request_id_of(request)), token)


Here = Annotated[Context, Depends(_context)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        pattern=r"^[!-~]+$",
        description="Repeating a call with the same key within 24 hours does nothing twice.",
    ),
]


def answer(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer (``Any``: whatever orjson writes)."""
    return Response(orjson.dumps(document), status_code=status, media_type="application/json", headers=headers)


def nothing() -> Response:
    return Response(status_code=204)
