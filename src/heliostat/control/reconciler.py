"""One look at one cluster: load the wish, let the engine look, decide, perform, record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import structlog

from heliostat.domain.claiming import Change, after, held, is_waiting, settled
from heliostat.domain.engine import Incident
from heliostat.domain.errors import HeliostatError, Retry, Unavailable
from heliostat.domain.ids import ClusterId, InstanceId, WorkspaceId
from heliostat.domain.installation import Installation
from heliostat.domain.lifecycle import ATTENTION, Facts, Plan, Status, decide
from heliostat.domain.operations import Operation
from heliostat.domain.quota import ROOT, Claim, Limit
from heliostat.domain.records import Cluster, Event, Instance
from heliostat.domain.states import State, may
from heliostat.domain.updates import is_modified
from heliostat.engines.base import Engine
from heliostat.services.seams import Clock
from heliostat.store import Store, Transaction

from .admission import waits_for
from .beside import Beside
from .plans import plan_of
from .settling import end_operations, give_up, hopeless, in_time, news_of

log = structlog.get_logger()
ACTOR = "heliostat"
NOW = timedelta(0)


@dataclass(frozen=True)
class Loaded:
    """What is stored about a cluster."""

    cluster: Cluster
    instances: tuple[Instance, ...]
    """Un-ended ones, oldest first."""
    claims: tuple[Claim, ...]
    """Of the wanted run."""
    waiting: str
    """What that run waits for, if it was not admitted yet."""
    short: str
    """What more of its nodes wait for, if it was."""
    operations: tuple[Operation, ...] = ()
    """Those under way."""

    @property
    def present(self) -> Instance | None:
        """The present run, if there is one."""
        return next((row for row in self.instances if row.id == self.cluster.instance), None)


@dataclass(frozen=True)
class Outcome:
    """What came of recording a look."""

    current: bool = True
    """False = something changed meanwhile: nothing was written, look again."""
    granted: bool = False
    """More may be started than the engine was told."""


class InstanceKeeper(Protocol):
    """Who brings logs home."""

    async def keep_instance(self, instance: Instance) -> None:
        """Everything of it that shall outlive it. Repeatable. Raises Unavailable when the log storage is down."""


class Reconciler:
    """Brings one cluster a step nearer to what is wanted of it. Safe to repeat after a crash at any point."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        installation: Installation,
        clock: Clock,
        keeper: InstanceKeeper | None = None,
        changed: Callable[[ClusterId], Awaitable[None]] | None = None,
        log_patience: timedelta = timedelta(minutes=10),
        queues_changed: Callable[[WorkspaceId], None] = lambda workspace: None,
    ) -> None:
        self._store = store
        self._queues_changed = queues_changed
        self._keeper = keeper
        self._changed = changed
        self._log_patience = log_patience
        self._waiting_since: dict[InstanceId, datetime] = {}
        """Since when the removal of an instance waits for the log storage; a crash merely lengthens the wait."""
        self._keeping = Beside()
        """Logs of instances on their way home."""
        self._kept: dict[InstanceId, str] = {}
        """Instances whose logs are at home, with what was lost of them; not yet on record."""
        self._engine = engine
        self._installation = installation
        self._clock = clock
        self._told: dict[InstanceId, tuple[Incident, ...]] = {}
        """Incidents that were written down; what is forgotten is written again, once per key."""

    async def reconcile(self, key: ClusterId) -> timedelta | None:
        """Look at the cluster once; says when to look again at the latest, None for "when woken"."""
        loaded = await self._store.read(lambda tx: _load(tx, key))
        if loaded is None:
            return None
        if hopeless(loaded.operations, loaded.cluster, loaded.present, self._clock.now()):
            # Before the engine is asked for anything: it may have no answer for a long time.
            left = await self._store.write(lambda tx: give_up(tx, key, self._clock.now()))
            loaded = replace(loaded, operations=tuple(left))
            await self._tell_others(key)
        seen = {row.id: await self._engine.observe(row.id) for row in loaded.instances}
        facts = Facts(loaded.cluster, loaded.instances, seen, loaded.waiting, loaded.short)
        plan = decide(facts, self._clock.now())
        changes = self._settled(facts, plan, loaded.claims, None)
        grants = held(after(loaded.claims, changes))
        plan = await self._perform(facts, plan, grants)
        if plan.apply is not None and changes:
            # Since the plan is applied no more can be started than it grants; only now is it sure what is there.
            facts = replace(facts, seen={**seen, plan.apply.id: await self._engine.observe(plan.apply.id)})
            changes = self._settled(facts, plan, loaded.claims, grants)
        if not facts.waiting and any(claim.missing for claim in after(loaded.claims, changes)):
            # Where another server makes the grant, this one is not woken for it.
            plan = replace(plan, again=ATTENTION if plan.again is None else min(plan.again, ATTENTION))
        plan = replace(plan, again=in_time(plan.again, loaded.operations, self._clock.now()))
        if not changes and self._nothing_new(facts, plan, loaded.operations):
            return plan.again
        outcome = await self._store.write(lambda tx: self._record(tx, facts, plan, loaded.claims, changes))
        if facts.waiting or changes or plan.ended:
            self._queues_changed(facts.cluster.workspace)
        if outcome.current:
            self._remember(facts, plan)
            await self._tell_others(key)
        return NOW if outcome.granted or not outcome.current else plan.again

    async def _tell_others(self, key: ClusterId) -> None:
        if self._changed is not None:
            await self._changed(key)

    def _settled(
        self, facts: Facts, plan: Plan, claims: Sequence[Claim], applied: Mapping[str, int] | None
    ) -> list[Change]:
        """What the claims of the wanted run shall be. Those of others are given back when nothing of them is left.

        ``applied`` are the grants that the engine was given at this look, None before it was.
        """
        present = facts.present
        if present is None or plan.status.state is State.STOPPING:
            return []
        seen = facts.seen[present.id]
        ended = plan.status.state is State.ERROR
        if seen.failure is not None or not seen.present:
            startable: Mapping[str, int] = {}
        elif ended or plan.apply is None:
            startable = held(claims)  # of earlier looks
        else:
            startable = applied or {}
        creator, gpus = facts.cluster.creator, self._installation.gpus
        return settled(claims, present, seen, creator, gpus, self._clock.now(), ended=ended, startable=startable)

    async def tell(self, key: ClusterId, message: str) -> None:
        """Have users read why nothing happens with a cluster on its way; the next look that succeeds takes it back."""

        def work(tx: Transaction) -> None:
            stored = tx.clusters.lock(key)
            on_its_way = stored is not None and stored.state in (State.STARTING, State.RUNNING, State.STOPPING)
            if stored is not None and on_its_way and stored.message != message:
                tx.clusters.save(replace(stored, message=message))

        await self._store.write(work)

    def _nothing_new(self, facts: Facts, plan: Plan, operations: Sequence[Operation]) -> bool:
        """Whether all that was seen is stored already, so that a cluster at rest costs no write.

        Whoever has changed the wish since it was loaded has also woken the loop.
        """
        if plan.ended or plan.purge or plan.status.why is not None:
            return False
        if news_of(operations, facts.cluster, facts.present, self._clock.now()):
            return False
        return _after(facts.cluster, plan, facts.present) == facts.cluster and all(
            _observed(row, facts, plan, row.running_at) == row
            and self._told.get(row.id, ()) == facts.seen[row.id].incidents
            for row in facts.instances
        )

    def _remember(self, facts: Facts, plan: Plan) -> None:
        self._told.update((row.id, facts.seen[row.id].incidents) for row in facts.instances)
        for row in plan.ended:
            self._told.pop(row.id, None)
            self._kept.pop(row.id, None)

    async def _perform(self, facts: Facts, plan: Plan, grants: Mapping[str, int]) -> Plan:
        """The effects. A plan that cannot be carried out ends in Error instead of being tried for ever.

        What runs already and lacks only this (its release was taken out of the catalogue) goes on running, and says so.
        """
        for instance in plan.destroy:
            if await self._keep_logs(instance):
                await self._engine.destroy(instance.id)
        if plan.apply is None:
            return plan
        try:
            await self._engine.apply(plan_of(plan.apply, self._installation, grants))
        except HeliostatError as error:
            if error.retry is Retry.LATER:
                raise
            if plan.status.state is State.RUNNING and facts.seen[plan.apply.id].head_ready:
                return replace(plan, status=replace(plan.status, message=f"runs, but cannot be repaired: {error}"))
            return replace(plan, status=Status(State.ERROR, str(error), "Failed"), again=None)
        return plan

    async def _keep_logs(self, instance: Instance) -> bool:
        """Bring home what the nodes have written, once, before they go; False while it is on its way. Raises Unavailable
        while it pays to try again."""
        if instance.logs_kept or instance.id in self._kept or self._keeper is None:
            return True
        lost = ""
        try:
            if not await self._keeping.done(instance.id, partial(self._keeper.keep_instance, instance)):
                return False
        except Unavailable as error:
            since = self._waiting_since.setdefault(instance.id, self._clock.now())
            if self._clock.now() - since < self._log_patience:
                raise
            lost = f"logs of the nodes could not be stored: {error.message}"
            log.warning("logs given up", instance=instance.id, cause=error.message)
        self._waiting_since.pop(instance.id, None)
        self._kept[instance.id] = lost
        return True

    async def close(self) -> None:
        """Give up what is on its way."""
        await self._keeping.close()

    def _record(
        self, tx: Transaction, facts: Facts, plan: Plan, claims: Sequence[Claim], changes: Sequence[Change]
    ) -> Outcome:
        """Write what was found, unless a user changed the wish meanwhile and it must be looked at anew."""
        before = facts.cluster
        stored = tx.clusters.lock(before.id)
        if stored is None:
            return Outcome()
        if (stored.wanted, stored.instance, stored.state) != (before.wanted, before.instance, before.state):
            return Outcome(current=False)
        now = self._clock.now()
        outcome = self._record_claims(tx, facts, plan, claims, changes, now)
        if not outcome.current:
            return outcome
        for instance in plan.ended:
            tx.instances.save(replace(instance, ended_at=now, endpoints=None))
        self._record_instances(tx, stored, facts, plan, now)
        if plan.purge:
            tx.events.add(_event(stored, now, "Deleted", "deleted; nothing of it is left"))
            tx.clusters.purge(stored.id)
            end_operations(tx, stored.id, None, None, now)
            return outcome
        after = _after(stored, plan, None if facts.present is None else tx.instances.get(facts.present.id))
        if not may(before.state, after.state):
            raise RuntimeError(f"no edge from {before.state} to {after.state}")
        if after != stored:
            tx.clusters.save(after)
        if plan.status.why is not None:
            tx.events.add(_state_event(after, stored, plan.status, facts, now))
        present = None if after.instance is None else tx.instances.get(after.instance)
        end_operations(tx, after.id, after, present, now)
        return outcome

    def _record_claims(
        self,
        tx: Transaction,
        facts: Facts,
        plan: Plan,
        claims: Sequence[Claim],
        changes: Sequence[Change],
        now: datetime,
    ) -> Outcome:
        """Give back what is free, and ask for what is wanted; where the queues have no limits it is granted at once."""
        if not changes and not plan.ended:
            return Outcome()
        stored = {row.group: row for row in tx.claims.of_instance(facts.present.id)} if facts.present else {}
        decided_upon = {row.group: row for row in claims}
        if changes and stored.keys() != decided_upon.keys():
            return Outcome(current=False)
        for group, row in decided_upon.items():
            if changes and replace(stored[group], metered_until=row.metered_until) != row:
                return Outcome(current=False)  # admitted, or metered in another phase, meanwhile
        unlimited: set[str] = set()
        if any(wish is not None and wish.missing for _, wish in changes):
            queues = tx.queues.list(facts.cluster.workspace)
            unlimited = {row.name for row in queues if Limit.of(row.maximum).unlimited}
            unlimited |= {ROOT} - {row.name for row in queues}
        ended = [row for instance in plan.ended for row in tx.claims.of_instance(instance.id)]
        final: list[Change] = [(row, None) for row in ended]
        grew = False
        for before, asked in changes:
            wish = asked
            if wish is not None and wish.missing and {wish.queue, ROOT} <= unlimited:
                wish, grew = replace(wish, held=wish.wanted), True
            final.append((None if before is None else stored[before.group], wish))
        tx.claims.change(final, now)
        return Outcome(granted=grew)

    def _record_instances(self, tx: Transaction, stored: Cluster, facts: Facts, plan: Plan, now: datetime) -> None:
        ended = {row.id for row in plan.ended}
        for instance in facts.instances:
            lost = self._kept.get(instance.id)
            if lost:
                tx.events.add(
                    Event(
                        stored.id, stored.workspace, now, ACTOR, "LogsLost", lost, True, instance.id,
                        f"{instance.id}/logs-lost",
                    )
                )  # fmt: skip
            known = {incident.key for incident in self._told.get(instance.id, ())}
            for incident in facts.seen[instance.id].incidents:
                if incident.key in known:
                    continue
                tx.events.add(
                    Event(
                        stored.id,
                        stored.workspace,
                        incident.at,
                        ACTOR,
                        incident.reason,
                        incident.message,
                        incident.warning,
                        instance.id,
                        f"{instance.id}/{incident.key}",
                    )
                )
            if instance.id in ended:
                continue
            current = tx.instances.get(instance.id)
            if current is None:
                continue
            updated = _observed(instance, facts, plan, now, current)
            if lost is not None:
                updated = replace(updated, logs_kept=True)
            if updated != current:
                tx.instances.save(updated)


