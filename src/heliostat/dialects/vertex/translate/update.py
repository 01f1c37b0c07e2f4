"""What an update changes (Vertex contract, sections 1.6 and 4.3): sizes and bounds of pools, labels, the display name.

Everything outside the mask is ignored, whatever the body says there: clients send back all that they have read. A change
is made to the spec that is stored when it is made, so reading a request gives a function of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from heliostat.domain.spec import ClusterSpec, NodeShape, WorkerGroup

from ..wire import schema
from ..wire.canonical import mask_paths
from .context import Context
from .fields import Fields, Json, invalid
from .kept import DEFAULT_DISK, KEY, Kept
from .labels import read_labels, with_labels, write_labels
from .machines import read_machine
from .pools import (
    MAX_POOLS,
    Bounds,
    Shown,
    check_count,
    check_total,
    check_within,
    fixed,
    read_disk,
    read_ids,
    shown_pools,
)
from .resource import MAX_DISPLAY_NAME, read_display_name

POOLS = "resource_pools"
COUNT = "resource_pools.replica_count"
SCALING = "resource_pools.autoscaling_spec"
LEAST, MOST = f"{SCALING}.min_replica_count", f"{SCALING}.max_replica_count"
MASKS = ("display_name", "labels", POOLS, COUNT, SCALING, LEAST, MOST)
"""All paths that an update may name."""
_OUTPUT_ONLY = frozenset(
    ("state", "error", "create_time", "start_time", "update_time", "resource_runtime", "satisfies_pzs", "satisfies_pzi",
     "resource_pools.used_replica_count")
)  # fmt: skip
_SWITCHED = (
    "whether a pool scales by itself is settled when the resource is made, since its head runs Ray's autoscaler or does not; "
    "delete it and make it anew"
)
_SHOWN_PATH = 200


def read_mask(mask: str | Sequence[str]) -> frozenset[str]:
    """The paths of an update mask, snake or camel, as text with commas or in a list. Raises InvalidRequest."""
    texts = [mask] if isinstance(mask, str) else list(mask)
    if not all(isinstance(text, str) for text in texts):
        raise invalid("updateMask", "must be text")
    paths = frozenset(path for text in texts for path in mask_paths(text))
    if not paths:
        raise invalid("updateMask", f"is required; it may name: {', '.join(MASKS)}")
    for path in sorted(paths):
        if path not in MASKS:
            raise invalid("updateMask", f"{path[:_SHOWN_PATH]!r} {_why_not(path)}; it may name: {', '.join(MASKS)}")
    return paths


def read_update(body: Json, mask: frozenset[str], context: Context) -> Callable[[ClusterSpec], ClusterSpec]:
    """The change that a body means within the mask. It is pure; it and this raise InvalidRequest."""
    fields = Fields(body)
    description = read_display_name(fields) if "display_name" in mask else None
    wishes = _read_wishes(fields, mask, context) if any(path.startswith(POOLS) for path in mask) else None

    def change(spec: ClusterSpec) -> ClusterSpec:
        changed = spec
        if description is not None and description != spec.description[:MAX_DISPLAY_NAME]:
            changed = replace(changed, description=description)
        if "labels" in mask:
            changed = with_labels(changed, read_labels(fields, write_labels(spec)))
        return changed if wishes is None else _resized(changed, fields, wishes, context)

    return change


def _why_not(path: str) -> str:
    if path in _OUTPUT_ONLY or path.partition(".")[0] in _OUTPUT_ONLY:
        return "is output only"
    kind = schema.find("v1beta1", "PersistentResource")
    for name in path.split("."):
        field = next((row for row in kind.fields if row.name == name), None)
        if field is None:
            return "is no field of a persistent resource"
        kind = schema.TYPES.get(field.of, schema.find("v1beta1", "Empty"))
    return "cannot be changed"


@dataclass(frozen=True)
class _Wish:
    """What a body says of one pool, as far as the mask lets it."""

    fields: Fields
    id: str
    sizes: bool
    """The mask has its size."""
    count: int | None
    replaces_scaling: bool
    """The mask has the bounds as a whole: without any, the pool does not scale."""
    scaling: Fields | None
    """Only with what the mask has of it."""
    machine: Json | None = None
    disk: Json | None = None


def _read_wishes(body: Fields, mask: frozenset[str], context: Context) -> list[_Wish]:
    rows = body.objects("resourcePools", MAX_POOLS)
    if not rows:
        raise body.error("resourcePools", "is required, as the mask names it")
    whole = POOLS in mask or SCALING in mask
    leaves = [key for key, path in (("minReplicaCount", LEAST), ("maxReplicaCount", MOST)) if whole or path in mask]
    sizes = POOLS in mask or COUNT in mask
    found = []
    for row, name in zip(rows, read_ids(rows), strict=True):
        scaling = row.nested("autoscalingSpec") if leaves else None
        wish = _Wish(
            row, name, sizes, row.integer("replicaCount") if sizes else None, whole,
            None if scaling is None else scaling.only(leaves),
        )  # fmt: skip
        if POOLS in mask:
            machine, disk = row.nested("machineSpec"), row.nested("diskSpec")
            machines, gpus = context.settings.machines, context.installation.gpus
            wish = replace(
                wish,
                machine=None if machine is None else read_machine(machine, machines, gpus)[0],
                disk=None if disk is None else {**DEFAULT_DISK, **read_disk(disk)},
            )
        found.append(wish)
    return found


def _resized(spec: ClusterSpec, body: Fields, wishes: Sequence[_Wish], context: Context) -> ClusterSpec:
    kept = Kept.of(spec)
    shown = shown_pools(spec, kept)
    groups = list(spec.workers)
    for wish, pool in _matched(body, wishes, shown):
        _check_same(wish, pool, context)
        bounds = _bounds(wish, pool)
        group = _group(wish, pool, bounds, spec)
        if pool.group is None and group is not None:
            groups.append(group)  # at the end: spellings of the others go by their places
        elif group is not None:
            groups[spec.workers.index(pool.group)] = group
        if bounds is not None and pool.id in kept.pools:
            written = {**kept.pools[pool.id], "autoscalingSpec": bounds.written()}
            kept = replace(kept, pools={**kept.pools, pool.id: written})
    changed = replace(spec, workers=tuple(groups))
    if changed == spec and kept == Kept.of(spec):
        return spec
    after = shown_pools(changed, kept)
    check_total(body, (pool.most for pool in after))
    if KEY not in spec.extras:
        return changed
    there = {pool.id for pool in after}
    return replace(kept, pools={name: row for name, row in kept.pools.items() if name in there}).within(changed)


def _matched(body: Fields, wishes: Sequence[_Wish], shown: Sequence[Shown]) -> Iterator[tuple[_Wish, Shown]]:
    """Each pool with what is said of it: by its id, or its place where the body has no id."""
    known = {pool.id: pool for pool in shown}
    if len(wishes) != len(shown):
        what = "added" if len(wishes) > len(shown) else "removed"
        raise body.error(
            "resourcePools", f"pools cannot be {what}: there are {len(shown)} ({', '.join(known)}), given {len(wishes)}"
        )
    taken: set[str] = set()
    for index, wish in enumerate(wishes):
        pool = known.get(wish.id) if wish.id else shown[index]
        if pool is None:
            raise wish.fields.error("id", f"no pool has the id {wish.id!r}; there are: {', '.join(known)}")
        if pool.id in taken:
            raise wish.fields.error("id", f"the pool {pool.id} is given twice")
        taken.add(pool.id)
        yield wish, pool


def _check_same(wish: _Wish, pool: Shown, context: Context) -> None:
    """What a mask of whole pools names, too, and what cannot be changed."""
    for key, given, present in (
        ("machineSpec", wish.machine, pool.machine_spec(context)),
        ("diskSpec", wish.disk, pool.disk_spec()),
    ):
        if given is not None and given != present:
            raise wish.fields.error(key, "cannot be changed; leave it as it is, or out")


def _bounds(wish: _Wish, pool: Shown) -> Bounds | None:
    """The bounds that the pool shall have. Raises InvalidRequest."""
    if pool.bounds is None:
        if wish.scaling is not None:
            raise wish.fields.error("autoscalingSpec", _SWITCHED)
        return None
    if wish.scaling is not None:
        return Bounds.read(wish.scaling, None if wish.replaces_scaling else pool.bounds)
    if wish.replaces_scaling:
        raise wish.fields.error("autoscalingSpec", _SWITCHED)
    return pool.bounds


def _group(wish: _Wish, pool: Shown, bounds: Bounds | None, spec: ClusterSpec) -> WorkerGroup | None:
    """The pool's workers as they shall be. Raises InvalidRequest."""
    group, is_head = pool.group, pool.is_head
    if bounds is not None and group is not None:
        low, high = bounds.within_group(is_head)
        replicas = group.replicas
        if wish.count is not None:
            replicas = check_within(wish.fields, wish.count, bounds) - is_head
        if bounds == pool.bounds and replicas == group.replicas:
            return group
        return replace(group, replicas=max(low, min(replicas, high)), min_replicas=low, max_replicas=high)
    if not wish.sizes or wish.count == pool.replicas:
        return group
    if wish.count is None:
        raise wish.fields.error("replicaCount", "is required, as the mask names it")
    count = check_count(wish.fields, wish.count) - is_head
    if group is None:
        return _new_group(wish.fields, pool, count, spec)
    # A head's pool that shrinks to the head keeps its group, with no nodes: they finish what they run all the same, and
    # what other dialects have set for the group (variables, queue) is there when it grows again. A group that was removed
    # could not come back with another shape before the last of its nodes is gone.
    return fixed(group, count, spec.autoscaling.enabled)


def _new_group(fields: Fields, pool: Shown, count: int, spec: ClusterSpec) -> WorkerGroup:
    """Workers for a head that had none. They are like it, but for its options of ``ray start``: some are the head's alone."""
    if any(group.name == pool.id for group in spec.workers):
        raise fields.error(
            "replicaCount",
            f"the head's pool cannot grow: the worker group {pool.id} has nodes of another size; change the size of that",
        )
    shape: NodeShape = replace(pool.shape, ray_start_params="", release=None)
    group = WorkerGroup(pool.id, shape, count, type="GPU" if shape.gpu else "CPU")
    return fixed(group, count, spec.autoscaling.enabled)
