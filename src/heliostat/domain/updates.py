"""What a change of a spec means for the run that is there: field by field, and what the run becomes. Pure.

There are two specs of a cluster that runs: what is stored, and what the run was given. A change is stored in any case. What
can be had without a restart is given to the run as well (:func:`applied`); the rest waits, and the cluster is ``modified``
until a restart (EMR contract, section 8). This is the only place that says which field is which.

=================  ====================================================================================================
effect             fields
=================  ====================================================================================================
in place           number of workers, bounds, idle times, upscaling, lifetime, priority, labels, groups that come or go,
                   whether logs are collected
for new nodes      environment of a worker group: what is begun from now on has it, older nodes keep theirs
at a restart       release, head, volumes, network, fault tolerance, shape of a group, autoscaling on or off, mounts, metrics
at the next start  the number of workers while Ray's autoscaler decides: it only says how many a run begins with
cosmetic           name, description, spellings, types of groups, and what only one dialect knows
=================  ====================================================================================================
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from .engine import NodeState
from .quantities import format_cores, format_duration, format_memory, parse_cores, parse_duration, parse_memory
from .records import Instance
from .secret import Secret
from .spec import MASK, ClusterSpec, FaultTolerance, NodeShape, WorkerGroup

Value = str | int | bool | None
Shapes = Mapping[str, tuple[tuple[int, str], ...]]
"""By worker group: from which generation on its nodes were begun with which shape, as marks that tell no secret."""
REMEMBERED = 20
"""Shapes of a group that are told apart; what is older counts as another one."""


class Effect(StrEnum):
    """When a change takes effect."""

    IN_PLACE = "in_place"
    NEW_NODES = "new_nodes"
    """At once for nodes that are begun from now on; those that are there need a restart, which may be a rolling one."""
    RESTART = "restart"
    NEXT_START = "next_start"
    """With the next start, and there is no reason to restart for it."""
    COSMETIC = "cosmetic"
    """At once, and nothing that runs is concerned."""


@dataclass(frozen=True)
class FieldChange:
    """One field that another spec has otherwise. What may be a secret is masked."""

    path: str
    """Native path, with groups by name: ``workers[big].cpu``."""
    before: Value
    after: Value
    effect: Effect
    note: str = ""
    """What is worth knowing about it, for people."""


def changes(running: ClusterSpec, stored: ClusterSpec) -> tuple[FieldChange, ...]:
    """What the run lacks of what is stored, in the order of the fields. Empty if and only if the two are equal."""
    return tuple(_compare(running, stored, running))


def edits(before: ClusterSpec, after: ClusterSpec, running: ClusterSpec | None) -> tuple[FieldChange, ...]:
    """What one stored spec has otherwise than the one before, with the effect on a run that has ``running``.

    None = nothing runs: then everything is for the next start.
    """
    if running is None:
        return tuple(
            row if row.effect is Effect.COSMETIC else replace(row, effect=Effect.NEXT_START, note="")
            for row in _compare(before, after, before)
        )
    waiting = {row.path for row in _compare(running, after, running) if row.effect is Effect.RESTART}
    return tuple(
        replace(row, effect=Effect.IN_PLACE, note="as it runs")
        if row.effect is Effect.RESTART and row.path not in waiting
        else row
        for row in _compare(before, after, running)
    )


def runs_differently(running: ClusterSpec, stored: ClusterSpec) -> bool:
    """Whether nodes that were begun with ``running`` would need a restart to be what is stored."""
    return any(row.effect in (Effect.RESTART, Effect.NEW_NODES) for row in changes(running, stored))


def applied(running: ClusterSpec, stored: ClusterSpec) -> ClusterSpec:
    """``running`` with everything of ``stored`` that can be had without a restart."""
    known = {group.name: group for group in running.workers}
    scales = running.autoscaling.enabled
    groups = []
    for group in stored.workers:
        if group.name in known:
            groups.append(_applied_group(known[group.name], group, scales))
        elif not _blocked(group, running, stored):
            groups.append(group)
    return replace(
        running,
        name=stored.name,
        description=stored.description,
        labels=stored.labels,
        extras=stored.extras,
        unhonoured=stored.unhonoured,
        collect_logs=stored.collect_logs,
        spellings=stored.spellings,
        lifetime=stored.lifetime,
        priority=stored.priority,
        autoscaling=replace(stored.autoscaling, enabled=running.autoscaling.enabled),
        workers=tuple(groups),
    )


@dataclass(frozen=True)
class Reach:
    """How far replacing nodes one after the other can go."""

    same_runtime: bool = True
    """The stored release has the Ray and the Python of the one that runs."""
    renews_head: bool = True
    """The engine can replace the head."""


def beyond_renewal(running: ClusterSpec, stored: ClusterSpec, reach: Reach) -> tuple[FieldChange, ...]:
    """What cannot be had by replacing nodes one after the other, as it needs a restart of the whole."""
    found = []
    for row in changes(running, stored):
        if row.effect is not Effect.RESTART:
            continue
        if row.path == "release" and not reach.same_runtime:
            found.append(replace(row, note="all nodes of a run have the same Ray and the same Python"))
        elif row.path.endswith(".queue"):
            found.append(replace(row, note="a run stays in the queues that it was admitted to"))
        elif not row.path.startswith("workers[") and row.path != "release" and not reach.renews_head:
            found.append(replace(row, note="the head cannot be replaced without losing what it knows"))
    return tuple(found)


# --- what of a run is older than its spec ---------------------------------------------------------------------------


def is_modified(instance: Instance, stored: ClusterSpec) -> bool:
    """Whether what runs would need a restart to be what is stored (EMR contract, section 8, ``modified``)."""
    waits = any(row.effect not in (Effect.COSMETIC, Effect.NEXT_START) for row in changes(instance.spec, stored))
    return waits or outdated_nodes(instance) > 0


def outdated_nodes(instance: Instance) -> int:
    """How many nodes were begun with something older than the run's own spec, and do not go by themselves."""
    return sum(
        node.generation < instance.renew
        or (node.kind != "head" and _older(instance.shapes.get(node.group, ()), node.generation))
        for node in instance.nodes
        if node.state in (NodeState.STARTING, NodeState.ALIVE)
    )


