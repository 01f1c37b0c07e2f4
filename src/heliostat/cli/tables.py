"""What people see of each thing: pure functions from the SDK's models to tables and cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .durations import age, seconds
from .output import Card, Table, first_line

if TYPE_CHECKING:
    from heliostat.client import models

HIDDEN = "hidden; --show-secrets prints it"


def clusters(rows: Iterable[models.ClusterInfo], now: datetime) -> Table:
    return Table(
        ("NAME", "STATE", "NODES", "RELEASE", "AGE", "ID", "MESSAGE"),
        tuple(cluster_row(row, now) for row in rows),
        empty="no clusters yet; make one with: heliostat cluster create NAME --workers 2",
    )


def cluster_row(row: models.ClusterInfo, now: datetime) -> tuple[str, ...]:
    message = "" if row.message == "ok" else first_line(row.message)
    if row.modified:
        message = f"modified: restart to apply generation {row.generation}. {message}".rstrip()
    return (row.name, row.state, nodes_up(row), row.release.split(" ")[0], age(row.created_at, now), row.id, message)


def nodes_up(row: models.ClusterInfo) -> str:
    """``2/3``: alive of wanted; what is wanted alone when nothing runs."""
    if row.instance is not None:
        return f"{row.instance.nodes_up}/{row.instance.nodes_wanted}"
    return f"0/{1 + sum(int(group.get('replicas', 1)) for group in row.spec.get('workers') or ())}"


def cluster(row: models.ClusterInfo, now: datetime, *, show_secrets: bool) -> Card:
    note = f"{row.instance.nodes_up} of {row.instance.nodes_wanted} nodes" if row.instance is not None else ""
    if row.message != "ok":
        note = f"{note}  {first_line(row.message)}".strip()
    fields = [
        ("id", row.id),
        ("workspace", row.workspace),
        ("release", row.release),
        ("generation", f"{row.generation}{', not what runs now: restart it to apply' if row.modified else ''}"),
        ("created", f"{moment(row.created_at)} by {row.creator} ({age(row.created_at, now)} ago)"),
    ]
    if row.description:
        fields.append(("description", row.description))
    fields.append(("head", shape(row.spec.get("head") or {})))
    counts = {count.name: count for count in row.instance.groups} if row.instance is not None else {}
    for group in row.spec.get("workers") or ():
        name = str(group.get("name", ""))
        fields.append((f"group {name}", "\n".join([worker_group(group), *group_now(counts.pop(name, None))])))
    fields += [(f"group {count.name}", "\n".join(["removed", *group_now(count)])) for count in counts.values()]
    fields += limits(row.spec)
    labels = row.spec.get("labels") or {}
    if labels:
        fields.append(("labels", ", ".join(f"{key}={value}" for key, value in labels.items())))
    if row.instance is not None:
        fields.append(("instance", row.instance.id))
        fields.append(("started", f"{moment(row.instance.started_at)} ({age(row.instance.started_at, now)} ago)"))
        if row.instance.renewing:
            fields.append(("restart", f"rolling: {row.instance.renewing} nodes are still to be replaced"))
        if row.instance.activity is not None:
            fields.append(("activity", activity(row.instance.activity, now)))
    if row.endpoints is not None:
        token = row.endpoints.submit_token
        fields.append(("dashboard", row.endpoints.dashboard_url))
        fields.append(("job url", row.endpoints.job_url))
        if row.endpoints.ray_url is not None:
            fields.append(("ray url", row.endpoints.ray_url))
        if token is not None:
            fields.append(("submit token", token if show_secrets else HIDDEN))
    blocks: list[tuple[str, tuple[str, ...]]] = []
    if len(row.message.strip().splitlines()) > 1:
        blocks.append(("Message", tuple(row.message.strip().splitlines())))
    if row.instance is not None and row.instance.waiting_work:
        blocks.append(("Waits for nodes", row.instance.waiting_work))
    if row.findings:
        lines = tuple(f"{finding.path} is {finding.verdict}: {finding.message}" for finding in row.findings)
        blocks.append(("Not honoured literally", lines))
    return Card(row.name, tuple(fields), tuple(blocks), row.state, note)


def shape(part: Mapping[str, Any]) -> str:
    """``2 cpu, 4Gi, queue root_queue``."""
    words = [f"{part['cpu']} cpu" if "cpu" in part else "", str(part.get("memory") or "")]
    words.append(f"gpu {part['gpu']}" if part.get("gpu") else "")
    words.append(f"queue {part['queue']}" if part.get("queue") else "")
    words.append(f"release {part['release']}" if part.get("release") else "")
    return ", ".join(word for word in words if word)


def worker_group(group: Mapping[str, Any]) -> str:
    low, high = group.get("min_replicas"), group.get("max_replicas")
    bounds = f" ({low} to {high})" if low is not None and high is not None else ""
    return f"{group.get('replicas', 1)} x {shape(group)}{bounds}"


def group_now(count: models.GroupCount | None) -> list[str]:
    """``2 of 3 alive, 1 starting``: nothing when all is as it shall be."""
    if count is None or (count.alive == count.wanted and not count.draining and count.max_replicas is None):
        return []
    words = [f"{count.alive} of {count.wanted} wanted alive"]
    words += [
        f"{number} {state}" for number, state in ((count.starting, "starting"), (count.draining, "draining")) if number
    ]
    return [", ".join(words)]


def limits(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """When it ends by itself, and its rank."""
    found = []
    scaling = spec.get("autoscaling") or {}
    if scaling.get("enabled"):
        idle, mode = scaling.get("idle_timeout_seconds") or 60, scaling.get("upscaling") or "Default"
        found.append(("autoscaling", f"idle workers go after {idle} s" + ("" if mode == "Default" else f", {mode}")))
    if spec.get("idle_stop_after"):
        found.append(("idle stop", f"after {spec['idle_stop_after']}"))
    if spec.get("max_lifetime"):
        found.append(("lifetime", f"at most {spec['max_lifetime']}"))
    if spec.get("priority"):
        found.append(("priority", str(spec["priority"])))
    return found


def activity(row: models.Activity, now: datetime) -> str:
    if row.idle_since is not None:
        return f"idle for {age(row.idle_since, now)}"
    return "; ".join(row.reasons[:5]) or "unknown"


def nodes(rows: Iterable[models.Node], now: datetime) -> Table:
    return Table(
        ("NODE", "KIND", "GROUP", "STATE", "AGE", "RESTARTS", "RAY NODE", "PID", "MESSAGE"),
        tuple(
            (
                row.node, row.kind, row.group, row.state, age(row.created_at, now), str(row.restarts),
                row.ray_node_id[:8], "" if row.pid is None else str(row.pid), first_line(f"{row.reason} {row.message}"),
            )
            for row in rows
        ),
        empty="no nodes: the cluster has no instance; start it with: heliostat cluster start NAME",
    )  # fmt: skip


def events(rows: Iterable[models.Event]) -> Table:
    """Oldest first, as a log reads."""
    return Table(("TIME", "ACTOR", "REASON", "MESSAGE"), tuple(event_row(row) for row in rows), empty="no events")


def event_row(row: models.Event) -> tuple[str, ...]:
    return (moment(row.at), row.actor, row.reason, first_line(row.message))


def explanation(row: models.Explanation) -> Card:
    fields = (("what to do", row.remedy),) if row.remedy else ()
    return Card(row.summary, fields, (("Evidence", tuple(row.evidence)),) if row.evidence else ())


def releases(rows: Iterable[models.Release]) -> Table:
    return Table(
        ("NAME", "RAY", "PYTHON", "ENVIRONMENT", "NOTE"),
        tuple((row.name, row.ray, row.python, row.environment, release_note(row)) for row in rows),
        empty="the release catalogue is empty",
    )


def release_note(row: models.Release) -> str:
    words = [
        "default" if row.default else "",
        "" if row.stable else "not stable",
        f"with {_several(row.packages)}" if row.packages else "",
        first_line(row.problem or ""),
        "built at the first start" if row.environment == "absent" and not row.problem else first_line(row.detail),
    ]
    return "; ".join(word for word in words if word)


def _several(names: tuple[str, ...], most: int = 5) -> str:
    """The first of them, and how many there are beside."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def workspaces(rows: Iterable[models.Workspace], now: datetime, current: str | None) -> Table:
    return Table(
        ("ID", "NAME", "ROLE", "AGE", "CURRENT"),
        tuple((row.id, row.name, row.role, age(row.created_at, now), "*" if row.id == current else "") for row in rows),
        empty="no workspace: ask an admin for a role in one",
    )


