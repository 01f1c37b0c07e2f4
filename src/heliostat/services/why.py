"""Why a cluster is in its state: a pure reading of what is stored about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from heliostat.domain.engine import Finding, NodeState
from heliostat.domain.records import Cluster, Event, Instance
from heliostat.domain.states import State, Wanted


@dataclass(frozen=True)
class Explanation:
    """An answer to "why": one sentence, the evidence it rests on, and what to do."""

    summary: str
    evidence: tuple[str, ...]
    remedy: str = ""


def explain(
    cluster: Cluster, instance: Instance | None, findings: Sequence[Finding], events: Sequence[Event], now: datetime
) -> Explanation:
    """Read the state from the wish, the last observation and the newest events (``events`` newest first)."""
    evidence = [*_nodes(instance), *_progress(instance, now)]
    evidence += [f"{event.at:%Y-%m-%d %H:%M:%S} {event.actor}: {event.reason}: {event.message}" for event in events[:8]]
    evidence += [f"{finding.path} is {finding.verdict}: {finding.message}" for finding in findings]
    summary, remedy = _summary(cluster, instance, events)
    if cluster.modified:
        remedy = f"{remedy} The stored spec differs from what runs; stop and start the cluster to apply it.".strip()
    return Explanation(summary, tuple(evidence), remedy)


def _summary(cluster: Cluster, instance: Instance | None, events: Sequence[Event]) -> tuple[str, str]:
    name = cluster.spec.name
    reasons = ("StartRequested",) if cluster.wanted is Wanted.RUNNING else ("StopRequested", "DeleteRequested")
    asked = _last(events, *reasons)
    by = f" since {asked.actor} asked for it at {asked.at:%Y-%m-%d %H:%M:%S}" if asked else ""
    match cluster.state:
        case State.STOPPED if cluster.started_at is None:
            return f"{name} is stopped: nobody has started it yet.", "Start it."
        case State.STOPPED:
            return f"{name} is stopped{by}.", ""
        case State.STARTING:
            doing = instance.progress[-1].step if instance and instance.progress else "queued"
            waiting = f": {cluster.message}" if cluster.message != "ok" else ""
            return f"{name} is starting (step {doing}){by}{waiting}.", ""
        case State.RUNNING:
            alive = sum(node.state is NodeState.ALIVE for node in instance.nodes) if instance else 0
            wanted = instance.spec.node_count if instance else 0
            trouble = f", with trouble: {cluster.message}" if cluster.message != "ok" else ""
            return f"{name} is running{by}: {alive} of {wanted} nodes are alive{trouble}.", ""
        case State.STOPPING:
            return f"{name} is stopping{by}; its processes and folders are being removed.", ""
        case State.ERROR:
            return (
                f"{name} failed: {cluster.message}",
                "Mend the cause, then start it again, or stop it to clear it away.",
            )


def _last(events: Sequence[Event], *reasons: str) -> Event | None:
    return next((event for event in events if event.reason in reasons), None)


def _nodes(instance: Instance | None) -> list[str]:
    if instance is None:
        return []
    return [
        f"node {node.node} ({node.kind}, group {node.group}) is {node.state}"
        + (f": {node.reason} {node.message}".rstrip() if node.reason or node.message else "")
        for node in instance.nodes
    ]


def _progress(instance: Instance | None, now: datetime) -> list[str]:
    if instance is None:
        return []
    return [
        f"step {row.step} took {((row.ended_at or now) - row.started_at).total_seconds():.1f} s"
        + ("" if row.ended_at else " so far")
        + (f" ({row.detail})" if row.detail else "")
        for row in instance.progress
    ]
