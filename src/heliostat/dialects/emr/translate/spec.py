"""Create and update bodies (EMR contract, section 5.1), read into a :class:`Wish` and applied to a spec.

A wish holds what the body says, types and forms checked; a field that is absent is None. Making a new spec of it fills
in the defaults; changing a stored one replaces key by key, ``headSpec`` and ``workerSpec`` as wholes. Limits and
references (queues, GPU types, volumes, unique names) are checked with the whole spec by the use case.

Empty text in an optional field means "no value", since the client has no other way to take a value away, and comes back
as an absent field. What one of several spellings could have been written as comes back as written: ``cpu`` and ``memory``
through the spec's spellings; ``env``, which may hold secrets, and ``extraParam`` through its extras, which are encrypted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from heliostat.domain.quantities import GIB, format_cores, parse_cores, parse_memory
from heliostat.domain.releases import Catalogue
from heliostat.domain.secret import Secret
from heliostat.domain.spec import MASK, Autoscaling, ClusterSpec, FaultTolerance, NodeShape, WorkerGroup
from heliostat.domain.validation import MAX_GROUPS
from heliostat_node.options import parse_ray_start_params

from ..errors import EmrError, invalid, missing
from .environment import format_environment, parse_environment
from .fields import Fields

EXTRA_PARAM = "emr.extraParam"
HEAD_ENV = "emr.head.env"


def group_extra(group: str, field: str) -> str:
    """Key in ``ClusterSpec.extras`` for a field of a worker group; by name, so that it survives another order."""
    return f"emr.workers.{group}.{field}"


def format_memory(size: int) -> str:
    """Bytes in this dialect's only unit: 536870912 -> ``"0.5Gi"``. Exact."""
    whole, rest = divmod(size, GIB)
    decimals = f"{rest * 10**30 // GIB:030d}".rstrip("0")
    return f"{whole}.{decimals}Gi" if decimals else f"{whole}Gi"


@dataclass(frozen=True)
class NodeWish:
    """What a body says of one kind of node. Texts are as written."""

    queue: str | None
    cpu: tuple[str, Decimal] | None
    memory: tuple[str, int] | None
    gpu: str | None
    env: str
    ray_start_params: str
    release: str | None
    """Display text of a listed release."""

    def shape(self, default: NodeShape | None = None) -> NodeShape:
        """The shape of the node; what is not said is as in ``default``, which only nodes that need it may lack."""
        return NodeShape(
            queue=self.queue or (default.queue if default else ""),
            cpu=self.cpu[1] if self.cpu else default.cpu if default else Decimal(0),
            memory=self.memory[1] if self.memory else default.memory if default else 0,
            gpu=self.gpu,
            env=parse_environment(self.env),
            ray_start_params=self.ray_start_params,
            release=self.release,
        )

    def spellings(self, path: str) -> dict[str, str]:
        """The written forms that are not the plain ones, by native path."""
        written = {}
        if self.cpu and self.cpu[0] != format_cores(self.cpu[1]):
            written[f"{path}.cpu"] = self.cpu[0]
        if self.memory and self.memory[0] != format_memory(self.memory[1]):
            written[f"{path}.memory"] = self.memory[0]
        return written


@dataclass(frozen=True)
class HeadWish:
    node: NodeWish
    autoscaling: Autoscaling
    fault_tolerance: FaultTolerance | None


@dataclass(frozen=True)
class GroupWish:
    node: NodeWish
    name: str | None
    type: str | None
    replicas: int | None
    min_replicas: int | None
    max_replicas: int | None
    extra_param: str | None
    path: str
    """Where the body says it."""


@dataclass(frozen=True)
class Wish:
    """A create or update body. None = not said."""

    name: str | None
    release: str | None
    """Display text of a listed release."""
    description: str | None
    network_service: str | None
    extra_param: str | None
    volumes: tuple[str, ...] | None
    head: HeadWish | None
    workers: tuple[GroupWish, ...] | None

    def create(self, catalogue: Catalogue) -> ClusterSpec:
        """The spec of a new cluster. Raises EmrError for a needed field that is absent."""
        if self.name is None:
            raise missing("name")
        if self.head is None:
            raise missing("headSpec")
        release = self.release or self.head.node.release or catalogue.default_release.display
        blank = ClusterSpec(name=self.name, release=release, head=self.head.node.shape())
        return self.change(blank)

    def change(self, spec: ClusterSpec) -> ClusterSpec:
        """``spec`` with everything that the body says. Raises EmrError."""
        changed = replace(
            spec,
            name=spec.name if self.name is None else self.name,
            description=spec.description if self.description is None else self.description,
            network_service=spec.network_service if self.network_service is None else self.network_service or None,
            volumes=spec.volumes if self.volumes is None else self.volumes,
        )
        if self.extra_param is not None:
            changed = _with_extras(changed, EXTRA_PARAM, {EXTRA_PARAM: self.extra_param})
        if self.release is not None:
            changed = _with_release(changed, self.release)
        if self.head is not None:
            changed = _with_head(changed, self.head)
        if self.workers is not None:
            changed = _with_workers(changed, self.workers)
        return changed


