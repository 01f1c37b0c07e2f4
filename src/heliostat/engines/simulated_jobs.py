"""Jobs in the simulated engine's world: what they are, and what their entry points do.

An entry point is read as a tiny shell: ``echo WORDS``, ``sleep ...`` (runs until it is stopped or the test ends it),
``exit CODE``, ``true``, ``false`` and ``kill -9 $$`` mean what they say, anything else succeeds at once. That makes the same
job do the same thing on a real head and here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from heliostat.domain.ray_jobs import RayStatus, RaySubmission, WorkSummary


@dataclass(frozen=True)
class Script:
    """How a job goes. Looks are those through Ray's API: nothing else makes time pass for it."""

    pending_looks: int | None = 0
    """How many looks find it PENDING; None = all of them, until it is stopped or fails."""
    running_looks: int | None = 1
    """How many looks then find it RUNNING; None = all of them, until the test ends it."""
    exit_code: int | None = 0
    """None = the entry point never came to an end by itself; then it FAILED."""
    error_type: str = ""
    message: str = ""
    """Ray's whole text of a failure; written from the exit code if empty."""
    output: str = ""
    """What the entry point prints at its start."""
    refusal: str = ""
    """Ray refuses it with this sentence."""
    summary: WorkSummary | None = None
    """Its tasks and actors; None = it never calls ``ray.init``."""


Behaviour = Callable[[RaySubmission], Script]


@dataclass
class SimulatedJob:
    """One job as a head knows it."""

    submission: RaySubmission
    script: Script
    accepted_at: datetime
    driver_node: str = ""
    """Ray's id of the node that the entry point runs on, from its beginning on."""
    ray_job_id: str = ""
    status: RayStatus = RayStatus.PENDING
    looks: int = 0
    """How often it was seen in its present status."""
    ended_at: datetime | None = None
    exit_code: int | None = None
    error_type: str = ""
    text: str = ""
    """Ray's whole message."""
    stop_asked: bool = False

    def finish(self, exit_code: int = 0, output: str = "", *, at: datetime | None = None) -> None:
        """The entry point ends with this exit code, having printed this last."""
        kind = "" if exit_code == 0 else "JOB_ENTRYPOINT_COMMAND_ERROR"
        said = f"Job entrypoint command failed with exit code {exit_code}, last available logs (truncated to 20,000 chars):"
        text = "Job finished successfully." if exit_code == 0 else f"{said}\n{output}"
        status = RayStatus.FAILED if exit_code else RayStatus.SUCCEEDED
        self.end(status, text, kind, exit_code, at=at)

    def end(
        self, status: RayStatus, text: str, error_type: str = "", exit_code: int | None = None, *,
        at: datetime | None = None,
    ) -> None:  # fmt: skip
        """It ends in this way, if it has not ended already: Ray's final states are final."""
        if not self.status.terminal:
            self.status, self.text, self.error_type, self.exit_code = status, text, error_type, exit_code
            self.ended_at = at or self.accepted_at


def by_its_words(submission: RaySubmission) -> Script:
    """The script of an entry point, read as a shell would (see above)."""
    printed = ""
    for command in filter(None, map(str.strip, re.split(r";|&&|\n", submission.entrypoint))):
        word, _, rest = command.partition(" ")
        if word == "echo":
            printed += rest.strip("'\"") + "\n"
        elif word == "sleep":
            return Script(running_looks=None, output=printed)
        elif word == "exit":
            return Script(exit_code=int(rest) if rest.isdecimal() else 0, output=printed)
        elif word == "false":
            return Script(exit_code=1, output=printed)
        elif command == "kill -9 $$":
            return Script(exit_code=-9, output=printed)
    return Script(output=printed)