def renewing(instance: Instance) -> int:
    """How many nodes a rolling restart has still to replace."""
    return sum(
        node.generation < instance.renew
        for node in instance.nodes
        if node.state in (NodeState.STARTING, NodeState.ALIVE)
    )


def shapes(instance: Instance, spec: ClusterSpec, generation: int) -> Shapes:
    """The shapes of an instance's groups once it has this spec from this generation on.

    Only where nodes of several shapes may be there: the environment has changed, or a group was removed and may come back
    as another one while its nodes still finish what they run.
    """
    before = {group.name: _mark(instance, group.shape) for group in instance.spec.workers}
    after = {group.name: _mark(instance, group.shape) for group in spec.workers}
    there = {node.group for node in instance.nodes if node.kind != "head" and node.state is not NodeState.EXITED}
    found = {}
    for name in {**before, **after, **instance.shapes}:
        known = instance.shapes.get(name) or (((0, before[name]),) if name in before else ())
        if known and name in after and known[-1][1] != after[name]:
            known = (*known, (generation, after[name]))[-REMEMBERED:]
        if len(known) > 1 or (known and name not in after and name in there):
            found[name] = known
    return found


def _older(known: tuple[tuple[int, str], ...], generation: int) -> bool:
    if not known:
        return False
    begun = next((mark for since, mark in reversed(known) if since <= generation), None)
    return begun != known[-1][1]


def _mark(instance: Instance, shape: NodeShape) -> str:
    parts = [str(shape.cpu.normalize()), shape.memory, shape.gpu, sorted(shape.env.items()), shape.ray_start_params]
    text = json.dumps([*parts, shape.release]).encode()
    return hmac.new(instance.ray_token.reveal().encode(), text, hashlib.sha256).hexdigest()[:16]


# --- comparing, field by field --------------------------------------------------------------------------------------


def _compare(before: ClusterSpec, after: ClusterSpec, running: ClusterSpec) -> Iterator[FieldChange]:
    """The differences, with their effect on a run that has ``running``."""
    if before == after:
        return
    found = False
    for row in _fields(before, after, running):
        found = True
        yield row
    if not found:
        yield FieldChange("spellings", None, None, Effect.COSMETIC, "the same, written in another way")


