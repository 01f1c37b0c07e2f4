"""Queues under kill -9 at any step: never more than a queue or its workspace may hold, nothing started beyond what is held,
every guarantee kept, every second counted once, and in the end everybody who fits is let in."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from heliostat.control.admission import requests_of
from heliostat.control.loop import LoopSettings
from heliostat.control.meter import MeterSettings
from heliostat.control.work import Work, WorkSettings
from heliostat.domain.admission import admit
from heliostat.domain.claiming import is_waiting
from heliostat.domain.errors import HeliostatError
from heliostat.domain.ids import ClusterId
from heliostat.domain.installation import Installation
from heliostat.domain.quantities import GIB
from heliostat.domain.quota import ROOT
from heliostat.domain.records import Amount, Cluster, Queue
from heliostat.domain.spec import Autoscaling, ClusterSpec, NodeShape, WorkerGroup
from heliostat.domain.states import State, Wanted
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.ray_api.simulated import SimulatedRay
from heliostat.services import Caller, JobWish, Services
from heliostat.services.cluster_steps import queue_state
from heliostat.storage.folder import FolderStorage
from heliostat.store import Store, StoreSettings, Transaction
from heliostat.testing.clock import ManualClock
from heliostat.testing.crash import Crash, CrashingEngine, CrashPoints, crashing_store

from .quota_watch import QuotaWatch, WatchedStore

STEPS = st.integers(0, 25)
NAMES = (ROOT, "a", "b")
names = st.sampled_from(NAMES)
QUICK = LoopSettings(
    tick=timedelta(milliseconds=50), first_retry=timedelta(milliseconds=5), last_retry=timedelta(milliseconds=50)
)
METER = MeterSettings(timedelta(milliseconds=20))


def amount(cpu: int | None) -> Amount:
    return Amount(None if cpu is None else Decimal(cpu), None, None)


class Queues(RuleBasedStateMachine):
    """Users of three queues, with the server dying at any step."""

    clusters: Bundle[str] = Bundle("clusters")

    @initialize(root=st.integers(4, 9), a=st.none() | st.integers(1, 6), sure=st.integers(0, 3))
    def begin(self, root: int, a: int | None, sure: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.world = World(clock=self.clock.now)
        self.watch = QuotaWatch(self.world, self.clock)
        self.runner = asyncio.Runner()
        self.ids: dict[str, ClusterId] = {}
        self.jobs = 0
        self.runner.run(self._boot(first=True))
        self.runner.run(self._set_up({ROOT: (0, root), "a": (0, a), "b": (sure, None)}))
        for number in range(4):
            queue = NAMES[number % 3]
            self.create(True, queue, queue, 1, number % 3, 3, scales=number % 2 == 0, priority=number // 3)

    async def _boot(self, first: bool = False) -> None:
        folder = Path(self.folder.name)
        self.points = CrashPoints()
        self.store = await Store.open(StoreSettings(url=f"sqlite:///{folder}/h.db", master_key=folder / "key"))
        self.engine = SimulatedEngine(self.world)
        await self.engine.open()
        store = crashing_store(WatchedStore(self.store, self.watch).as_store, self.points)
        guarded = CrashingEngine(self.engine, self.points)
        self.bytes = FolderStorage(folder / "storage")
        tuned = WorkSettings(clusters=QUICK, queues=QUICK, jobs=QUICK, meter=METER)
        self.work = Work(
            store, guarded, self.bytes, SimulatedRay(self.world), Installation(), self.clock, folder / "scratch", tuned
        )
        self.services = Services.build(
            store, Installation(), guarded, self.clock, self.work.clusters.wake, self.work.tools, self.work.queues.wake
        )
        if first:
            made = await self.services.identity.first_start("ann")
            assert made is not None
            self.workspace = made.workspace
            self.watch.workspace = made.workspace
            self.caller = Caller(await self.services.identity.by_token(made.token.reveal()))
        self.task = asyncio.create_task(self.work.run())

    async def _set_up(self, bounds: dict[str, tuple[int, int | None]]) -> None:
        for name, (least, most) in bounds.items():
            if name != ROOT:
                await self.services.queues.create(
                    self.caller, self.workspace, Queue(self.workspace, name, self.clock.now())
                )
            await self._edit(name, lambda row, least=least, most=most: _bounded(row, least, most))

    async def _edit(self, name: str, change: Callable[[Queue], Queue]) -> None:
        await self.services.queues.edit(self.caller, self.workspace, name, change)

    async def _die(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.work.close()
        await self.engine.close()
        await self.store.close()
        await self.bytes.close()

    async def _reboot(self) -> None:
        await self._die()
        await self._boot()

    def _call(self, call: Callable[[], Awaitable[object]]) -> object:
        """One user's call, which may be refused, and may die with the server."""

        async def run() -> object:
            try:
                return await call()
            except Crash:
                await self._reboot()
            except HeliostatError:
                pass
            return None

        return self.runner.run(run())

    # --- the users --------------------------------------------------------------------------------------------------

    @rule(
        target=clusters, start=st.booleans(), head=names, queue=names, cpu=st.integers(1, 3), replicas=st.integers(0, 3),
        more=st.integers(0, 4), scales=st.booleans(), priority=st.integers(0, 1),
    )  # fmt: skip
    def create(
        self, start: bool, head: str, queue: str, cpu: int, replicas: int, more: int, scales: bool, priority: int
    ) -> str:
        name = f"c{len(self.ids)}"
        group = WorkerGroup("g", NodeShape(queue, Decimal(cpu), GIB), replicas, 0, replicas + more)
        spec = ClusterSpec(
            name, "ray-1.3.1", NodeShape(head, Decimal(1), GIB), (group,), autoscaling=Autoscaling(scales),
            priority=priority,
        )  # fmt: skip
        made = self._call(lambda: self.services.clusters.create(self.caller, self.workspace, spec))
        if isinstance(made, Cluster):
            self.ids[name] = made.id
            if start:
                self.start(name)
        return name

    @rule(number=st.integers(0, 3), again=st.booleans())
    def go(self, number: int, again: bool) -> None:
        """One of the first clusters ends, or begins."""
        (self.start if again else self.stop)(f"c{number}")

    @rule(number=st.integers(0, 3), nodes=st.integers(0, 4))
    def grow(self, number: int, nodes: int) -> None:
        self.demand(f"c{number}", nodes)

    @rule(name=clusters)
    def start(self, name: str) -> None:
        if name in self.ids:
            self._call(lambda: self.services.clusters.start(self.caller, self.workspace, self.ids[name]))

    @rule(name=clusters)
    def stop(self, name: str) -> None:
        if name in self.ids:
            self._call(lambda: self.services.clusters.stop(self.caller, self.workspace, self.ids[name]))

    @rule(name=clusters)
    def delete(self, name: str) -> None:
        if name in self.ids:
            self._call(
                lambda: self.services.clusters.delete(self.caller, self.workspace, self.ids[name], stop_first=True)
            )

    @rule(name=clusters, replicas=st.integers(0, 4))
    def resize(self, name: str, replicas: int) -> None:
        def change(spec: ClusterSpec) -> ClusterSpec:
            group = replace(spec.workers[0], replicas=replicas, max_replicas=max(replicas, 4))
            return replace(spec, workers=(group,))

        if name in self.ids:
            self._call(lambda: self.services.clusters.update(self.caller, self.workspace, self.ids[name], change))

    @rule(name=clusters, nodes=st.integers(0, 5))
    def demand(self, name: str, nodes: int) -> None:
        """Work that Ray's autoscaler wants so many workers for."""
        for instance, known in self.world.instances.items():
            if known.plan.name == name:
                self.engine.needs(instance, "g", nodes)

    @rule(queue=names, exits=st.integers(0, 1))
    def job(self, queue: str, exits: int) -> None:
        spec = ClusterSpec("j", "ray-1.3.1", NodeShape(queue, Decimal(2), GIB))
        wish = JobWish(f"exit {exits}", cluster_spec=spec)
        self._call(lambda: self.services.jobs.submit(self.caller, self.workspace, wish))

    @rule(
        name=names, least=st.integers(0, 2), most=st.none() | st.integers(0, 8), priority=st.integers(0, 2),
        backfill=st.booleans(),
    )  # fmt: skip
    def edit(self, name: str, least: int, most: int | None, priority: int, backfill: bool) -> None:
        def change(row: Queue) -> Queue:
            bounded = _bounded(row, 0 if name == ROOT else least, most)
            return replace(bounded, priority=priority, backfill=backfill)

        self._call(lambda: self._edit(name, change))

    # --- the world --------------------------------------------------------------------------------------------------

    @rule(steps=STEPS)
    def arm(self, steps: int) -> None:
        self.points.arm(steps)

    @rule()
    def kill_server(self) -> None:
        self.runner.run(self._reboot())

    @rule(name=clusters, fails=st.booleans())
    def starts_fail(self, name: str, fails: bool) -> None:
        if fails:
            self.world.failing[name] = "its environment cannot be built"
        else:
            self.world.failing.pop(name, None)

    @rule(name=clusters, which=st.integers(0, 4))
    def kill_node(self, name: str, which: int) -> None:
        for known in list(self.world.instances.values()):
            nodes = list(known.nodes)
            if known.plan.name == name and nodes:
                self.engine.kill(nodes[which % len(nodes)])

    @rule(linger=st.integers(0, 3))
    def let_the_dead_linger(self, linger: int) -> None:
        self.world.linger = linger

    @rule(milliseconds=st.sampled_from([1, 999, 61_000, 700_000, 5_000_000]))
    def time_passes(self, milliseconds: int) -> None:
        self.watch.advance(milliseconds)

    @rule(milliseconds=st.integers(1, 30))
    def work_on(self, milliseconds: int) -> None:
        self.runner.run(asyncio.sleep(milliseconds / 1000))

    @rule()
    def converge(self) -> None:
        self.runner.run(self._converged(self._unsettled))

    # --- what holds -------------------------------------------------------------------------------------------------

    @invariant()
    def nothing_was_broken(self) -> None:
        if hasattr(self, "watch"):
            assert not self.watch.broken, self.watch.broken
            self.runner.run(self._check_ledger())
            assert all(count == 1 for count in self.world.starts.values())

    async def _check_ledger(self) -> None:
        await self.store.write(self.watch.check_ledger)

    async def _converged(self, differences: Callable[[Transaction], list[str]]) -> None:
        """Restart the server whenever it died, until nothing differs any more."""
        trouble = ["nothing was looked at"]
        try:
            async with asyncio.timeout(60):
                while trouble:
                    if self.task.done():
                        await self._reboot()
                    trouble = await self.store.read(differences)
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"does not come to rest: {trouble}") from None

    def _unsettled(self, tx: Transaction) -> list[str]:
        """What the server has still to do, whoever waits for room."""
        found = []
        lacking = requests_of(tx.claims.lacking(self.workspace))
        queues = {queue.name: queue_state(queue) for queue in tx.queues.list(self.workspace)}
        grants = admit(queues, lacking, self.clock.now()).grants
        found += [f"{grant} is not made" for grant in grants]
        waiting = {request.instance for request in lacking if is_waiting(request.claims)}
        expected = set()
        for id in tx.clusters.active():
            cluster = tx.clusters.find_any(id)
            assert cluster is not None
            rests = cluster.state in (State.RUNNING, State.ERROR) or cluster.instance in waiting
            if cluster.wanted is not Wanted.RUNNING or not rests:
                found.append(f"{cluster.spec.name} is {cluster.state}, wanted {cluster.wanted}")
                continue
            assert cluster.instance is not None
            expected.add(cluster.instance)
            if cluster.state is State.RUNNING:
                known = self.world.instances.get(cluster.instance)
                claims = tx.claims.of_instance(cluster.instance)
                nodes = [] if known is None else [row for row in known.nodes.values() if row.state != "pending"]
                if len(nodes) != sum(claim.held for claim in claims):
                    found.append(f"{cluster.spec.name} has {len(nodes)} nodes, and {claims}")
        claimants = {row.instance for row in tx.claims.holders(self.workspace, None, limit=10_000)} | waiting
        found += [f"{instance} still has claims" for instance in claimants - expected]
        found += [f"{instance} is left over" for instance in set(self.world.instances) - expected]
        found += [f"{job} is not done" for job in tx.jobs.unsettled() if not self._waits(tx, job, waiting)]
        return found

    def _waits(self, tx: Transaction, job: object, waiting: set[object]) -> bool:
        found = tx.jobs.find(job)  # type: ignore[arg-type]
        cluster = None if found is None else tx.clusters.find_any(found.cluster)
        return cluster is not None and cluster.instance in waiting

    def _all_in(self, tx: Transaction) -> list[str]:
        return self._unsettled(tx) + [
            f"{row.instance} lacks {row.missing}" for row in tx.claims.lacking(self.workspace)
        ]

    def _nothing_left(self, tx: Transaction) -> list[str]:
        held = [f"{row.name} says {row.held}" for row in tx.queues.list(self.workspace) if row.held != _NOTHING]
        return held + self._unsettled(tx) + [f"{id} is left" for id in tx.clusters.active()]

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        try:
            self.runner.run(self._end())
        finally:
            self.runner.run(self._die())
            self.runner.close()
            self.folder.cleanup()

    async def _end(self) -> None:
        """Everything comes to rest; then there is room for all, and all go in; then all is given back."""
        await self._reboot()
        await self._converged(self._unsettled)
        for name in NAMES:
            await self._edit(name, lambda row: replace(_bounded(row, 0, 1000), backfill=False))
        await self._converged(self._all_in)
        for id in self.ids.values():
            try:
                await self.services.clusters.delete(self.caller, self.workspace, id, stop_first=True)
            except HeliostatError:
                continue
        await self._converged(self._nothing_left)
        assert not self.watch.broken, self.watch.broken
        await self._check_ledger()


_NOTHING = Amount(Decimal(0), 0, 0)


def _bounded(row: Queue, least: int, most: int | None) -> Queue:
    return replace(row, minimum=amount(least if most is None else min(least, most)), maximum=amount(most))


Queues.TestCase.settings = settings(
    max_examples=8, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestQueues = pytest.mark.slow(Queues.TestCase)
