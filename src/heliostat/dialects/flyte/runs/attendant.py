"""Looks after runs until their outcome is known and stored.

A run whose job has ended shows its last phase until then. When the storage does not answer it is asked again, for some
minutes; the wait begins with the first failure and is written down, so that a server that was down has not lost it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from heliostat.domain.documents import Document
from heliostat.domain.errors import Conflict, HeliostatError, InvalidRequest, NotFound, Unavailable
from heliostat.domain.job_states import JobStatus
from heliostat.domain.jobs import Job
from heliostat.domain.masking import of_runtime_env, secret_values
from heliostat.services import JobView, Services

from .logs import RunLogs
from .outcome import Found, TaskError, error_of, given_up, job_lost, needs_reading, outcome, outputs_of, too_large
from .record import KIND, RunRecord
from .runs import OURSELVES
from .staging import OUTPUTS_LIMIT, Staging

LOOK_AGAIN = timedelta(seconds=30)
"""At a run whose job goes on: its news come by themselves, but not from another server's loops."""
PATIENCE = timedelta(minutes=10)
"""With a storage that does not answer."""
LONGEST_PAUSE = timedelta(seconds=30)
LOG_PATIENCE = timedelta(seconds=15)
"""For the end of a failed job's log, which says why."""
SOON = timedelta(seconds=1)
LOG_LINES = 20
LOG_CHARACTERS = 4000
ERROR_LIMIT = 8 << 20
NOW = timedelta(0)
log = structlog.get_logger()


class _OutputsTooLarge(Exception):
    """They cannot be brought home."""


class RunAttendant:
    kind = KIND

    def __init__(self, services: Services, keep: timedelta | None = None) -> None:
        """``keep``: how long a run is known after its end, with what is staged for it; None = for ever."""
        self._keep = keep
        self._jobs = services.jobs
        self._documents = services.documents
        self._data = services.data
        self._secrets = services.secrets
        self._clock = services.clock
        self._logs = RunLogs(services)
        self._staging = Staging(services.data)

    async def look(self, document: Document) -> timedelta | None:
        record = RunRecord.decode(document.body)
        if record.outcome is not None:
            return await self._close(document, record)
        seen = await self._seen(document)
        if seen is None:
            return await self._close(document, record.ended(job_lost()))
        job = seen.job
        if not job.status.final:
            return LOOK_AGAIN
        now = self._clock.now()
        try:
            found = await self._found(record) if needs_reading(job) else Found()
        except _OutputsTooLarge as error:
            return await self._close(document, record.ended(too_large(str(error))))
        except Unavailable as error:
            return await self._trouble(document, record, error, now)
        if found.error is not None:
            found = replace(found, error=await self._masked(seen, found.error))
        silent = job.status is JobStatus.FAILED and found.error is None
        if silent and not job.logs_complete and job.ended_at is not None and now - job.ended_at < LOG_PATIENCE:
            return SOON
        tail = await self._log_tail(document, job) if silent else ""
        decided = outcome(job, void=record.void, found=found, log_tail=tail)
        log.info("run ended", run=document.key, phase=decided.phase.name, code=decided.code)
        return await self._close(document, record.ended(decided))

    async def forget(self, document: Document) -> None:
        record = RunRecord.decode(document.body)
        if record.staged:
            await self._staging.forget(record.staged)

    async def _seen(self, document: Document) -> JobView | None:
        if document.job is None:
            return None
        try:
            return await self._jobs.get(OURSELVES, document.workspace, document.job)
        except NotFound:
            return None

    async def _found(self, record: RunRecord) -> Found:
        """What the task wrote. Raises Unavailable."""
        prefix = record.written_below.rstrip("/")
        try:
            written = await self._data.read(f"{prefix}/error.pb", ERROR_LIMIT)
            if written is not None:
                return Found(error=await asyncio.to_thread(error_of, written))
            size = await self._data.size(f"{prefix}/outputs.pb")
            if size is None or not record.staged or record.void:
                return Found(has_outputs=size is not None)
            if size > OUTPUTS_LIMIT:
                raise _OutputsTooLarge(
                    f"its outputs have {size} bytes, and at most {OUTPUTS_LIMIT} can be brought to Flyte; return large values "
                    "as files or data frames, or let tasks reach Flyte's bucket"
                )
            data = await self._data.read(f"{prefix}/outputs.pb", OUTPUTS_LIMIT)
            outputs = None if data is None else await asyncio.to_thread(outputs_of, data)
            return Found(has_outputs=outputs is not None, outputs=outputs)
        except InvalidRequest as error:
            return Found(unreadable=error.message)

    async def _masked(self, seen: JobView, error: TaskError) -> TaskError:
        """Without what the task was told in confidence: errors of Ray's may quote a whole environment."""
        known = of_runtime_env(seen.job.spec.runtime_env, seen.job.spec.public) | _of_nodes(seen)
        return replace(error, message=await self._secrets.hidden(seen.job.id, error.message, known))

    async def _trouble(
        self, document: Document, record: RunRecord, error: Unavailable, now: datetime
    ) -> timedelta | None:  # fmt: skip
        since = record.trouble_since
        if since is None:
            log.warning("what a run wrote cannot be read yet", run=document.key, cause=error.message)
            await self._save(document, replace(record, trouble_since=now), open=True)
            return SOON
        waited = now - since
        if waited >= PATIENCE:
            log.warning("what a run wrote was given up", run=document.key, cause=error.message)
            return await self._close(document, record.ended(given_up(error.message)))
        return min(max(waited / 2, SOON), LONGEST_PAUSE)

    async def _log_tail(self, document: Document, job: Job) -> str:
        """The end of its log, as far as there is one."""
        try:
            return await self._logs.last_lines(OURSELVES, document.workspace, job, LOG_LINES, LOG_CHARACTERS)
        except HeliostatError as error:
            log.info("no log for the end of a run", run=document.key, cause=error.message)
            return ""

    async def _close(self, document: Document, record: RunRecord) -> timedelta | None:
        return await self._save(document, record, open=False)

    async def _save(self, document: Document, record: RunRecord, *, open: bool) -> timedelta | None:
        expires = None if open or self._keep is None else self._clock.now() + self._keep
        try:
            await self._documents.save(replace(document, body=record.encode(), open=open, expires_at=expires))
        except Conflict:
            return NOW  # another has looked meanwhile: look at what is there now
        return None


def _of_nodes(seen: JobView) -> frozenset[str]:
    """What the nodes of its cluster were told in confidence, and so all that runs on them."""
    spec = seen.job.spec.cluster_spec if seen.cluster is None else seen.cluster.spec
    known = frozenset[str]()
    if seen.instance is not None:
        spec = seen.instance.spec
        known |= {seen.instance.ray_token.reveal(), seen.instance.submit_token.reveal()}
    for shape in (spec.head, *(group.shape for group in spec.workers)):
        known |= secret_values(shape.env)
    return known
