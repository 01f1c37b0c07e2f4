"""What a job has taken, read inside a transaction.

A temporary cluster is its job's alone, so what the ledger says of it is the job's, to the end of its last node and over all
its runs; what its present run holds and is not metered yet comes on top. Of an existing cluster a job is counted what the
nodes are worth while it runs (:mod:`heliostat.domain.usage`), whoever else uses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from heliostat.domain.engine import GpuType
from heliostat.domain.jobs import Job, Usage
from heliostat.domain.quota import Claim
from heliostat.domain.records import Instance
from heliostat.domain.usage import usage_of_job
from heliostat.store import Transaction

_DAY = timedelta(days=1)


def usage_now(
    tx: Transaction, job: Job, instance: Instance | None, now: datetime, gpus: Mapping[str, GpuType]
) -> Usage:
    """Usage up to now. Of a job that is settled: what was stored."""
    if job.settled or not job.spec.temporary:
        return usage_of_job(job, instance, now, gpus)
    held = () if instance is None else tuple(tx.claims.of_instance(instance.id))
    taken = sum((_unmetered(claim, now) for claim in held), _metered(tx, job, now))
    if taken.node_seconds < job.usage.node_seconds:
        return job.usage  # it was begun by a Heliostat that had no ledger
    return replace(taken, peak_nodes=max(job.usage.peak_nodes, sum(claim.held for claim in held)))


def _metered(tx: Transaction, job: Job, now: datetime) -> Usage:
    """Of the job's own cluster, since the job was submitted."""
    since, until = job.submitted_at - _DAY, max(now, job.submitted_at) + _DAY
    total = Usage()
    for row in tx.ledger.sums(job.workspace, since=since, until=until, cluster=job.cluster):
        total += Usage(
            row.node_hours * 3600, row.cpu_hours, row.memory_gib_hours, row.gpu_hours, row.cu_hours
        )  # fmt: skip
    return total


def _unmetered(claim: Claim, now: datetime) -> Usage:
    hours = max(0.0, (now - claim.metered_until).total_seconds()) / 3600 * claim.held
    node = claim.node
    return Usage(
        hours * 3600, node.milli_cpu / 1000 * hours, node.memory / (1 << 30) * hours, node.gpu * hours,
        node.milli_cu / 1000 * hours,
    )  # fmt: skip
