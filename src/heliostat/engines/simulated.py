"""An engine without processes, for tests and scale runs: small, deterministic, with faults to inject.

What "runs" lives in a :class:`World`, which outlives the engine object as real processes outlive the server: a test that
kills the server makes a new engine on the same world.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from heliostat.domain.activity import RayActivity
from heliostat.domain.engine import (
    Endpoints,
    Finding,
    InstancePlan,
    NodeLog,
    NodeState,
    Observation,
    Progress,
    Step,
    Verdict,
)
from heliostat.domain.errors import NotReady
from heliostat.domain.ids import InstanceId, NodeId
from heliostat.domain.releases import Release
from heliostat.domain.spec import ClusterSpec

from .simulated_instances import SimulatedInstance
from .simulated_jobs import Behaviour, SimulatedJob

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """What exists, and how it shall misbehave."""

    instances: dict[InstanceId, SimulatedInstance] = field(default_factory=dict)
    starts: Counter[InstanceId] = field(default_factory=Counter)
    """How often each instance was begun; more than once is a broken invariant."""
    failing: dict[str, str] = field(default_factory=dict)
    """Cluster name -> cause: its starts fail."""
    releases_missing: dict[str, str] = field(default_factory=dict)
    """Release name -> why it cannot be used."""
    start_seconds: float = 0.0
    """How long nodes take to become alive."""
    linger: int = 0
    """How many looks a destroyed instance stays visible."""
    dashboard: str = "127.0.0.1:9"
    """The address that running instances claim."""
    client: str | None = None
    """The same for Ray's client server."""
    now: datetime = EPOCH
    """What it stamps reports with, unless it has a clock."""
    clock: Callable[[], datetime] | None = None
    jobs: dict[InstanceId, dict[str, SimulatedJob]] = field(default_factory=dict)
    """What the heads know of jobs, by submission id. They die with their instance."""
    job_starts: Counter[str] = field(default_factory=Counter)
    """How often each submission id was begun, on whatever instance; more than once is a doubled run."""
    renews_heads: bool = True
    """Whether heads can be replaced while their instances go on."""
    job_behaviour: Behaviour | None = None
    """How jobs go; None = as their entry points say."""
    packages: dict[InstanceId, dict[str, bytes]] = field(default_factory=dict)
    """What was uploaded to the heads."""
    activity: dict[InstanceId, RayActivity] = field(default_factory=dict)
    """What goes on on an instance beside its jobs."""
    unreachable: set[InstanceId] = field(default_factory=set)
    """Heads whose API does not answer."""
    demand: dict[InstanceId, dict[str, int]] = field(default_factory=dict)
    """Worker group -> how many nodes its work needs: plays Ray's autoscaler within the bounds of the plan, at the next look.
    A group without a number keeps what it has."""
    logs: dict[InstanceId, dict[tuple[NodeId, str], bytearray]] = field(default_factory=dict)
    """The nodes' log files: (node, name below its log folder) -> content."""

    def time(self) -> datetime:
        return self.now if self.clock is None else self.clock()

    def job(self, submission_id: str) -> SimulatedJob:
        """The job that a head has under this id."""
        for jobs in self.jobs.values():
            if submission_id in jobs:
                return jobs[submission_id]
        raise KeyError(submission_id)

    def write_log(self, instance: InstanceId, node: NodeId, name: str, text: str) -> None:
        """A node writes into one of its log files."""
        self.logs.setdefault(instance, {}).setdefault((node, name), bytearray()).extend(text.encode())

    def forget(self, instance: InstanceId) -> None:
        """The head loses its memory: jobs and packages are unknown from now on."""
        self.jobs.pop(instance, None)
        self.packages.pop(instance, None)


