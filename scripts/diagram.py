"""The state diagram of docs/clusters.md, made from the table in ``heliostat.domain.states``.

``python scripts/diagram.py`` writes it between the markers; ``--check`` says by its exit code whether that is needed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from heliostat.domain.states import EDGES, State

DOCUMENT = Path(__file__).parent.parent / "docs" / "clusters.md"
BEGIN = "<!-- state diagram: made by scripts/diagram.py from src/heliostat/domain/states.py -->"
END = "<!-- end of the state diagram -->"


def diagram() -> str:
    """The table as a Mermaid diagram, and below it each edge with its reason."""
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR", f"    [*] --> {State.STOPPED}: created"]
    lines += [f"    {before} --> {after}" for before, row in EDGES.items() for after in row]
    lines += [f"    {state} --> [*]: deleted" for state in (State.STOPPED, State.ERROR)]
    lines += ["```", "", "| from | to | because |", "| --- | --- | --- |"]
    lines += [f"| {before} | {after} | {why} |" for before, row in EDGES.items() for after, why in row.items()]
    return "\n".join(lines)


def renewed(text: str) -> str:
    """The document with the present diagram. Raises ValueError when a marker is missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document lacks the markers {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{diagram()}\n\n{END}{after}"


def main() -> int:
    text = DOCUMENT.read_text()
    if "--check" in sys.argv[1:]:
        return int(renewed(text) != text)
    DOCUMENT.write_text(renewed(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
