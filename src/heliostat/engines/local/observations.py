"""From what is noted and seen to what the control loop is told. Pure."""

from __future__ import annotations

import dataclasses

from heliostat.domain.engine import Demand, Endpoints, NodeObservation, NodeState, Observation, Progress, Step
from heliostat.domain.ids import NodeId
from heliostat_node.protocol import NodeStatus

from .counts import awaited, held, scaled, wanted
from .facts import Facts, Seen
from .node_specs import HOST, metrics_addresses
from .records import InstanceRecord, NodeRecord, moment

WAITS = "waits for its queue"


def observation(facts: Facts, trouble: str, details: dict[Step, str], demand: Demand | None) -> Observation:
    """The observation of a present instance. ``details`` are phrases on the steps that are under way."""
    record = facts.record
    waiting = held(facts.plan, record)
    head = next((node for node in record.nodes if node.kind == "head"), None)
    seen = facts.seen.get(head.node, Seen(alive=False)) if head is not None else Seen(alive=False)
    return Observation(
        instance=record.instance,
        present=True,
        step=_step(record, seen),
        generation=facts.plan.generation,
        progress=tuple(_progress(entry, facts, details) for entry in record.progress),
        head_ready=seen.registered and not record.failure,
        jobs_ready=seen.jobs_ready and not record.failure,
        nodes=tuple(_node(node, facts, node.node in waiting) for node in record.nodes),
        endpoints=_endpoints(head, seen) if head is not None and not record.failure else None,
        failure=record.failure or None,
        trouble="" if record.failure else trouble,
        incidents=record.incidents,
        wanted=_wanted(facts),
        demand=demand if scaled(facts.plan, record) and not record.failure else None,
    )


def _wanted(facts: Facts) -> dict[str, int]:
    """By group, where Ray's autoscaler decides."""
    if not scaled(facts.plan, facts.record):
        return {}
    return {group.name: wanted(facts.plan, facts.record, group) for group in facts.plan.workers}


def _step(record: InstanceRecord, head: Seen) -> Step:
    if record.failure:
        return Step.FAILED
    if record.up_at:
        return Step.UP
    if record.started_at:
        return Step.WORKERS if head.jobs_ready else Step.HEAD
    under_way = [entry.step for entry in record.progress if entry.ended_at is None]
    return under_way[-1] if under_way else Step.QUEUED


def _progress(entry: Progress, facts: Facts, details: dict[Step, str]) -> Progress:
    if entry.ended_at is not None:
        return entry
    detail = details.get(entry.step, entry.detail)
    if entry.step is Step.WORKERS:
        workers = [node for node in awaited(facts.plan, facts.record) if node.kind == "worker"]
        alive = sum(facts.registered(node) for node in workers)
        detail = f"{alive} of {len(workers)} workers are alive"
    if entry.step is Step.HEAD:
        detail = _head_detail(facts)
    return dataclasses.replace(entry, detail=detail)


def _head_detail(facts: Facts) -> str:
    for node in facts.record.nodes:
        status = facts.seen[node.node].status if node.kind == "head" and node.node in facts.seen else None
        if status is not None and status.phase == "registered":
            return "alive, waiting for its dashboard"
        if status is not None and status.gcs_ready_at:
            return "its GCS answers"
    return "starting"


def _node(node: NodeRecord, facts: Facts, waits: bool) -> NodeObservation:
    seen = facts.seen.get(node.node, Seen(alive=False))
    status = seen.status
    return NodeObservation(
        node=NodeId(node.node),
        kind=node.kind,
        group=node.group,
        state=_state(node, seen, bool(facts.record.failure)),
        created_at=moment(node.created_at),
        started_at=moment(node.alive_at) if node.alive_at else None,
        ray_node_id=status.ray_node_id if status is not None else "",
        pid=(node.pid or None) if seen.alive else None,
        reason=node.reason,
        message=WAITS if waits and not node.leaving else _message(node, seen, status),
        restarts=node.restarts,
        generation=node.generation,
        metrics=metrics_addresses(facts.plan, node) if seen.registered else (),
    )


def _state(node: NodeRecord, seen: Seen, failed: bool) -> NodeState:
    if node.leaving and seen.alive:
        return NodeState.DRAINING
    if seen.registered:
        return NodeState.ALIVE
    asked = node.launched_at and not node.pid and not node.message and seen.status is None
    if seen.alive or (asked and not failed):
        return NodeState.STARTING
    return NodeState.EXITED if failed or node.launched_at else NodeState.PENDING


def _message(node: NodeRecord, seen: Seen, status: NodeStatus | None) -> str:
    if not seen.alive and status is not None and status.exit_reason:
        return status.exit_reason
    return node.message


def _endpoints(head: NodeRecord, seen: Seen) -> Endpoints:
    client = head.ports.get("client_port") if seen.client_ready else None
    return Endpoints(f"{HOST}:{head.ports['dashboard_port']}", f"{HOST}:{client}" if client else None)
