"""Our states in this dialect's words (Vertex contract, section 2), and whether something is wrong, as a table.

A cluster that is stopped has no state of its own here: nothing of this dialect stops one. It is shown as an error that says
how to start it, since that is what a client must do something about.
"""

from __future__ import annotations

from collections.abc import Mapping

from heliostat.domain.operations import Failure, Kind
from heliostat.domain.records import Cluster
from heliostat.domain.states import State, Wanted

from ..errors import ABORTED, CANCELLED, FAILED_PRECONDITION, INTERNAL, RESOURCE_EXHAUSTED
from ..models import PersistentResourceState as Shown
from .fields import Json

OPERATING: Mapping[tuple[State, Kind], Shown] = {
    (State.STARTING, Kind.REBOOT): Shown.REBOOTING,
    (State.RUNNING, Kind.REBOOT): Shown.REBOOTING,
    (State.RUNNING, Kind.UPDATE): Shown.UPDATING,
}
"""Where the operation that is under way says more than the state."""
STATES: Mapping[State, Shown] = {
    State.STARTING: Shown.PROVISIONING,
    State.RUNNING: Shown.RUNNING,
    State.STOPPING: Shown.STOPPING,
    State.ERROR: Shown.ERROR,
    State.STOPPED: Shown.ERROR,
}
CODES: Mapping[Failure, int] = {
    Failure.FAILED: INTERNAL,
    Failure.NO_ROOM: RESOURCE_EXHAUSTED,
    Failure.OVERTAKEN: ABORTED,
    Failure.CANCELLED: CANCELLED,
}
"""google.rpc codes of operations that failed."""


def shown_state(state: State, wanted: Wanted, operation: Kind | None) -> Shown:
    """The state of a cluster; ``operation`` is what is under way on it."""
    if wanted is Wanted.DELETED:
        return Shown.STOPPING
    if operation is not None and (state, operation) in OPERATING:
        return OPERATING[state, operation]
    return STATES[state]


def shown_error(cluster: Cluster) -> Json | None:
    """``error`` of a cluster that is shown in state ERROR, else None: any text there is fatal to a client that waits."""
    if shown_state(cluster.state, cluster.wanted, None) is not Shown.ERROR:
        return None
    if cluster.state is State.STOPPED:
        name = cluster.spec.name
        return {
            "code": FAILED_PRECONDITION,
            "message": f"{name} is stopped; start it with: heliostat cluster start {name}",
        }
    return {"code": INTERNAL, "message": cluster.message or f"{cluster.spec.name} failed"}
