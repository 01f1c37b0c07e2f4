"""Steps of a cluster's life inside a transaction, for the use cases and for the control loop's jobs alike."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime

from heliostat.domain.ids import ClusterId, new_instance_id
from heliostat.domain.records import Cluster, Event, Instance
from heliostat.domain.secret import Secret
from heliostat.domain.states import State, Wanted
from heliostat.store import Transaction


def begin(tx: Transaction, record: Cluster, actor: str, now: datetime) -> Cluster:
    """Wish for a new run of a stopped or failed cluster, with secrets of its own. What is left of earlier runs goes."""
    retire(tx, record.id)
    instance = Instance(
        id=new_instance_id(record.id), cluster=record.id, workspace=record.workspace, spec=record.spec,
        generation=record.generation, created_at=now,
        submit_token=Secret(secrets.token_hex(16)), ray_token=Secret(secrets.token_hex(32)),
    )  # fmt: skip
    tx.instances.add(instance)
    after = replace(
        record, wanted=Wanted.RUNNING, state=State.STARTING, message="ok", modified=False,
        instance=instance.id, started_at=now,
    )  # fmt: skip
    tx.clusters.save(after)
    note(tx, after, actor, now, "StartRequested", f"start requested with {record.spec.release}")
    return after


def remove(tx: Transaction, record: Cluster, actor: str, now: datetime) -> Cluster:
    """Wish for a cluster to be gone, whatever it does now."""
    retire(tx, record.id)
    if record.state in (State.STOPPED, State.ERROR):
        after = replace(record, wanted=Wanted.DELETED, deleted_at=now)
    else:
        after = replace(record, wanted=Wanted.DELETED, state=State.STOPPING, message="ok")
    tx.clusters.save(after)
    note(tx, record, actor, now, "DeleteRequested", "deletion requested")
    return after


def retire(tx: Transaction, cluster: ClusterId) -> None:
    """No run of the cluster is wanted any more."""
    for instance in tx.instances.live(cluster):
        if not instance.retired:
            tx.instances.save(replace(instance, retired=True))


def note(
    tx: Transaction, record: Cluster, actor: str, now: datetime, reason: str, message: str, warning: bool = False
) -> None:
    """Write an event of the cluster's present run."""
    tx.events.add(
        Event(record.id, record.workspace, now, actor, reason, message, warning, record.instance, job=record.job)
    )
