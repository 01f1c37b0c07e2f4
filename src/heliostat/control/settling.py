"""Operations are ended here: by what a look has recorded, in the same transaction, or because they have come to nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from heliostat.domain.ids import ClusterId
from heliostat.domain.operations import Failure, Operation, patience, settled
from heliostat.domain.records import Cluster, Instance
from heliostat.store import Transaction

LATE = timedelta(seconds=20)
"""So long after its time an update ends without a look."""


def hopeless(
    operations: Iterable[Operation], cluster: Cluster, present: Instance | None, now: datetime
) -> list[Operation]:
    """Those that have failed by what is stored, as they shall be, whatever the engine sees.

    That an update's time is over is decided by a look, which may see nodes that have just come; this is for when no look
    succeeds.
    """
    found = []
    for operation in operations:
        after = settled(operation, cluster, present, now)
        late = after.failure is not Failure.NO_ROOM or not settled(operation, cluster, present, now - LATE).open
        if after.failure is not None and late:
            found.append(after)
    return found


def news_of(operations: Iterable[Operation], cluster: Cluster, present: Instance | None, now: datetime) -> bool:
    """Whether any of them has ended by what is stored."""
    return any(settled(operation, cluster, present, now) != operation for operation in operations)


def give_up(tx: Transaction, key: ClusterId, now: datetime) -> list[Operation]:
    """Write down which operations on a cluster have failed by now; the others that are under way are returned."""
    cluster = tx.clusters.lock(key)
    going_on = tx.operations.open(key)
    if cluster is None:
        return going_on
    present = None if cluster.instance is None else tx.instances.get(cluster.instance)
    over = hopeless(going_on, cluster, present, now)
    for operation in over:
        tx.operations.end(operation)
    ended = {operation.id for operation in over}
    return [operation for operation in going_on if operation.id not in ended]


def end_operations(
    tx: Transaction, key: ClusterId, cluster: Cluster | None, instance: Instance | None, now: datetime
) -> None:
    """Write down which operations on the cluster have ended by what is recorded of it now; None: nothing of it is left."""
    for operation in tx.operations.open(key):
        ended = settled(operation, cluster, instance, now)
        if not ended.open:
            tx.operations.end(ended)


def in_time(again: timedelta | None, operations: Sequence[Operation], now: datetime) -> timedelta | None:
    """``again``, but no later than the patience with an operation ends, if it has not ended with this look.

    None stays: at rest none is under way any more.
    """
    if again is None:
        return None
    return min([again, *(left for operation in operations if (left := patience(operation, now)))])
