"""Errors as this vendor's clients see them: the codes of google.rpc, their HTTP statuses, and the table from our errors.

On REST a client picks its exception's class by the HTTP status alone, on gRPC by the code; both show the message, and the
``ErrorInfo`` that goes with it (Vertex contract, section 7). So a code is never changed, and its ``reason`` is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from heliostat.domain import errors
from heliostat.domain.errors import HeliostatError
from heliostat.domain.ids import RequestId

from .names import InvalidName
from .wire import WireError

DOMAIN = "aiplatform.googleapis.com"
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"

CANCELLED = 1
INVALID_ARGUMENT = 3
DEADLINE_EXCEEDED = 4
NOT_FOUND = 5
ALREADY_EXISTS = 6
PERMISSION_DENIED = 7
RESOURCE_EXHAUSTED = 8
FAILED_PRECONDITION = 9
ABORTED = 10
UNIMPLEMENTED = 12
INTERNAL = 13
UNAVAILABLE = 14
UNAUTHENTICATED = 16

STATUS: dict[int, tuple[int, str]] = {
    CANCELLED: (499, "CANCELLED"),
    INVALID_ARGUMENT: (400, "INVALID_ARGUMENT"),
    DEADLINE_EXCEEDED: (504, "DEADLINE_EXCEEDED"),
    NOT_FOUND: (404, "NOT_FOUND"),
    ALREADY_EXISTS: (409, "ALREADY_EXISTS"),
    PERMISSION_DENIED: (403, "PERMISSION_DENIED"),
    RESOURCE_EXHAUSTED: (429, "RESOURCE_EXHAUSTED"),
    FAILED_PRECONDITION: (400, "FAILED_PRECONDITION"),
    ABORTED: (409, "ABORTED"),
    UNIMPLEMENTED: (501, "UNIMPLEMENTED"),
    INTERNAL: (500, "INTERNAL"),
    UNAVAILABLE: (503, "UNAVAILABLE"),
    UNAUTHENTICATED: (401, "UNAUTHENTICATED"),
}
"""Every code that this dialect sends: its HTTP status and its name."""

CODES: dict[type[HeliostatError], int] = {
    errors.InvalidRequest: INVALID_ARGUMENT,
    errors.NotFound: NOT_FOUND,
    errors.Conflict: FAILED_PRECONDITION,
    errors.NotReady: FAILED_PRECONDITION,
    errors.AlreadyExists: ALREADY_EXISTS,
    errors.IdempotencyMismatch: INVALID_ARGUMENT,
    errors.Unauthenticated: UNAUTHENTICATED,
    errors.Forbidden: PERMISSION_DENIED,
    errors.QuotaExceeded: RESOURCE_EXHAUSTED,
    errors.Throttled: RESOURCE_EXHAUSTED,
    errors.Unavailable: UNAVAILABLE,
}
"""From our errors; a subclass is found by its nearest listed parent."""

LONGEST_MESSAGE = 1500
LONGEST_FIELD = 200
"""Bytes. gRPC sends errors as metadata, of which clients take 8 KiB."""
_NO_PROJECT = "Permission denied on the project, or it may not exist."
_SENTENCE = "The request failed because of a fault in the server; its log has the request id."


class VertexError(HeliostatError):
    """An error that only this dialect has words for. ``path`` is a JSON path of the request, in its own names."""

    def __init__(self, number: int, message: str, path: str | None = None, *, http: int | None = None) -> None:
        super().__init__(message, path=path)
        self.number = number
        self.http = http
        """Another HTTP status than the code's own, for what only HTTP knows."""


def invalid(path: str, message: str) -> VertexError:
    """A field or parameter has a wrong type, value or range."""
    return VertexError(INVALID_ARGUMENT, message, path)


def not_found(kind: str, name: str) -> VertexError:
    """There is no such thing, in the vendor's sentence."""
    return VertexError(NOT_FOUND, f'The {kind} "{name}" is not found.')


@dataclass(frozen=True)
class Told:
    """An error as it is sent."""

    number: int
    message: str
    reason: str
    """Upper-case word for machines."""
    metadata: dict[str, str] = field(default_factory=dict)
    retry_after_ms: int | None = None
    http: int = 0

    @property
    def status(self) -> str:
        return STATUS[self.number][1]

    def details(self) -> list[dict[str, Any]]:
        """As JSON objects with ``@type`` (``Any``: JSON)."""
        found: list[dict[str, Any]] = [
            {"@type": ERROR_INFO, "reason": self.reason, "domain": DOMAIN, "metadata": self.metadata}
        ]
        if self.retry_after_ms is not None:
            found.append({"@type": RETRY_INFO, "retryDelay": f"{self.retry_after_ms / 1000:g}s"})
        return found

    def body(self) -> dict[str, Any]:
        """The envelope of a REST answer (``Any``: JSON)."""
        inner = {"code": self.http, "message": self.message, "status": self.status, "details": self.details()}
        return {"error": inner}


TELLABLE = (HeliostatError, InvalidName, WireError)
"""What is meant for callers."""


def internal(request: RequestId) -> Told:
    """What a caller is told of a bug."""
    return Told(INTERNAL, _SENTENCE, "INTERNAL", {"requestId": request}, http=STATUS[INTERNAL][0])


def told(error: HeliostatError | InvalidName | WireError, request: RequestId) -> Told:
    """How a caller is told of ``error``."""
    if isinstance(error, InvalidName | WireError):
        error = invalid(error.path, error.message)
    number = _number(error)
    if number is None:
        return internal(request)
    reason = STATUS[number][1] if isinstance(error, VertexError) else error.code.upper()
    metadata = {"requestId": str(request)} | ({"field": _cut(error.path, LONGEST_FIELD)} if error.path else {})
    after = error.after_ms if isinstance(error, errors.Throttled) else None
    http = (error.http if isinstance(error, VertexError) else None) or STATUS[number][0]
    message = _NO_PROJECT if _of_workspace(error) else _cut(str(error), LONGEST_MESSAGE)
    return Told(number, message, reason, metadata, after, http)


def _number(error: HeliostatError) -> int | None:
    if isinstance(error, VertexError):
        return error.number
    if _of_workspace(error):
        return PERMISSION_DENIED
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), None)


def _of_workspace(error: HeliostatError) -> bool:
    """Whether a role was lost, or a workspace removed, while a call was under way."""
    return isinstance(error, errors.NotFound) and error.kind == "workspace"


def _cut(text: str, most: int) -> str:
    """At most so many bytes of UTF-8."""
    data = text.encode(errors="replace")
    return data.decode() if len(data) <= most else data[: most - 3].decode(errors="ignore") + "..."
