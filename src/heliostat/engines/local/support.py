"""What becomes of each field of a spec that local processes cannot honour literally. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from heliostat.domain.engine import Finding, Verdict
from heliostat.domain.quantities import format_cores, format_memory
from heliostat.domain.releases import Catalogue, Release
from heliostat.domain.spec import ClusterSpec, NodeShape
from heliostat_node.environment import overruled
from heliostat_node.features import features
from heliostat_node.options import parse_ray_start_params

from . import nfs
from .limits import HEAD_BYTES, WORKER_BYTES, Machine, wanted_store
from .node_specs import volume_variable, whole_cores

OWN_PREFIXES = ("RAY_AUTH_", "HELIOSTAT_")
OWN_NAMES = frozenset({"RAY_ADDRESS", "RAY_REDIS_ADDRESS", "RAY_START_HOOK"})
"""Variables by which a user could point a node at another cluster, or at another's secrets."""


def findings(spec: ClusterSpec, machine: Machine, catalogue: Catalogue) -> list[Finding]:
    """Every field of the spec that is not honoured literally, in the spec's order."""
    release = catalogue.find(spec.release)
    shapes = [("head", "head", spec.head, 1)]
    shapes += [(f"workers[{index}]", "worker", group.shape, group.replicas) for index, group in enumerate(spec.workers)]
    found: list[Finding] = []
    for path, kind, shape, _ in shapes:
        found += _shape(path, kind, shape, machine)
        found += _release(path, shape, release, catalogue)
    found += _totals([(shape, replicas) for _, _, shape, replicas in shapes], machine)
    found += _most(spec, machine)
    found += _cluster(spec, release)
    found += [nfs.finding(f"nfs_mounts[{at}]", mount, machine.mounts) for at, mount in enumerate(spec.nfs_mounts)]
    return found


def _shape(path: str, kind: str, shape: NodeShape, machine: Machine) -> Iterator[Finding]:
    if shape.cpu > machine.cores:
        yield Finding(
            f"{path}.cpu",
            Verdict.MAPPED,
            f"Ray schedules {format_cores(shape.cpu)} cores as asked for; this machine has {machine.cores:g}, so the "
            "work shares them",
        )
    if shape.cpu != whole_cores(float(shape.cpu)):
        yield Finding(
            f"{path}.cpu",
            Verdict.MAPPED,
            f"Ray gives a node whole cores only: {format_cores(shape.cpu)} counts as {whole_cores(float(shape.cpu))}",
        )
    if shape.memory > machine.memory_bytes:
        yield Finding(
            f"{path}.memory",
            Verdict.MAPPED,
            f"Ray counts with {format_memory(shape.memory)} as asked for; this machine has "
            f"{format_memory(machine.memory_bytes)}, and no more can be used",
        )
    if shape.gpu is not None and not machine.gpus:
        yield Finding(
            f"{path}.gpu",
            Verdict.MAPPED,
            "this machine has no GPU: the node offers Ray's GPU resource for scheduling only, and code that uses a GPU fails",
        )
    yield from _variables(path, shape)
    yield from _options(path, kind, shape, machine)


def _variables(path: str, shape: NodeShape) -> Iterator[Finding]:
    replaced = overruled(shape.env)
    for name in shape.env:
        if name.startswith(OWN_PREFIXES) or name in OWN_NAMES:
            yield Finding(f"{path}.env.{name}", Verdict.REFUSED, f"{name} is set by Heliostat itself; remove it")
        elif name in replaced:
            yield Finding(f"{path}.env.{name}", Verdict.IGNORED, f"Heliostat sets {name} itself: {replaced[name]}")


def _options(path: str, kind: str, shape: NodeShape, machine: Machine) -> Iterator[Finding]:
    try:
        options = parse_ray_start_params(shape.ray_start_params, kind)
    except ValueError as error:
        yield Finding(f"{path}.ray_start_params", Verdict.REFUSED, str(error))
        return
    wanted = wanted_store(shape.memory, options)
    if wanted > machine.store_bytes:
        given = "object_store_memory" in options
        yield Finding(
            f"{path}.ray_start_params" if given else f"{path}.memory",
            Verdict.MAPPED,
            f"the object store would have {format_memory(wanted)}; it gets at most {format_memory(machine.store_bytes)}, "
            "which is what this machine has for all of them",
        )


