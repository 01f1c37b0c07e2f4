"""What to do next with a cluster: facts in, plan out. No I/O, so that every case is a table test.

The facts are the stored cluster with its un-ended instances, and what the engine sees of each. The plan is a handful of
idempotent steps and the status to record. It is level-based: it looks at what is, never at what changed, so that a crash
between any two lines is mended by the next look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from .engine import Observation, Step
from .ids import InstanceId
from .records import Cluster, Instance
from .states import State, Wanted, may, toward

GLANCE = timedelta(seconds=30)
"""How long a settled, running cluster is left alone if its engine reports no change."""
ATTENTION = timedelta(seconds=2)
"""The same for one on its way; engines report changes sooner, this is the net below them."""
AT_ONCE = timedelta(0)


@dataclass(frozen=True)
class Facts:
    """A cluster and everything known of its runs."""

    cluster: Cluster
    instances: tuple[Instance, ...]
    """Un-ended ones, oldest first."""
    seen: Mapping[InstanceId, Observation]
    waiting: str = ""
    """What the wanted run waits for before anything of it may be started; empty when it was admitted."""
    short: str = ""
    """What more nodes of a run that was admitted wait for; empty when it lacks nothing."""

    @property
    def present(self) -> Instance | None:
        """The run that is wanted, if any is."""
        if self.cluster.wanted is not Wanted.RUNNING:
            return None
        return next((row for row in self.instances if row.id == self.cluster.instance and not row.retired), None)


@dataclass(frozen=True)
class Status:
    """What to record of the cluster."""

    state: State
    message: str
    why: str | None = None
    """Reason of the event when the state changes."""


@dataclass(frozen=True)
class Plan:
    apply: Instance | None
    """Have the engine make (or keep) this one."""
    destroy: tuple[Instance, ...]
    ended: tuple[Instance, ...]
    """Nothing of these is left: to be recorded as ended."""
    status: Status
    purge: bool
    """The cluster was deleted and nothing is left: forget it."""
    again: timedelta | None
    """When to look again at the latest; None = only when woken."""


def decide(facts: Facts, now: datetime) -> Plan:
    """The next steps. ``now`` is not looked at yet by any rule but belongs to every decision's facts.

    Whatever was stored, the status is one that the table of edges allows: what lies further away is gone to in steps.
    """
    plan = _decide(facts)
    if may(facts.cluster.state, plan.status.state):
        return plan
    step = Status(toward(facts.cluster.state, plan.status.state), plan.status.message)
    return replace(plan, apply=plan.apply if step.state is State.STARTING else None, status=step, again=AT_ONCE)


def _decide(facts: Facts) -> Plan:
    cluster = facts.cluster
    unwanted = tuple(row for row in facts.instances if row is not facts.present)
    remains = tuple(row for row in unwanted if facts.seen[row.id].present)
    ended = tuple(row for row in unwanted if not facts.seen[row.id].present)
    if cluster.wanted is not Wanted.RUNNING:
        return _downwards(facts, remains, ended)
    present = facts.present
    if present is not None and facts.waiting and not facts.seen[present.id].present:
        return Plan(None, remains, ended, Status(State.STARTING, facts.waiting), purge=False, again=GLANCE)
    status = _upwards(cluster, facts.seen[present.id] if present else None, facts.short)
    if remains:
        if status.state is State.STARTING:
            status = replace(status, message=_trouble(facts, remains) or status.message)
        return Plan(None, remains, ended, status, purge=False, again=ATTENTION)
    if status.state is State.ERROR:
        return Plan(None, (), ended, status, purge=False, again=None)
    again = GLANCE if status.state is State.RUNNING else ATTENTION
    return Plan(present, (), ended, status, purge=False, again=again)


def _upwards(cluster: Cluster, seen: Observation | None, short: str) -> Status:
    """The state of a cluster that is wanted running; ``seen`` is None when its run is not on record."""
    if cluster.state is State.ERROR:
        return Status(State.ERROR, cluster.message)
    if seen is None:
        return Status(State.ERROR, "the run that was wanted is not on record; start the cluster again", "Failed")
    if seen.failure is not None:
        return Status(State.ERROR, seen.failure, "Failed")
    if cluster.state is State.RUNNING:
        gone = "" if seen.present else "nothing of it was found; its nodes are being started again"
        return Status(State.RUNNING, "; ".join(part for part in (seen.trouble or gone, short) if part) or "ok")
    # What was up may have grown beyond what its queues have room for yet; it is up all the same.
    up = seen.complete or (seen.step is Step.UP and seen.head_ready and seen.jobs_ready)
    if up and seen.endpoints is not None and seen.alive >= 1:
        return Status(State.RUNNING, "ok", "Running")
    return Status(State.STARTING, seen.trouble or "ok")


def _downwards(facts: Facts, remains: tuple[Instance, ...], ended: tuple[Instance, ...]) -> Plan:
    """The plan of a cluster that shall not run."""
    cluster = facts.cluster
    deleted = cluster.wanted is Wanted.DELETED
    if remains:
        kept = cluster.state is State.STOPPED or (cluster.state is State.ERROR and deleted)
        trouble = _trouble(facts, remains)
        status = Status(cluster.state, trouble or cluster.message) if kept else Status(State.STOPPING, trouble or "ok")
        return Plan(None, remains, ended, status, purge=False, again=ATTENTION)
    if deleted:
        return Plan(None, (), ended, Status(cluster.state, cluster.message), purge=True, again=None)
    changed = cluster.state is not State.STOPPED
    status = Status(State.STOPPED, "ok", "Stopped" if changed else None)
    return Plan(None, (), ended, status, purge=False, again=None)


def _trouble(facts: Facts, remains: tuple[Instance, ...]) -> str:
    """Why the remains are not gone yet, if the engine says so."""
    return next((seen.trouble for row in remains if (seen := facts.seen[row.id]).trouble), "")
