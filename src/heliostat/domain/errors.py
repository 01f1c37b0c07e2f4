"""Every error that a caller can be told, under one root.

Each has a stable ``code`` (never reworded: clients compare it), a retry class and one sentence for the reader with the
offending path and the remedy. Dialects map codes to their own envelopes in one table each; anything that is not a
:class:`HeliostatError` is a bug and becomes that dialect's 500 with a request id and nothing internal.

A ``path`` is written in native names (``workers[1].min_replicas``); a dialect renames it to its own
(``workerSpec[1].minReplica``).
"""

from __future__ import annotations

from enum import Enum


class Retry(Enum):
    """Whether repeating the same request can help."""

    NEVER = "never"
    """Not before the request is changed."""
    LATER = "later"
    """When the state it collides with has changed, or the load has gone."""


class HeliostatError(Exception):
    """Root of all errors that are meant for a caller."""

    code = "internal"
    retry = Retry.NEVER

    def __init__(self, message: str, *, path: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class InvalidRequest(HeliostatError):
    """The request itself is wrong: a type, a range, a form. HTTP 400/422."""

    code = "invalid"


class InvalidSpec(InvalidRequest):
    """A field of a cluster spec is wrong."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message, path=path)


class MissingField(InvalidSpec):
    """A needed field is absent."""

    code = "missing"

    def __init__(self, path: str, message: str = "is required") -> None:
        super().__init__(path, message)


class NotFound(HeliostatError):
    """No such thing, or the caller may not know of it."""

    code = "not_found"

    def __init__(self, kind: str, name: str, remedy: str = "") -> None:
        super().__init__(f"{kind} {name!r} does not exist{'; ' + remedy if remedy else ''}")
        self.kind = kind
        self.name = name


class NotCollected(NotFound):
    """There would be a log, but its cluster is not to have its logs collected."""

    code = "not_collected"

    def __init__(self, name: str) -> None:
        super().__init__("log", name)
        ray = "while the cluster runs, its dashboard and Ray's Jobs API show logs"
        self.message = f"{NOT_COLLECTED}, so that {name!r} is not kept; {ray}"
        self.args = (self.message,)


NOT_COLLECTED = "log collection is switched off for this cluster"


class Conflict(HeliostatError):
    """Right request, wrong moment: the object is in a state that does not allow it."""

    code = "conflict"
    retry = Retry.LATER


class AlreadyExists(HeliostatError):
    """A name that must be unique is taken."""

    code = "already_exists"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"a {kind} named {name!r} exists already; choose another name or delete that one first")
        self.kind = kind
        self.name = name


class IdempotencyMismatch(HeliostatError):
    """A client token was used before for something else."""

    code = "idempotency_mismatch"


class Unauthenticated(HeliostatError):
    """Nobody we know: no credential, an unknown one, an expired or a revoked one."""

    code = "unauthenticated"


class Forbidden(HeliostatError):
    """We know who it is, and that one may not do this."""

    code = "forbidden"

    def __init__(self, action: str, principal: str, needs: str) -> None:
        super().__init__(f"{principal} may not {action}: it takes the role {needs} in this workspace")
        self.action = action
        self.principal = principal


class QuotaExceeded(HeliostatError):
    """The queue or workspace has no room for it and never will have as it is."""

    code = "quota_exceeded"


class Throttled(HeliostatError):
    """Too many requests; ``after_ms`` says when to come again."""

    code = "throttled"
    retry = Retry.LATER

    def __init__(self, after_ms: int) -> None:
        super().__init__(f"too many requests; try again in {after_ms} ms")
        self.after_ms = after_ms


class Unavailable(HeliostatError):
    """Something that we depend on does not answer just now."""

    code = "unavailable"
    retry = Retry.LATER


class NotReady(HeliostatError):
    """This machine lacks what is needed (a tool, a Python version, disk space); the message says what to install."""

    code = "not_ready"
