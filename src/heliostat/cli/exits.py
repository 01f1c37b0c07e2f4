"""Exit codes, for scripts. They are part of the interface: a number never changes its meaning."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    NOT_PERMITTED = 5
    UNREACHABLE = 6
    TIMEOUT = 7
    CHANGES = 10
    NEEDS_RESTART = 11
    JOB_OUT_OF_TIME = 124
    JOB_WITHOUT_CODE = 125
    INTERRUPTED = 130
    JOB_CANCELLED = 143

    @property
    def meaning(self) -> str:
        """One line for the documentation and ``--help``."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.OK: "it worked",
    ExitCode.FAILED: "the operation failed, or the cluster that was waited for is in Error",
    ExitCode.USAGE: "the command line or the spec is wrong",
    ExitCode.NOT_FOUND: "no such cluster, job, log, release, workspace, queue, secret or key",
    ExitCode.CONFLICT: "the name is taken, or the state of the cluster or job does not allow it now",
    ExitCode.NOT_PERMITTED: "not logged in, or the role does not allow it",
    ExitCode.UNREACHABLE: "no server answers at the endpoint",
    ExitCode.TIMEOUT: "it was not done within --timeout; it goes on in the server",
    ExitCode.CHANGES: "a plan: something would change, all of it without a restart",
    ExitCode.NEEDS_RESTART: "a plan: something would change, and a restart be needed",
    ExitCode.JOB_OUT_OF_TIME: "the job that was followed was stopped at its --deadline",
    ExitCode.JOB_WITHOUT_CODE: "the job that was followed failed without its entry point having ended",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
    ExitCode.JOB_CANCELLED: "the job that was followed was cancelled",
}