def read_wish(body: bytes, catalogue: Catalogue) -> Wish:
    """A body, types and forms checked. Raises EmrError and nothing else, whatever the bytes are."""
    fields = Fields.body(body)
    head, workers = fields.nested("headSpec"), fields.objects("workerSpec", MAX_GROUPS)
    volumes = fields.texts("volumeIds")
    name = fields.text("name")
    if name is not None and not name.strip():
        raise fields.error("name", "must have 1 to 64 characters")
    return Wish(
        name=name,
        release=read_release(fields, catalogue),
        description=fields.text("description"),
        network_service=fields.text("networkServiceName"),
        extra_param=fields.json_text("extraParam"),
        volumes=None if volumes is None else tuple(volumes),
        head=None if head is None else read_head(head, catalogue),
        workers=None if workers is None else tuple(read_group(group, catalogue) for group in workers),
    )


def read_head(fields: Fields, catalogue: Catalogue) -> HeadWish:
    """``headSpec``. Raises EmrError."""
    node = _node(fields, "head", catalogue)
    for key, value in (("queueName", node.queue), ("cpu", node.cpu), ("memory", node.memory)):
        if value is None:
            raise missing(fields.at(key))
    config = fields.nested("gftConfig")
    enabled = fields.flag("gftEnabled")
    tolerance = None
    if config is not None or enabled is not None:
        password = config.text("redisPassword") if config else None
        tolerance = FaultTolerance(
            enabled=bool(enabled),
            redis_url=(config.text("redisUrl") if config else None) or "",
            redis_username=(config.text("redisUsername") if config else None) or "",
            redis_password=Secret(password) if password else None,
        )
    return HeadWish(
        node,
        Autoscaling(bool(fields.flag("enableAutoScaling")), fields.integer("idleTimeoutSeconds", 1)),
        tolerance,
    )


def read_group(fields: Fields, catalogue: Catalogue) -> GroupWish:
    """One of ``workerSpec``. Raises EmrError."""
    name = fields.text("groupName")
    if name == "":
        raise fields.error("groupName", "must be 1 to 63 letters, digits, '-' or '_'")
    return GroupWish(
        node=_node(fields, "worker", catalogue),
        name=name,
        type=fields.text("workerType") or None,
        replicas=fields.integer("replica", 0),
        min_replicas=fields.integer("minReplica", 0),
        max_replicas=fields.integer("maxReplica", 0),
        extra_param=fields.json_text("extraParam"),
        path=fields.path,
    )


def _node(fields: Fields, kind: str, catalogue: Catalogue) -> NodeWish:
    queue = fields.text("queueName")
    if queue == "":
        raise fields.error("queueName", "must be the name of a queue; see ListWorkspaceQueues")
    env, params = fields.text("env") or "", fields.text("rayStartParams") or ""
    try:
        parse_environment(env)
    except ValueError as error:
        raise fields.error("env", str(error)) from None
    try:
        parse_ray_start_params(params, kind)
    except ValueError as error:
        raise fields.error("rayStartParams", str(error).rstrip(".")) from None
    return NodeWish(
        queue=queue,
        cpu=fields.amount("cpu", parse_cores),
        memory=fields.amount("memory", parse_memory),
        gpu=fields.text("gpuSpec") or None,
        env=env,
        ray_start_params=params,
        release=read_release(fields, catalogue),
    )


def read_release(fields: Fields, catalogue: Catalogue) -> str | None:
    """The display text of a release given by that or by the part before the blank. Raises EmrError."""
    text = fields.text("displayReleaseVersion")
    if not text:
        return None
    found = next((row for row in catalogue.releases if text in (row.display, row.name)), None)
    if found is None:
        offered = "; ".join(row.display for row in catalogue.releases)
        raise fields.error("displayReleaseVersion", f"{text!r} is not offered; choose one of: {offered}")
    return found.display