class SimulatedEngine:
    """The Engine protocol over a world."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        self._changed: asyncio.Queue[InstanceId] = asyncio.Queue()
        self._timers: set[asyncio.TimerHandle] = set()

    async def open(self) -> None:
        for instance in self.world.instances:
            self._begin_alive(instance)

    async def close(self) -> None:
        for timer in self._timers:
            timer.cancel()

    async def apply(self, plan: InstancePlan) -> None:
        known = self.world.instances.get(plan.instance)
        if known is None:
            known = SimulatedInstance(plan, self.world.time())
            self.world.instances[plan.instance] = known
            self.world.starts[plan.instance] += 1
            known.failure = self.world.failing.get(plan.name)
        if known.failure is not None or known.dying:
            self._changed.put_nowait(plan.instance)
            return
        known.take(plan)
        self._converge(known)

    async def observe(self, instance: InstanceId) -> Observation:
        known = self.world.instances.get(instance)
        if known is not None and known.dying:
            known.dying -= 1
            if not known.dying:
                del self.world.instances[instance]
                known = None
            self._changed.put_nowait(instance)
        if known is None:
            return Observation(instance, present=False)
        if known.nodes and instance in self.world.demand:
            self._converge(known)
        nodes = tuple(known.nodes.values())
        begun = [node for node in nodes if node.state is not NodeState.PENDING]
        alive = bool(begun) and all(node.state is NodeState.ALIVE for node in begun)
        head = any(node.kind == "head" and node.state is NodeState.ALIVE for node in nodes)
        step = Step.FAILED if known.failure else Step.UP if alive else Step.WORKERS if head else Step.HEAD
        return Observation(
            instance=instance,
            present=True,
            step=step,
            generation=known.plan.generation,
            progress=(Progress(step, known.since, known.since if step in (Step.UP, Step.FAILED) else None),),
            head_ready=head,
            jobs_ready=head,
            nodes=nodes,
            endpoints=Endpoints(self.world.dashboard, self.world.client) if head else None,
            failure=known.failure,
            incidents=tuple(known.incidents),
            wanted=dict(known.wanted),
            demand=known.unmet(self.world.demand.get(instance, {})),
        )

    async def destroy(self, instance: InstanceId) -> None:
        known = self.world.instances.get(instance)
        if known is None or known.dying:
            return
        known.nodes.clear()
        self.world.forget(instance)
        self.world.demand.pop(instance, None)
        self.world.logs.pop(instance, None)
        if self.world.linger:
            known.dying = self.world.linger
        else:
            del self.world.instances[instance]
        self._changed.put_nowait(instance)

    async def discover(self) -> list[InstanceId]:
        return list(self.world.instances)

    async def changes(self) -> AsyncIterator[InstanceId]:
        while True:
            yield await self._changed.get()

    def support(self, spec: ClusterSpec) -> list[Finding]:
        findings = []
        if spec.network_service is not None:
            findings.append(Finding("network_service", Verdict.IGNORED, "this engine has no networks"))
        for index, _ in enumerate(spec.nfs_mounts):
            findings.append(Finding(f"nfs_mounts[{index}]", Verdict.IGNORED, "this engine has no file systems"))
        return findings

    async def release_problem(self, release: Release) -> str | None:
        return self.world.releases_missing.get(release.name)

    def renews_head(self, release: Release) -> bool:
        return self.world.renews_heads

    async def prepare(self, release: Release) -> None:
        await self.begin_preparation(release)

    async def begin_preparation(self, release: Release) -> None:
        problem = self.world.releases_missing.get(release.name)
        if problem is not None:
            raise NotReady(problem)

    def preparation(self, release: Release) -> tuple[str, str]:
        return ("failed", problem) if (problem := self.world.releases_missing.get(release.name)) else ("ready", "")

    async def log_files(self, instance: InstanceId) -> list[NodeLog]:
        known = self.world.instances.get(instance)
        files = self.world.logs.get(instance, {})
        if known is None:
            return []
        return [NodeLog(node, name, len(files[node, name]), known.since) for node, name in sorted(files)]

    async def read_log(self, instance: InstanceId, log: NodeLog, offset: int, size: int) -> bytes | None:
        data = self.world.logs.get(instance, {}).get((log.node, log.name))
        return None if data is None else bytes(data[offset : offset + size])

    # --- faults ------------------------------------------------------------------------------------------------------

    def kill(self, node: NodeId) -> None:
        """A node dies. A worker is replaced at the next apply; a head takes the instance with it."""
        for instance, known in self.world.instances.items():
            victim = known.nodes.pop(node, None)
            if victim is None:
                continue
            known.lose(victim, self.world.time())
            if victim.kind == "head":
                self.world.forget(instance)
            self._changed.put_nowait(instance)
            return

    def needs(self, instance: InstanceId, group: str, nodes: int) -> None:
        """The instance's work needs so many nodes of a group from now on."""
        self.world.demand.setdefault(instance, {})[group] = nodes
        self._changed.put_nowait(instance)

    def restart_head(self, instance: InstanceId) -> None:
        """The head dies and comes back as another node that knows the same jobs; workers live on."""
        known = self.world.instances[instance]
        for node in [row.node for row in known.nodes.values() if row.kind == "head"]:
            del known.nodes[node]
        self._converge(known)

    # --- the world's own workings -----------------------------------------------------------------------------------

    def _converge(self, known: SimulatedInstance) -> None:
        """Bring it a step nearer to its plan, with the time that this takes."""
        instance = known.plan.instance

        def log(node: NodeId, text: str) -> None:
            self.world.write_log(instance, node, "raylet.out", text)

        if known.converge(self.world.demand.get(instance, {}), self.world.time(), log):
            self._begin_alive(instance)

    def _begin_alive(self, instance: InstanceId) -> None:
        if not self.world.start_seconds:
            self._come_alive(instance)
            return
        timer = asyncio.get_running_loop().call_later(self.world.start_seconds, self._come_alive, instance)
        self._timers.add(timer)

    def _come_alive(self, instance: InstanceId) -> None:
        known = self.world.instances.get(instance)
        if known is None:
            return
        known.come_alive(self.world.time())
        self._changed.put_nowait(instance)
        if known.plan.renew and not known.dying and known.failure is None:
            self._converge(known)
