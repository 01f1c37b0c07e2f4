"""What people see of jobs and of logs: pure functions from the SDK's models to tables and cards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .durations import age, seconds
from .job_progress import FINAL, WAITING, words
from .output import Card, Table, first_line
from .tables import moment, shape, worker_group

if TYPE_CHECKING:
    from heliostat.client import models

MASK = "******"
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s\"']+(?=@)")


def jobs(rows: Iterable[models.JobInfo], now: datetime) -> Table:
    return Table(
        ("ID", "NAME", "STATUS", "CLUSTER", "AGE", "RAN", "MESSAGE"),
        tuple(job_row(row, now) for row in rows),
        empty="no jobs yet; submit one with: heliostat job submit -- python main.py",
    )


def job_row(row: models.JobInfo, now: datetime) -> tuple[str, ...]:
    name = "" if row.name == row.id else row.name
    cluster = "its own" if row.cluster.temporary else row.cluster.name
    ran = seconds(row.run_seconds) if row.started_at is not None else ""
    return (row.id, name, row.status, cluster, age(row.submitted_at, now), ran, said(row))


def said(row: models.JobInfo) -> str:
    """The message, where it says more than the status."""
    if row.status in WAITING and row.progress.step == "cluster":
        return f"{words(row)}: {first_line(row.progress.detail)}"
    return "" if row.message == "runs" or row.status == "Succeeded" else first_line(row.message)


def job(row: models.JobInfo, now: datetime) -> Card:
    raw = row.raw
    fields = [("id", row.id), ("workspace", row.workspace), ("entry point", row.entrypoint)]
    fields.append(("runs on", place(row)))
    fields.append(("submitted", f"{moment(row.submitted_at)} by {row.creator} ({age(row.submitted_at, now)} ago)"))
    if row.started_at is not None:
        fields.append(("started", f"{moment(row.started_at)} (ran {seconds(row.run_seconds)})"))
    if row.ended_at is not None:
        fields.append(("ended", moment(row.ended_at)))
    if row.exit_code is not None:
        fields.append(("exit code", str(row.exit_code)))
    if row.cause is not None:
        fields.append(("cause", row.cause.replace("_", " ")))
    fields += [(name, text) for name, text in _wishes(raw) if text]
    if row.status not in FINAL:
        told = f"{row.progress.step}, {seconds(row.progress.seconds)}  {first_line(row.progress.detail)}"
        fields.append(("step", told.rstrip()))
    usage = raw.get("usage") or {}
    if usage.get("node_seconds"):
        fields.append(("used", f"{usage['cpu_hours']:.3g} cpu hours, {usage['memory_gib_hours']:.3g} GiB hours"))
    links = raw.get("links") or {}
    if links.get("dashboard_url"):
        fields.append(("dashboard", links["dashboard_url"]))
    note = "" if row.status in ("Running", "Succeeded") else first_line(row.message)
    return Card(row.name, tuple(fields), tuple(_blocks(row)), row.status, note)


def place(row: models.JobInfo) -> str:
    if not row.cluster.temporary:
        return f"{row.cluster.name} ({row.cluster.id})"
    spec = row.raw.get("cluster_spec") or {}
    groups = [worker_group(group) for group in spec.get("workers") or ()]
    made = ", ".join([f"head {shape(spec.get('head') or {})}", *groups]) if spec else ""
    return f"a cluster of its own, {row.cluster.id}, {row.cluster.state}\n{made}".rstrip()


def _wishes(raw: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    yield "code", str(raw.get("working_dir") or "")
    yield "requirements", str(raw.get("requirements") or "")
    environment = without_values(raw.get("runtime_env") or {})
    yield "runtime env", "\n".join(f"{key}: {_brief(value)}" for key, value in environment.items())
    yield "secrets", "\n".join(_secret(row) for row in raw.get("secrets") or ())
    yield "metadata", _pairs(raw.get("metadata"))
    yield "tags", _pairs(raw.get("tags"))
    given = {key: value for key, value in (raw.get("resources") or {}).items() if value}
    yield "entry takes", ", ".join(f"{_brief(value)} {key}" for key, value in given.items())
    if raw.get("deadline_seconds"):
        yield "deadline", f"{seconds(raw['deadline_seconds'])} from its submission"
    retries = raw.get("retries") or {}
    if retries.get("limit"):
        never = [key.replace("_", " ") for key, value in retries.items() if key != "limit" and value == 0]
        yield "retries", f"{retries['limit']}{', not after: ' + ', '.join(never) if never else ''}"
    if (raw.get("cluster") or {}).get("temporary") and not raw.get("shutdown_after_finish", True):
        yield "afterwards", "its cluster is kept"
    elif raw.get("ttl_seconds"):
        yield "afterwards", f"its cluster is kept for {seconds(raw['ttl_seconds'])}"


def _secret(row: Mapping[str, Any]) -> str:
    name = f"{row['group']}/{row['key']}" + (f"@{row['version']}" if row.get("version") else "")
    places = [*row.get("variables", ()), *([f"file {row['file']}"] if row.get("file") else ())]
    return f"{', '.join(places)}: {name}"


def _pairs(values: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{key}={value}" for key, value in (values or {}).items())


def _brief(value: Any) -> str:
    if isinstance(value, Mapping):
        return _pairs(value)
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _blocks(row: models.JobInfo) -> Iterable[tuple[str, tuple[str, ...]]]:
    if len(row.message.strip().splitlines()) > 1:
        yield "Message", tuple(row.message.strip().splitlines())
    if len(row.attempts) > 1:
        yield "Attempts", tuple(attempt(part) for part in row.attempts)
    if row.summary is not None:
        more = ("and more, which Ray did not tell",) if row.summary.truncated else ()
        for title, counted in (("Tasks", row.summary.tasks), ("Actors", row.summary.actors)):
            if counted:
                yield title, (*map(counts, counted), *more)
    findings = row.raw.get("findings") or ()
    if findings:
        lines = (f"cluster_spec.{part['path']} is {part['verdict']}: {part['message']}" for part in findings)
        yield "Not honoured literally", tuple(lines)


def attempt(row: models.Attempt) -> str:
    """``1  FAILED, infrastructure: the head died``."""
    parts = [row.status, (row.cause or "").replace("_", " ")]
    parts.append("" if row.exit_code is None else f"exit code {row.exit_code}")
    told = f": {first_line(row.message)}" if row.message else ""
    return f"{row.number}  {', '.join(part for part in parts if part)}{told}"


def counts(row: models.NameCount) -> str:
    """``Model.fit  2 FINISHED, 1 RUNNING``."""
    return f"{row.name}  {', '.join(f'{count} {state}' for state, count in row.states.items())}"


def log_files(rows: Iterable[models.LogFile], *, owners: bool = False) -> Table:
    """Names come last and whole, since they are copied. ``owners``: the files of several runs; else entry points first."""
    heading = ("SIZE", "MODIFIED", "COMPLETE", "NAME")
    listed = list(rows) if owners else sorted(rows, key=lambda row: row.name.startswith("nodes/"))
    found = [(size(row.size), moment(row.modified_at), _completeness(row), row.name) for row in listed]
    if not owners:
        return Table(heading, tuple(found), empty="no logs", whole=True)
    named = tuple((row.owner, *cells) for row, cells in zip(listed, found, strict=True))
    empty = "no logs are kept: they are collected when a run ends"
    return Table(("INSTANCE", *heading), named, empty=empty, whole=True)


def _completeness(row: models.LogFile) -> str:
    word = "yes" if row.complete else "no"
    return f"{word}, {first_line(row.note)}" if row.note else word


def size(count: int) -> str:
    """``812 B``, ``3.4 KiB``."""
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


def without_values(document: Any) -> Any:
    """A copy in which the values of environment variables, and users and passwords in URLs, are masked at any depth."""
    if isinstance(document, Mapping):
        return {
            key: dict.fromkeys(value, MASK)
            if key in ("env_vars", "env") and isinstance(value, Mapping)
            else without_values(value)
            for key, value in document.items()
        }
    if isinstance(document, list):
        return [without_values(part) for part in document]
    return _USER_IN_URL.sub(MASK, document) if isinstance(document, str) else document