def _with_release(spec: ClusterSpec, release: str) -> ClusterSpec:
    """Another release for the cluster. A node that named the cluster's own goes with it."""

    def follow(shape: NodeShape) -> NodeShape:
        return replace(shape, release=release) if shape.release == spec.release else shape

    workers = tuple(replace(group, shape=follow(group.shape)) for group in spec.workers)
    return replace(spec, release=release, head=follow(spec.head), workers=workers)


def _with_head(spec: ClusterSpec, wish: HeadWish) -> ClusterSpec:
    tolerance = wish.fault_tolerance
    if tolerance is not None and tolerance.redis_password == Secret(MASK):  # as it was shown: the one that is stored
        stored = spec.fault_tolerance.redis_password if spec.fault_tolerance else None
        if stored is None:
            raise EmrError("InvalidParameter", "stands for a stored password, and none is stored", path=_PASSWORD)
        tolerance = replace(tolerance, redis_password=stored)
    changed = replace(
        spec, head=wish.node.shape(), fault_tolerance=tolerance,
        autoscaling=replace(wish.autoscaling, upscaling=spec.autoscaling.upscaling),
        spellings=_without(spec.spellings, "head.") | wish.node.spellings("head"),
    )  # fmt: skip
    return _with_extras(changed, HEAD_ENV, {HEAD_ENV: _unusual_env(wish.node)})


_PASSWORD = "headSpec.gftConfig.redisPassword"


def _with_workers(spec: ClusterSpec, wishes: Sequence[GroupWish]) -> ClusterSpec:
    taken = {wish.name for wish in wishes if wish.name is not None}
    spellings = _without(spec.spellings, "workers[")
    extras: dict[str, str] = {}
    before = {group.name: group for group in spec.workers}
    groups = []
    for index, wish in enumerate(wishes):
        name = wish.name or _free_name(index + 1, taken)
        taken.add(name)
        stored = before.get(name)
        _check_counts(wish, stored)
        least = wish.min_replicas if spec.autoscaling.enabled and wish.min_replicas else 1
        groups.append(
            WorkerGroup(
                name=name,
                shape=wish.node.shape(spec.head),
                replicas=least if wish.replicas is None else wish.replicas,
                min_replicas=wish.min_replicas,
                max_replicas=wish.max_replicas,
                type=wish.type or ("GPU" if wish.node.gpu else "CPU"),
                idle_timeout_seconds=stored.idle_timeout_seconds if stored else None,
            )
        )
        spellings |= wish.node.spellings(f"workers[{index}]")
        extras[group_extra(name, "env")] = _unusual_env(wish.node)
        extras[group_extra(name, "extraParam")] = wish.extra_param or ""
    return _with_extras(replace(spec, workers=tuple(groups), spellings=spellings), "emr.workers.", extras)


def _check_counts(wish: GroupWish, stored: WorkerGroup | None) -> None:
    """Numbers are at least 1, unless others have set them to 0: what was read can be sent back. Raises EmrError."""
    least, most, size = (stored.min_replicas, stored.max_replicas, stored.replicas) if stored else (1, 1, 1)
    for key, value, may_be_none in (
        ("replica", wish.replicas, 0 in (size, least)),
        ("minReplica", wish.min_replicas, least == 0),
        ("maxReplica", wish.max_replicas, most == 0),
    ):
        if value == 0 and not may_be_none:
            raise invalid(f"{wish.path}.{key}", "must be at least 1, given 0")


def _free_name(number: int, taken: set[str]) -> str:
    """``WorkerGroup<number>``, or the next number that no group has."""
    while f"WorkerGroup{number}" in taken:
        number += 1
    return f"WorkerGroup{number}"


def _unusual_env(node: NodeWish) -> str:
    """The ``env`` text if it would not come back by itself, else nothing."""
    return "" if format_environment(parse_environment(node.env)) == node.env else node.env


def _with_extras(spec: ClusterSpec, prefix: str, extras: dict[str, str]) -> ClusterSpec:
    """``extras`` in place of all those below ``prefix``; empty ones are left out."""
    given = {key: value for key, value in extras.items() if value}
    return replace(spec, extras=_without(spec.extras, prefix) | given)


def _without(values: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key: value for key, value in values.items() if not key.startswith(prefix)}
