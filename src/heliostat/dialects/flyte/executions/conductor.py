"""The attendant of executions. Light until there is one: what interprets them imports Flyte's messages."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from heliostat.domain.documents import Document
from heliostat.services import Services

from ..runs import EXECUTION_KIND
from ..runs.runs import Runs

if TYPE_CHECKING:
    from .programs import Programs


class Conductor:
    kind = EXECUTION_KIND

    def __init__(self, services: Services, runs: Runs, keep: timedelta | None = None) -> None:
        """``keep``: how long an execution and its data stay after its end; None = for ever."""
        self._keep = keep
        self._services = services
        self._runs = runs
        self._programs: Programs | None = None

    async def look(self, document: Document) -> timedelta | None:
        from .advance import Advance
        from .programs import Programs

        if self._programs is None:
            self._programs = Programs(self._services.documents)
        return await Advance(self._services, self._runs, self._programs, document, self._keep).go_on()

    async def forget(self, document: Document) -> None:
        from .layout import Layout
        from .state import read_execution

        execution = read_execution(document.body)
        data = self._services.data
        place = Layout.of(data.root, document.workspace, execution.project, execution.domain, execution.name)
        await data.remove(place.base)
