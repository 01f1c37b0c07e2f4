"""What flytepropeller makes of a connector's answer (Flyte contract, section 4.4). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from flyteidl.admin import agent_pb2
from flyteidl.core import errors_pb2, execution_pb2

FAILED = "TaskFailedWithError"
"""The only code that a connector's own failures get."""
NO_OUTPUTS = "OutputsNotFound"
GAVE_UP = "AutoRefreshCacheFailed"
"""GetTask never worked."""


class Phase(Enum):
    """Of a task in the propeller."""

    QUEUED = "queued"
    WAITING_FOR_RESOURCES = "waiting for resources"
    INITIALIZING = "initializing"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """For good, however many attempts are left."""
    RETRYABLE_FAILED = "failed, another attempt may help"
    ABORTED = "aborted"

    @property
    def final(self) -> bool:
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.RETRYABLE_FAILED, Phase.ABORTED)


@dataclass(frozen=True)
class Verdict:
    """A phase, and what people are told of it."""

    phase: Phase
    message: str = ""
    code: str = ""
    """Of failures."""


_Core = execution_pb2.TaskExecution
_PHASES = {
    _Core.QUEUED: Phase.QUEUED,
    _Core.WAITING_FOR_RESOURCES: Phase.WAITING_FOR_RESOURCES,
    _Core.INITIALIZING: Phase.INITIALIZING,
    _Core.RUNNING: Phase.RUNNING,
    _Core.SUCCEEDED: Phase.SUCCEEDED,
    _Core.ABORTED: Phase.FAILED,
    _Core.FAILED: Phase.FAILED,
    _Core.RETRYABLE_FAILED: Phase.RETRYABLE_FAILED,
}
_STATES = {
    agent_pb2.RETRYABLE_FAILURE: Phase.RETRYABLE_FAILED,
    agent_pb2.PERMANENT_FAILURE: Phase.FAILED,
    agent_pb2.PENDING: Phase.INITIALIZING,
    agent_pb2.RUNNING: Phase.RUNNING,
    agent_pb2.SUCCEEDED: Phase.SUCCEEDED,
}


def judge(resource: Any) -> Verdict:
    """What an ``admin.Resource`` says. Success still depends on :func:`outcome`.

    ``agent_error`` counts for nothing; without a phase the deprecated ``state`` counts, which is a failure unless it is set.
    """
    table, number = (_PHASES, resource.phase) if resource.phase else (_STATES, resource.state)
    phase = table[number]
    if phase in (Phase.FAILED, Phase.RETRYABLE_FAILED):
        return Verdict(phase, f"failed to run the job: {resource.message}", FAILED)
    return Verdict(phase, "" if phase is Phase.RUNNING else resource.message)


def outcome(declared: bool, answered: bool, error: Any | None, written: bool) -> Verdict:
    """What a success is in the end.

    ``declared``: the task has outputs; ``answered``: the resource had a (perhaps empty) map of them, which the propeller has
    written over ``outputs.pb``; ``error``: the ErrorDocument that is there; ``written``: whether ``outputs.pb`` is.
    """
    if not declared or answered:
        return Verdict(Phase.SUCCEEDED)
    if error is not None:
        again = error.error.kind == errors_pb2.ContainerError.RECOVERABLE
        phase = Phase.RETRYABLE_FAILED if again else Phase.FAILED
        return Verdict(phase, error.error.message, error.error.code)
    if not written:
        return Verdict(Phase.RETRYABLE_FAILED, "the task's outputs were not found", NO_OUTPUTS)
    return Verdict(Phase.SUCCEEDED)
