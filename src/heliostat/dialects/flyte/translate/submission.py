"""A job for one attempt of a task: entry point, environment, and where it says that it belongs (Flyte contract, 5.3 and 5.4)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from heliostat.domain.job_validation import MAX_METADATA_BYTES, MAX_NAME, MAX_TAG, MAX_TAGS
from heliostat.domain.jobs import Code, Retries
from heliostat.services import JobWish

from ..settings import FlyteSettings
from .entrypoint import entrypoint
from .secrets import PREFIX
from .task import TaskWish

_INDEX_NAME = "BATCH_JOB_ARRAY_INDEX_VAR_NAME"
"""The variable that names the one with a map task's index."""


@dataclass(frozen=True)
class RunPlace:
    """Where a run belongs. Empty = not said, as by flytekit's own local executor."""

    project: str
    domain: str
    execution: str
    node: str
    attempt: int
    task: tuple[str, str, str, str]
    """Project, domain, name and version of the task."""
    output_prefix: str
    workflow: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    service_account: str = ""

    @property
    def array_index(self) -> str:
        """Of a map task's instance; empty for other tasks."""
        return self.environment.get(self.environment.get(_INDEX_NAME, ""), "")


def run_key(place: RunPlace) -> str:
    """The same for the same attempt, however often it is asked for; in hex."""
    parts = [
        place.project, place.domain, place.execution, place.node, place.attempt, place.output_prefix, place.array_index
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def submission(
    task: TaskWish, place: RunPlace, settings: FlyteSettings, run: str, *, deadline: timedelta | None = None
) -> JobWish:
    """The job, without what it runs on: ``cluster`` or ``cluster_spec`` is for the caller to add. ``run`` is its id.

    Attempts are counted by whoever asks for them, so that the job itself is never tried again; ``deadline`` is for those who
    have nobody else to look at the task's timeout.
    """
    files = any(secret.file for secret in task.secrets)
    return JobWish(
        entrypoint=entrypoint(
            task.argv, run, working_dir=task.working_dir is not None, secret_files=files, secret_paths=task.secret_paths
        ),
        name=_name(place),
        runtime_env={**task.runtime_env, "env_vars": environment(task, place, settings)},
        code=Code(working_dir=task.working_dir),
        metadata=_metadata(task, place),
        tags=_tags(task, place),
        deadline=deadline,
        retries=Retries(),
        shutdown_after_finish=task.shutdown,
        ttl=task.ttl,
        secrets=task.secrets,
    )


def environment(task: TaskWish, place: RunPlace, settings: FlyteSettings) -> dict[str, str]:
    """Variables of all the run's processes; the operator's give way to everybody's."""
    return {
        **settings.env,
        **task.runtime_env.get("env_vars", {}),
        **task.env,
        **dict(_internal(task, place)),
        **place.environment,
    }


def _internal(task: TaskWish, place: RunPlace) -> Iterator[tuple[str, str]]:
    project, domain, name, version = task_id = place.task
    if place.execution:
        yield "FLYTE_INTERNAL_EXECUTION_ID", place.execution
        yield "FLYTE_INTERNAL_EXECUTION_PROJECT", place.project
        yield "FLYTE_INTERNAL_EXECUTION_DOMAIN", place.domain
    if place.workflow:
        yield "FLYTE_INTERNAL_EXECUTION_WORKFLOW", place.workflow
    yield "FLYTE_ATTEMPT_NUMBER", str(place.attempt)
    if any(task_id):
        yield "FLYTE_INTERNAL_TASK_PROJECT", project
        yield "FLYTE_INTERNAL_TASK_DOMAIN", domain
        yield "FLYTE_INTERNAL_TASK_NAME", name
        yield "FLYTE_INTERNAL_TASK_VERSION", version
    yield "FLYTE_FAIL_ON_ERROR", "true"  # else a failed task ends with 0
    yield "RAY_OVERRIDE_JOB_RUNTIME_ENV", "1"  # what flytekit says to ray.init must not collide with the job's
    if task.secrets:
        yield "FLYTE_SECRETS_ENV_PREFIX", PREFIX
        yield "FLYTE_SECRETS_FILE_PREFIX", ""


def _about(task: TaskWish, place: RunPlace) -> dict[str, str]:
    project, domain, name, version = place.task
    rows = {
        "flyte.project": place.project or project,
        "flyte.domain": place.domain or domain,
        "flyte.execution": place.execution,
        "flyte.node": place.node,
        "flyte.attempt": str(place.attempt),
        "flyte.index": place.array_index,
        "flyte.task": name,
        "flyte.version": version,
        "flyte.workflow": place.workflow,
    }
    return {key: _clean(value) for key, value in rows.items() if value}


def _tags(task: TaskWish, place: RunPlace) -> dict[str, str]:
    """What jobs are looked for by, then the user's labels as far as there is room."""
    tags = {key: value[:MAX_TAG] for key, value in _about(task, place).items()}
    for name, value in {**task.labels, **place.labels}.items():
        key = _clean(name)
        if len(tags) < MAX_TAGS and 0 < len(key) <= MAX_TAG:
            tags.setdefault(key, _clean(value)[:MAX_TAG])
    return tags


def _metadata(task: TaskWish, place: RunPlace) -> dict[str, str]:
    """What Ray's dashboard shows with the job, then the user's annotations as far as there is room."""
    rows = {
        **_about(task, place),
        "flyte.output_prefix": _clean(place.output_prefix),
        "flyte.image": _clean(task.image),
        "flyte.service_account": _clean(place.service_account),
    }
    for key, value in {**task.annotations, **place.annotations}.items():
        rows.setdefault(_clean(key), _clean(value))
    kept: dict[str, str] = {}
    room = MAX_METADATA_BYTES
    for key, value in rows.items():
        size = len(key) + len(value)
        if key and value and size <= room:
            kept[key] = value
            room -= size
    return kept


def _name(place: RunPlace) -> str | None:
    words = [word for word in (place.execution, place.node, place.array_index) if word]
    text = "".join(character for character in "-".join(words) if character.isprintable())[:MAX_NAME]
    return text if text.strip() else None


def _clean(text: str) -> str:
    """Without what no database takes."""
    return text.replace("\0", "")
