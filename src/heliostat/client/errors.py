"""What can go wrong, under one root, so that ``except HeliostatError`` catches everything this SDK raises.

The server answers an error with a problem document (RFC 9457) that has a stable ``code``; :func:`of_problem` turns it
into the class of that code. Unknown codes of newer servers become :class:`HeliostatError` itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class HeliostatError(Exception):
    """Root of all errors of the SDK.

    ``code`` is stable and meant for programs, ``message`` is for people, ``path`` names the field that is wrong
    (``workers[1].min_replicas``), ``request_id`` finds the request in the server's log, ``status`` is the HTTP status
    (None when no answer came).
    """

    code = "error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        path: str | None = None,
        request_id: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.path = path
        self.request_id = request_id
        self.status = status

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class InvalidRequest(HeliostatError):
    """The request itself is wrong; ``path`` names the field."""

    code = "invalid"


class MissingField(InvalidRequest):
    """A needed field is absent."""

    code = "missing"


class NotFound(HeliostatError):
    """No such thing, or you have no role in its workspace."""

    code = "not_found"


class NotCollected(NotFound):
    """There is no such log, because log collection is switched off for its cluster."""

    code = "not_collected"


class Conflict(HeliostatError):
    """The cluster or the job is in a state that does not allow it."""

    code = "conflict"


class AlreadyExists(HeliostatError):
    """The name is taken."""

    code = "already_exists"


class IdempotencyMismatch(HeliostatError):
    """The idempotency key was used before for something else."""

    code = "idempotency_mismatch"


class Unauthenticated(HeliostatError):
    """The token is unknown, expired or revoked."""

    code = "unauthenticated"


class Forbidden(HeliostatError):
    """Your role in the workspace does not allow it."""

    code = "forbidden"


class QuotaExceeded(HeliostatError):
    """The queue or workspace has no room for it."""

    code = "quota_exceeded"


class Throttled(HeliostatError):
    """Too many requests."""

    code = "throttled"


class Unavailable(HeliostatError):
    """The server, or something that it depends on, does not answer just now."""

    code = "unavailable"


class NotReady(HeliostatError):
    """The server's machine lacks what is needed; the message says what to install."""

    code = "not_ready"


class ServerError(HeliostatError):
    """A defect of the server. Give its ``request_id`` to the operator."""

    code = "internal"


class Unreachable(Unavailable):
    """Nothing answers at the endpoint."""

    code = "unreachable"


class RequestTimeout(Unavailable):
    """The server did not answer in time."""

    code = "timeout"


class NoCredentials(HeliostatError):
    """No endpoint or no token was found; the message lists where it was looked for."""

    code = "no_credentials"


class NotRunning(HeliostatError):
    """The cluster has no address now because it is not running."""

    code = "not_running"


class ClusterFailed(HeliostatError):
    """The cluster that was waited for came to the state Error (or was stopped or deleted meanwhile)."""

    code = "cluster_failed"


class JobFailed(HeliostatError):
    """The job that was waited for ended otherwise than well, or was deleted meanwhile."""

    code = "job_failed"


class DeadlineExceeded(HeliostatError):
    """The cluster or the job did not get there in the time given; it goes on trying."""

    code = "deadline_exceeded"


_BY_CODE = {
    kind.code: kind
    for kind in (
        InvalidRequest, MissingField, NotFound, NotCollected, Conflict, AlreadyExists, IdempotencyMismatch, Unauthenticated,
        Forbidden, QuotaExceeded, Throttled, Unavailable, NotReady, ServerError,
    )
}  # fmt: skip
_BY_STATUS = {401: Unauthenticated, 403: Forbidden, 404: NotFound, 409: Conflict, 429: Throttled, 503: Unavailable}


def of_problem(status: int, problem: Mapping[str, Any] | None, request_id: str | None) -> HeliostatError:
    """The error that an answer stands for; ``problem`` is None when its body was not a problem document."""
    fields = problem or {}
    code = fields.get("code")
    kind = _BY_CODE.get(code) if isinstance(code, str) else _BY_STATUS.get(status)
    if kind is None:
        kind = ServerError if status >= 500 else HeliostatError
    message = fields.get("detail") or fields.get("title") or f"the server answered with HTTP status {status}"
    path = fields.get("path")
    return kind(
        str(message),
        code=code if isinstance(code, str) else None,
        path=str(path) if path else None,
        request_id=request_id or fields.get("request_id"),
        status=status,
    )
