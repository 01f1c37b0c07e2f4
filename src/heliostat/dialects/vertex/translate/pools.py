"""Resource pools and nodes: the head and worker groups that a pool means, and the pools that a spec is shown as.

The first node of the head's pool is the head, the others are a worker group of the pool's name. Every other pool is a worker
group. A cluster scales by itself or does not; beside a pool that does, a fixed one is a group with equal bounds.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from heliostat.domain.spec import ClusterSpec, NodeShape, WorkerGroup
from heliostat.domain.validation import MAX_GROUPS

from .context import Context
from .fields import Fields, Json, only
from .kept import DEFAULT_DISK, Kept
from .machines import Size, meant, read_machine, write_machine

HEAD_POOL = "head-node"
MAX_POOLS = MAX_GROUPS + 1
MAX_POOL_NODES = 1000
MAX_NODES = 2000
"""Of a cluster (Vertex contract, section 9.3)."""
MAX_DISK_GB = 64_000
MIN_DISK_GB = 100
_DISKS = ("pd-ssd", "pd-standard", "hyperdisk-balanced")
_ID = re.compile(r"[A-Za-z0-9_-]{1,63}", re.ASCII)


@dataclass(frozen=True)
class Bounds:
    """How many nodes a pool that scales by itself has. As written: the head counts."""

    least: int
    most: int

    @classmethod
    def read(cls, fields: Fields, default: Bounds | None = None) -> Bounds:
        """An ``autoscalingSpec``; what is not said is as in ``default``. Raises InvalidRequest."""
        least, most = fields.integer("minReplicaCount"), fields.integer("maxReplicaCount")
        least = (default.least if default else 0) if least is None else least
        most = (default.most if default else None) if most is None else most
        if most is None:
            raise fields.error("maxReplicaCount", "is required with autoscaling")
        if least < 0:
            raise fields.error("minReplicaCount", f"must not be negative, given {least}")
        if most > MAX_POOL_NODES:
            raise fields.error("maxReplicaCount", f"must be at most {MAX_POOL_NODES}, given {most}")
        if least >= most:
            raise fields.error("minReplicaCount", f"must be less than maxReplicaCount ({least} >= {most})")
        return cls(least, most)

    def within_group(self, is_head: bool) -> tuple[int, int]:
        """The bounds of the pool's worker group: the head is none of its nodes."""
        return max(0, self.least - is_head), self.most - is_head

    def written(self) -> Json:
        return {"minReplicaCount": str(self.least), "maxReplicaCount": str(self.most)}


@dataclass(frozen=True)
class Pool:
    """One of ``resourcePools`` as a body says it."""

    fields: Fields
    id: str
    machine_spec: Json
    size: Size
    disk_spec: Json | None
    replicas: int | None
    bounds: Bounds | None

    @property
    def most(self) -> int:
        return self.bounds.most if self.bounds else self.replicas or 1

    def kept(self) -> Json:
        scaling = None if self.bounds is None else self.bounds.written()
        return {"machineSpec": self.machine_spec} | only(diskSpec=self.disk_spec, autoscalingSpec=scaling)

    def group(self, shape: NodeShape, is_head: bool, scales: bool) -> WorkerGroup | None:
        """The pool's worker group, if it has one. ``scales``: some pool of the cluster does."""
        kind = "GPU" if shape.gpu else "CPU"
        if self.bounds is not None:
            low, high = self.bounds.within_group(is_head)
            begun = max(int(is_head), self.bounds.least) if self.replicas is None else self.replicas
            return WorkerGroup(self.id, shape, max(0, begun - is_head), low, high, kind)
        count = (self.replicas or 1) - is_head
        if not count:
            return None
        return fixed(WorkerGroup(self.id, shape, count, type=kind), count, scales)


def fixed(group: WorkerGroup, count: int, scales: bool) -> WorkerGroup:
    """The group with so many nodes and no others, also in a cluster that scales by itself."""
    if scales:
        return replace(group, replicas=count, min_replicas=count, max_replicas=count)
    return replace(group, replicas=count)


def read_pools(body: Fields, context: Context) -> list[Pool]:
    """``resourcePools``, in the order of the body. Raises InvalidRequest."""
    rows = body.objects("resourcePools", MAX_POOLS)
    if not rows:
        raise body.error("resourcePools", "at least one pool is required")
    ids = read_ids(rows)
    for index, given in enumerate(ids):
        ids[index] = given or _free_id(index, ids)
    pools = [_read_pool(row, name, context) for row, name in zip(rows, ids, strict=True)]
    check_total(body, (pool.most for pool in pools))
    return pools


def read_ids(rows: Collection[Fields]) -> list[str]:
    """The pools' ids; empty where none is given. Raises InvalidRequest."""
    ids: list[str] = []
    for row in rows:
        name = row.text("id")
        if name and not _ID.fullmatch(name):
            raise row.error("id", "must be 1 to 63 letters, digits, '-' or '_'")
        if name and name in ids:
            raise row.error("id", f"a second pool has the id {name!r}; ids must be unique")
        ids.append(name)
    return ids


def check_count(fields: Fields, count: int) -> int:
    """A ``replicaCount`` that is set. Raises InvalidRequest."""
    if not 1 <= count <= MAX_POOL_NODES:
        raise fields.error("replicaCount", f"must be between 1 and {MAX_POOL_NODES}, given {count}")
    return count


def check_total(body: Fields, counts: Iterable[int]) -> None:
    total = sum(counts)
    if total > MAX_NODES:
        raise body.error("resourcePools", f"a cluster has at most {MAX_NODES} nodes, these pools have up to {total}")


