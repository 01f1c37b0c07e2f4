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
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """One line for the documentation and ``--help``."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.OK: "it worked",
    ExitCode.FAILED: "the operation failed, or the cluster that was waited for is in Error",
    ExitCode.USAGE: "the command line or the spec is wrong",
    ExitCode.NOT_FOUND: "no such cluster, release, workspace or key",
    ExitCode.CONFLICT: "the name is taken, or the cluster's state does not allow it now",
    ExitCode.NOT_PERMITTED: "not logged in, or the role does not allow it",
    ExitCode.UNREACHABLE: "no server answers at the endpoint",
    ExitCode.TIMEOUT: "it was not done within --timeout; it goes on in the server",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
}
