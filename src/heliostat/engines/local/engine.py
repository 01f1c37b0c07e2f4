"""The door of the local engine: the Engine protocol over one supervisor per instance."""

from __future__ import annotations

from collections.abc import AsyncIterator

from heliostat.domain.engine import Finding, InstancePlan, Observation
from heliostat.domain.ids import InstanceId
from heliostat.domain.releases import Release
from heliostat.domain.spec import ClusterSpec

from .clock import Clock, SystemClock
from .settings import LocalSettings


class LocalEngine:
    """Runs instances as real Ray processes of this machine (see :class:`heliostat.engines.base.Engine`)."""

    def __init__(self, settings: LocalSettings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()

    async def open(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

    async def apply(self, plan: InstancePlan) -> None:
        raise NotImplementedError

    async def observe(self, instance: InstanceId) -> Observation:
        raise NotImplementedError

    async def destroy(self, instance: InstanceId) -> None:
        raise NotImplementedError

    async def discover(self) -> list[InstanceId]:
        raise NotImplementedError

    def changes(self) -> AsyncIterator[InstanceId]:
        raise NotImplementedError

    def support(self, spec: ClusterSpec) -> list[Finding]:
        raise NotImplementedError

    async def release_problem(self, release: Release) -> str | None:
        raise NotImplementedError

    async def prepare(self, release: Release) -> None:
        raise NotImplementedError

    def preparation(self, release: Release) -> tuple[str, str]:
        raise NotImplementedError
