"""Errors as Flyte's clients see them: gRPC status codes, and the table from our errors.

Clients act on the code alone: UNKNOWN sets off the authentication flow, so it is never sent, nor is anything internal (Flyte
contract, sections 6 and 8).
"""

from __future__ import annotations

from heliostat.domain import errors
from heliostat.domain.errors import HeliostatError
from heliostat.domain.ids import RequestId

INVALID_ARGUMENT = "INVALID_ARGUMENT"
NOT_FOUND = "NOT_FOUND"
ALREADY_EXISTS = "ALREADY_EXISTS"
PERMISSION_DENIED = "PERMISSION_DENIED"
RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
FAILED_PRECONDITION = "FAILED_PRECONDITION"
OUT_OF_RANGE = "OUT_OF_RANGE"
UNIMPLEMENTED = "UNIMPLEMENTED"
INTERNAL = "INTERNAL"
UNAVAILABLE = "UNAVAILABLE"
UNAUTHENTICATED = "UNAUTHENTICATED"

CODES: dict[type[HeliostatError], str] = {
    errors.InvalidRequest: INVALID_ARGUMENT,
    errors.NotFound: NOT_FOUND,
    errors.Conflict: FAILED_PRECONDITION,
    errors.NotReady: FAILED_PRECONDITION,
    errors.AlreadyExists: ALREADY_EXISTS,
    errors.IdempotencyMismatch: ALREADY_EXISTS,
    errors.Unauthenticated: UNAUTHENTICATED,
    errors.Forbidden: PERMISSION_DENIED,
    errors.QuotaExceeded: RESOURCE_EXHAUSTED,
    errors.Throttled: RESOURCE_EXHAUSTED,
    errors.Unavailable: UNAVAILABLE,
}
"""From our errors; a subclass is found by its nearest listed parent."""

LONGEST_MESSAGE = 4000
"""Bytes. gRPC sends errors as metadata, of which clients take 8 KiB."""


class FlyteError(HeliostatError):
    """An error that only this dialect has words for. ``path`` is in the names of Flyte's messages."""

    def __init__(self, status: str, message: str, path: str | None = None) -> None:
        super().__init__(message, path=path)
        self.status = status
        """Name of a gRPC status code."""


def invalid(path: str, message: str) -> FlyteError:
    """A field has a wrong type, value or range."""
    return FlyteError(INVALID_ARGUMENT, message, path)


def told(error: HeliostatError, request: RequestId) -> tuple[str, str]:
    """Name of the status code and message for ``error``."""
    if isinstance(error, FlyteError):
        return error.status, _cut(str(error))
    status = next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), None)
    return internal(request) if status is None else (status, _cut(str(error)))


def internal(request: RequestId) -> tuple[str, str]:
    """What a caller is told of a bug."""
    return INTERNAL, f"The request failed because of a fault in the server; its log has more under {request}."


def _cut(text: str) -> str:
    data = text.encode(errors="replace")
    return (
        data.decode() if len(data) <= LONGEST_MESSAGE else data[: LONGEST_MESSAGE - 3].decode(errors="ignore") + "..."
    )
