"""What to do next for an instance: facts in, steps out. No I/O, so every case is a table test.

The order of things, each rule in a module of its own:

* What is gone is acted upon first (:mod:`.losses`); a start that takes too long is given up.
* Then there are as many places as are wanted, and no more: a surplus worker finishes what it runs and goes.
* Then old nodes are renewed (:mod:`.renewal`).
* Places are filled: first the environments, then a turn in the queue of starts, then head and workers at once, as far as
  the queues that the groups are charged to have made room (:func:`.counts.held`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .actions import Add, AwaitTurn, Drain, EndProcess, Fail, Leave, Prepare, Retire, Start, Step
from .counts import awaited, held, places, scaled, surplus, wanted
from .facts import Facts
from .losses import lost
from .plans import group_key
from .records import NodeRecord
from .renewal import RENEWED, renew, stays_behind
from .settings import LocalSettings

POLL_SECONDS = 0.05
"""Between two looks at status files while something is starting."""
CLIENT_SECONDS = 60.0
"""For so long after a head's start its client server is looked for often; later the looks at its health find it."""
DRAIN_RETRY_SECONDS = 3.0
"""Between two requests to drain a node while Ray does not take them."""
ANSWER_SECONDS = 1.0
"""So long the answer to such a request is looked for often."""


@dataclass(frozen=True)
class Decision:
    steps: tuple[Step, ...] = ()
    again: float | None = None
    """Seconds until the next look; None = when something happens."""


def decide(facts: Facts, rules: LocalSettings) -> Decision:
    """The next steps. They are performed in order, then the facts are gathered anew."""
    record = facts.record
    if record.failure:
        running = (EndProcess(node.node) for node in record.nodes if facts.see(node).alive)
        return Decision(tuple(running))
    steps: list[Step] = []
    for node in record.nodes:
        if node.launched_at and not facts.see(node).alive:
            step = lost(facts, node, rules)
            if isinstance(step, Fail):
                return Decision((step,))
            steps.append(step)
    if steps:
        return Decision(tuple(steps), again=0.0)
    late = _deadline(facts, rules)
    if late is not None:
        return Decision((late,))
    steps += [*_scale(facts), *_leave(facts, rules)]
    if steps:
        return Decision(tuple(steps), again=0.0)
    newer = renew(facts)
    if newer is not None:
        return Decision((newer,), _again(facts, rules) if isinstance(newer, Prepare) else 0.0)
    due = _due(facts, rules)
    if due:
        begun = _starts(facts, due)
        starting = any(isinstance(step, Start) for step in begun)
        return Decision(begun, POLL_SECONDS if starting else _again(facts, rules))
    return Decision((), _again(facts, rules))


def _deadline(facts: Facts, rules: LocalSettings) -> Fail | None:
    record = facts.record
    seconds = rules.start_deadline.total_seconds()
    if record.up_at or not record.started_at or facts.now - record.started_at <= seconds:
        return None
    waiting = [node for node in awaited(facts.plan, facts.record) if not facts.registered(node)]
    missing = ", ".join(_name(node) for node in waiting[:5]) or "the dashboard of the head"
    return Fail(
        f"The cluster was not up within {seconds:.0f} seconds; still missing: {missing}.",
        waiting[0].node if waiting else None,
    )


def _scale(facts: Facts) -> Iterator[Step]:
    plan, record = facts.plan, facts.record
    if not places(record, "head", plan.head.name):
        yield Add("head", plan.head.name, 1)
    decides = scaled(plan, record)
    for group in plan.workers:
        number, have = wanted(plan, record, group), places(record, "worker", group.name)
        if len(have) < number:
            yield Add("worker", group.name, number - len(have))
        if len(have) > number:
            going = surplus(have, len(have) - number, facts.registered, facts.idle)
            limit = f"no more than {number} allowed" if decides else f"{number} wanted"
            yield Leave(tuple(node.node for node in going), group.name, limit)
    names = {group.name for group in plan.workers}
    rest = [node for node in record.nodes if node.kind == "worker" and node.group not in names and not node.leaving]
    for name in dict.fromkeys(node.group for node in rest):
        yield Leave(tuple(node.node for node in rest if node.group == name), name, "the group was removed")


def _leave(facts: Facts, rules: LocalSettings) -> Iterator[Step]:
    """The next step of every leaving node that needs one now."""
    for node in facts.record.nodes:
        if node.leaving and (not node.draining_since or not facts.registered(node)):
            yield Retire(node.node)
        elif node.leaving and drain_left(facts, node, rules) <= 0:
            yield Retire(node.node, timed_out=True)
        elif node.leaving and _asks(facts, node) == 0:
            yield Drain(node.node)


def drain_left(facts: Facts, node: NodeRecord, rules: LocalSettings) -> float:
    """Seconds that a draining node has to finish what it runs; never more than the whole time, should the clock go back."""
    whole = rules.drain_deadline.total_seconds()
    return min(whole, node.draining_since + whole - facts.now)


def _asks(facts: Facts, node: NodeRecord) -> float | None:
    """Seconds until Ray is to be asked to drain the node, None when it has been."""
    seen = facts.see(node)
    if seen.drain_accepted:
        return None
    left = seen.drain_asked_at + DRAIN_RETRY_SECONDS - facts.now
    return left if 0 < left <= DRAIN_RETRY_SECONDS else 0.0


def _due(facts: Facts, rules: LocalSettings) -> list[NodeRecord]:
    """The places whose process may start now. Workers wait for their head, so without a place for it none may."""
    waiting = held(facts.plan, facts.record)
    if any(node.kind == "head" and node.node in waiting for node in facts.record.nodes):
        return []
    return [
        node
        for node in facts.record.nodes
        if not node.launched_at
        and not node.leaving
        and node.node not in waiting
        and not facts.record.has(node.replaces)
        and not _wait(facts, node, rules)
    ]


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
        seen = facts.see(node)
        if not node.launched_at:
            if wait := _wait(facts, node, rules):
                waits.append(wait)
        elif node.draining_since:
            asks = _asks(facts, node)
            recent = facts.now - seen.drain_asked_at < ANSWER_SECONDS
            waits.append(drain_left(facts, node, rules))
            waits += [] if asks is None else [POLL_SECONDS if recent else asks]
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
    missing = [node for node in awaited(facts.plan, facts.record) if not facts.registered(node)]
    heads = [node for node in missing if node.kind == "head"]
    if heads and heads[0].reason == RENEWED:
        return "The head is being started again as the plan has it now."
    if heads:
        return f"The head died and is being restarted (try {heads[0].restarts})."
    parts = [stays_behind(facts)]
    for group in dict.fromkeys(node.group for node in missing if node.kind == "worker"):
        losses = facts.record.losses.get(group_key("worker", group), 0)
        if losses:
            count = sum(node.group == group for node in missing)
            again = f", {losses} losses in a row" if losses > 1 else ""
            parts.append(f"group {group}: {count} lost worker{'s are' if count > 1 else ' is'} being replaced{again}")
    return "; ".join(part for part in parts if part)


def _name(node: NodeRecord) -> str:
    return "the head" if node.kind == "head" else f"worker {node.node} of group {node.group}"
