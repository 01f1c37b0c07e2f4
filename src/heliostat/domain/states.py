"""The life of a cluster as a table. The diagram in the docs is made from it, and tests walk the whole product."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """The present state of a cluster (EMR contract, section 7.1). A cluster that was never started is STOPPED."""

    STOPPED = "Stopped"
    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    ERROR = "Error"


class Wanted(StrEnum):
    """What the users want of a cluster; the loop works until the state agrees."""

    RUNNING = "running"
    STOPPED = "stopped"
    DELETED = "deleted"


EDGES: dict[State, dict[State, str]] = {
    State.STOPPED: {
        State.STARTING: "a user started it: a new instance with its own id and secrets",
    },
    State.STARTING: {
        State.RUNNING: "the head answers, the Jobs API answers and every wanted worker has joined",
        State.ERROR: "the start failed or its deadline passed; logs are kept until it is stopped, started or deleted",
        State.STOPPING: "stopped by a user before it was up",
    },
    State.RUNNING: {
        State.STOPPING: "stopped by a user",
        State.ERROR: "the head died and could not be brought back",
    },
    State.STOPPING: {
        State.STOPPED: "nothing of the instance is left",
        State.ERROR: "the engine could not remove the instance; it goes on trying",
    },
    State.ERROR: {
        State.STARTING: "a user started it again: the failed instance is removed, a new one made",
        State.STOPPING: "a user stopped it: the remains of the failed instance are removed",
        State.STOPPED: "the remains that a stop could not remove at first are gone",
    },
}


def may(before: State, after: State) -> bool:
    """Whether the table has the edge. Staying is always allowed."""
    return before == after or after in EDGES[before]
