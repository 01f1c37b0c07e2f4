"""What has become of a run whose job has ended (Flyte contract, section 5.4). Pure.

A task that fails writes ``error.pb`` below its output prefix, whatever its exit status; one that succeeds writes
``outputs.pb``, also when it has no outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from heliostat.domain.job_states import JobStatus
from heliostat.domain.jobs import Job
from heliostat.domain.ray_jobs import Cause

from .phases import Origin, Phase

OUTPUTS_NOT_FOUND = "OutputsNotFound"
TIMEOUT = "TimeoutExpired"
JOB_FAILED = "RayJobFailed"
OUT_OF_MEMORY = "OOMKilled"
STORAGE = "StorageUnavailable"
LOST = "JobLost"
LONGEST_MESSAGE = 16_000
"""Characters. Propellers keep the message in their custom resources."""
_ORIGINS: tuple[Origin, ...] = ("UNKNOWN", "USER", "SYSTEM")


@dataclass(frozen=True)
class Outcome:
    phase: Phase
    message: str
    code: str = ""
    recoverable: bool = False
    origin: Origin = "UNKNOWN"
    outputs: bytes | None = field(default=None, repr=False)
    """A LiteralMap that has something in it, when the server brings outputs home."""


@dataclass(frozen=True)
class TaskError:
    """What a task wrote of its failure."""

    code: str
    message: str
    recoverable: bool
    origin: Origin


@dataclass(frozen=True)
class Found:
    """What there is below the output prefix."""

    error: TaskError | None = None
    has_outputs: bool = False
    outputs: bytes | None = field(default=None, repr=False)
    """When they are to be brought home."""
    unreadable: str = ""
    """Why nobody here can ever look there; then neither of the others is known."""


def error_of(data: bytes) -> TaskError:
    """The error in an ``error.pb``. One that cannot be read is a failure of unknown cause, which may be tried again."""
    from flyteidl.core import errors_pb2
    from google.protobuf.message import DecodeError

    try:
        error = errors_pb2.ErrorDocument.FromString(data).error
    except DecodeError:
        return TaskError("UnreadableError", "its error.pb is no ErrorDocument", True, "SYSTEM")
    origin: Origin = _ORIGINS[error.origin] if error.origin < len(_ORIGINS) else "UNKNOWN"
    return TaskError(error.code, error.message, error.kind == errors_pb2.ContainerError.RECOVERABLE, origin)


def outputs_of(data: bytes) -> bytes | None:
    """The LiteralMap in an ``outputs.pb`` that is brought home; None when there is none in it."""
    from flyteidl.core import literals_pb2
    from google.protobuf.message import DecodeError

    try:
        found = literals_pb2.LiteralMap.FromString(data)
    except DecodeError:
        return None
    return data if found.literals else None


def needs_reading(job: Job) -> bool:
    """Whether it matters what the task wrote."""
    return job.status in (JobStatus.SUCCEEDED, JobStatus.FAILED)


def outcome(job: Job, *, void: bool, found: Found, log_tail: str = "") -> Outcome:
    """Of a job that has ended."""
    match job.status:
        case JobStatus.CANCELLED:
            return Outcome(Phase.ABORTED, job.message)
        case JobStatus.TIMEOUT:
            return _retryable(TIMEOUT, job.message, "USER")
        case _:
            pass
    if found.error is not None:
        return _of_error(found.error)
    if job.status is not JobStatus.SUCCEEDED:
        return _failed(job, found, log_tail)
    if found.unreadable:
        return Outcome(Phase.SUCCEEDED, f"succeeded by its exit code; nobody looked at its outputs: {found.unreadable}")
    if not void and not found.has_outputs:
        return _retryable(
            OUTPUTS_NOT_FOUND, "it ended without an error, but wrote no outputs.pb that can be read", "SYSTEM"
        )
    return Outcome(Phase.SUCCEEDED, "succeeded", outputs=(found.outputs or None) if not void else None)


def job_lost() -> Outcome:
    """The job is not known any more, and nobody noted how it ended."""
    return _retryable(LOST, "its job was deleted before it was known how it ended", "SYSTEM")


def given_up(cause: str) -> Outcome:
    """The storage did not answer for too long."""
    sentence = (
        f"it ended, but what it wrote could not be read: {cause}; let the server reach Flyte's bucket ([storage.options]), "
        "or switch on [flyte] staging"
    )
    return _retryable(STORAGE, sentence, "SYSTEM")


def too_large(cause: str) -> Outcome:
    """Its outputs cannot be brought home."""
    return Outcome(Phase.FAILED, _told("OutputsTooLarge", cause), "OutputsTooLarge", False, "USER")


def _of_error(error: TaskError) -> Outcome:
    phase = Phase.RETRYABLE_FAILED if error.recoverable else Phase.FAILED
    return Outcome(phase, _told(error.code, error.message), error.code, error.recoverable, error.origin)


def _failed(job: Job, found: Found, log_tail: str) -> Outcome:
    """It came to its end without having been able to write why: killed, its node lost, its environment not made."""
    parts = [job.message]
    if found.unreadable:
        parts.append(f"nobody looked for its error.pb: {found.unreadable}")
    if log_tail:
        parts.append(f"the end of its log:\n{log_tail}")
    code = OUT_OF_MEMORY if job.cause is Cause.OUT_OF_MEMORY else JOB_FAILED
    return _retryable(code, "; ".join(parts), "USER" if job.cause is Cause.USER_ERROR else "SYSTEM")


def _retryable(code: str, message: str, origin: Origin) -> Outcome:
    return Outcome(Phase.RETRYABLE_FAILED, _told(code, message), code, True, origin)


def _told(code: str, message: str) -> str:
    """The code first: the client shows the message alone. The end of a long message says most."""
    text = f"[{code}] {message}" if code else message
    if len(text) <= LONGEST_MESSAGE:
        return text
    head = LONGEST_MESSAGE // 4
    return f"{text[:head]} ... {text[-(LONGEST_MESSAGE - head - 5) :]}"
