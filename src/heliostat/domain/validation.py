"""Whether a spec can be stored: limits and references, each error with its native path.

Source of the limits: EMR contract, section 8 (validation table), which is the strictest dialect; what a dialect demands
beyond that (needed fields, ``replica >= 1``) it checks itself while translating.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from .errors import InvalidSpec, MissingField
from .installation import Installation
from .mounts import mount_errors
from .quantities import MAX_CORES, MAX_MEMORY
from .spec import ClusterSpec, NodeShape, WorkerGroup

MAX_GROUPS = 50
MAX_REPLICAS = 1000
MAX_DESCRIPTION = 1024
MAX_ENV_BYTES = 64 << 10
MIN_LIFETIME = 10
"""Seconds. What is shorter would stop a cluster before it is of use."""
_GROUP = re.compile(r"[A-Za-z0-9_-]{1,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LABEL = re.compile(r"(?!_)\w[\w./-]{0,252}")
"""Letters and digits of all scripts: Vertex AI's labels may have them (Vertex contract, section 9.3)."""


def check(spec: ClusterSpec, installation: Installation, queues: Collection[str]) -> None:
    """Raise the first :class:`InvalidSpec` found, in the order of the fields; return when there is none."""
    for error in errors(spec, installation, queues):
        raise error


def errors(spec: ClusterSpec, installation: Installation, queues: Collection[str]) -> Iterator[InvalidSpec]:
    """Every error of the spec."""
    if not spec.name.strip():
        yield MissingField("name")
    elif len(spec.name) > 64:
        yield InvalidSpec("name", f"must have 1 to 64 characters, has {len(spec.name)}")
    elif any(ord(character) < 32 for character in spec.name):
        yield InvalidSpec("name", "must not hold control characters")
    if len(spec.description) > MAX_DESCRIPTION:
        yield InvalidSpec("description", f"must have at most {MAX_DESCRIPTION} characters")
    release = installation.catalogue.find(spec.release)
    if release is None:
        offered = "; ".join(row.display for row in installation.catalogue.releases)
        yield InvalidSpec("release", f"{spec.release!r} is not offered; choose one of: {offered}")
    if spec.network_service and spec.network_service not in {row.name for row in installation.network_services}:
        known = ", ".join(row.name for row in installation.network_services)
        yield InvalidSpec(
            "network_service", f"no network service is named {spec.network_service!r}; there are: {known}"
        )
    for index, volume in enumerate(spec.volumes):
        if volume not in installation.volumes:
            yield InvalidSpec(
                f"volumes[{index}]", f"no volume has the id {volume!r}; volumes are configured by the operator"
            )
    yield from mount_errors(spec.nfs_mounts)
    yield from _autoscaling(spec)
    yield from _lifetime(spec)
    yield from _fault_tolerance(spec)
    yield from _labels(spec.labels)
    yield from _shape("head", spec.head, spec, installation, queues)
    if len(spec.workers) > MAX_GROUPS:
        yield InvalidSpec("workers", f"at most {MAX_GROUPS} groups, given {len(spec.workers)}")
    seen: set[str] = set()
    for index, group in enumerate(spec.workers):
        path = f"workers[{index}]"
        yield from _group(path, group, spec)
        if group.name in seen:
            yield InvalidSpec(f"{path}.name", f"a second group named {group.name!r}; names must be unique")
        seen.add(group.name)
        yield from _shape(path, group.shape, spec, installation, queues)


def _autoscaling(spec: ClusterSpec) -> Iterator[InvalidSpec]:
    times = [
        ("autoscaling.idle_timeout_seconds", spec.autoscaling.idle_timeout_seconds),
        *((f"workers[{at}].idle_timeout_seconds", group.idle_timeout_seconds) for at, group in enumerate(spec.workers)),
    ]
    for path, timeout in times:
        if timeout is not None and not 0 < timeout <= 7 * 86400:
            yield InvalidSpec(path, "must be between 1 second and 7 days")


def _lifetime(spec: ClusterSpec) -> Iterator[InvalidSpec]:
    for path, seconds in (
        ("idle_stop_after", spec.lifetime.idle_stop_seconds),
        ("max_lifetime", spec.lifetime.max_seconds),
    ):
        if seconds is not None and not MIN_LIFETIME <= seconds <= 365 * 86400:
            yield InvalidSpec(path, f"must be between {MIN_LIFETIME} seconds and 365 days")
    if not -1000 <= spec.priority <= 1000:
        yield InvalidSpec("priority", "must be between -1000 and 1000")