def secrets(rows: Iterable[models.SecretInfo], now: datetime) -> Table:
    return Table(
        ("GROUP", "KEY", "VERSION", "SET", "BY"),
        tuple((row.group, row.key, row.version, f"{age(row.modified_at, now)} ago", row.modifier) for row in rows),
        empty="no secrets; make one with: heliostat secret set GROUP/KEY",
    )


def keys(rows: Iterable[models.Key], now: datetime) -> Table:
    return Table(
        ("ID", "KIND", "STATE", "AGE", "EXPIRES", "PRINCIPAL", "DESCRIPTION"),
        tuple(
            (
                row.id, row.kind, key_state(row, now), age(row.created_at, now),
                moment(row.expires_at) if row.expires_at else "never", row.principal, row.description,
            )
            for row in rows
        ),
        empty="no keys",
    )  # fmt: skip


def key_state(row: models.Key, now: datetime) -> str:
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= now else "usable"


def steps(rows: Sequence[models.Step]) -> list[tuple[str, str, str]]:
    """(step, time it took, detail) of each step of a start."""
    return [(row.step, seconds(row.elapsed_seconds), row.detail) for row in rows]


def moment(when: datetime) -> str:
    """Local time to the second."""
    return f"{when.astimezone():%Y-%m-%d %H:%M:%S}"


def deletion(row: models.ClusterInfo, *, done: bool) -> Card:
    return Card(f"{row.name} {'is deleted' if done else 'is being deleted'} ({row.id})")