def _fields(before: ClusterSpec, after: ClusterSpec, running: ClusterSpec) -> Iterator[FieldChange]:
    yield from _one("name", before.name, after.name, Effect.COSMETIC)
    yield from _one("description", before.description, after.description, Effect.COSMETIC)
    yield from _one("release", before.release, after.release, Effect.RESTART)
    yield from _shape("head", (before, 0), (after, 0), before.head, after.head, Effect.RESTART)
    yield from _groups(before, after, running)
    yield from _one("autoscaling.enabled", before.autoscaling.enabled, after.autoscaling.enabled, Effect.RESTART)
    unused = "" if running.autoscaling.enabled else "counts with autoscaling only"
    for name in ("idle_timeout_seconds", "upscaling"):
        old, new = getattr(before.autoscaling, name), getattr(after.autoscaling, name)
        yield from _one(f"autoscaling.{name}", old, new, Effect.IN_PLACE, unused)
    yield from _length(
        "idle_stop_after", before, after, before.lifetime.idle_stop_seconds, after.lifetime.idle_stop_seconds
    )
    yield from _length("max_lifetime", before, after, before.lifetime.max_seconds, after.lifetime.max_seconds)
    yield from _one("priority", before.priority, after.priority, Effect.IN_PLACE)
    yield from _fault_tolerance(before.fault_tolerance, after.fault_tolerance)
    yield from _one("network_service", before.network_service, after.network_service, Effect.RESTART)
    yield from _one("volumes", ", ".join(before.volumes), ", ".join(after.volumes), Effect.RESTART)
    yield from _one("nfs_mounts", _mounts(before), _mounts(after), Effect.RESTART)
    yield from _one("metrics", before.metrics, after.metrics, Effect.RESTART)
    yield from _one("collect_logs", before.collect_logs, after.collect_logs, Effect.IN_PLACE)
    yield from _map("labels", before.labels, after.labels, Effect.IN_PLACE)
    yield from _map("unhonoured", before.unhonoured, after.unhonoured, Effect.COSMETIC)
    yield from _map("extras", before.extras, after.extras, Effect.COSMETIC, hide=True)


def _mounts(spec: ClusterSpec) -> str:
    return ", ".join(f"{row.server}:{row.path} at {row.mount_point}" for row in spec.nfs_mounts)


def _groups(before: ClusterSpec, after: ClusterSpec, running: ClusterSpec) -> Iterator[FieldChange]:
    old = {group.name: (index, group) for index, group in enumerate(before.workers)}
    new = {group.name: (index, group) for index, group in enumerate(after.workers)}
    for name, (index, group) in new.items():
        path = f"workers[{name}]"
        if name not in old:
            blocked = _blocked(group, running, after)
            effect = Effect.RESTART if blocked else Effect.IN_PLACE
            yield FieldChange(path, None, _summary(after, index), effect, blocked or "its nodes are started")
            continue
        place, known = old[name]
        yield from _group(path, known, group, running)
        yield from _shape(path, (before, place), (after, index), known.shape, group.shape, Effect.NEW_NODES)
    for name, (place, _) in old.items():
        if name not in new:
            note = "its nodes finish what they run, and go"
            yield FieldChange(f"workers[{name}]", _summary(before, place), None, Effect.IN_PLACE, note)
    kept = [name for name in old if name in new]
    if kept != [name for name in new if name in old]:
        yield FieldChange("workers", ", ".join(old), ", ".join(new), Effect.COSMETIC, "in another order")


def _group(path: str, before: WorkerGroup, after: WorkerGroup, running: ClusterSpec) -> Iterator[FieldChange]:
    scales = running.autoscaling.enabled
    decided = "the autoscaler decides; it is how many the next run begins with"
    effect = Effect.NEXT_START if scales else Effect.IN_PLACE
    less = "surplus nodes finish what they run, and go" if after.replicas < before.replicas else ""
    yield from _one(f"{path}.replicas", before.replicas, after.replicas, effect, decided if scales else less)
    unused = "" if scales else "counts with autoscaling only"
    for name in ("min_replicas", "max_replicas", "idle_timeout_seconds"):
        yield from _one(f"{path}.{name}", getattr(before, name), getattr(after, name), Effect.IN_PLACE, unused)
    yield from _one(f"{path}.type", before.type, after.type, Effect.COSMETIC)


