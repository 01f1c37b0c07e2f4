"""Queues and usage as JSON documents, and bodies as queues (described in ``models/queue_answers``, ``queue_bodies``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from heliostat.domain.ids import WorkspaceId
from heliostat.domain.quantities import format_cores, format_memory, parse_cores, parse_memory
from heliostat.domain.quota import Phase
from heliostat.domain.records import Amount, Queue
from heliostat.services import Holder, Hours, QueueView, UsageLine, UsageReport

from .documents import Document, moment
from .models.queue_bodies import AmountBody, NewQueue, QueueChange

_DIGITS = 6
"""Of hours; a millionth of an hour is 4 ms."""


def wish(workspace: WorkspaceId, body: NewQueue, now: datetime) -> Queue:
    """The queue that a body asks for."""
    return Queue(
        workspace, body.name, now, _changed(Amount(), body.minimum), _changed(Amount(), body.maximum), body.description,
        priority=body.priority, backfill=body.backfill,
    )  # fmt: skip


def change(body: QueueChange) -> Callable[[Queue], Queue]:
    """The change that a merge patch means: only what it names."""
    named = body.model_fields_set

    def apply(before: Queue) -> Queue:
        after = before
        if "description" in named:
            after = replace(after, description=body.description or "")
        if "minimum" in named:
            after = replace(after, minimum=_changed(before.minimum, body.minimum))
        if "maximum" in named:
            after = replace(after, maximum=_changed(before.maximum, body.maximum))
        if "priority" in named:
            after = replace(after, priority=body.priority or 0)
        if "backfill" in named:
            after = replace(after, backfill=body.backfill is not False)
        return after

    return apply


def _changed(before: Amount, body: AmountBody | None) -> Amount:
    if body is None:
        return Amount()
    named = body.model_fields_set
    return Amount(
        before.cpu if "cpu" not in named else None if body.cpu is None else parse_cores(body.cpu),
        before.memory if "memory" not in named else None if body.memory is None else parse_memory(body.memory),
        body.gpu if "gpu" in named else before.gpu,
    )


def queue(view: QueueView) -> Document:
    row = view.queue
    return {
        "workspace": row.workspace,
        "name": row.name,
        "description": row.description,
        "created_at": moment(row.created_at),
        "minimum": amount(row.minimum),
        "maximum": amount(row.maximum),
        "priority": row.priority,
        "backfill": row.backfill,
        "held": amount(row.held),
        "used": amount(view.used),
        "waiting": view.waiting,
        "notes": list(view.notes),
    }


def queue_detail(view: QueueView, holders: Sequence[Holder]) -> Document:
    return queue(view) | {"holders": [_holder(row) for row in holders]}


def _holder(row: Holder) -> Document:
    return {
        "cluster": row.cluster,
        "name": row.name,
        "job": row.job,
        "instance": row.instance,
        "nodes": row.nodes,
        "held": amount(Amount(row.held.cores, row.held.memory, row.held.gpu)),
    }


def amount(row: Amount) -> Document:
    return {"cpu": _cores(row.cpu), "memory": None if row.memory is None else format_memory(row.memory), "gpu": row.gpu}


def _cores(cpu: Decimal | None) -> str | None:
    return None if cpu is None else format_cores(cpu)


def usage(report: UsageReport) -> Document:
    return {
        "since": moment(report.since),
        "until": moment(report.until),
        "by": list(report.by),
        "rows": [_line(row) for row in report.lines],
        "total": _sums(report.total),
    }


def _line(row: UsageLine) -> Document:
    hour = row.keys.get("hour")
    return {
        "queue": row.keys.get("queue"),
        "cluster": row.keys.get("cluster"),
        "cluster_name": row.names.get("cluster"),
        "principal": row.keys.get("principal"),
        "principal_name": row.names.get("principal"),
        "hour": None if hour is None else moment(datetime.fromisoformat(hour)),
        **_sums(row),
    }


def _sums(row: UsageLine) -> Document:
    return {phase.value: _hours(row.phases.get(phase, Hours())) for phase in Phase} | {"total": _hours(row.total)}


def _hours(row: Hours) -> Document:
    return {
        "node_hours": round(row.node, _DIGITS),
        "cpu_hours": round(row.cpu, _DIGITS),
        "memory_gib_hours": round(row.memory_gib, _DIGITS),
        "gpu_hours": round(row.gpu, _DIGITS),
        "cu_hours": round(row.cu, _DIGITS),
    }
