"""Which cluster may have an entry of the warm pool, and what becomes of the entry then. Pure.

An entry is a whole small cluster without CPUs: a head and some workers, with a token of their own. What a live node can be
given is a total of CPUs, memory and custom resources. Everything else it is born with, so a group whose nodes would differ in
anything else is started cold: variables, volumes, labels and other options of ``ray start``, GPUs and whatever else Ray hands
out one by one, another release, a larger object store, and the group's name, by which Ray labels its nodes and its
autoscaler knows them. If that group is the head's, so is the whole cluster.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass

from heliostat.domain.engine import GroupPlan, InstancePlan, Step
from heliostat.domain.ids import ClusterId, InstanceId
from heliostat.domain.releases import Release
from heliostat.domain.secret import Secret
from heliostat_node.features import features

from .autoscaling.config import offered
from .limits import STORE_MINIMUM, STORE_SHARE, Machine, wanted_store
from .notes import begin
from .plans import head_mark
from .records import InstanceRecord, NodeRecord

HEAD = "head"
"""The name that the control plane gives to every head's group."""

GIVEN = frozenset({"num_cpus", "num_gpus", "memory", "resources"})
"""Options of ``ray start`` that a live node can take on; of GPUs only that there are none."""

ONE_BY_ONE = frozenset({"GPU", "TPU", "NPU", "HPU", "RBLN", "neuron_cores"})
"""Resources that Ray hands out one by one, in any of its releases so far, and does not change on a live node."""

POOL_SHARE = 0.25
"""Of what all object stores together may take, for those of the pool: they are for nobody yet."""


@dataclass(frozen=True)
class Shape:
    """What every entry of the pool is like."""

    workers: int
    group: str
    """The name of the group that the workers are born for."""
    store_bytes: int
    """Of each node."""


def shape(workers: int, group: str, memory_bytes: int, entries: int, machine: Machine) -> Shape:
    """The shape of entries whose nodes serve groups of up to ``memory_bytes`` of memory, when there are so many."""
    each = machine.store_bytes * POOL_SHARE / max(1, entries * (1 + workers))
    return Shape(workers, group, max(STORE_MINIMUM, int(min(memory_bytes * STORE_SHARE, each))))


def entry_plan(entry: InstanceId, release: Release, form: Shape, token: Secret) -> InstancePlan:
    """The plan by which an entry is started: nodes that take no work."""

    def group(name: str, replicas: int) -> GroupPlan:
        params = {"object_store_memory": form.store_bytes}
        return GroupPlan(name, replicas, cpus=0, memory_bytes=1 << 20, ray_params=params)

    return InstancePlan(
        instance=entry,
        cluster=ClusterId(""),
        name=entry,
        generation=0,
        release=release,
        head=group(HEAD, 1),
        workers=(group(form.group, form.workers),) if form.workers else (),
        ray_token=token if features(release.ray).token_auth else None,
    )


def amounts(group: GroupPlan) -> dict[str, float]:
    """What a node of the group is given, by Ray's names."""
    return {name: float(amount) for name, amount in offered(group).items()}


def fits(plan: InstancePlan, entry: InstancePlan, record: InstanceRecord) -> bool:
    """Whether an instance can be begun with an entry; ``entry`` and ``record`` are the entry's."""
    head = next((node for node in record.nodes if node.kind == "head"), None)
    return (
        plan.release == entry.release
        and plan.scaling is None
        and not plan.volumes
        and head is not None
        and _takes(plan, plan.head, head)
    )


def given(
    plan: InstancePlan, record: InstanceRecord, token: Secret | None, now: float
) -> tuple[InstancePlan, InstanceRecord]:
    """The instance's plan and record when it is given an entry that it fits; ``record`` is the entry's."""
    head = next(node for node in record.nodes if node.kind == "head")
    workers = [node for node in record.nodes if node.kind == "worker"]
    nodes = [dataclasses.replace(_taken(plan, head, HEAD, now), born=head_mark(plan))]
    cold = False
    for group in plan.workers:
        wanted = group.replicas if group.granted is None else min(group.replicas, group.granted)
        chosen = [node for node in workers if _takes(plan, group, node)][:wanted]
        nodes += [_taken(plan, node, group.name, now) for node in chosen]
        workers = [node for node in workers if node not in chosen]
        cold = cold or group.replicas > len(chosen)
    instance = InstanceRecord(
        plan.instance,
        now,
        nodes=tuple(nodes),
        next_worker=record.next_worker,
        started_at=0.0 if cold else now,
        surplus=tuple(workers),
    )
    for step in (Step.HEAD, Step.WORKERS) if plan.workers else (Step.HEAD,):
        instance = begin(instance, step, now)
    return dataclasses.replace(plan, ray_token=token), instance


def _takes(plan: InstancePlan, group: GroupPlan, node: NodeRecord) -> bool:
    params = dict(group.ray_params)
    return (
        group.name == node.group
        and group.release in (None, plan.release)
        and group.gpu is None
        and not group.env
        and params.keys() <= GIVEN
        and not params.get("num_gpus")
        and not _names(params.get("resources", {})) & ONE_BY_ONE
        and wanted_store(group.memory_bytes, params) <= node.object_store_bytes
    )


def _taken(plan: InstancePlan, node: NodeRecord, group: str, now: float) -> NodeRecord:
    """A node of the entry as one of the instance's, as if it had been begun now."""
    return dataclasses.replace(
        node, group=group, created_at=now, alive_at=0.0, generation=plan.generation, sizing=True, reason="", message=""
    )


def _names(resources: Collection[str]) -> set[str]:
    return set(resources)
