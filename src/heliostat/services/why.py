"""Why a cluster is in its state: a pure reading of what is stored about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from heliostat.domain.activity import ends
from heliostat.domain.engine import Finding, NodeState
from heliostat.domain.headcount import demand_in_words, group_counts, nodes_wanted
from heliostat.domain.quantities import format_duration
from heliostat.domain.records import Cluster, Event, Instance
from heliostat.domain.states import State, Wanted

_BY_ITSELF = ("IdleStopped", "LifetimeOver")


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
    evidence = [*_activity(cluster, instance, now), *_groups(instance), *_nodes(instance), *_progress(instance, now)]
    evidence += [f"{event.at:%Y-%m-%d %H:%M:%S} {event.actor}: {event.reason}: {event.message}" for event in events[:8]]
    evidence += [f"{finding.path} is {finding.verdict}: {finding.message}" for finding in findings]
    summary, remedy = _summary(cluster, instance, events)
    if cluster.modified:
        remedy = f"{remedy} The stored spec differs from what runs; restart the cluster to apply it.".strip()
    return Explanation(summary, tuple(evidence), remedy)


def _summary(cluster: Cluster, instance: Instance | None, events: Sequence[Event]) -> tuple[str, str]:
    name = cluster.spec.name
    started, stopped = ("StartRequested", "RestartRequested"), ("StopRequested", "DeleteRequested", *_BY_ITSELF)
    reasons = started if cluster.wanted is Wanted.RUNNING else stopped
    asked = _last(events, *reasons)
    by = f" since {asked.actor} asked for it at {asked.at:%Y-%m-%d %H:%M:%S}" if asked else ""
    match cluster.state:
        case State.STOPPED if cluster.started_at is None:
            return f"{name} is stopped: nobody has started it yet.", "Start it."
        case State.STOPPED | State.STOPPING if asked is not None and asked.reason in _BY_ITSELF:
            remains = "; its processes and folders are being removed" if cluster.state is State.STOPPING else ""
            return f"{name} was {asked.message}{remains}.", ""
        case State.STOPPED:
            return f"{name} is stopped{by}.", ""
        case State.STARTING:
            doing = instance.progress[-1].step if instance and instance.progress else "queued"
            waiting = f": {cluster.message}" if cluster.message != "ok" else ""
            return f"{name} is starting (step {doing}){by}{waiting}.", ""
        case State.RUNNING:
            alive = sum(node.state is NodeState.ALIVE for node in instance.nodes) if instance else 0
            wanted = nodes_wanted(instance) if instance else 0
            trouble = f", with trouble: {cluster.message}" if cluster.message != "ok" else ""
            return f"{name} is running{by}: {alive} of {wanted} nodes are alive{trouble}.", ""
        case State.STOPPING:
            return f"{name} is stopping{by}; its processes and folders are being removed.", ""
        case State.ERROR:
            return (
                f"{name} failed: {cluster.message}",
                "Mend the cause, then start it again, or stop it to clear it away.",
            )


def _activity(cluster: Cluster, instance: Instance | None, now: datetime) -> list[str]:
    """What goes on on a running cluster, and when it ends by itself if that stays so."""
    if instance is None or instance.running_at is None or cluster.state is not State.RUNNING:
        return []
    known = instance.activity
    if known is None:
        rows = ["whether anything goes on is not known yet"]
    elif known.idle_since is None:
        rows = [f"it is not idle: {reason}" for reason in known.reasons]
    else:
        idle = format_duration(max(0, int((now - known.idle_since).total_seconds())))
        rows = [f"it is idle since {known.idle_since:%Y-%m-%d %H:%M:%S} UTC ({idle}): nothing goes on"]
    lifetime = cluster.spec.lifetime
    if lifetime.idle_stop_seconds is not None and (known is None or known.idle_since is None):
        rows.append(f"it is stopped when it has been idle for {format_duration(lifetime.idle_stop_seconds)}")
    return rows + [end.announcement[1] for end in ends(instance.id, lifetime, instance.running_at, known)]


def _last(events: Sequence[Event], *reasons: str) -> Event | None:
    return next((event for event in events if event.reason in reasons), None)


def _groups(instance: Instance | None) -> list[str]:
    """What Ray's autoscaler has made of the groups, and what still waits for nodes."""
    if instance is None or not instance.spec.autoscaling.enabled:
        return []
    counts = [
        f"group {row.name}: {row.alive} of {row.wanted} wanted nodes ({row.min_replicas or 0} to {row.max_replicas})"
        + (f", {row.draining} draining" if row.draining else "")
        for row in group_counts(instance)
    ]
    return counts + list(demand_in_words(instance.demand))


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