def _fault_tolerance(spec: ClusterSpec) -> Iterator[InvalidSpec]:
    tolerance = spec.fault_tolerance
    if tolerance is not None and tolerance.enabled and not tolerance.redis_url:
        yield MissingField("fault_tolerance.redis_url", "is required when fault tolerance is enabled")


def _labels(labels: Mapping[str, str]) -> Iterator[InvalidSpec]:
    if len(labels) > 64:
        yield InvalidSpec("labels", "at most 64 labels")
    for key, value in labels.items():
        if not _LABEL.fullmatch(key) or len(value) > 63:
            yield InvalidSpec(
                f"labels.{key}",
                "keys begin with a letter or digit and have letters, digits and . _ / -; values have at most 63 characters",
            )


def _group(path: str, group: WorkerGroup, spec: ClusterSpec) -> Iterator[InvalidSpec]:
    if not group.name:
        yield MissingField(f"{path}.name")
    elif not _GROUP.fullmatch(group.name):
        yield InvalidSpec(f"{path}.name", f"{group.name!r} must be 1 to 63 letters, digits, '-' or '_'")
    if group.type not in ("CPU", "GPU"):
        yield InvalidSpec(f"{path}.type", f"{group.type!r} is not CPU or GPU")
    for field, value in (
        ("replicas", group.replicas),
        ("min_replicas", group.min_replicas),
        ("max_replicas", group.max_replicas),
    ):
        if value is not None and not 0 <= value <= MAX_REPLICAS:
            yield InvalidSpec(f"{path}.{field}", f"must be between 0 and {MAX_REPLICAS}, given {value}")
    low, high = group.min_replicas, group.max_replicas
    if low is not None and high is not None and low > high:
        yield InvalidSpec(f"{path}.min_replicas", f"must not exceed max_replicas ({low} > {high})")
    elif spec.autoscaling.enabled:
        for field, bound in (("min_replicas", low), ("max_replicas", high)):
            if bound is None:
                yield MissingField(f"{path}.{field}", "is required with autoscaling")
        if low is not None and high is not None and not low <= group.replicas <= high:
            yield InvalidSpec(f"{path}.replicas", f"must lie between min_replicas and max_replicas ({low} to {high})")


def _shape(
    path: str, shape: NodeShape, spec: ClusterSpec, installation: Installation, queues: Collection[str]
) -> Iterator[InvalidSpec]:
    if not shape.queue:
        yield MissingField(f"{path}.queue")
    elif shape.queue not in queues:
        yield InvalidSpec(f"{path}.queue", f"no queue is named {shape.queue!r}; there are: {', '.join(sorted(queues))}")
    if not shape.cpu.is_finite() or not 0 < shape.cpu <= MAX_CORES:
        yield InvalidSpec(f"{path}.cpu", f"must be more than 0 and at most {MAX_CORES} cores")
    if not 0 < shape.memory <= MAX_MEMORY:
        yield InvalidSpec(f"{path}.memory", "must be more than 0 and at most 1 PiB")
    if shape.gpu is not None and shape.gpu not in installation.gpus:
        known = ", ".join(gpu.name for gpu in installation.gpus.values() if gpu.listed) or "none"
        yield InvalidSpec(f"{path}.gpu", f"no GPU type is named {shape.gpu!r}; there are: {known}")
    if sum(len(text.encode(errors="replace")) for item in shape.env.items() for text in item) > MAX_ENV_BYTES:
        yield InvalidSpec(f"{path}.env", f"must have at most {MAX_ENV_BYTES} bytes in all")
    for key, value in shape.env.items():
        if not _VARIABLE.fullmatch(key):
            yield InvalidSpec(f"{path}.env", f"{key!r} is not a name of an environment variable")
        elif "\0" in value:
            yield InvalidSpec(f"{path}.env", f"the value of {key} holds a NUL character")
    yield from _release(path, shape, spec, installation)


def _release(path: str, shape: NodeShape, spec: ClusterSpec, installation: Installation) -> Iterator[InvalidSpec]:
    if shape.release is None:
        return
    cluster, own = installation.catalogue.find(spec.release), installation.catalogue.find(shape.release)
    if own is None:
        yield InvalidSpec(f"{path}.release", f"{shape.release!r} is not offered")
    elif cluster is not None and path == "head" and own != cluster:
        yield InvalidSpec(f"{path}.release", f"the head runs the cluster's release, {cluster.display}")
    elif cluster is not None and own.ray != cluster.ray:
        yield InvalidSpec(f"{path}.release", f"all nodes of a cluster run the same Ray; the cluster's is {cluster.ray}")
