"""Jobs and logs as JSON documents (described in ``models/job_answers``).

Lists show every reader what viewers see of a job: where users put secrets, that there is something and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import orjson

from heliostat.domain.ids import JobId
from heliostat.domain.job_states import JobClusterState
from heliostat.domain.jobs import Attempt, EntrypointResources, Job, JobSpec, LogFile, driver_log
from heliostat.domain.quantities import format_memory
from heliostat.domain.ray_jobs import NameCount, WorkSummary
from heliostat.services import Caller, JobView, Services, masked_job

from .documents import Document, moment, spec_document
from .job_progress import progress_of

_KEPT = 5000


class JobDocuments:
    """Writes documents of jobs.

    For lists, what never changes of a job is written once and kept; of one for which nothing remains to be done, that is
    everything but the state of the cluster that it ran on.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._kept: dict[JobId, tuple[bytes, JobClusterState | None]] = {}
        """The listed document without its closing brace, and for which state of the cluster it is whole; None = for none."""

    def job(self, caller: Caller, view: JobView, **more: bool) -> Document:
        """A job as ``caller`` may see it."""
        job = view.job
        spec = spec_document(job.spec.cluster_spec) if job.spec.temporary else None
        return {
            **_fixed(job, job.spec),
            **self._changing(view),
            "cluster_spec": spec and {name: value for name, value in spec.items() if name != "name"},
            "working_dir": job.spec.code.working_dir,
            "files": list(job.spec.code.files),
            "requirements": job.spec.code.requirements,
            "summary": None if job.summary is None else _summary(job.summary),
            "links": self._links(caller, view),
            "findings": [{"path": row.path, "verdict": row.verdict, "message": row.message} for row in view.findings],
            **more,
        }

    def listed(self, view: JobView) -> orjson.Fragment:
        """A job in a list."""
        job = view.job
        text, state = self._kept.get(job.id) or (b"", None)
        whole = state is not None and state is job.cluster_state
        if not text or (state is not None and not whole):
            text = orjson.dumps(_fixed(job, masked_job(job.spec)))[:-1]
        written = text if whole else b"".join((text, b",", orjson.dumps(self._changing(view))[1:-1]))
        if job.id not in self._kept and len(self._kept) >= _KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept[job.id] = (written, job.cluster_state) if job.settled else (text, None)
        return orjson.Fragment(written + b"}")

    def _changing(self, view: JobView) -> Document:
        job, now = view.job, self._services.clock.now()
        progress = progress_of(job, view.cluster, view.instance)
        return {
            "status": job.status,
            "message": job.message,
            "cause": job.cause,
            "exit_code": job.exit_code,
            "cluster": {
                "id": job.cluster,
                "name": job.spec.cluster_spec.name,
                "temporary": job.spec.temporary,
                "state": job.cluster_state,
            },
            "started_at": moment(job.started_at),
            "ended_at": moment(job.ended_at),
            "run_seconds": round(job.run_seconds(now), 3),
            "attempts": [_attempt(job, row) for row in job.attempts],
            "usage": vars(view.usage),
            "logs_complete": job.logs_complete,
            "settled": job.settled,
            "progress": {
                "step": progress.step,
                "detail": progress.detail,
                "nodes_up": progress.nodes_up,
                "nodes_wanted": progress.nodes_wanted,
                "seconds": round(progress.seconds(now), 3),
            },
        }

    def _links(self, caller: Caller, view: JobView) -> Document | None:
        if view.cluster is None:
            return None
        links = self._services.access.links(caller.principal, view.cluster, view.instance)
        return None if links is None else {"dashboard_url": links.dashboard_url}


def _fixed(job: Job, spec: JobSpec) -> Document:
    """What never changes of a job. ``spec`` is its own, or what a reader may see of it."""
    return {
        "id": job.id,
        "workspace": job.workspace,
        "name": spec.name,
        "entrypoint": spec.entrypoint,
        "runtime_env": spec.runtime_env,
        "secrets": [asdict(secret) for secret in spec.secrets],
        "metadata": dict(spec.metadata),
        "tags": dict(spec.tags),
        "resources": _resources(spec.resources),
        "deadline_seconds": _seconds(spec.deadline),
        "retries": vars(spec.retries),
        "shutdown_after_finish": spec.shutdown_after_finish,
        "ttl_seconds": _seconds(spec.ttl),
        "creator": job.creator_name,
        "submitted_at": moment(job.submitted_at),
    }


def log_file(row: LogFile) -> Document:
    return {
        "owner": row.owner,
        "name": row.name,
        "size": row.size,
        "modified_at": moment(row.modified_at),
        "complete": row.complete,
        "note": row.note,
    }


def log_files(rows: Sequence[LogFile]) -> Document:
    return {"files": [log_file(row) for row in rows]}


def _attempt(job: Job, row: Attempt) -> Document:
    return {
        "number": row.number,
        "submission_id": row.submission_id,
        "instance": row.instance,
        "status": row.status,
        "cause": row.cause,
        "message": row.message,
        "exit_code": row.exit_code,
        "created_at": moment(row.created_at),
        "submitted_at": moment(row.submitted_at),
        "started_at": moment(row.started_at),
        "ended_at": moment(row.ended_at),
        "ray_job_id": row.ray_job_id,
        "log": driver_log(job.id, row.number),
        "log_complete": row.log_complete,
    }


def _resources(row: EntrypointResources) -> Document:
    memory = None if row.memory is None else format_memory(row.memory)
    return {"cpus": row.cpus, "gpus": row.gpus, "memory": memory, "custom": dict(row.custom)}


def _summary(row: WorkSummary) -> Document:
    return {"tasks": _counts(row.tasks), "actors": _counts(row.actors), "truncated": row.truncated}


def _counts(rows: Sequence[NameCount]) -> list[dict[str, Any]]:
    return [{"name": row.name, "states": dict(row.states)} for row in rows]


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()
