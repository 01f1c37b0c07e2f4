"""Where an execution's values are, below the data root (Flyte contract, section 5.2).

``<root>/data/<workspace>/<project>/<domain>/<execution>/<node>/<attempt>/`` is an attempt's output prefix. The workspace comes
first, since the same project and domain may be in different ones for different callers. A map task's elements have a folder
each between node and attempt.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import quote

from heliostat.domain.ids import WorkspaceId

INPUTS = "inputs.pb"
OUTPUTS = "outputs.pb"
FUTURES = "futures.pb"
"""What a dynamic task writes in place of outputs."""
DECK = "deck.html"
LONGEST_PART = 200
DIGEST = 32


@dataclass(frozen=True)
class Layout:
    base: str

    @classmethod
    def of(cls, root: str, workspace: WorkspaceId, project: str, domain: str, execution: str) -> Layout:
        return cls(f"{root}/data/" + "/".join(part(text) for text in (workspace, project, domain, execution)))

    def inputs(self, digest: str) -> str:
        """Of the whole. Named by what is in it: who loses a race for the execution's name overwrites nothing."""
        return f"{self.base}/inputs-{digest[:32]}.pb"

    @property
    def outputs(self) -> str:
        return f"{self.base}/{OUTPUTS}"

    def node_inputs(self, node: str) -> str:
        return f"{self.base}/{part(node)}/{INPUTS}"

    def node_outputs(self, node: str) -> str:
        """Of one that is made of parts."""
        return f"{self.base}/{part(node)}/{OUTPUTS}"

    def element_inputs(self, node: str, element: int) -> str:
        return f"{self.base}/{part(node)}/{element}/{INPUTS}"

    def prefix(self, node: str, attempt: int, element: int | None = None) -> str:
        """Below which an attempt writes."""
        middle = "" if element is None else f"/{element}"
        return f"{self.base}/{part(node)}{middle}/{attempt}"


def raw_prefix(root: str, workspace: WorkspaceId, project: str, domain: str) -> str:
    """Below which tasks put files and frames, unless the execution says otherwise.

    On this machine it is a path without ``file://``: flytekit's FlyteFile takes what begins with that for no file.
    """
    return f"{root.removeprefix('file://')}/raw/" + "/".join(part(text) for text in (workspace, project, domain))


def part(text: str) -> str:
    """Of a URL, and so the name of a folder where that is on a disk, which has 255 bytes at most."""
    quoted = quote(text, safe="-_")
    if len(quoted) > LONGEST_PART:
        return f"{quoted[: LONGEST_PART - DIGEST - 1]}-{hashlib.sha256(text.encode()).hexdigest()[:DIGEST]}"
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E")
