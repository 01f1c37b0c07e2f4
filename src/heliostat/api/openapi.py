"""The OpenAPI document: what FastAPI makes of the routes, with our errors and our security in it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from .models.answers import Problem
from .problems import MEDIA_TYPE

OPEN = ("/healthz", "/readyz")
"""Paths that ask for nothing."""
TICKETS = "/v1/log-tickets/{ticket}"
"""The path whose last segment opens it."""
_DESCRIPTION = (
    "The native API of Heliostat, a control plane for Ray clusters and jobs. Show an API token in every request "
    "(Authorization: Bearer hlt_...). Errors are problem documents (RFC 9457) with a stable code; "
    "every answer has an x-request-id."
)
_EVERYWHERE = {"400": "The request cannot be read", "500": "A defect of the server", "503": "Not available just now"}
_WITH_TOKEN = {"401": "No valid API token", "403": "Your role does not allow it", "404": "No such thing"}
_WITH_BODY = {"409": "Not in this state, or taken", "413": "The body is too large", "422": "A field is wrong; see path"}


def document(app: FastAPI) -> dict[str, Any]:
    """The document; made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes)
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = Problem.model_json_schema()
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for path, operations in made["paths"].items():
            for method, operation in operations.items():
                _complete(path, method, operation)
        made["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "An API token, hlt_..."}
        }
        app.openapi_schema = made
    return app.openapi_schema


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    problems = dict(_EVERYWHERE)
    if path == TICKETS:
        problems["404"] = "No such ticket, or no longer"
    elif path not in OPEN:
        operation["security"] = [{"token": []}]
        problems |= _WITH_TOKEN
    if operation.get("parameters") or operation.get("requestBody"):
        problems |= {"422": _WITH_BODY["422"]}
    if method not in ("get", "head"):
        problems |= _WITH_BODY
    if path == TICKETS or path.endswith("/{name}"):
        problems["416"] = "Nothing of the file is in the range"
    if path.endswith(("/watch", "/events", "/{name}")):
        problems["429"] = "Too many open streams"
    for status, description in problems.items():
        operation["responses"][status] = {
            "description": description,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