def _shape(
    path: str,
    old: tuple[ClusterSpec, int],
    new: tuple[ClusterSpec, int],
    before: NodeShape,
    after: NodeShape,
    env: Effect,
) -> Iterator[FieldChange]:
    """``env`` is the effect of other variables."""
    cores = [_written(path, "cpu", *at, shape) for at, shape in ((old, before), (new, after))]
    yield from _amount(f"{path}.cpu", before.cpu == after.cpu, *cores)
    sizes = [_written(path, "memory", *at, shape) for at, shape in ((old, before), (new, after))]
    yield from _amount(f"{path}.memory", before.memory == after.memory, *sizes)
    for name in ("gpu", "queue", "release"):
        yield from _one(f"{path}.{name}", getattr(before, name), getattr(after, name), Effect.RESTART)
    note = "nodes that are there keep what they have" if env is Effect.NEW_NODES else ""
    yield from _map(f"{path}.env", before.env, after.env, env, note, hide=True)
    yield from _one(
        f"{path}.ray_start_params", before.ray_start_params, after.ray_start_params, Effect.RESTART, hide=True
    )


def _written(path: str, field: str, spec: ClusterSpec, index: int, shape: NodeShape) -> str:
    """An amount as its user wrote it."""
    at = f"{path if path == 'head' else f'workers[{index}]'}.{field}"
    if field == "cpu":
        return spec.spelled(at, shape.cpu, parse_cores, format_cores)
    return spec.spelled(at, shape.memory, parse_memory, format_memory)


def _amount(path: str, same: bool, before: str, after: str) -> Iterator[FieldChange]:
    if not same:
        yield FieldChange(path, before, after, Effect.RESTART)
    elif before != after:
        yield FieldChange(path, before, after, Effect.COSMETIC, "the same, written in another way")


def _length(
    path: str, before: ClusterSpec, after: ClusterSpec, old: int | None, new: int | None
) -> Iterator[FieldChange]:
    texts = [
        None if seconds is None else spec.spelled(path, seconds, parse_duration, format_duration)
        for spec, seconds in ((before, old), (after, new))
    ]
    if old != new:
        yield FieldChange(path, texts[0], texts[1], Effect.IN_PLACE)
    elif texts[0] != texts[1]:
        yield FieldChange(path, texts[0], texts[1], Effect.COSMETIC, "the same, written in another way")


def _fault_tolerance(before: FaultTolerance | None, after: FaultTolerance | None) -> Iterator[FieldChange]:
    if before == after:
        return
    old, new = before or FaultTolerance(), after or FaultTolerance()
    if old == new:
        yield FieldChange("fault_tolerance", before is not None, after is not None, Effect.COSMETIC)
    yield from _one("fault_tolerance.enabled", old.enabled, new.enabled, Effect.RESTART)
    yield from _one("fault_tolerance.redis_url", old.redis_url, new.redis_url, Effect.RESTART, hide=True)
    yield from _one("fault_tolerance.redis_username", old.redis_username, new.redis_username, Effect.RESTART)
    path, passwords = "fault_tolerance.redis_password", (_text(old.redis_password), _text(new.redis_password))
    yield from _one(path, *passwords, Effect.RESTART, hide=True)


def _text(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()


def _map(
    path: str,
    before: Mapping[str, str],
    after: Mapping[str, str],
    effect: Effect,
    note: str = "",
    *,
    hide: bool = False,
) -> Iterator[FieldChange]:
    for key in sorted({**before, **after}):
        yield from _one(f"{path}.{key}", before.get(key), after.get(key), effect, note, hide=hide)


def _one(
    path: str, before: Value, after: Value, effect: Effect, note: str = "", *, hide: bool = False
) -> Iterator[FieldChange]:
    """The change of one field, if it is one. What is hidden is masked unless there is nothing."""
    if before != after:
        shown = [MASK if hide and value not in (None, "") else value for value in (before, after)]
        yield FieldChange(path, shown[0], shown[1], effect, note)


def _summary(spec: ClusterSpec, index: int) -> str:
    group = spec.workers[index]
    path = f"workers[{index}]"
    cpu, memory = (_written(path, name, spec, index, group.shape) for name in ("cpu", "memory"))
    return f"{group.replicas} x {cpu} cpu, {memory}"


def _blocked(group: WorkerGroup, running: ClusterSpec, stored: ClusterSpec) -> str:
    """Why a new group cannot be added to what runs; empty when it can."""
    if group.shape.release is not None and running.release != stored.release:
        return "it names a release, and that of the cluster changes at the restart"
    return ""


def _applied_group(running: WorkerGroup, stored: WorkerGroup, scales: bool) -> WorkerGroup:
    return replace(
        stored,
        replicas=running.replicas if scales else stored.replicas,
        shape=replace(running.shape, env=stored.shape.env),
    )
