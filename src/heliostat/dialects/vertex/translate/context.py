"""What translations need besides the body."""

from __future__ import annotations

from dataclasses import dataclass

from heliostat.domain.installation import Installation

from ..settings import VertexSettings


@dataclass(frozen=True)
class Context:
    installation: Installation
    settings: VertexSettings = VertexSettings()
