"""What an operator can set about this dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from .translate.machines import BUILT_IN, Machine


@dataclass(frozen=True)
class VertexSettings:
    """How the dialect's names are understood, and how patient it is."""

    machines: Mapping[str, Machine] = field(default_factory=lambda: BUILT_IN)
    """Machine types by name; types that say their size in their name need no entry."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Image name or pattern (as fnmatch has them) -> name of a release. A whole name goes before all patterns."""
    hold_seconds: float = 1800
    """How long a GET of a client that waits is held at most (Vertex contract, section 1.3)."""
    look_seconds: float = 4.0
    """How often such a client's cluster is looked at when this server's own loop has no news of it."""

    @classmethod
    def of(
        cls,
        machines: Mapping[str, Mapping[str, Any]],  # Any: rows of a configuration file that was checked
        images: Mapping[str, str],
        hold_minutes: float,
    ) -> Self:
        """From the table ``[vertex]`` of the configuration file."""
        own = {name: Machine.configured(name, **row) for name, row in machines.items()}
        return cls(machines={**BUILT_IN, **own}, images=dict(images), hold_seconds=hold_minutes * 60)
