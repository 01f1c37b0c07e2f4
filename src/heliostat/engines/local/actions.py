"""The steps that a decision may consist of. What each does is in :mod:`.steps`."""

from __future__ import annotations

from dataclasses import dataclass

from .records import Kind


@dataclass(frozen=True)
class Prepare:
    """Build the environments."""


@dataclass(frozen=True)
class AwaitTurn:
    """Wait in the queue of starts."""


@dataclass(frozen=True)
class Add:
    """A new place for a node of a group."""

    kind: Kind
    group: str
    count: int


@dataclass(frozen=True)
class Start:
    """Start the process of a node."""

    node: str


@dataclass(frozen=True)
class Replace:
    """A worker is lost: end what is left of it; a new node takes its place."""

    node: str
    reason: str
    message: str
    not_before: float


@dataclass(frozen=True)
class Revive:
    """A head is lost: end what is left of it and start it again, with the same ports and state."""

    node: str
    reason: str
    message: str
    not_before: float


@dataclass(frozen=True)
class Leave:
    """These workers of a group are not wanted any more: note it; those that take work are drained."""

    nodes: tuple[str, ...]
    group: str
    why: str
    """As a clause, e.g. ``1 of 3 is wanted``."""


@dataclass(frozen=True)
class Drain:
    """Have Ray asked, once more perhaps, to give this leaving node no new work and to end it when it is idle."""

    node: str


@dataclass(frozen=True)
class Retire:
    """End a leaving node."""

    node: str
    timed_out: bool = False
    """It had its time to finish what it ran."""


@dataclass(frozen=True)
class Bury:
    """A worker has ended, and nothing takes its place: it was leaving, or its number is the autoscaler's affair."""

    node: str
    lost: bool
    """It was wanted, and did not end in order."""
    reason: str
    message: str


@dataclass(frozen=True)
class Renew:
    """A worker is older than it may be: it leaves, and another one takes its place when it is gone."""

    node: str


@dataclass(frozen=True)
class RenewHead:
    """The head was begun with another part of the plan: end it in order and start it again, with its ports and state."""

    node: str


@dataclass(frozen=True)
class Vouch:
    """The head is as the plan has it, though it was begun with an older one."""

    node: str


@dataclass(frozen=True)
class Fail:
    """Give up: note the cause (with the node's log), end all processes."""

    message: str
    node: str | None = None


@dataclass(frozen=True)
class EndProcess:
    """The instance has failed, and this node still runs."""

    node: str


Step = (
    Prepare
    | AwaitTurn
    | Add
    | Start
    | Replace
    | Revive
    | Leave
    | Drain
    | Retire
    | Bury
    | Renew
    | RenewHead
    | Vouch
    | Fail
    | EndProcess
)
