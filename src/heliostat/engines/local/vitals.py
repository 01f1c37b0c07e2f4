"""When a head's dashboard is asked whether its cluster is well, and what follows from the answers."""

from __future__ import annotations

import contextlib
from functools import partial

from heliostat.domain.ids import InstanceId

from .errands import Errands
from .facts import Facts
from .node_specs import HOST
from .world import World


class Vitals:
    """Of one instance."""

    def __init__(self, world: World, instance: InstanceId, errands: Errands) -> None:
        self._world = world
        self._instance = instance
        self._errands = errands
        self._misses = 0
        self._asked_at = 0.0
        self.trouble = ""
        """That the head does not answer, in words."""

    def wait(self, facts: Facts) -> float | None:
        """Seconds until the next question; asks when it is time. None = nothing to ask."""
        heads = [node for node in facts.record.nodes if node.kind == "head"]
        if not heads or facts.record.failure or not facts.see(heads[0]).jobs_ready:
            self._misses, self.trouble = 0, ""
            return None
        interval = self._world.settings.health_interval.total_seconds()
        due = self._asked_at + interval - self._world.now()
        if 0 < due <= interval:  # more means that the clock was set back
            return due
        self._asked_at = self._world.now()
        self._errands.run("health", partial(self._ask, f"{HOST}:{heads[0].ports['dashboard_port']}"))
        return interval

    async def _ask(self, dashboard: str) -> None:
        with contextlib.suppress(OSError):
            self._world.layout.ensure_temps(self._instance)
        wrong = await self._world.health.ask(dashboard)
        self._misses = self._misses + 1 if wrong else 0
        if self._misses == 0:
            self.trouble = ""
        elif self._misses >= self._world.settings.health_misses:
            self.trouble = f"The head is not well: {wrong} ({self._misses} tries in a row)."
