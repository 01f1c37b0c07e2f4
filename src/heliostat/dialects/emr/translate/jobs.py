"""Jobs as this dialect shows them (EMR contract, sections 6.2 and 6.3)."""

from __future__ import annotations

from datetime import datetime

import orjson

from heliostat.domain.jobs import JobSpec, folder_of
from heliostat.domain.spec import ClusterSpec
from heliostat.services import JobView, Links

from .clusters import Json, head_row, milliseconds, put, worker_rows
from .spec import format_memory
from .submission import ECHOED, EXTRA, NETWORK, SUBMISSION_MODES, VOLUMES

LOG_BUCKET = "logs"
"""The one bucket that there is; its objects are the log files."""


def summary(view: JobView, links: Links | None, now: datetime) -> Json:
    """One of ``rayJobs[]``."""
    return _common(view, links, now) | {"resourceQueue": view.job.spec.cluster_spec.head.queue}


def detail(view: JobView, links: Links | None, now: datetime) -> Json:
    """The body of GetRayJob, without ``requestId``."""
    job, spec = view.job, view.job.spec
    shown = _common(view, links, now) | {
        "message": job.message,
        "displayReleaseVersion": spec.cluster_spec.release,
        "entrypoint": spec.entrypoint,
        "ttlSecondsAfterFinished": int(spec.ttl.total_seconds()),
        "shutdownAfterJobFinishes": spec.shutdown_after_finish,
        "backoffLimit": 0,
        "dashboardUrlExtra": [],
        "logBucketName": LOG_BUCKET,
        "logPath": folder_of(job.workspace, job.id),
        "tags": [{"key": key, "value": value} for key, value in spec.tags.items()],
        "headSpec": _head(spec.cluster_spec),
        "workerSpecs": _workers(spec.cluster_spec),
        **_texts(spec),
    }
    if spec.deadline is not None:
        shown["activeDeadlineSeconds"] = int(spec.deadline.total_seconds())
    put(shown, "workingDir", _working_dir(spec))
    put(shown, "networkServiceName", spec.extras.get(NETWORK) or spec.cluster_spec.network_service)
    volumes = orjson.loads(spec.extras.get(VOLUMES, "[]")) or list(spec.cluster_spec.volumes)
    if volumes:
        shown["volumeIds"] = volumes
    if view.usage.gpu_hours:
        shown["guHours"] = _gpu_hours(view)
    return shown


def _common(view: JobView, links: Links | None, now: datetime) -> Json:
    job = view.job
    shown: Json = {
        "submissionId": job.id,
        "name": job.spec.name,
        "status": job.status,
        "clusterState": job.cluster_state,
        "creatorName": job.creator_name,
        "submitTime": milliseconds(job.submitted_at),
        "duration": int(job.run_seconds(now)),
        "cuHours": round(float(view.usage.cu_hours), 6),
    }
    for key, time in (("startTime", job.started_at), ("endTime", job.ended_at)):
        if time is not None:
            shown[key] = milliseconds(time)
    if links is not None:
        shown["dashboardUrl"] = links.dashboard_url
    return shown


def _head(spec: ClusterSpec) -> Json:
    row = head_row(spec)
    put(row, "displayReleaseVersion", spec.head.release)
    return row


def _workers(spec: ClusterSpec) -> list[Json]:
    rows = worker_rows(spec)
    for row, group in zip(rows, spec.workers, strict=True):
        del row["workerType"]
        put(row, "displayReleaseVersion", group.shape.release)
    return rows


def _texts(spec: JobSpec) -> dict[str, str]:
    """Fields that are text here and something else inside: as written, or written out for what came from elsewhere.

    A viewer's job has no written texts and masked values in what they are written out of.
    """
    resources = spec.resources
    code = {"userDefinedFiles": ",".join(spec.code.files), "userRequirementsFile": spec.code.requirements}
    plain = {
        "runtimeEnvJson": _json(spec.runtime_env),
        "metadataJson": _json(spec.metadata),
        "entrypointNumCpus": _number(resources.cpus),
        "entrypointNumGpus": _number(resources.gpus),
        "entrypointMemory": None if resources.memory is None else format_memory(resources.memory),
        "entrypointResources": _json(resources.custom),
        "extraParam": _json({key: value for key, value in code.items() if value}),
        "submissionMode": SUBMISSION_MODES[0],
    }
    chosen = {key: spec.extras.get(f"{EXTRA}{key}") or plain[key] for key in ECHOED}
    return {key: text for key, text in chosen.items() if text}


def _working_dir(spec: JobSpec) -> str | None:
    """Left out when it was written into the runtime environment, where it is shown."""
    written = spec.extras.get(f"{EXTRA}runtimeEnvJson")
    return None if written and "working_dir" in orjson.loads(written) else spec.code.working_dir


def _gpu_hours(view: JobView) -> Json:
    spec = view.job.spec.cluster_spec
    shapes = (spec.head, *(group.shape for group in spec.workers))
    shown: Json = {"gpuHours": round(float(view.usage.gpu_hours), 6)}
    put(shown, "gpuSpec", next((shape.gpu for shape in shapes if shape.gpu), None))
    return shown


def _json(value: object) -> str | None:
    return orjson.dumps(value).decode() if value else None


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.15g}"
