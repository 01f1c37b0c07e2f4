"""Errors as problem documents (RFC 9457): one table from codes to statuses, one from pydantic's places to native paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

from heliostat.domain.errors import HeliostatError, InvalidRequest, MissingField, Throttled

MEDIA_TYPE = "application/problem+json"

STATUS = {
    "invalid": 422,
    "missing": 422,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "not_collected": 404,
    "conflict": 409,
    "already_exists": 409,
    "idempotency_mismatch": 409,
    "quota_exceeded": 409,
    "throttled": 429,
    "unavailable": 503,
    "not_ready": 503,
    "ray_refused": 422,
    "code_unavailable": 422,
    "internal": 500,
}
"""Status of each code of :mod:`heliostat.domain.errors`."""

_CODES = {
    400: "malformed",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
}
"""Codes of what is wrong with a request before any use case sees it."""


def document(
    status: int, code: str, detail: str, request_id: str, *, path: str | None = None, retry: str = "never"
) -> dict[str, Any]:
    """The problem as JSON. ``retry``: ``never`` = change the request first, ``later`` = the same may help then."""
    return {
        "type": f"urn:heliostat:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": _clean(detail),
        "path": None if path is None else _clean(path),
        "retry": retry,
        "request_id": request_id,
    }


def of_error(error: HeliostatError, request_id: str) -> dict[str, Any]:
    """The problem document of a domain error."""
    status = STATUS.get(error.code, 400)
    return document(status, error.code, error.message, request_id, path=error.path, retry=error.retry.value)


def response(problem: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        orjson.dumps(problem), status_code=problem["status"], media_type=MEDIA_TYPE, headers=dict(headers or {})
    )


def of_domain(error: HeliostatError, request_id: str) -> Response:
    """The answer to a domain error."""
    headers = {}
    if error.code == "unauthenticated":
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, Throttled):
        headers["retry-after"] = str(max(1, -(-error.after_ms // 1000)))
    return response(of_error(error, request_id), headers)


def of_status(status: int, detail: str, request_id: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that no use case was reached by: no such page, method, JSON."""
    code = _CODES.get(status, "internal" if status >= 500 else "malformed")
    return response(document(status, code, detail, request_id), headers)


_TOO_SHORT = ("too_short", "string_too_short")
_TOO_LONG = ("too_long", "string_too_long")
"""Of texts too: those that are checked after something else are counted in "items" by pydantic."""


def of_validation(errors: Sequence[Mapping[str, Any]]) -> HeliostatError:
    """The first of pydantic's errors as a domain error with its native path."""
    first = errors[0]
    kind, place = str(first["type"]), _path(first["loc"])
    if kind == "missing":
        return MissingField(place) if place else InvalidRequest("the request needs a body: a JSON object")
    if kind == "extra_forbidden":
        return InvalidRequest("there is no such field", path=place)
    limits = first.get("ctx") or {}
    if kind in _TOO_SHORT and isinstance(first.get("input"), str) and limits.get("min_length") == 1:
        return InvalidRequest("must not be empty", path=place or None)
    if kind in _TOO_LONG and isinstance(first.get("input"), str) and "max_length" in limits:
        return InvalidRequest(f"must have at most {limits['max_length']} characters", path=place or None)
    message = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return InvalidRequest(message, path=place or None)


def _path(place: Sequence[str | int]) -> str:
    """``("body", "workers", 1, "cpu")`` -> ``workers[1].cpu``."""
    text = ""
    for part in place[1:] if place and place[0] in ("body", "query", "header", "path") else place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _clean(text: str) -> str:
    """Text that any encoding can carry (a client may have sent half of a surrogate pair)."""
    return text.encode("utf-8", "replace").decode()
