"""Steps of a cluster's life inside a transaction, for the use cases and for the control loop's jobs alike."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from heliostat.domain.admission import QueueState, Request, admit, impossible_nodes
from heliostat.domain.claiming import Change, opening
from heliostat.domain.engine import GpuType
from heliostat.domain.errors import QuotaExceeded
from heliostat.domain.ids import ClusterId, WorkspaceId, new_instance_id
from heliostat.domain.quota import ROOT, Charge, Claim, Limit, groups, milli
from heliostat.domain.records import Amount, Cluster, Event, Instance, Queue
from heliostat.domain.secret import Secret
from heliostat.domain.spec import ClusterSpec
from heliostat.domain.states import State, Wanted
from heliostat.store import Transaction


def begin(tx: Transaction, record: Cluster, actor: str, now: datetime, gpus: Mapping[str, GpuType]) -> Cluster:
    """Wish for a new run of a cluster, with secrets of its own. What there is of earlier runs goes.

    Where its queues have room and nobody waits before it, it is admitted at once, else it waits for its turn
    (control.admission).
    """
    instance = Instance(
        id=new_instance_id(record.id), cluster=record.id, workspace=record.workspace, spec=record.spec,
        generation=record.generation, created_at=now,
        submit_token=Secret(secrets.token_hex(16)), ray_token=Secret(secrets.token_hex(32)),
    )  # fmt: skip
    given_back = _retire_instances(tx, record.id)
    tx.claims.change([*given_back, *((None, claim) for claim in _claims(tx, instance, record, gpus, now))], now)
    tx.instances.add(instance)
    after = replace(
        record, wanted=Wanted.RUNNING, state=State.STARTING, message="ok", modified=False,
        instance=instance.id, started_at=now,
    )  # fmt: skip
    tx.clusters.save(after)
    if record.state in (State.STARTING, State.RUNNING):
        told = f"restart requested with {record.spec.release}; {record.instance} ends first"
        note(tx, after, actor, now, "RestartRequested", told)
    else:
        note(tx, after, actor, now, "StartRequested", f"start requested with {record.spec.release}")
    return after


def check_possible(tx: Transaction, workspace: WorkspaceId, spec: ClusterSpec, gpus: Mapping[str, GpuType]) -> None:
    """Raises QuotaExceeded when the spec's first nodes could not be had even from empty queues."""
    queues = {queue.name: queue_state(queue) for queue in tx.queues.list(workspace)}
    lacks = impossible_nodes(queues, groups(spec, gpus).values())
    if lacks:
        raise QuotaExceeded(
            f"{spec.name} needs {lacks[0].needs} {lacks[0].resource}, and queue {lacks[0].queue} has {lacks[0].of} in all; "
            "ask for less, or have the queue's maximum raised"
        )


def _claims(
    tx: Transaction, instance: Instance, record: Cluster, gpus: Mapping[str, GpuType], now: datetime
) -> list[Claim]:
    """Of a run that begins."""
    queues = {queue.name: queue_state(queue) for queue in tx.queues.list(record.workspace)}
    names = {queue for queue, _, _ in groups(record.spec, gpus).values()} | {ROOT}
    if all(queues[name].maximum.unlimited for name in names if name in queues):
        return opening(instance, record.creator, gpus, now, admitted=True)
    claims = opening(instance, record.creator, gpus, now, admitted=False)
    if tx.claims.anyone_lacks(record.workspace):
        return claims
    fits = admit(queues, [Request(instance.id, tuple(claims), whole=True)], now).grants
    return [replace(claim, held=claim.wanted) for claim in claims] if fits else claims


def remove(tx: Transaction, record: Cluster, actor: str, now: datetime) -> Cluster:
    """Wish for a cluster to be gone, whatever it does now."""
    retire(tx, record.id, now)
    if record.state in (State.STOPPED, State.ERROR):
        after = replace(record, wanted=Wanted.DELETED, deleted_at=now)
    else:
        after = replace(record, wanted=Wanted.DELETED, state=State.STOPPING, message="ok")
    tx.clusters.save(after)
    note(tx, record, actor, now, "DeleteRequested", "deletion requested")
    return after


def stop(tx: Transaction, record: Cluster, actor: str, now: datetime, reason: str, message: str) -> Cluster:
    """Wish for the present run of a cluster to be gone. ``reason`` and ``message`` are those of the event."""
    after = replace(record, wanted=Wanted.STOPPED, state=State.STOPPING, message="ok", modified=False)
    retire(tx, record.id, now)
    tx.clusters.save(after)
    note(tx, after, actor, now, reason, message)
    return after


def retire(tx: Transaction, cluster: ClusterId, now: datetime) -> None:
    """No run of the cluster is wanted any more. What it waits for it waits for no longer; what it holds it still has."""
    tx.claims.change(_retire_instances(tx, cluster), now)


def _retire_instances(tx: Transaction, cluster: ClusterId) -> list[Change]:
    """What is left to do are the changes of claims that are returned: queues and claims have their order of locking."""
    changes: list[Change] = []
    for instance in tx.instances.live(cluster):
        if not instance.retired:
            claims = tx.claims.of_instance(instance.id)
            changes += [(row, replace(row, wanted=row.held) if row.held else None) for row in claims if row.missing]
            tx.instances.save(replace(instance, retired=True))
    return changes


def queue_state(queue: Queue) -> QueueState:
    """A stored queue as admission sees it."""
    return QueueState(
        queue.name, _charge(queue.minimum), Limit.of(queue.maximum), queue.priority, queue.backfill, _charge(queue.held)
    )


def _charge(amount: Amount) -> Charge:
    return Charge(0 if amount.cpu is None else milli(amount.cpu), amount.memory or 0, amount.gpu or 0)


def note(
    tx: Transaction, record: Cluster, actor: str, now: datetime, reason: str, message: str, warning: bool = False
) -> None:
    """Write an event of the cluster's present run."""
    tx.events.add(
        Event(record.id, record.workspace, now, actor, reason, message, warning, record.instance, job=record.job)
    )
