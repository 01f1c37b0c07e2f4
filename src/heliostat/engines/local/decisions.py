"""What to do next for an instance: facts in, steps out. No I/O, so every case is a table test.

The rules in words:

* First the environments, then a turn in the queue of starts, then head and workers at once.
* A worker that is lost is replaced by a new node: the first at once, further ones in a row after growing pauses.
* A head that is lost comes back where the release keeps its state on disk (or where it never was up); else the instance
  has failed. So it has when the head cannot be brought back in a few tries while the workers still wait for it.
* Before the instance was up once, a node that keeps dying, or the deadline, ends the start: it would not get better.
  Afterwards a group that keeps dying is trouble, not failure: what runs on the other nodes goes on.
* A surplus node goes: one that is not running yet before one that runs, the youngest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from heliostat.domain.engine import InstancePlan
from heliostat_node.features import features
from heliostat_node.protocol import NodeStatus

from .plans import group_key, groups
from .records import InstanceRecord, Kind, NodeRecord
from .settings import LocalSettings

POLL_SECONDS = 0.05
"""Between two looks at status files while something is starting."""
CLIENT_SECONDS = 60.0
"""For so long after a head's start its client server is looked for often; later the looks at its health find it."""


@dataclass(frozen=True)
class Seen:
    """One node's process, as it is now."""

    alive: bool
    status: NodeStatus | None = None

    @property
    def registered(self) -> bool:
        return self.alive and self.status is not None and self.status.phase == "registered"

    @property
    def jobs_ready(self) -> bool:
        return self.registered and self.status is not None and self.status.dashboard_ready_at > 0

    @property
    def client_ready(self) -> bool:
        """Nothing waits for it: it is offered once it is there."""
        return self.registered and self.status is not None and self.status.client_ready_at > 0


@dataclass(frozen=True)
class Facts:
    """Everything that a decision depends on. Times are Unix seconds."""

    plan: InstancePlan
    record: InstanceRecord
    seen: Mapping[str, Seen]
    """By node name, of every node that was launched."""
    environment_ready: bool
    environment_failure: str
    turn: bool
    """The instance has its turn in the queue of starts."""
    now: float


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
class Retire:
    """One node less is wanted: stop this one."""

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


Step = Prepare | AwaitTurn | Add | Start | Replace | Revive | Retire | Fail | EndProcess


@dataclass(frozen=True)
class Decision:
    steps: tuple[Step, ...] = ()
    again: float | None = None
    """Seconds until the next look; None = when something happens."""


def decide(facts: Facts, rules: LocalSettings) -> Decision:
    """The next steps. They are performed in order, then the facts are gathered anew."""
    record = facts.record
    if record.failure:
        running = (EndProcess(node.node) for node in record.nodes if _seen(facts, node).alive)
        return Decision(tuple(running))
    steps: list[Step] = []
    for node in record.nodes:
        if node.launched_at and not _seen(facts, node).alive:
            step = _lost(facts, node, rules)
            if isinstance(step, Fail):
                return Decision((step,))
            steps.append(step)
    if steps:
        return Decision(tuple(steps), again=0.0)
    late = _deadline(facts, rules)
    if late is not None:
        return Decision((late,))
    steps += _scale(facts)
    if steps:
        return Decision(tuple(steps), again=0.0)
    due = [node for node in record.nodes if not node.launched_at and not _wait(facts, node, rules)]
    if due:
        begun = _starts(facts, due)
        starting = any(isinstance(step, Start) for step in begun)
        return Decision(begun, POLL_SECONDS if starting else _again(facts, rules))
    return Decision((), _again(facts, rules))


def node_key(node: NodeRecord) -> str:
    """The key of the group that a node belongs to."""
    return group_key(node.kind, node.group)


def losses_with(record: InstanceRecord, node: NodeRecord, now: float, rules: LocalSettings) -> int:
    """The losses of the node's group, this one included; those before a calm period are forgotten."""
    calm = node.alive_at and now - node.alive_at >= rules.calm.total_seconds()
    return 1 + (0 if calm else record.losses.get(node_key(node), 0))


def pause(losses: int, rules: LocalSettings) -> float:
    """Seconds before the next try after this many losses in a row."""
    if losses <= 1:
        return 0.0
    doubled = rules.back_off.total_seconds() * 2.0 ** min(losses - 2, 30)
    return min(doubled, rules.back_off_limit.total_seconds())


def cause(node: NodeRecord, seen: Seen) -> tuple[str, str]:
    """Why a node's process is gone: a word and a sentence."""
    status = seen.status
    if status is not None and status.phase == "exited":
        return "Exited", status.exit_reason or "The node ended."
    if status is None:
        return "StartFailed", node.message or "The node's process ended before it could say why."
    return "Killed", "The node's process was killed."


def _seen(facts: Facts, node: NodeRecord) -> Seen:
    return facts.seen.get(node.node, Seen(alive=False))


