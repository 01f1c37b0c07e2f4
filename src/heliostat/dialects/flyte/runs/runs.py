"""Makes, reads and ends runs, for the connector and for executions.

A run exists once its document is stored, which is after its job. Who crashed in between has answered nobody, comes again with
the same key, and is given the same job by its client token.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from heliostat.domain.documents import NewDocument
from heliostat.domain.errors import Forbidden, NotFound
from heliostat.domain.ids import JobId, PrincipalId, WorkspaceId
from heliostat.domain.records import Principal, Role
from heliostat.services import Caller, JobView, Services

from .. import names
from ..settings import FlyteSettings
from .clusters import Clusters
from .logs import LogPart, RunLogs
from .phases import RunView
from .record import EXECUTION_KIND, KIND, RunRecord
from .staging import Staging
from .view import view

if TYPE_CHECKING:
    from ..translate.submission import RunPlace

OURSELVES = Caller(Principal(PrincipalId("heliostat"), "heliostat", admin=True))
"""Reads the jobs of runs for those who need no caller: what becomes of a run must not hang on its creator's roles. Nothing is
done in this name."""


class Runs:
    def __init__(self, services: Services, settings: FlyteSettings) -> None:
        self._services = services
        self._settings = settings
        self._clusters = Clusters(services)
        self._staging = Staging(services.data)
        self._logs = RunLogs(services)

    async def create(
        self,
        caller: Caller,
        workspace: WorkspaceId,
        template: Any,  # core.TaskTemplate; flyteidl ships no types
        place: RunPlace,
        inputs: Any = None,  # core.LiteralMap
        *,
        of_execution: bool = False,
    ) -> JobId:
        """Begin a run; the same place gives the same run. It is stored when this returns, and never waits for Ray.

        ``of_execution``: it belongs to an execution of ours, which is looked at when this one ends; its data are where tasks
        can reach them, and nobody else looks at its timeout. Raises HeliostatError with paths in the template.
        """
        from ..translate.submission import run_key, submission
        from ..translate.task import read_task

        if not caller.may(workspace, Role.EDITOR):
            raise Forbidden("run tasks", caller.principal.name, Role.EDITOR)  # before anything is written in its name
        choices = {**place.annotations, **place.labels}
        task = read_task(template, self._settings, self._services.installation, choices)
        key = run_key(place)
        staged = None
        if self._settings.staging and not of_execution:
            data = b"" if inputs is None else inputs.SerializeToString()
            staged = await self._staging.bring(workspace, key, task.argv, data)
            task = replace(task, argv=staged.argv)
        wish = submission(task, place, self._settings, key, deadline=task.timeout if of_execution else None)
        job = await self._clusters.submit(caller, workspace, task, wish, f"flyte/{key}")
        record = RunRecord(
            project=place.project, domain=place.domain, execution=place.execution, node=place.node, attempt=place.attempt,
            task=place.task, output_prefix=place.output_prefix, void=task.void, warnings=task.warnings,
            staged="" if staged is None else staged.prefix,
        )  # fmt: skip
        parent = f"{EXECUTION_KIND}|{names.key(place.project, place.domain, place.execution)}" if of_execution else ""
        wanted = NewDocument(
            KIND, workspace, job.id, record.encode(), group=record.group, parent=parent, open=True, job=job.id
        )
        await self._services.documents.add(caller, wanted)
        return job.id

    async def get(self, run: str, caller: Caller | None = None) -> RunView | None:
        """How far it is, from what is stored. None when there is none that ``caller`` may see (None = sees all)."""
        found = await self._found(run, caller)
        if found is None:
            return None
        workspace, record = found
        return view(JobId(run), await self._job(workspace, JobId(run)), record, self._services.installation)

    async def delete(self, caller: Caller, run: str) -> None:
        """Set off its end. Nothing happens when it has ended, or when there is none that the caller may see."""
        found = await self._found(run, caller)
        if found is None:
            return
        try:
            await self._services.jobs.cancel(caller, found[0], JobId(run))
        except NotFound:
            return

    async def log(self, caller: Caller, run: str, offset: int = 0, tail: int | None = None) -> LogPart | None:
        """A part of its log, to be read by :meth:`log_lines`. None as in :meth:`get`. Raises Forbidden, Unavailable."""
        found = await self._found(run, caller)
        seen = None if found is None else await self._job(found[0], JobId(run))
        if seen is None:
            return None
        return await self._logs.part(caller, seen.job.workspace, seen.job, offset, tail)

    def log_lines(self, part: LogPart) -> AsyncIterator[list[str]]:
        return self._logs.lines(part)

    async def _found(self, run: str, caller: Caller | None) -> tuple[WorkspaceId, RunRecord] | None:
        document = await self._services.documents.find(KIND, run)
        if document is None or (caller is not None and not caller.may(document.workspace, Role.VIEWER)):
            return None
        return document.workspace, RunRecord.decode(document.body)

    async def _job(self, workspace: WorkspaceId, job: JobId) -> JobView | None:
        try:
            return await self._services.jobs.get(OURSELVES, workspace, job)
        except NotFound:
            return None
