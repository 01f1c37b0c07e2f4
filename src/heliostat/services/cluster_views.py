"""What a reader is told of a cluster."""

from __future__ import annotations

from dataclasses import dataclass

from heliostat.domain.engine import Finding
from heliostat.domain.records import Cluster, Instance


@dataclass(frozen=True)
class ClusterView:
    """A cluster as a reader sees it: the definition, its present run, and what the engine makes of its fields."""

    cluster: Cluster
    instance: Instance | None
    findings: tuple[Finding, ...] = ()
