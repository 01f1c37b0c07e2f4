"""Real Ray environments for tests and benchmarks: built once per checkout, by the engine's own builder."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from heliostat.domain.releases import BUILT_IN, Release
from heliostat.engines.local.clock import SystemClock
from heliostat.engines.local.environments import Environments

FOLDER = Path(__file__).parents[1] / ".cache" / "environments"
TESTED = tuple(row for row in BUILT_IN if row.name in ("ray-1.3.1", "ray-1.0.1"))
"""The newest Ray and 2.47.1, for the Python that everybody has."""


@dataclass(frozen=True)
class Ready:
    """Built environments."""

    folder: Path
    """What ``<home>/local/environments`` of a server may be a link to."""
    by_ray: Mapping[str, Path]

    def __getitem__(self, ray: str) -> Path:
        """The environment (a folder with ``bin/python``) of a Ray version."""
        return self.by_ray[ray]

    def of(self, release: Release) -> Path | None:
        """For ``LocalSettings.ready_environment``: there is nothing but Ray in them."""
        return None if release.packages else self.by_ray.get(release.ray)


def ready(releases: Iterable[Release] = TESTED) -> Ready:
    """Build what is missing; raises NotReady with the cause."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    environments = Environments(FOLDER, lambda release: None, False, SystemClock())
    return Ready(FOLDER, {release.ray: asyncio.run(environments.ensure(release)) for release in releases})
