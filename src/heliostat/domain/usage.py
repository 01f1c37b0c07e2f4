"""What nodes took over a time, as far as it is counted to a job. Source of ``cu_hours``: EMR contract, section 8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from .engine import GpuType, NodeObservation, NodeState
from .jobs import Job, Usage
from .records import Instance
from .spec import ClusterSpec, NodeShape

_GIB = 1 << 30


def usage_of_job(job: Job, instance: Instance | None, now: datetime, gpus: Mapping[str, GpuType]) -> Usage:
    """Usage of an existing cluster up to now, or what was stored once the job is over: its nodes count while it runs.

    What a temporary cluster takes is in the ledger of usage.
    """
    if job.spec.temporary or job.settled or instance is None or job.started_at is None:
        return job.usage
    if job.attempts and job.attempts[-1].instance != instance.id:
        return job.usage
    return usage(instance.spec, instance.nodes, job.started_at, job.ended_at or now, gpus)


def usage(
    spec: ClusterSpec, nodes: Sequence[NodeObservation], since: datetime, until: datetime, gpus: Mapping[str, GpuType]
) -> Usage:
    """Sum over the nodes that are there, each from its start (``since`` at the earliest) to ``until``."""
    seconds = cpu = memory = gpu = cu = 0.0
    count = 0
    for node in nodes:
        shape = _shape(spec, node)
        if shape is None or node.state is NodeState.PENDING:
            continue
        span = max(0.0, (until - max(since, node.started_at or node.created_at)).total_seconds())
        hours = span / 3600
        gib = shape.memory / _GIB
        count += 1
        seconds += span
        cpu += float(shape.cpu) * hours
        memory += gib * hours
        gpu += (gpus[shape.gpu].count if shape.gpu in gpus else 0) * hours if shape.gpu else 0.0
        cu += max(float(shape.cpu), gib / 4) * hours
    return Usage(seconds, cpu, memory, gpu, cu, count)


def _shape(spec: ClusterSpec, node: NodeObservation) -> NodeShape | None:
    if node.kind == "head":
        return spec.head
    return next((group.shape for group in spec.workers if group.name == node.group), None)
