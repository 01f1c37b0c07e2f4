"""What an instance's supervisor knows, on disk at every change, so that nothing lives only in memory.

``plan.json`` is the plan that the engine works on (its token is in the file ``token``), ``record.json`` an
:class:`InstanceRecord`. Times are Unix seconds, 0 = not yet. Whatever is about to be started is noted first: a node
without a note cannot exist, and a note without a process is acted on again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from heliostat.domain.engine import (
    GpuType,
    GroupPlan,
    Incident,
    InstancePlan,
    Progress,
    Scaling,
    Step,
    Upscaling,
    Volume,
)
from heliostat.domain.ids import ClusterId, InstanceId
from heliostat.domain.releases import Release
from heliostat.domain.secret import Secret
from heliostat_node.protocol import replace_json

PLAN_FILE = "plan.json"
RECORD_FILE = "record.json"
TOKEN_FILE = "token"
NODES = "nodes"

MAX_INCIDENTS = 200
MAX_REQUESTS = 200

Kind = Literal["head", "worker"]


@dataclass(frozen=True)
class NodeRecord:
    """A place that the plan wants filled, and the process that fills it (or will)."""

    node: str
    kind: Kind
    group: str
    temp: str
    """Name of its temp dir among the instance's."""
    created_at: float
    attempt: int = 0
    """Counts the processes tried for it; part of the directory's name, so that a late starter finds no directory."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """By their :class:`~heliostat_node.protocol.NodeSpec` field."""
    object_store_bytes: int = 0
    not_before: float = 0.0
    """Back-off: start it then, not earlier."""
    launched_at: float = 0.0
    """Set before the process exists."""
    boot: str = ""
    """The kernel's boot id then; with another one the process is gone, whatever has its pid now."""
    pid: int = 0
    start_ticks: int = 0
    """With the pid, the shim's identity; 0 until the zygote has answered or the shim's status was read."""
    alive_at: float = 0.0
    down_since: float = 0.0
    """Since when a head that was up is not; 0 while it is."""
    restarts: int = 0
    """How often it was brought back after it had been alive (heads only; a worker is replaced by a new node)."""
    ended_at: float = 0.0
    """It is gone and nothing will be done about it (the instance has failed)."""
    reason: str = ""
    message: str = ""
    generation: int = 0
    """Of the plan that it was begun with."""
    born: str = ""
    """Heads only: the mark of its part of that plan (:func:`heliostat.engines.local.plans.head_mark`)."""
    scaler: bool = False
    """Heads only: it was begun with Ray's autoscaler, which then decides how many workers there are."""
    request: str = ""
    """The autoscaler's request that asked for it; empty where the engine began it by itself."""
    replaces: str = ""
    """The node that makes room for it; it starts when that one is gone."""
    leaving: str = ""
    """Why it is not wanted any more, as a clause; it goes and nothing takes its place."""
    draining_since: float = 0.0
    """Since when it may finish what it runs before it goes; 0 = a leaving node goes at once."""
    sizing: bool = False
    """It comes from the warm pool and has not been given its resources yet (:mod:`.sizing`); it counts as starting."""
    metrics: bool = True
    """It was begun to export figures."""

    @property
    def directory(self) -> str:
        return f"{self.node}.{self.attempt}"


@dataclass(frozen=True)
class Grave:
    """What is left of a node that was replaced or is no longer wanted, for its logs."""

    node: str
    directory: str
    temp: str


@dataclass(frozen=True)
class InstanceRecord:
    """Everything about an instance but its plan."""

    instance: InstanceId
    created_at: float
    nodes: tuple[NodeRecord, ...] = ()
    graves: tuple[Grave, ...] = ()
    next_worker: int = 1
    progress: tuple[Progress, ...] = ()
    incidents: tuple[Incident, ...] = ()
    started_at: float = 0.0
    """When its nodes began to start; the start deadline counts from here."""
    up_at: float = 0.0
    """When it was complete for the first time."""
    losses: Mapping[str, int] = field(default_factory=dict)
    """Group -> how many nodes it has lost since its last calm period."""
    failure: str = ""
    failed_at: float = 0.0
    wanted: Mapping[str, int] = field(default_factory=dict)
    """Worker group -> how many nodes Ray's autoscaler wants of it; empty where it does not decide."""
    requests: tuple[str, ...] = ()
    """The last requests of the autoscaler that were taken on, so that a repeated one is not taken on twice."""
    renewing: Mapping[str, int] = field(default_factory=dict)
    """Worker group -> how many of its nodes were replaced by newer ones so far, while that goes on."""
    surplus: tuple[NodeRecord, ...] = ()
    """Warm workers that came with its entry of the pool and that it has no use for; they are ended (:mod:`.sizing`)."""

    def node(self, name: str) -> NodeRecord:
        return next(node for node in self.nodes if node.node == name)

    def has(self, name: str) -> bool:
        return any(node.node == name for node in self.nodes)

    def with_node(self, changed: NodeRecord) -> InstanceRecord:
        nodes = tuple(changed if node.node == changed.node else node for node in self.nodes)
        return dataclasses.replace(self, nodes=nodes)

    def without_node(self, name: str) -> InstanceRecord:
        return dataclasses.replace(self, nodes=tuple(node for node in self.nodes if node.node != name))

    def with_incident(self, incident: Incident) -> InstanceRecord:
        if any(known.key == incident.key for known in self.incidents):
            return self
        return dataclasses.replace(self, incidents=(*self.incidents, incident)[-MAX_INCIDENTS:])


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def write_plan(folder: Path, plan: InstancePlan) -> None:
    replace_json(folder / PLAN_FILE, encode_plan(plan))


