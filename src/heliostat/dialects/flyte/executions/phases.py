"""Phases of executions and nodes, with the numbers that they have on Flyte's wire (Flyte contract, section 6).

Those of attempts are their runs'.
"""

from __future__ import annotations

from enum import IntEnum


class ExecutionPhase(IntEnum):
    """core.WorkflowExecution.Phase"""

    QUEUED = 1
    RUNNING = 2
    SUCCEEDING = 3
    """Every node is done; the outputs are being written."""
    SUCCEEDED = 4
    FAILING = 5
    """What still runs is being stopped."""
    FAILED = 6
    ABORTED = 7
    TIMED_OUT = 8
    ABORTING = 9

    @property
    def final(self) -> bool:
        return self in (self.SUCCEEDED, self.FAILED, self.ABORTED, self.TIMED_OUT)

    @property
    def winding_down(self) -> bool:
        return self in (self.FAILING, self.ABORTING)


class NodePhase(IntEnum):
    """core.NodeExecution.Phase, and one of our own."""

    QUEUED = 1
    """All that it needs is there; its inputs are being written."""
    RUNNING = 2
    SUCCEEDED = 3
    FAILING = 4
    FAILED = 5
    ABORTED = 6
    SKIPPED = 7
    COLLECTING = 100
    """All of its parts are done; its outputs are being written. Shown as RUNNING."""

    @property
    def final(self) -> bool:
        return self in (self.SUCCEEDED, self.FAILED, self.ABORTED, self.SKIPPED)

    @property
    def done(self) -> bool:
        """Over, and nothing is wrong."""
        return self in (self.SUCCEEDED, self.SKIPPED)