def _lost(facts: Facts, node: NodeRecord, rules: LocalSettings) -> Step:
    record = facts.record
    reason, message = cause(node, _seen(facts, node))
    losses = losses_with(record, node, facts.now, rules)
    not_before = facts.now + pause(losses, rules)
    peers = sum(node_key(other) == node_key(node) for other in record.nodes)
    if not record.up_at and losses > rules.start_tries - 2 + peers:
        group = "The head" if node.kind == "head" else f"Group {node.group}"
        times = f"lost nodes {losses} times in a row" if peers > 1 else f"died {losses} times in a row"
        return Fail(f"{group} {times} while the cluster was starting. {message}", node.node)
    if node.kind == "worker":
        return Replace(node.node, reason, message, not_before)
    if not features(facts.plan.release.ray).gcs_storage and (node.alive_at or node.restarts):
        return Fail(
            f"The head died: {message} Ray {facts.plan.release.ray} keeps the cluster's state in the head's memory, so "
            "it cannot be brought back; start the cluster again.",
            node.node,
        )
    if losses > rules.head_tries:
        return Fail(f"The head died {losses} times in a row and is given up: {message}", node.node)
    if node.down_since and facts.now - node.down_since > rules.head_return.total_seconds():
        return Fail(
            f"The head could not be brought back within {rules.head_return.total_seconds():.0f} seconds, which is as long "
            f"as the workers wait for it: {message}",
            node.node,
        )
    return Revive(node.node, reason, message, not_before)


def _deadline(facts: Facts, rules: LocalSettings) -> Fail | None:
    record = facts.record
    seconds = rules.start_deadline.total_seconds()
    if record.up_at or not record.started_at or facts.now - record.started_at <= seconds:
        return None
    waiting = [node for node in record.nodes if not _seen(facts, node).registered]
    missing = ", ".join(_name(node) for node in waiting[:5]) or "the dashboard of the head"
    return Fail(
        f"The cluster was not up within {seconds:.0f} seconds; still missing: {missing}.",
        waiting[0].node if waiting else None,
    )


def _scale(facts: Facts) -> Iterator[Step]:
    for kind, group, wanted in groups(facts.plan):
        have = [node for node in facts.record.nodes if (node.kind, node.group) == (kind, group.name)]
        if len(have) < wanted:
            yield Add(kind, group.name, wanted - len(have))
        by_use = sorted(
            have, key=lambda node: (_seen(facts, node).registered, bool(node.launched_at), -node.created_at)
        )
        for node in by_use[: max(0, len(have) - wanted)]:
            yield Retire(node.node)
    names = {group.name for group in facts.plan.workers}
    for node in facts.record.nodes:
        if node.kind == "worker" and node.group not in names:
            yield Retire(node.node)


def _starts(facts: Facts, due: list[NodeRecord]) -> tuple[Step, ...]:
    if facts.environment_failure:
        return () if facts.record.up_at else (Fail(facts.environment_failure),)
    if not facts.environment_ready:
        return (Prepare(),)
    if not facts.record.up_at and not facts.turn:
        return (AwaitTurn(),)
    return tuple(Start(node.node) for node in due)


def _wait(facts: Facts, node: NodeRecord, rules: LocalSettings) -> float:
    """Seconds of back-off that are left. More than there can be means that the clock was set back: none."""
    left = node.not_before - facts.now
    return left if 0 < left <= rules.back_off_limit.total_seconds() else 0.0


def _again(facts: Facts, rules: LocalSettings) -> float | None:
    waits = []
    for node in facts.record.nodes:
        seen = _seen(facts, node)
        if not node.launched_at:
            if wait := _wait(facts, node, rules):
                waits.append(wait)
        elif not (seen.jobs_ready if node.kind == "head" else seen.registered) or (
            "client_port" in node.ports and not seen.client_ready and facts.now - node.launched_at < CLIENT_SECONDS
        ):
            waits.append(POLL_SECONDS)
    return min(waits, default=None)


def trouble(facts: Facts) -> str:
    """What is wrong at present but being worked on, for people; empty when nothing is."""
    if not facts.record.up_at:
        return ""
    if facts.environment_failure:
        return facts.environment_failure
    missing = [node for node in facts.record.nodes if not _seen(facts, node).registered]
    heads = [node for node in missing if node.kind == "head"]
    if heads:
        return f"The head died and is being restarted (try {heads[0].restarts})."
    parts = []
    for group in dict.fromkeys(node.group for node in missing):
        losses = facts.record.losses.get(group_key("worker", group), 0)
        if losses:
            count = sum(node.group == group for node in missing)
            again = f", {losses} losses in a row" if losses > 1 else ""
            parts.append(f"group {group}: {count} lost worker{'s are' if count > 1 else ' is'} being replaced{again}")
    return "; ".join(parts)


def _name(node: NodeRecord) -> str:
    return "the head" if node.kind == "head" else f"worker {node.node} of group {node.group}"
