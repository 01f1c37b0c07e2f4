"""What to do about a node whose process is gone. Pure.

* A worker that was leaving is gone as it should be. So is one whose number is the affair of Ray's autoscaler, however it
  ended: the autoscaler asks for another one if it wants one. Before the instance was up once it is replaced all the same,
  since the autoscaler has not begun.
* Any other worker is replaced by a new node: the first at once, further ones in a row after growing pauses.
* A head that is lost comes back where the release keeps its state on disk, or while the instance never was up and nobody
  can have put anything on it; else the instance has failed. So it has when the head cannot be brought back in a few tries
  while the workers still wait for it.
* Before the instance was up once, a node that keeps dying ends the start: it would not get better. Afterwards a group that
  keeps dying is trouble, not failure: what runs on the other nodes goes on.
"""

from __future__ import annotations

from heliostat_node.features import features

from .actions import Bury, Fail, Replace, Revive
from .counts import scaled
from .facts import Facts, Seen
from .plans import group_key
from .records import InstanceRecord, NodeRecord
from .settings import LocalSettings


def lost(facts: Facts, node: NodeRecord, rules: LocalSettings) -> Bury | Fail | Replace | Revive:
    """The step for a node that was launched and is not alive."""
    record, seen = facts.record, facts.see(node)
    reason, message = cause(node, seen)
    if node.kind == "worker":
        known = any(group.name == node.group for group in facts.plan.workers)
        left = bool(node.leaving) or not known
        if left or (record.up_at and scaled(facts.plan, record)):
            return Bury(node.node, lost=not left and not seen.death, reason=reason, message=message)
    losses = losses_with(record, node, facts.now, rules)
    not_before = facts.now + pause(losses, rules)
    peers = sum(node_key(other) == node_key(node) for other in record.nodes)
    if not record.up_at and losses > rules.start_tries - 2 + peers:
        group = "The head" if node.kind == "head" else f"Group {node.group}"
        times = f"lost nodes {losses} times in a row" if peers > 1 else f"died {losses} times in a row"
        return Fail(f"{group} {times} while the cluster was starting. {message}", node.node)
    if node.kind == "worker":
        return Replace(node.node, reason, message, not_before)
    if record.up_at and not features(facts.plan.release.ray).gcs_storage and (node.alive_at or node.restarts):
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


def node_key(node: NodeRecord) -> str:
    """The key of the group that a node belongs to."""
    return group_key(node.kind, node.group)


def losses_with(record: InstanceRecord, node: NodeRecord, now: float, rules: LocalSettings) -> int:
    """The losses of the node's group, this one included; those before a calm period are forgotten."""
    return 1 + (0 if calm(node, now, rules) else record.losses.get(node_key(node), 0))


def calm(node: NodeRecord, now: float, rules: LocalSettings) -> bool:
    """Whether it has lived so long that earlier losses of its group mean nothing for it."""
    return bool(node.alive_at) and now - node.alive_at >= rules.calm.total_seconds()


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
