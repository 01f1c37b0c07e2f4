"""The state diagrams of docs/clusters.md and docs/jobs.md, made from the tables of ``heliostat.domain``.

``python scripts/diagram.py`` writes them between their markers; ``--check`` says by its exit code whether that is needed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from heliostat.domain.job_states import JOB_EDGES, JobStatus
from heliostat.domain.states import EDGES, State

DOCS = Path(__file__).parent.parent / "docs"
END = "<!-- end of the state diagram -->"


@dataclass(frozen=True)
class Diagram:
    document: str
    module: str
    """Where the table stands, for whoever wants to change the diagram."""
    edges: Mapping[str, Mapping[str, str]]
    begin: str
    """The line into the first state."""
    ends: tuple[str, ...]
    """The lines out of the last ones."""

    @property
    def path(self) -> Path:
        return DOCS / self.document

    @property
    def marker(self) -> str:
        return f"<!-- state diagram: made by scripts/diagram.py from src/heliostat/domain/{self.module}.py -->"

    def text(self) -> str:
        """The table as a Mermaid diagram, and below it each edge with its reason."""
        lines = ["```mermaid", "stateDiagram-v2", "    direction LR", f"    {self.begin}"]
        lines += [f"    {before} --> {after}" for before, row in self.edges.items() for after in row]
        lines += [f"    {line}" for line in self.ends]
        lines += ["```", "", "| from | to | because |", "| --- | --- | --- |"]
        lines += [f"| {before} | {after} | {why} |" for before, row in self.edges.items() for after, why in row.items()]
        return "\n".join(lines)

    def renewed(self, text: str) -> str:
        """The document with the present diagram. Raises ValueError when a marker is missing."""
        before, begin, rest = text.partition(self.marker)
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise ValueError(f"{self.document} lacks the markers {self.marker!r} and {END!r}")
        return f"{before}{self.marker}\n\n{self.text()}\n\n{END}{after}"


DIAGRAMS = (
    Diagram(
        "clusters.md",
        "states",
        EDGES,
        f"[*] --> {State.STOPPED}: created",
        tuple(f"{state} --> [*]: deleted" for state in (State.STOPPED, State.ERROR)),
    ),
    Diagram(
        "jobs.md",
        "job_states",
        JOB_EDGES,
        f"[*] --> {JobStatus.SUBMITTED}: accepted",
        tuple(f"{status} --> [*]" for status in JobStatus if status.final),
    ),
)


def main() -> int:
    stale = 0
    for diagram in DIAGRAMS:
        text = diagram.path.read_text()
        renewed = diagram.renewed(text)
        stale |= int(renewed != text)
        if "--check" not in sys.argv[1:]:
            diagram.path.write_text(renewed)
    return stale if "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
