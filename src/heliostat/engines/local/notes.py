"""What is learnt by looking, noted in the record: identities, who is alive, how far the start is. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from heliostat.domain.engine import Incident, Progress, Step

from .decisions import Facts, Seen
from .records import InstanceRecord, NodeRecord, moment


def noted(facts: Facts) -> InstanceRecord:
    """The record with what the facts tell. Equal to the old one when there is nothing new."""
    record = facts.record
    for node in record.nodes:
        seen = facts.seen.get(node.node)
        if seen is not None:
            record = _node(record, node, seen, facts.now)
    if record.failure or record.up_at or not record.started_at:
        return record
    return _start(record, facts.seen, facts.now)


def begin(record: InstanceRecord, step: Step, now: float) -> InstanceRecord:
    """Open an entry of the progress, once."""
    if any(entry.step is step for entry in record.progress):
        return record
    return dataclasses.replace(record, progress=(*record.progress, Progress(step, moment(now))))


def end(record: InstanceRecord, step: Step, now: float, detail: str = "") -> InstanceRecord:
    """Close an entry of the progress, once."""
    entries = tuple(
        dataclasses.replace(entry, ended_at=moment(now), detail=detail or entry.detail)
        if entry.step is step and entry.ended_at is None
        else entry
        for entry in record.progress
    )
    return dataclasses.replace(record, progress=entries)


def under_way(record: InstanceRecord, step: Step) -> bool:
    """Whether a step of the progress has begun and not ended."""
    return any(entry.step is step and entry.ended_at is None for entry in record.progress)


def end_all(record: InstanceRecord, now: float) -> InstanceRecord:
    """Close what is open: the start has ended, one way or the other."""
    for entry in record.progress:
        record = end(record, entry.step, now)
    return record


def _node(record: InstanceRecord, node: NodeRecord, seen: Seen, now: float) -> InstanceRecord:
    status = seen.status
    if status is not None and not node.pid:
        node = dataclasses.replace(node, pid=status.pid, start_ticks=status.start_ticks)
    if seen.registered and status is not None and not node.alive_at:
        came = min(status.registered_at or now, now)
        node = dataclasses.replace(node, alive_at=came, down_since=0.0)
        if node.restarts:
            record = record.with_incident(
                Incident(
                    f"head-restarted/{node.restarts}",
                    moment(came),
                    "HeadRestarted",
                    "The head is back with its cluster; jobs that ran on the head itself have ended.",
                    warning=False,
                )
            )
    return record.with_node(node)


def _start(record: InstanceRecord, seen: Mapping[str, Seen], now: float) -> InstanceRecord:
    def of(node: NodeRecord) -> Seen:
        return seen.get(node.node, Seen(alive=False))

    heads = [node for node in record.nodes if node.kind == "head"]
    workers = [node for node in record.nodes if node.kind == "worker"]
    head_ready = all(of(node).jobs_ready for node in heads)
    alive = sum(of(node).registered for node in workers)
    if head_ready:
        record = end(record, Step.HEAD, now)
    if alive == len(workers):
        record = end(record, Step.WORKERS, now, f"{alive} of {len(workers)} workers are alive" if workers else "")
    if head_ready and alive == len(workers):
        record = dataclasses.replace(end_all(begin(record, Step.UP, now), now), up_at=now)
    return record
