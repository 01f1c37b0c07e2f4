"""Jobs as versioned JSON documents: what was asked for, and what has come of it.

The definition of the cluster is kept as clusters keep theirs (:mod:`codec`). Whatever else may hold a user's secret is in
one sealed part: the runtime environment, the URLs of the code, the fields that only one dialect knows; and the lines for
pip that were read from one of those URLs. Metadata, tags and the names of secrets are shown to every reader of a job and
are not sealed.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from ..domain.errors import NotReady
from ..domain.ids import InstanceId, JobId
from ..domain.job_states import JobClusterState
from ..domain.jobs import Attempt, Code, EntrypointResources, Job, JobSpec, Prepared, Retries, Usage
from ..domain.ray_jobs import Cause, NameCount, RayStatus, WorkSummary
from ..domain.secrets import JobSecret
from .codec import decode_spec, dump, encode_spec
from .sealing import Sealer

VERSION = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# Parsed JSON: its types are what was written.
Json = dict[str, Any]


def encode_job_spec(spec: JobSpec, sealer: Sealer, owner: JobId) -> str:
    """The document of the spec of the job ``owner``."""
    private = {
        "runtime_env": spec.runtime_env,
        "code": [spec.code.working_dir, spec.code.files, spec.code.requirements],
        "extras": dict(spec.extras),
    }
    return dump(
        {
            "v": VERSION,
            "name": spec.name,
            "entrypoint": spec.entrypoint,
            "cluster": spec.cluster,
            "cluster_spec": encode_spec(spec.cluster_spec, sealer, owner),
            "metadata": dict(spec.metadata),
            "tags": dict(spec.tags),
            "resources": asdict(spec.resources),
            "deadline": _seconds(spec.deadline),
            "retries": asdict(spec.retries),
            "shutdown_after_finish": spec.shutdown_after_finish,
            "ttl": _seconds(spec.ttl),
            "secrets": [asdict(secret) for secret in spec.secrets],
            "sealed": sealer.seal(dump(private), _purpose(owner)),
        }
    )


def decode_job_spec(text: str, sealer: Sealer, owner: JobId) -> JobSpec:
    """The inverse of :func:`encode_job_spec`. Raises NotReady for a document of a newer version or another key."""
    document = _document(text)
    private: Json = orjson.loads(sealer.open_bytes(document["sealed"], _purpose(owner)))
    working_dir, files, requirements = private["code"]
    deadline = document["deadline"]
    return JobSpec(
        name=document["name"],
        entrypoint=document["entrypoint"],
        cluster=document["cluster"],
        cluster_spec=decode_spec(document["cluster_spec"], sealer, owner),
        runtime_env=private["runtime_env"],
        code=Code(working_dir, tuple(files), requirements),
        metadata=document["metadata"],
        tags=document["tags"],
        resources=EntrypointResources(**document["resources"]),
        deadline=None if deadline is None else timedelta(seconds=deadline),
        retries=Retries(**document["retries"]),
        shutdown_after_finish=document["shutdown_after_finish"],
        ttl=timedelta(seconds=document["ttl"]),
        extras=private["extras"],
        secrets=tuple(_read_secret(row) for row in document.get("secrets", ())),  # absent before 0006
    )


def encode_life(job: Job, sealer: Sealer) -> str:
    """Everything of a job that changes and is no column."""
    prepared = job.prepared
    return _dump_leniently(
        {
            "v": VERSION,
            "message": job.message,
            "cluster_state": job.cluster_state,
            "creator": job.creator,
            "started_at": _number(job.started_at),
            "attempts": [_attempt(row) for row in job.attempts],
            "not_before": _number(job.not_before),
            "prepared": None if prepared is None else [prepared.package, _sealed_lines(prepared, sealer, job.id)],
            "cause": job.cause,
            "exit_code": job.exit_code,
            "summary": None if job.summary is None else asdict(job.summary),
            "usage": asdict(job.usage),
            "released_at": _number(job.released_at),
        }
    )


def decode_life(text: str, sealer: Sealer, owner: JobId) -> Json:
    """The inverse of :func:`encode_life`: arguments of :class:`Job`. Raises NotReady as :func:`decode_job_spec`."""
    document = _document(text)
    prepared, summary = document["prepared"], document["summary"]
    return {
        "message": document["message"],
        "cluster_state": JobClusterState(document["cluster_state"]),
        "creator": document["creator"],
        "started_at": _time(document["started_at"]),
        "attempts": tuple(_read_attempt(row) for row in document["attempts"]),
        "not_before": _time(document["not_before"]),
        "prepared": None if prepared is None else Prepared(prepared[0], _lines(prepared[1], sealer, owner)),
        "cause": None if document["cause"] is None else Cause(document["cause"]),
        "exit_code": document["exit_code"],
        "summary": None if summary is None else _read_summary(summary),
        "usage": Usage(**document["usage"]),
        "released_at": _time(document["released_at"]),
    }


_TIMES = ("created_at", "submitted_at", "started_at", "ended_at", "stop_asked_at")


def _attempt(row: Attempt) -> Json:
    return {**vars(row), **{name: _number(getattr(row, name)) for name in _TIMES}}


def _read_attempt(row: Json) -> Attempt:
    times = {name: _time(row[name]) for name in _TIMES}
    cause = None if row["cause"] is None else Cause(row["cause"])
    return Attempt(
        **{**row, **times, "instance": InstanceId(row["instance"]), "status": RayStatus(row["status"]), "cause": cause}
    )


def _read_secret(document: Json) -> JobSecret:
    return JobSecret(**{**document, "variables": tuple(document["variables"])})


def _read_summary(document: Json) -> WorkSummary:
    tasks, actors = (tuple(NameCount(**row) for row in document[key]) for key in ("tasks", "actors"))
    return WorkSummary(tasks, actors, document["truncated"])


def _dump_leniently(document: Json) -> str:
    """As :func:`dump`, but text of others that is not Unicode must not stop a job: it is made so with question marks."""
    try:
        return orjson.dumps(document).decode()
    except orjson.JSONEncodeError:
        return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace").decode()


def _sealed_lines(prepared: Prepared, sealer: Sealer, owner: JobId) -> str | None:
    return sealer.seal(dump(prepared.requirements), _lines_purpose(owner)) if prepared.requirements else None


def _lines(sealed: str | None, sealer: Sealer, owner: JobId) -> tuple[str, ...]:
    return () if sealed is None else tuple(orjson.loads(sealer.open_bytes(sealed, _lines_purpose(owner))))


def _document(text: str) -> Json:
    document: Json = orjson.loads(text)
    if document["v"] != VERSION:
        raise NotReady(f"a stored job has the format {document['v']}; this server knows {VERSION}: upgrade it")
    return document


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()


def _number(time: datetime | None) -> int | None:
    return None if time is None else (time - _EPOCH) // _MICROSECOND


def _time(number: int | None) -> datetime | None:
    return None if number is None else _EPOCH + timedelta(microseconds=number)


def _purpose(owner: str) -> str:
    return f"job:{owner}"


def _lines_purpose(owner: str) -> str:
    return f"requirements:{owner}"