def write_record(folder: Path, record: InstanceRecord) -> None:
    replace_json(folder / RECORD_FILE, encode_record(record))


def first_files(plan: InstancePlan, record: InstanceRecord) -> dict[str, str]:
    """The files that a new instance begins with, by name."""
    files = {PLAN_FILE: dump(encode_plan(plan)), RECORD_FILE: dump(encode_record(record))}
    return files if plan.ray_token is None else {**files, TOKEN_FILE: plan.ray_token.reveal()}


def dump(value: dict[str, Any]) -> str:
    """The text of a file that :func:`read` reads."""
    return json.dumps(value)


def read(folder: Path) -> tuple[InstancePlan, InstanceRecord]:
    """Both files of an instance. Raises OSError, ValueError, KeyError or TypeError when they are damaged."""
    plan = decode_plan(json.loads((folder / PLAN_FILE).read_text()))
    token = folder / TOKEN_FILE
    if token.exists():
        plan = dataclasses.replace(plan, ray_token=Secret(token.read_text()))
    return plan, decode_record(json.loads((folder / RECORD_FILE).read_text()))


def encode_plan(plan: InstancePlan) -> dict[str, Any]:
    """A plan as JSON, without its token."""
    return dataclasses.asdict(dataclasses.replace(_plain(plan), ray_token=None))


def decode_plan(data: dict[str, Any]) -> InstancePlan:
    return InstancePlan(
        instance=InstanceId(data["instance"]),
        cluster=ClusterId(data["cluster"]),
        name=data["name"],
        generation=data["generation"],
        release=_release(data["release"]),
        head=_group(data["head"]),
        workers=tuple(_group(group) for group in data["workers"]),
        labels=data["labels"],
        volumes=tuple(Volume(**volume) for volume in data["volumes"]),
        scaling=_scaling(data.get("scaling")),
        renew=data.get("renew", 0),
        metrics=data.get("metrics", True),
    )


def encode_record(record: InstanceRecord) -> dict[str, Any]:
    data = dataclasses.asdict(record)
    for row in data["progress"]:
        row["started_at"] = row["started_at"].timestamp()
        row["ended_at"] = row["ended_at"] and row["ended_at"].timestamp()
    for row in data["incidents"]:
        row["at"] = row["at"].timestamp()
    return data


def decode_record(data: dict[str, Any]) -> InstanceRecord:
    progress = tuple(
        Progress(
            Step(row["step"]),
            moment(row["started_at"]),
            moment(row["ended_at"]) if row["ended_at"] is not None else None,
            row["detail"],
        )
        for row in data["progress"]
    )
    return InstanceRecord(
        **{
            **data,
            "instance": InstanceId(data["instance"]),
            "nodes": tuple(NodeRecord(**row) for row in data["nodes"]),
            "graves": tuple(Grave(**row) for row in data["graves"]),
            "surplus": tuple(NodeRecord(**row) for row in data.get("surplus", ())),
            "progress": progress,
            "incidents": tuple(Incident(**{**row, "at": moment(row["at"])}) for row in data["incidents"]),
            "requests": tuple(data.get("requests", ())),
        }
    )


def _plain(plan: InstancePlan) -> InstancePlan:
    """With plain dicts for mappings of any kind, which ``asdict`` cannot copy."""

    def group(value: GroupPlan) -> GroupPlan:
        return dataclasses.replace(value, env=dict(value.env), ray_params=dict(value.ray_params))

    return dataclasses.replace(
        plan, head=group(plan.head), workers=tuple(group(value) for value in plan.workers), labels=dict(plan.labels)
    )


def _group(data: dict[str, Any]) -> GroupPlan:
    return GroupPlan(
        **{
            **data,
            "gpu": GpuType(**data["gpu"]) if data["gpu"] else None,
            "release": _release(data["release"]) if data["release"] else None,
        }
    )


def _scaling(data: dict[str, Any] | None) -> Scaling | None:
    return None if data is None else Scaling(data["idle_seconds"], Upscaling(data["upscaling"]))


def _release(data: dict[str, Any]) -> Release:
    return Release(**{**data, "packages": tuple(data["packages"])})
