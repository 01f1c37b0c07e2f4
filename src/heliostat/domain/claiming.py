"""What a run's claims shall be, from what it wants and what is there of it. No I/O.

More is wanted when the spec or Ray's autoscaler says so; what is held grows by admission alone (:mod:`admission`). It
shrinks to what is wanted, but never below the nodes that are there or that the engine may still start, so that a queue
is never given away twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from .engine import GpuType, NodeState, Observation
from .ids import PrincipalId
from .quota import HEAD, Charge, Claim, Phase, groups
from .records import Instance

Change = tuple[Claim | None, Claim | None]
"""A claim as it was and as it shall be; None = there is none."""


def opening(
    instance: Instance, principal: PrincipalId, gpus: Mapping[str, GpuType], now: datetime, *, admitted: bool
) -> list[Claim]:
    """The claims of a run that begins."""
    return [
        _new(instance, principal, group, (queue, node), now, nodes if admitted else 0, nodes)
        for group, (queue, node, nodes) in groups(instance.spec, gpus).items()
        if nodes
    ]


def settled(
    claims: Sequence[Claim],
    instance: Instance,
    seen: Observation,
    principal: PrincipalId,
    gpus: Mapping[str, GpuType],
    now: datetime,
    *,
    ended: bool = False,
    startable: Mapping[str, int] = {},
) -> list[Change]:
    """Every change that the claims of a run need. Without any claim (an older Heliostat made none) it counts as admitted.

    A run that has failed (``ended``) wants nothing more. ``startable`` has the nodes that the engine was allowed last, by
    group: it may start them at any time, whatever is there.
    """
    wanted = {} if ended or instance.retired or seen.failure is not None else groups(instance.spec, gpus)
    there = _present(seen)
    for group, nodes in startable.items():
        there[group] = max(there.get(group, 0), nodes)
    known = {claim.group: claim for claim in claims}
    waiting = is_waiting(claims)
    phase = phase_of(instance)
    changes: list[Change] = []
    for group, (queue, node, replicas) in wanted.items():
        nodes = replicas if group == HEAD else seen.wanted.get(group, replicas)
        claim = known.pop(group, None)
        if claim is None:
            here = max(there.get(group, 0), 0 if claims else nodes)
            fresh = _new(instance, principal, group, (queue, node), now, here, max(here, nodes))
            changes += [(None, replace(fresh, phase=phase))] if fresh.wanted else []
        elif waiting and (claim.queue, claim.node, claim.priority) != (queue, node, instance.spec.priority):
            changes += [
                (claim, None),
                (None, _new(instance, principal, group, (queue, node), claim.asked_at, 0, nodes)),
            ]
        else:
            priced = _priced(claim, node, instance, seen)
            rows = _changed(priced, nodes, there.get(group, 0), phase, now)
            kept = rows[0][1] if rows else priced
            if priced == claim:
                changes += rows
            else:
                changes += [(claim, None), (None, kept)] if kept is not None else [(claim, None)]
    for group, claim in known.items():
        changes += _changed(claim, 0, there.get(group, 0), phase, now)
    return changes


def _priced(claim: Claim, node: Charge, instance: Instance, seen: Observation) -> Claim:
    """The claim as its run's spec has it now. While nodes are replaced by others each counts as the larger of both."""
    kind, group = ("head", None) if claim.group == HEAD else ("worker", claim.group)
    older = any(
        row.generation < instance.renew and row.state is not NodeState.EXITED
        for row in seen.nodes
        if row.kind == kind and group in (None, row.group)
    )
    return replace(claim, priority=instance.spec.priority, node=node if instance.renew and not older else claim.node)


def after(claims: Iterable[Claim], changes: Iterable[Change]) -> list[Claim]:
    """The claims once the changes are made."""
    rows = {claim.group: claim for claim in claims}
    for before, now in changes:
        if before is not None:
            rows.pop(before.group, None)
        if now is not None:
            rows[now.group] = now
    return list(rows.values())


def is_waiting(claims: Iterable[Claim]) -> bool:
    """Whether the run has not been admitted yet: not even its head may start."""
    return any(claim.group == HEAD and not claim.held for claim in claims)


def held(claims: Iterable[Claim]) -> dict[str, int]:
    """How many nodes each group may have, the head's among them."""
    return {claim.group: claim.held for claim in claims}


def phase_of(instance: Instance) -> Phase:
    """What its time goes into now."""
    if instance.running_at is None:
        return Phase.STARTING
    idle = instance.activity is not None and instance.activity.idle_since is not None
    return Phase.IDLE if idle else Phase.USEFUL


def _changed(claim: Claim, wanted: int, there: int, phase: Phase, now: datetime) -> list[Change]:
    held = max(min(claim.held, wanted), there)
    if not wanted and not held:
        return [(claim, None)]
    changed = replace(claim, wanted=max(wanted, held), held=held, phase=phase)
    if changed.missing and not claim.missing:
        changed = replace(changed, asked_at=now)
    return [] if changed == claim else [(claim, changed)]


def _present(seen: Observation) -> dict[str, int]:
    """Nodes that have, or may have, a process."""
    found: dict[str, int] = {}
    for node in seen.nodes:
        if node.state not in (NodeState.PENDING, NodeState.EXITED):
            group = HEAD if node.kind == "head" else node.group
            found[group] = found.get(group, 0) + 1
    return found


def _new(
    instance: Instance,
    principal: PrincipalId,
    group: str,
    place: tuple[str, Charge],
    now: datetime,
    held: int,
    wanted: int,
) -> Claim:
    queue, node = place
    return Claim(
        instance=instance.id, group=group, workspace=instance.workspace, cluster=instance.cluster, queue=queue,
        principal=principal, node=node, wanted=wanted, held=held, priority=instance.spec.priority, asked_at=now,
        phase=Phase.STARTING, metered_until=now,
    )  # fmt: skip