def _load(tx: Transaction, key: ClusterId) -> Loaded | None:
    cluster = tx.clusters.find_any(key)
    if cluster is None:
        return None
    instances = tuple(tx.instances.live(key))
    present = Facts(cluster, instances, {}).present
    claims = tuple(tx.claims.of_instance(present.id)) if present is not None else ()
    text = waits_for(tx, claims) if any(claim.missing for claim in claims) else ""
    operations = tuple(tx.operations.open(key))
    if is_waiting(claims):
        return Loaded(cluster, instances, claims, text, "", operations)
    more = ", ".join(f"{claim.missing} of {claim.label}" for claim in claims if claim.missing)
    return Loaded(cluster, instances, claims, "", f"{more}: {text}" if more else "", operations)


def _after(cluster: Cluster, plan: Plan, run: Instance | None) -> Cluster:
    """The cluster with the plan's status; ``run`` is the wanted one, with what is known of its nodes by now."""
    after = replace(cluster, state=plan.status.state, message=plan.status.message)
    if after.state is State.STOPPED:
        return replace(after, instance=None, modified=False)
    if run is not None and after.state in (State.STARTING, State.RUNNING):
        return replace(after, modified=is_modified(run, cluster.spec))
    return after


def _observed(
    instance: Instance, facts: Facts, plan: Plan, now: datetime | None, stored: Instance | None = None
) -> Instance:
    """The instance (as it is stored by now, if that is given) with what is seen of it; ``now`` is when it came to run, if
    it has just done so."""
    seen = facts.seen[instance.id]
    runs = plan.status.state is State.RUNNING and instance is facts.present
    instance = stored or instance
    return replace(
        instance,
        demand=seen.demand,
        ray_token=seen.ray_token or instance.ray_token,
        nodes=seen.nodes,
        progress=seen.progress or instance.progress,
        endpoints=seen.endpoints,
        running_at=instance.running_at or (now if runs else None),
    )


