"""The life of a job as a table. The diagram in the docs is made from it, and tests walk the whole product."""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    """The present status of a job (EMR contract, section 7.2)."""

    SUBMITTED = "Submitted"
    """Accepted; nothing was made for it yet."""
    PENDING = "Pending"
    """Its cluster is coming up, or Ray is preparing its environment, or it waits to be tried again."""
    RUNNING = "Running"
    """The entry point runs."""
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLING = "Cancelling"
    CANCELLED = "Cancelled"
    TIMEOUT = "Timeout"

    @property
    def final(self) -> bool:
        return not JOB_EDGES[self]


class JobGoal(StrEnum):
    """What is wanted of a job that has not ended."""

    RUN = "run"
    CANCEL = "cancel"
    TIMEOUT = "timeout"
    """Its deadline has passed: it is being stopped."""


class JobClusterState(StrEnum):
    """The state of the cluster that a job runs on, in the job's own words (EMR contract, section 7.3)."""

    SUBMITTED = "Submitted"
    """Asked for; its creation has not begun."""
    PENDING = "Pending"
    RUNNING = "Running"
    DELETED = "Deleted"


_S = JobStatus

JOB_EDGES: dict[JobStatus, dict[JobStatus, str]] = {
    _S.SUBMITTED: {
        _S.PENDING: "its code is at hand; its cluster is being made, or it was handed to Ray",
        _S.RUNNING: "Ray runs its entry point",
        _S.SUCCEEDED: "it ended between two looks, with exit code 0",
        _S.FAILED: "its code cannot be had, its cluster is gone, or it failed between two looks",
        _S.CANCELLING: "a user cancelled it",
        _S.TIMEOUT: "its deadline passed before anything was begun",
    },
    _S.PENDING: {
        _S.RUNNING: "Ray runs its entry point",
        _S.SUCCEEDED: "it ended between two looks, with exit code 0",
        _S.FAILED: "its cluster or its environment failed, or it failed between two looks, and no retry is left",
        _S.CANCELLING: "a user cancelled it",
        _S.TIMEOUT: "its deadline passed; the making of its cluster counts",
    },
    _S.RUNNING: {
        _S.PENDING: "an attempt failed and a retry is left",
        _S.SUCCEEDED: "its entry point ended with exit code 0",
        _S.FAILED: "its entry point or what it ran on failed, and no retry is left",
        _S.CANCELLING: "a user cancelled it",
        _S.TIMEOUT: "its deadline passed; it was stopped",
    },
    _S.CANCELLING: {
        _S.CANCELLED: "Ray has stopped it, or there was nothing to stop",
    },
    _S.SUCCEEDED: {},
    _S.FAILED: {},
    _S.CANCELLED: {},
    _S.TIMEOUT: {},
}


def may(before: JobStatus, after: JobStatus) -> bool:
    """Whether the table has the edge. Staying is always allowed."""
    return before == after or after in JOB_EDGES[before]
