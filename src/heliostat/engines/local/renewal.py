"""Replacing the nodes of a running instance by newer ones, one at a time (``InstancePlan.renew``). Pure.

Group by group in the plan's order: a worker that is too old finishes what it runs and goes, and the next one follows only
when its successor is alive; so no more than one node of an instance is away at any time. The head comes last, and only if
what it was begun with is not what the plan says now; it can be started again only where the release keeps its state.
"""

from __future__ import annotations

from heliostat.domain.engine import InstancePlan
from heliostat_node.features import features

from .actions import Prepare, Renew, RenewHead, Step, Vouch
from .counts import places, surplus
from .facts import Facts
from .plans import head_mark
from .records import NodeRecord

OUTDATED = "it is older than the plan"
"""Why a worker leaves that is renewed."""
RENEWED = "Renewed"
"""The reason on the record of a head that is being renewed."""


def renew(facts: Facts) -> Step | None:
    """The next step, when everything that is wanted is there; None when nothing is to be done or something is under way."""
    if not facts.plan.renew or not facts.record.up_at or not _quiet(facts):
        return None
    outdated = [node for group in facts.plan.workers for node in _outdated(facts, group.name)]
    head = _head(facts)
    due = head is not None and head.generation < oldest(facts.plan)
    if not outdated and not due:
        return None
    if not facts.environment_ready:
        return None if facts.environment_failure else Prepare()
    if outdated:
        group = [node for node in outdated if node.group == outdated[0].group]
        return Renew(surplus(group, 1, facts.registered, facts.idle)[0].node)
    if head is None:
        return None
    if head.born == head_mark(facts.plan):
        return Vouch(head.node)
    return RenewHead(head.node) if features(facts.plan.release.ray).gcs_storage else None


def oldest(plan: InstancePlan) -> int:
    """The lowest generation that nodes may be of. Never above the plan's own: no node could be begun with that."""
    return min(plan.renew, plan.generation)


def stays_behind(facts: Facts) -> str:
    """What a renewal cannot bring, in words; empty when there is nothing."""
    if not facts.plan.renew:
        return ""
    head = _head(facts)
    if facts.unreachable:
        return facts.unreachable
    if head is None or head.generation >= oldest(facts.plan) or head.born == head_mark(facts.plan):
        return ""
    if features(facts.plan.release.ray).gcs_storage:
        return ""
    return (
        f"what has changed for the head needs a restart of the cluster: Ray {facts.plan.release.ray} keeps the cluster's "
        "state in the head's memory"
    )


def _quiet(facts: Facts) -> bool:
    """Nothing comes up, and nothing of an earlier step of the renewal is under way."""
    nodes = facts.record.nodes
    head = _head(facts)
    successors = [node for node in nodes if node.replaces and not node.leaving]
    settled = all(facts.registered(node) for node in successors)
    leaving = any(node.leaving == OUTDATED for node in nodes)
    return head is not None and facts.see(head).jobs_ready and settled and not leaving


def _outdated(facts: Facts, group: str) -> list[NodeRecord]:
    return [
        node
        for node in places(facts.record, "worker", group)
        if node.launched_at and node.generation < oldest(facts.plan)
    ]


def _head(facts: Facts) -> NodeRecord | None:
    return next((node for node in facts.record.nodes if node.kind == "head"), None)