def _event(cluster: Cluster, now: datetime, reason: str, message: str, warning: bool = False) -> Event:
    return Event(cluster.id, cluster.workspace, now, ACTOR, reason, message, warning, cluster.instance)


def _state_event(after: Cluster, before: Cluster, status: Status, facts: Facts, now: datetime) -> Event:
    reason = status.why or after.state
    if after.state is State.RUNNING and facts.present is not None:
        took = (now - facts.present.created_at).total_seconds()
        nodes = facts.seen[facts.present.id].alive
        return _event(before, now, reason, f"{nodes} nodes are alive {took:.1f} s after the start was asked for")
    if after.state is State.ERROR:
        return _event(before, now, reason, status.message, warning=True)
    return _event(before, now, reason, "nothing of the instance is left")


async def sweep(store: Store, engine: Engine) -> list[InstanceId]:
    """Find what the engine has and nobody wants, remove it, and name it. For the start of a server."""
    existing = await engine.discover()
    if not existing:
        return []
    wanted = await store.read(lambda tx: tx.instances.live_ids())
    orphans = [instance for instance in existing if instance not in wanted]
    for instance in orphans:
        log.warning("orphan found", instance=instance, remedy="it belongs to no stored cluster and is removed")
        await engine.destroy(instance)
    return orphans
