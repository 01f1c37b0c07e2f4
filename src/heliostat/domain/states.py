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
        State.STARTING: "restarted by a user: the present instance is retired and the next one made, as one wish",
        State.STOPPING: "stopped by a user, or by itself after it was idle or had run for as long as it was given",
        State.ERROR: "it failed for good, as when the head died and could not be brought back",
    },
    State.STOPPING: {
        State.STOPPED: "nothing of the instance is left; until then the engine goes on trying and the message says why",
    },
    State.ERROR: {
        State.STARTING: "a user started it again: the failed instance is removed, a new one made",
        State.STOPPING: "a user stopped it: the remains of the failed instance are removed",
    },
}

COHERENT: dict[Wanted, frozenset[State]] = {
    Wanted.RUNNING: frozenset({State.STARTING, State.RUNNING, State.ERROR}),
    Wanted.STOPPED: frozenset({State.STOPPING, State.STOPPED}),
    Wanted.DELETED: frozenset({State.STOPPING, State.STOPPED, State.ERROR}),
}
"""The states in which the use cases and the loop leave a cluster of which this is wanted."""


def may(before: State, after: State) -> bool:
    """Whether the table has the edge. Staying is always allowed."""
    return before == after or after in EDGES[before]


def toward(before: State, goal: State) -> State:
    """The next state on the shortest way from one to the other along the edges; ``goal`` itself when that is one step."""
    ways = {before: before}
    reached = [before]
    for state in reached:
        for after in EDGES[state]:
            if after not in ways:
                ways[after] = after if state is before else ways[state]
                reached.append(after)
    return ways[goal]