def _release(path: str, shape: NodeShape, release: Release | None, catalogue: Catalogue) -> Iterator[Finding]:
    own = catalogue.find(shape.release) if shape.release is not None else None
    if own is None or release is None:
        return
    if own.ray != release.ray:
        yield Finding(
            f"{path}.release",
            Verdict.REFUSED,
            f"all nodes of a cluster must run the same Ray; the cluster's is {release.ray}, this is {own.ray}",
        )
    elif own.python != release.python:
        yield Finding(
            f"{path}.release",
            Verdict.REFUSED,
            f"Ray demands the same Python on all nodes; the cluster's is {release.python}, this is {own.python}",
        )


def _totals(shapes: list[tuple[NodeShape, int]], machine: Machine) -> Iterator[Finding]:
    """Overcommitment that only shows in the sum; what is too much for one node alone was said there.

    Work can share cores and memory, Ray's own processes cannot.
    """
    cores = sum((shape.cpu * replicas for shape, replicas in shapes), Decimal(0))
    memory = sum(shape.memory * replicas for shape, replicas in shapes)
    nodes = sum(replicas for _, replicas in shapes)
    at_rest = HEAD_BYTES + (nodes - 1) * WORKER_BYTES
    if at_rest > machine.memory_bytes:
        yield Finding(
            "workers",
            Verdict.REFUSED,
            f"{nodes} nodes take {format_memory(at_rest)} for Ray's own processes alone, and this machine has "
            f"{format_memory(machine.memory_bytes)}; ask for fewer",
        )
    if cores > machine.cores and all(shape.cpu <= machine.cores for shape, _ in shapes):
        yield Finding(
            "workers",
            Verdict.MAPPED,
            f"the {nodes} nodes ask for {format_cores(cores)} cores together and share the {machine.cores:g} of this machine",
        )
    if memory > machine.memory_bytes and all(shape.memory <= machine.memory_bytes for shape, _ in shapes):
        yield Finding(
            "workers",
            Verdict.MAPPED,
            f"the {nodes} nodes ask for {format_memory(memory)} together and share the "
            f"{format_memory(machine.memory_bytes)} of this machine; their object stores are made smaller to fit",
        )


def _cluster(spec: ClusterSpec, release: Release | None) -> Iterator[Finding]:
    if spec.autoscaling.enabled:
        yield from _autoscaling(spec, release)
    if spec.fault_tolerance is not None and spec.fault_tolerance.enabled:
        yield _fault_tolerance(release)
    if spec.network_service is not None:
        yield Finding(
            "network_service", Verdict.IGNORED, "the nodes are processes of one machine and talk over its loopback only"
        )
    for index, volume in enumerate(spec.volumes):
        yield Finding(
            f"volumes[{index}]",
            Verdict.MAPPED,
            f"nothing is mounted: the variable {volume_variable(volume)} tells every node where the directory is",
        )


def _autoscaling(spec: ClusterSpec, release: Release | None) -> Iterator[Finding]:
    if release is not None and not features(release.ray).autoscaling:
        yield Finding(
            "autoscaling.enabled",
            Verdict.REFUSED,
            f"the autoscaler of Ray {release.ray} cannot be given nodes by the local engine; choose a newer release, or "
            "switch autoscaling off and say how many nodes there shall be",
        )
    try:
        options = parse_ray_start_params(spec.head.ray_start_params, "head")
    except ValueError:  # told as a finding of the head
        return
    if options.get("no_monitor"):
        yield Finding(
            "head.ray_start_params",
            Verdict.REFUSED,
            "--no-monitor takes away the process that Ray's autoscaler runs in; remove it, or switch autoscaling off",
        )


def _most(spec: ClusterSpec, machine: Machine) -> Iterator[Finding]:
    """More nodes than there can be are no error: the autoscaler may never want them."""
    groups = spec.workers if spec.autoscaling.enabled else ()
    nodes = sum(max(group.replicas, group.max_replicas or 0) for group in groups)
    room = max(0, machine.memory_bytes - HEAD_BYTES) // WORKER_BYTES
    if nodes > room:
        yield Finding(
            "workers",
            Verdict.MAPPED,
            f"the groups may grow to {nodes} workers together; Ray's own processes alone fill this machine's "
            f"{format_memory(machine.memory_bytes)} with {room}, so that further ones wait",
        )


def _fault_tolerance(release: Release | None) -> Finding:
    if release is not None and features(release.ray).gcs_storage:
        return Finding(
            "fault_tolerance",
            Verdict.MAPPED,
            "the head's state is kept in Ray's embedded storage on disk, not in the given Redis; a head that dies comes back",
        )
    ray = release.ray if release is not None else "of this release"
    return Finding(
        "fault_tolerance",
        Verdict.IGNORED,
        f"Ray {ray} cannot keep its state without Redis, which the local engine does not use: the cluster ends with its head",
    )
