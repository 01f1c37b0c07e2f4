"""Puts the API together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import compile_path

from heliostat.domain.errors import HeliostatError
from heliostat.services import Services

from . import openapi, problems
from .context import Shared, request_id_of
from .documents import Documents
from .edge import Edge
from .job_documents import JobDocuments
from .metrics import Metrics
from .routes import clusters, directory, health, identity, jobs, logs, monitoring, packages, queues, secrets


def create_app(services: Services, version: str, figures: Iterable[Collector] = ()) -> FastAPI:
    """The native API as an ASGI app, for one server with these services. ``figures`` are shown beside its own."""
    metrics = Metrics(version, figures)
    app = FastAPI(
        title="Heliostat", version=version, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.state.shared = Shared(services, Documents(services), JobDocuments(services), metrics, version)
    app.add_middleware(Edge, metrics=metrics)
    app.add_exception_handler(HeliostatError, _domain_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    for router in (
        health.router,
        identity.router,
        directory.router,
        queues.router,
        clusters.router,
        jobs.router,
        logs.router,
        packages.router,
        secrets.router,
        monitoring.router,
    ):
        app.include_router(router)
    app.add_api_route("/openapi.json", health.openapi, include_in_schema=False)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]
    return app


def end_streams(app: FastAPI) -> None:
    """End all event streams, so that the server can; new ones end at once."""
    shared: Shared = app.state.shared
    shared.closing.set()


def _domain_error(request: Request, error: Exception) -> Response:
    return problems.of_domain(cast(HeliostatError, error), request_id_of(request))


def _invalid(request: Request, error: Exception) -> Response:
    errors = cast(RequestValidationError, error).errors()
    if errors[0]["type"] == "json_invalid":
        detail = f"the body is not JSON: {errors[0].get('ctx', {}).get('error', 'it cannot be read')}"
        return problems.of_status(400, detail, request_id_of(request))
    return problems.of_domain(problems.of_validation(errors), request_id_of(request))


def _http_error(request: Request, error: Exception) -> Response:
    failure = cast(HTTPException, error)
    headers = dict(failure.headers or {})
    if failure.status_code == 405:
        headers["allow"] = ", ".join(sorted(_methods(request)))
    detail = {404: "there is no such page", 405: "this page does not know this method"}.get(
        failure.status_code, str(failure.detail)
    )
    return problems.of_status(failure.status_code, detail, request_id_of(request), headers)


def _methods(request: Request) -> set[str]:
    """Every method of the page that was asked for (the router names those of one route only)."""
    found = set()
    for pattern, operations in request.app.openapi()["paths"].items():
        if compile_path(pattern)[0].fullmatch(request.url.path):
            found |= {method.upper() for method in operations}
    return found or {"GET"}