def check_within(fields: Fields, count: int, bounds: Bounds) -> int:
    """A ``replicaCount`` of a pool that scales by itself. Raises InvalidRequest."""
    if not bounds.least <= count <= bounds.most:
        raise fields.error(
            "replicaCount", f"must lie between minReplicaCount and maxReplicaCount ({bounds.least} to {bounds.most})"
        )
    return count


def _free_id(index: int, taken: Collection[str]) -> str:
    """What a pool without an id is called: ``head-node``, then ``worker-pool1`` and so on."""
    if index == 0 and HEAD_POOL not in taken:
        return HEAD_POOL
    number = max(1, index)
    while f"worker-pool{number}" in taken:
        number += 1
    return f"worker-pool{number}"


def _read_pool(fields: Fields, name: str, context: Context) -> Pool:
    machine = fields.nested("machineSpec")
    if machine is None:
        raise fields.error("machineSpec.machineType", "is required")
    spec, size = read_machine(machine, context.settings.machines, context.installation.gpus)
    disk, scaling = fields.nested("diskSpec"), fields.nested("autoscalingSpec")
    bounds = None if scaling is None else Bounds.read(scaling)
    count = fields.integer("replicaCount")
    if bounds is not None and count is not None:
        check_within(fields, count, bounds)
    elif count is not None:
        check_count(fields, count)
    elif bounds is None:
        raise fields.error("replicaCount", "is required, and at least 1, unless the pool has an autoscalingSpec")
    return Pool(fields, name, spec, size, None if disk is None else read_disk(disk), count, bounds)


def read_disk(fields: Fields) -> Json:
    """A ``diskSpec`` as written. Raises InvalidRequest."""
    kind, size = fields.text("bootDiskType"), fields.integer("bootDiskSizeGb") or 0
    if kind and kind not in _DISKS:
        raise fields.error("bootDiskType", f"must be one of {', '.join(_DISKS)}, given {kind[:80]!r}")
    if size and not MIN_DISK_GB <= size <= MAX_DISK_GB:
        raise fields.error("bootDiskSizeGb", f"must be between {MIN_DISK_GB} and {MAX_DISK_GB}, given {size}")
    return only(bootDiskType=kind, bootDiskSizeGb=size)


# --- the other way: pools of a spec ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """A pool of a spec."""

    id: str
    is_head: bool
    shape: NodeShape
    group: WorkerGroup | None
    """Its workers; None when it is the head alone."""
    bounds: Bounds | None
    """Set when it scales by itself."""
    kept: Json

    @property
    def replicas(self) -> int:
        """Nodes wanted, or those that a run begins with."""
        return self.is_head + (self.group.replicas if self.group else 0)

    @property
    def most(self) -> int:
        return self.bounds.most if self.bounds else self.replicas

    def machine_spec(self, context: Context) -> Json:
        """As written, if it still means what the nodes get."""
        size, written = Size.of(self.shape), self.kept.get("machineSpec")
        machines, gpus = context.settings.machines, context.installation.gpus
        if written is not None and meant(written, machines, gpus) == size:
            return dict(written)
        return write_machine(size, gpus)

    def disk_spec(self) -> Json:
        return {**DEFAULT_DISK, **self.kept.get("diskSpec", {})}


def shown_pools(spec: ClusterSpec, kept: Kept) -> tuple[Shown, ...]:
    """The pools of a cluster of any dialect, the head's first: that is where clients look for it."""
    head = kept.head or HEAD_POOL
    merged = _merged(head, spec, kept)
    names = {head, *(row.name for row in spec.workers)}
    found = [_shown(head, True, spec.head, merged, spec, kept)]
    for group in spec.workers:
        if group is not merged:
            name = group.name if group.name != head else next(_others(head, names))
            found.append(_shown(name, False, group.shape, group, spec, kept))
    return tuple(found)


def _merged(head: str, spec: ClusterSpec, kept: Kept) -> WorkerGroup | None:
    """The group that is in the head's pool: one like the head that bears its name, else the first that no pool was made for.

    The client takes workers like the head for ones of its pool, and resizes them there (Vertex contract, section 1.4).
    """
    own = spec.head.release or spec.release
    alike = [row for row in spec.workers if Size.of(row.shape) == Size.of(spec.head)]
    named = next((row for row in alike if row.name == head), None)
    return named or next(
        (row for row in alike if row.name not in kept.pools and (row.shape.release or spec.release) == own), None
    )


def _others(name: str, taken: Collection[str]) -> Iterator[str]:
    """Names for workers that bear the name of the head's pool and are not like the head."""
    number = 1
    while True:
        other = f"{name[:50]}-workers{number if number > 1 else ''}"
        if other not in taken:
            yield other
        number += 1


def _shown(
    name: str, is_head: bool, shape: NodeShape, group: WorkerGroup | None, spec: ClusterSpec, kept: Kept
) -> Shown:
    own = kept.pools.get(name, {})
    return Shown(name, is_head, shape, group, _bounds(is_head, group, spec, own), own)


def _bounds(is_head: bool, group: WorkerGroup | None, spec: ClusterSpec, own: Json) -> Bounds | None:
    """The bounds as written, if the group's are these; else the group's, if they leave a choice."""
    if group is None or not spec.autoscaling.enabled:
        return None
    low = group.min_replicas or 0
    high = max(low, group.replicas) if group.max_replicas is None else group.max_replicas
    written = own.get("autoscalingSpec")
    if written is not None:
        bounds = Bounds(int(written["minReplicaCount"]), int(written["maxReplicaCount"]))
        if bounds.within_group(is_head) == (low, high):
            return bounds
    return Bounds(low + is_head, high + is_head) if low < high else None
