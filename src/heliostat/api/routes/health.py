"""Whether the server lives, whether it can serve, its figures, and the description of this API."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from heliostat.domain.errors import Forbidden, Unavailable

from .. import page
from ..context import Here, answer, shared_of
from ..metrics import CONTENT_TYPE_LATEST
from ..models.answers import Health

router = APIRouter()
READY_SECONDS = 2.0


@router.get("/healthz", response_model=Health, tags=["health"], summary="Liveness")
async def healthz() -> Response:
    """Answers as long as the process does."""
    return answer({"status": "ok"})


@router.get("/readyz", response_model=Health, tags=["health"], summary="Readiness")
async def readyz(request: Request) -> Response:
    """Answers 200 when the database does."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            await shared_of(request).services.identity.access_key("readiness")
    except TimeoutError:
        raise Unavailable(f"the database did not answer in {READY_SECONDS:g} s") from None
    return answer({"status": "ok"})


@router.get("/metrics", tags=["health"], summary="Figures for Prometheus", response_class=Response,
            responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})  # fmt: skip
async def metrics(here: Here) -> Response:
    """For installation admins."""
    if not here.caller.principal.admin:
        raise Forbidden("read the server's figures", here.caller.principal.name, "installation admin")
    return Response(here.shared.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    return answer(request.app.openapi())


@router.get("/", include_in_schema=False)
async def root() -> Response:
    """Who opens the address that the server prints shall see something."""
    return RedirectResponse("/docs", status_code=303)


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    return HTMLResponse(page.render(request.app.openapi()), headers={"content-security-policy": page.POLICY})
