"""What is learnt by looking, noted in the record: identities, who is alive, how far the start is. Pure."""

from __future__ import annotations

import dataclasses

from heliostat.domain.engine import Incident, Progress, Step

from .counts import awaited, most, places, scaled, wanted
from .facts import Facts, Seen
from .plans import head_mark
from .records import InstanceRecord, NodeRecord, moment
from .renewal import oldest


def noted(facts: Facts) -> InstanceRecord:
    """The record with what the facts tell. Equal to the old one when there is nothing new."""
    record = facts.record
    for node in record.nodes:
        seen = facts.seen.get(node.node)
        if seen is not None:
            record = _node(record, node, seen, facts)
    record = _renewed(_wanted(record, facts), facts)
    if record.failure or record.up_at or not record.started_at:
        return record
    return _start(record, dataclasses.replace(facts, record=record))


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


def _node(record: InstanceRecord, node: NodeRecord, seen: Seen, facts: Facts) -> InstanceRecord:
    status, plan, now = seen.status, facts.plan, facts.now
    if not node.generation:
        node = dataclasses.replace(node, generation=plan.generation)
    if node.kind == "head" and not node.born:
        node = dataclasses.replace(node, born=head_mark(plan), scaler=plan.scaling is not None)
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


def _wanted(record: InstanceRecord, facts: Facts) -> InstanceRecord:
    """Where Ray's autoscaler decides, each group has a number from its beginning on, and none above its maximum.

    It may have asked already for others in the place of nodes that are gone and still counted here.
    """
    plan, numbers = facts.plan, dict[str, int]()
    for group in plan.workers if scaled(plan, record) else ():
        gone = sum(
            bool(node.launched_at) and not facts.see(node).alive for node in places(record, "worker", group.name)
        )
        known = record.wanted.get(group.name, wanted(plan, record, group))
        numbers[group.name] = min(known, most(plan, group) + gone)
    return record if numbers == record.wanted else dataclasses.replace(record, wanted=numbers)


def _renewed(record: InstanceRecord, facts: Facts) -> InstanceRecord:
    """Tell of groups whose last old node was replaced."""
    for group, count in record.renewing.items():
        known = any(row.name == group for row in facts.plan.workers)
        nodes = [node for node in record.nodes if node.kind == "worker" and node.group == group]
        if known and not all(node.generation >= oldest(facts.plan) and facts.registered(node) for node in nodes):
            continue
        rest = {name: number for name, number in record.renewing.items() if name != group}
        record = dataclasses.replace(record, renewing=rest)
        workers = f"{count} worker was" if count == 1 else f"{count} workers were"
        text = f"Group {group} is renewed: {workers} replaced, one after the other."
        if known:
            record = record.with_incident(
                Incident(f"renewed/{group}/{facts.plan.renew}", moment(facts.now), "GroupRenewed", text, warning=False)
            )
    return record


def _start(record: InstanceRecord, facts: Facts) -> InstanceRecord:
    now = facts.now
    nodes = awaited(facts.plan, record)
    workers = [node for node in nodes if node.kind == "worker"]
    head_ready = any(facts.see(node).jobs_ready for node in nodes if node.kind == "head")
    alive = sum(facts.registered(node) for node in workers)
    if head_ready:
        record = end(record, Step.HEAD, now)
    if alive == len(workers):
        record = end(record, Step.WORKERS, now, f"{alive} of {len(workers)} workers are alive" if workers else "")
    if head_ready and alive == len(workers):
        record = dataclasses.replace(end_all(begin(record, Step.UP, now), now), up_at=now)
    return record
