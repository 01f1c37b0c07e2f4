"""What people see of queues and usage: pure functions from the SDK's models to tables and cards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .output import Card, Table
from .tables import moment

if TYPE_CHECKING:
    from heliostat.client import models

HOURS = ("CPU HOURS", "STARTING", "USEFUL", "IDLE", "GIB HOURS", "GPU HOURS", "CU HOURS")


def queues(rows: Iterable[models.Queue]) -> Table:
    return Table(
        ("NAME", "CPU", "MEMORY", "GPU", "GUARANTEED", "PRIORITY", "WAITING", "DESCRIPTION"),
        tuple(
            (
                row.name, share(row.used.cpu, row.maximum.cpu), share(row.used.memory, row.maximum.memory),
                share(row.used.gpu, row.maximum.gpu), amount(row.minimum, "-"), str(row.priority), str(row.waiting),
                row.description,
            )
            for row in rows
        ),
        empty="no queues",
    )  # fmt: skip


def queue(row: models.Queue) -> Card:
    fields = [
        ("workspace", row.workspace),
        ("created", moment(row.created_at)),
        ("guaranteed", amount(row.minimum, "nothing")),
        ("limit", amount(row.maximum, "none")),
        ("used", amount(row.used, "nothing")),
        ("priority", str(row.priority)),
        ("back-fill", "yes" if row.backfill else "no"),
        ("waiting", f"{row.waiting} clusters" if row.waiting != 1 else "1 cluster"),
    ]
    if row.description:
        fields.insert(2, ("description", row.description))
    blocks = []
    if row.holders:
        blocks.append(("Held by", tuple(holder(part) for part in row.holders)))
    if row.notes:
        blocks.append(("Note", row.notes))
    return Card(row.name, tuple(fields), tuple(blocks))


def holder(row: models.Holder) -> str:
    nodes = "1 node" if row.nodes == 1 else f"{row.nodes} nodes"
    job = f" for job {row.job}" if row.job else ""
    return f"{row.name} ({row.cluster}){job}: {nodes}, {amount(row.held, 'nothing')}"


def share(used: str | int | None, most: str | int | None) -> str:
    """``4 of 16``; ``4`` where there is no limit."""
    return f"{used or 0}" if most is None else f"{used or 0} of {most}"


def amount(row: models.Amount, nothing: str) -> str:
    words = [
        f"{row.cpu} cpu" if row.cpu is not None else "",
        row.memory or "",
        f"{row.gpu} gpu" if row.gpu is not None else "",
    ]
    return ", ".join(word for word in words if word) or nothing


def usage(report: models.UsageReport) -> Table:
    """A row for each combination and one for the sum; hours of CPU are split by what they went into."""
    rows = [(*_names(row, report.by), *_hours(row)) for row in report.rows]
    if report.by and rows:
        rows.append(("total", *([""] * (len(report.by) - 1)), *_hours(report.total)))
    return Table(
        (*(name.upper() for name in report.by), *HOURS),
        tuple(rows),
        empty=f"nothing was used from {moment(report.since)} to {moment(report.until)}",
    )


def _names(row: models.UsageRow, by: Sequence[str]) -> list[str]:
    shown = {
        "queue": row.queue or "",
        "cluster": row.cluster_name or row.cluster or "",
        "principal": row.principal_name or row.principal or "",
        "hour": moment(row.hour) if row.hour else "",
    }
    return [shown[name] for name in by]


def _hours(row: models.UsageRow) -> list[str]:
    whole = row.total
    cpu = (whole.cpu_hours, row.starting.cpu_hours, row.useful.cpu_hours, row.idle.cpu_hours)
    return [f"{value:.2f}" for value in (*cpu, whole.memory_gib_hours, whole.gpu_hours, whole.cu_hours)]
