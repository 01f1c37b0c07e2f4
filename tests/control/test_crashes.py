"""Invariants 1 and 2 under kill -9 at any step: nothing acknowledged is lost, nothing runs twice, nothing stays behind.

The same for operations: one that was acknowledged is there, it ends once, and it has ended when all has come to rest.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from heliostat.control.clock import SystemClock
from heliostat.control.leases import SoleServer
from heliostat.control.loop import ControlLoop
from heliostat.control.reconciler import Reconciler
from heliostat.domain.errors import Conflict, NotFound
from heliostat.domain.ids import ClusterId, OperationId
from heliostat.domain.installation import Installation
from heliostat.domain.operations import Failure, Operation
from heliostat.domain.quantities import GIB
from heliostat.domain.records import Cluster
from heliostat.domain.spec import ClusterSpec, NodeShape, WorkerGroup
from heliostat.domain.states import State, Wanted
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.services import Caller, Services, Track
from heliostat.store import Store, StoreSettings
from heliostat.testing.crash import Crash, CrashingEngine, CrashPoints, crashing_store
from heliostat.testing.tools import job_tools

SHAPE = NodeShape("root_queue", Decimal(1), GIB)
STEPS = st.integers(0, 12)
TRACKS = st.none() | st.builds(Track)
"""Of calls that are to be operations, and of such as are not."""


class Kills(RuleBasedStateMachine):
    """Users' calls, with the server dying before, in or after any of them."""

    clusters: Bundle[str] = Bundle("clusters")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.world = World()
        self.runner = asyncio.Runner()
        self.ids: dict[str, ClusterId | None] = {}
        self.promised: dict[ClusterId, Wanted | None] = {}
        """What was acknowledged last; None = a call died without an answer, so either outcome is right."""
        self.acknowledged: set[OperationId] = set()
        self.ended: dict[OperationId, Operation] = {}
        """As they were first seen to have ended."""
        self.runner.run(self._boot(first=True))

    # --- the server's life ------------------------------------------------------------------------------------------

    async def _boot(self, first: bool = False) -> None:
        self.points = CrashPoints()
        key = Path(self.folder.name) / "key"
        self.store = await Store.open(StoreSettings(url=f"sqlite:///{self.folder.name}/h.db", master_key=key))
        engine = SimulatedEngine(self.world)
        await engine.open()
        store, guarded = crashing_store(self.store, self.points), CrashingEngine(engine, self.points)
        clock = SystemClock()
        loop = ControlLoop(store, guarded, Reconciler(store, guarded, Installation(), clock), SoleServer())
        self.services = Services.build(
            store, Installation(), guarded, clock, loop.wake, job_tools(Path(self.folder.name))
        )
        if first:
            made = await self.services.identity.first_start("ann")
            assert made is not None
            self.workspace = made.workspace
            self.caller = Caller(await self.services.identity.by_token(made.token.reveal()))
        self.loop = asyncio.create_task(loop.run())

    async def _die(self) -> None:
        self.loop.cancel()
        await asyncio.gather(self.loop, return_exceptions=True)
        await self.store.close()

    async def _call(
        self,
        cluster: ClusterId | None,
        wish: Wanted,
        call: Callable[[], Awaitable[object]],
        track: Track | None = None,
    ) -> object:
        """One user's call. If the server dies under it, nothing was promised and either outcome is right."""
        try:
            answer = await call()
        except Crash:
            if cluster is not None:
                self.promised[cluster] = None
            await self._die()
            await self._boot()
            return None
        except (Conflict, NotFound):
            if track is not None:
                assert await self._operation(track.id) is None, "what was refused has no operation"
            return None
        if track is not None:
            self.acknowledged.add(track.id)
        if cluster is not None:
            self.promised[cluster] = wish
        return answer

    # --- the users --------------------------------------------------------------------------------------------------

    @rule(target=clusters, start=st.booleans(), workers=st.integers(0, 2), track=TRACKS)
    def create(self, start: bool, workers: int, track: Track | None) -> str:
        name = f"c{len(self.ids)}"
        groups = (WorkerGroup("g", SHAPE, replicas=workers),) if workers else ()
        spec = ClusterSpec(name, "ray-1.3.1", SHAPE, groups)

        async def call() -> None:
            made = await self._call(
                None,
                Wanted.STOPPED,
                lambda: self.services.clusters.create(self.caller, self.workspace, spec, start=start, track=track),
                track,
            )
            if isinstance(made, Cluster):
                self.promised[made.id] = Wanted.RUNNING if start else Wanted.STOPPED
                self.ids[name] = made.id
                return
            found = await self.store.read(lambda tx: tx.clusters.by_name(self.workspace, name))
            self.ids[name] = found.id if found else None
            if found:
                self.promised[found.id] = None

        self.runner.run(call())
        return name

    def _do(
        self, name: str, wish: Wanted, call: Callable[[ClusterId], Awaitable[object]], track: Track | None = None
    ) -> None:
        cluster = self.ids[name]
        if cluster is not None:
            self.runner.run(self._call(cluster, wish, lambda: call(cluster), track))

    @rule(name=clusters)
    def start(self, name: str) -> None:
        self._do(name, Wanted.RUNNING, lambda it: self.services.clusters.start(self.caller, self.workspace, it))

    @rule(name=clusters)
    def stop(self, name: str) -> None:
        self._do(name, Wanted.STOPPED, lambda it: self.services.clusters.stop(self.caller, self.workspace, it))

    @rule(name=clusters, rolling=st.booleans())
    def restart(self, name: str, rolling: bool) -> None:
        clusters = self.services.clusters
        self._do(
            name, Wanted.RUNNING, lambda it: clusters.restart(self.caller, self.workspace, it, rolling=rolling)
        )  # fmt: skip

    @rule(name=clusters, track=st.builds(Track))
    def reboot(self, name: str, track: Track) -> None:
        clusters = self.services.clusters
        self._do(
            name, Wanted.RUNNING, lambda it: clusters.restart(self.caller, self.workspace, it, track=track), track
        )  # fmt: skip

    @rule(name=consumes(clusters), stop_first=st.booleans(), track=TRACKS)
    def delete(self, name: str, stop_first: bool, track: Track | None) -> None:
        clusters = self.services.clusters
        self._do(
            name, Wanted.DELETED,
            lambda it: clusters.delete(self.caller, self.workspace, it, stop_first=stop_first, track=track), track,
        )  # fmt: skip

    @rule(name=clusters)
    def cancel(self, name: str) -> None:
        """The newest operation of a cluster, whatever it is. If it was a create under way, the cluster is to go."""
        cluster = self.ids[name]

        async def call() -> None:
            if cluster is None:
                return
            rows = await self.store.read(lambda tx: tx.operations.page(self.workspace, limit=1, cluster=cluster))
            if not rows:
                return
            id, wish, server = rows[0].id, self.promised[cluster], self.loop
            await self._call(
                cluster, Wanted.DELETED, lambda: self.services.operations.cancel(self.caller, self.workspace, id)
            )
            after = await self._operation(id)
            assert after is not None
            if after.failure is not Failure.CANCELLED:
                self.promised[cluster] = wish if server is self.loop else None

        self.runner.run(call())

    @rule(
        name=clusters,
        description=st.sampled_from(["a", "b"]),
        workers=st.integers(0, 2),
        value=st.sampled_from("xy"),
        track=TRACKS,
    )
    def change(self, name: str, description: str, workers: int, value: str, track: Track | None) -> None:
        cluster = self.ids[name]
        wish = self.promised[cluster] if cluster else None
        if cluster is None or wish is None:
            return
        clusters = self.services.clusters
        groups = (WorkerGroup("g", replace(SHAPE, env={"VALUE": value}), replicas=workers),) if workers else ()
        self._do(
            name, wish,
            lambda it: clusters.update(
                self.caller, self.workspace, it, lambda old: replace(old, description=description, workers=groups),
                track=track,
            ),
            track,
        )  # fmt: skip
        self.promised[cluster] = wish  # a change promises nothing about running, answered or not

    # --- the world --------------------------------------------------------------------------------------------------

    @rule(steps=STEPS)
    def arm(self, steps: int) -> None:
        self.points.arm(steps)

    @rule()
    def kill_now(self) -> None:
        async def again() -> None:
            await self._die()
            await self._boot()

        self.runner.run(again())

    @rule(linger=st.integers(0, 3))
    def let_the_dead_linger(self, linger: int) -> None:
        self.world.linger = linger

    @rule()
    def converge(self) -> None:
        self.runner.run(self._converged())

    async def _converged(self) -> None:
        """Restart the server whenever it died, until it has come to rest; then everything must be as promised."""
        async with asyncio.timeout(20):
            while True:
                if self.loop.done():
                    await self._die()
                    await self._boot()
                trouble = await self._differences()
                if not trouble:
                    return
                await asyncio.sleep(0.005)

    async def _differences(self) -> list[str]:
        """What is not yet as it was promised."""
        found: list[str] = []
        expected = set()
        for cluster, wish in self.promised.items():
            record = await self.store.read(lambda tx, cluster=cluster: tx.clusters.find_any(cluster))
            wanted = record.wanted if record is not None else Wanted.DELETED
            if wish is not None and wanted is not wish:
                raise AssertionError(f"{cluster}: {wish} was acknowledged, {wanted} is stored")
            if wanted is Wanted.RUNNING:
                assert record is not None and record.instance is not None
                expected.add(record.instance)
                present = self.world.instances.get(record.instance)
                if record.state is not State.RUNNING or present is None or len(present.nodes) != record.spec.node_count:
                    found.append(f"{cluster} is {record.state}")
                elif present.plan.generation != record.generation:
                    found.append(f"{cluster} runs an older generation")
            elif record is not None and (record.state is not State.STOPPED or wanted is Wanted.DELETED):
                found.append(f"{cluster} is {record.state}, wanted {wanted}")
        found += [f"{instance} is left over" for instance in self.world.instances if instance not in expected]
        operations = {row.id: row for row in await self._operations()}
        assert self.acknowledged <= operations.keys(), "an acknowledged operation is lost"
        for row in operations.values():
            if row.open:
                found.append(f"{row.kind} of {row.cluster} is under way")
            else:
                assert self.ended.setdefault(row.id, row) == row, "it has ended twice"
        assert self.ended.keys() <= operations.keys()
        return found

    async def _operation(self, id: OperationId) -> Operation | None:
        return await self.store.read(lambda tx: tx.operations.get(self.workspace, id))

    async def _operations(self) -> list[Operation]:
        return await self.store.read(lambda tx: tx.operations.page(self.workspace, limit=1000))

    @invariant()
    def nothing_is_started_twice(self) -> None:
        assert all(count == 1 for count in getattr(self, "world", World()).starts.values())

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self._converged())
            self.runner.run(self._die())
            self.runner.close()
            self.folder.cleanup()


Kills.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestKills = pytest.mark.slow(Kills.TestCase)
