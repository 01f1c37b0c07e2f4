"""What is stored of a run beside its job: the body of its document."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast

from heliostat.dialects.flyte import names

from .outcome import Outcome
from .phases import Origin, Phase

KIND = "flyte.run"
EXECUTION_KIND = "flyte.execution"
VERSION = 1


@dataclass(frozen=True)
class RunRecord:
    project: str
    domain: str
    execution: str
    node: str
    attempt: int
    task: tuple[str, str, str, str]
    """Project, domain, name and version of the task."""
    output_prefix: str
    """Where Flyte expects what the task writes."""
    void: bool
    """The task has no outputs."""
    warnings: tuple[str, ...] = ()
    """What of the task is not honoured, for its message."""
    staged: str = ""
    """Our own prefix, where the task writes instead; empty = it reaches Flyte's."""
    trouble_since: datetime | None = None
    """Since when what the task wrote cannot be read."""
    outcome: Outcome | None = None

    @property
    def written_below(self) -> str:
        """Where the task writes."""
        return self.staged or self.output_prefix

    @property
    def group(self) -> str:
        return names.key(self.project, self.domain, self.execution)

    def encode(self) -> bytes:
        body = {
            "v": VERSION,
            "project": self.project,
            "domain": self.domain,
            "execution": self.execution,
            "node": self.node,
            "attempt": self.attempt,
            "task": list(self.task),
            "output_prefix": self.output_prefix,
            "void": self.void,
            "warnings": list(self.warnings),
            "staged": self.staged,
            "trouble_since": self.trouble_since and self.trouble_since.isoformat(),
            "outcome": self.outcome and _outcome_body(self.outcome),
        }
        return json.dumps(body, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> RunRecord:
        body = json.loads(data)
        since, told = body["trouble_since"], body["outcome"]
        return cls(
            project=body["project"], domain=body["domain"], execution=body["execution"], node=body["node"],
            attempt=body["attempt"], task=cast(tuple[str, str, str, str], tuple(body["task"])),
            output_prefix=body["output_prefix"], void=body["void"], warnings=tuple(body["warnings"]),
            staged=body["staged"], trouble_since=None if since is None else datetime.fromisoformat(since),
            outcome=None if told is None else _outcome(told),
        )  # fmt: skip

    def ended(self, outcome: Outcome) -> RunRecord:
        return replace(self, outcome=outcome, trouble_since=None)


def _outcome_body(outcome: Outcome) -> dict[str, Any]:  # JSON
    return {
        "phase": outcome.phase.name,
        "message": outcome.message,
        "code": outcome.code,
        "recoverable": outcome.recoverable,
        "origin": outcome.origin,
        "outputs": None if outcome.outputs is None else base64.b64encode(outcome.outputs).decode(),
    }


def _outcome(body: dict[str, Any]) -> Outcome:  # JSON
    outputs = body["outputs"]
    return Outcome(
        Phase[body["phase"]], body["message"], body["code"], body["recoverable"], cast(Origin, body["origin"]),
        None if outputs is None else base64.b64decode(outputs),
    )  # fmt: skip
