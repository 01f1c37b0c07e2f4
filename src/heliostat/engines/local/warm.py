"""Which cluster may have an entry of the warm pool, and what becomes of the entry then. Pure.

An entry is a whole small cluster without CPUs: a head and some workers, with a token of their own. What a live node can be
given is a total of CPUs, memory and custom resources. Everything else it is born with, so a group whose nodes would differ in
anything else is started cold: variables, volumes, metrics that are off, labels and other options of ``ray start``, GPUs and
whatever else Ray hands out one by one, another release, a larger object store, and the group's name, by which Ray labels its
nodes and its autoscaler knows them. If that group is the head's, so is the whole cluster.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from heliostat.domain.engine import GroupPlan, InstancePlan, Scaling, Step
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


@dataclass(frozen=True)
class Shape:
    """What every entry of the pool is like."""

    workers: int
    group: str
    """The name of the group that the workers are born for."""
    store_bytes: int
    """Of each node."""


def shape(workers: int, group: str, memory_bytes: int, machine: Machine) -> Shape:
    """The shape of entries whose nodes serve groups of up to ``memory_bytes`` of memory.

    The stores of what is kept ready are empty, so they count only when it is given away (:func:`fits`).
    """
    each = machine.store_bytes / (1 + workers)
    return Shape(workers, group, max(STORE_MINIMUM, int(min(memory_bytes * STORE_SHARE, each))))


@dataclass(frozen=True)
class Line:
    """What an entry can be: for which release, and whether its head runs Ray's autoscaler."""

    release: Release
    scaled: bool = False

    @classmethod
    def of(cls, plan: InstancePlan) -> Line:
        return cls(plan.release, plan.scaling is not None)


def entry_plan(entry: InstanceId, line: Line, form: Shape, token: Secret) -> InstancePlan:
    """The plan by which an entry is started: nodes that take no work, and an autoscaler that may change nothing."""

    def group(name: str, replicas: int) -> GroupPlan:
        params = {"object_store_memory": form.store_bytes}
        return GroupPlan(
            name,
            replicas,
            cpus=0,
            memory_bytes=1 << 20,
            ray_params=params,
            min_replicas=replicas,
            max_replicas=replicas,
        )

    return InstancePlan(
        instance=entry,
        cluster=ClusterId(""),
        name=entry,
        generation=0,
        release=line.release,
        head=group(HEAD, 1),
        workers=(group(form.group, form.workers),) if form.workers else (),
        ray_token=token if features(line.release.ray).token_auth else None,
        scaling=Scaling() if line.scaled else None,
    )


def amounts(group: GroupPlan) -> dict[str, float]:
    """What a node of the group is given, by Ray's names."""
    return {name: float(amount) for name, amount in offered(group).items()}


def fits(plan: InstancePlan, entry: InstancePlan, record: InstanceRecord, room_bytes: int) -> bool:
    """Whether an instance can be begun with an entry; ``entry`` and ``record`` are the entry's.

    ``room_bytes`` is left of the machine for object stores: where it is short, a cold start gets smaller ones.
    """
    head = next((node for node in record.nodes if node.kind == "head"), None)
    return (
        Line.of(plan) == Line.of(entry)
        and not plan.volumes
        and plan.metrics
        and plan.head.granted != 0
        and head is not None
        and _takes(plan, plan.head, head)
        and sum(node.object_store_bytes for node in _chosen(plan, record)) <= room_bytes
    )


def given(
    plan: InstancePlan, record: InstanceRecord, token: Secret | None, now: float
) -> tuple[InstancePlan, InstanceRecord]:
    """The instance's plan and record when it is given an entry that it fits; ``record`` is the entry's."""
    chosen = _chosen(plan, record)
    nodes = [_taken(plan, node, now) for node in chosen]
    wanted = 1 + sum(group.replicas for group in plan.workers)
    instance = InstanceRecord(
        plan.instance,
        now,
        nodes=tuple(nodes),
        next_worker=record.next_worker,
        started_at=now if len(nodes) == wanted else 0.0,
        surplus=tuple(node for node in record.nodes if node not in chosen),
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
        and ONE_BY_ONE.isdisjoint(params.get("resources", {}))
        and wanted_store(group.memory_bytes, params) <= node.object_store_bytes
    )


def _chosen(plan: InstancePlan, record: InstanceRecord) -> list[NodeRecord]:
    """The nodes of an entry that the instance has a use for, the head first.

    Ray's autoscaler would at once remove workers that were idle in the pool, so under it only those that it must keep.
    """
    chosen = [node for node in record.nodes if node.kind == "head"]
    for group in plan.workers:
        wanted = group.replicas if group.granted is None else min(group.replicas, group.granted)
        wanted = wanted if plan.scaling is None else min(wanted, group.min_replicas)
        chosen += [node for node in record.nodes if node.kind == "worker" and _takes(plan, group, node)][:wanted]
    return chosen


def _taken(plan: InstancePlan, node: NodeRecord, now: float) -> NodeRecord:
    """A node of the entry as one of the instance's, as if it had been begun now."""
    return dataclasses.replace(
        node,
        created_at=now,
        alive_at=0.0,
        generation=plan.generation,
        born=head_mark(plan) if node.kind == "head" else "",
        sizing=True,
        reason="",
        message="",
    )
