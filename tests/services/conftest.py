"""A whole office of use cases with a clock set by hand, and people of every role in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio

from heliostat.control.reconciler import Reconciler
from heliostat.domain.engine import Finding
from heliostat.domain.ids import ClusterId, PrincipalId, WorkspaceId
from heliostat.domain.installation import Installation
from heliostat.domain.lifecycle import GLANCE
from heliostat.domain.quantities import GIB
from heliostat.domain.records import Amount, Cluster, Event, Instance, Principal, Role
from heliostat.domain.spec import ClusterSpec, NodeShape, WorkerGroup
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.services import Caller, Services
from heliostat.store import Store, StoreSettings, Transaction
from heliostat.testing.clock import ManualClock
from heliostat.testing.tools import job_tools
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]

SHAPE = NodeShape("root_queue", Decimal(1), GIB)
PEOPLE: dict[str, Role | None] = {
    "nobody": None,
    "viewer": Role.VIEWER,
    "editor": Role.EDITOR,
    "owner": Role.OWNER,
}


def spec(name: str = "one", workers: int = 2) -> ClusterSpec:
    groups = (WorkerGroup("g", SHAPE, replicas=workers),) if workers else ()
    return ClusterSpec(name, "ray-1.3.1", SHAPE, groups)


class Engine(SimulatedEngine):
    """The simulated engine, with more to say about a spec where a test wants it."""

    findings: tuple[Finding, ...] = ()

    def support(self, spec: ClusterSpec) -> list[Finding]:
        return [*super().support(spec), *self.findings]


@dataclass
class Office:
    services: Services
    store: Store
    engine: Engine
    clock: ManualClock
    reconciler: Reconciler
    workspace: WorkspaceId
    woken: list[ClusterId]
    people: dict[str, PrincipalId] = field(default_factory=dict)

    @property
    def world(self) -> World:
        return self.engine.world

    async def caller(self, name: str) -> Caller:
        """The person as it is known now, with present roles."""
        found = await self.store.read(lambda tx: tx.principals.by_name(name))
        assert found is not None
        return Caller(found)

    async def settle(self, cluster: ClusterId) -> None:
        """Let the loop look until there is nothing more to do."""
        for _ in range(20):
            if await self.reconciler.reconcile(cluster) in (None, GLANCE):
                return
        raise AssertionError("it does not come to rest")

    async def running(self, name: str = "one") -> Cluster:
        """A cluster that is up, made by the admin."""
        ann = await self.caller("ann")
        made = await self.services.clusters.create(ann, self.workspace, spec(name), start=True)
        await self.settle(made.id)
        return await self.stored(made.id)

    async def stored(self, cluster: ClusterId) -> Cluster:
        found = await self.store.read(lambda tx: tx.clusters.find_any(cluster))
        assert found is not None
        return found

    async def run_of(self, cluster: ClusterId) -> Instance:
        """The present instance, with its secrets."""
        record = await self.stored(cluster)
        name = record.instance
        assert name is not None
        found = await self.store.read(lambda tx: tx.instances.get(name))
        assert found is not None
        return found

    async def limit(self, cpu: int) -> None:
        """So many cores in the whole workspace."""

        def work(tx: Transaction) -> None:
            queue = tx.queues.get(self.workspace, "root_queue")
            assert queue is not None
            tx.queues.save(replace(queue, maximum=Amount(Decimal(cpu))))

        await self.store.write(work)

    async def held_cpu(self) -> Decimal | None:
        """What is held of it."""
        queue = await self.store.read(lambda tx: tx.queues.get(self.workspace, "root_queue"))
        return None if queue is None else queue.held.cpu

    async def events(self, cluster: ClusterId) -> list[Event]:
        """Oldest first."""
        rows = await self.store.read(lambda tx: tx.events.page(cluster, limit=1000))
        return rows[::-1]


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """SQLite, unless the test is marked with :data:`BOTH`."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return f"sqlite:///{tmp_path}/heliostat.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


BOTH = pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)


@pytest_asyncio.fixture
async def office(database: str, tmp_path: Path) -> AsyncIterator[Office]:
    store = await Store.open(StoreSettings(database, tmp_path / "key"))
    engine, clock, woken = Engine(), ManualClock(), list[ClusterId]()
    installation = Installation(tls_place="localhost:8601", universe="localhost:8601")
    services = Services.build(store, installation, engine, clock, woken.append, job_tools(tmp_path))
    try:
        made = await services.identity.first_start("ann")
        assert made is not None
        reconciler = Reconciler(store, engine, installation, clock)
        it = Office(services, store, engine, clock, reconciler, made.workspace, woken)
        for number, (name, role) in enumerate(PEOPLE.items()):
            roles = {} if role is None else {made.workspace: role}
            person = Principal(PrincipalId(str(10**15 + number)), name, roles=roles)
            await store.write(lambda tx, person=person: tx.principals.add(person))
        clock.advance(seconds=timedelta(minutes=1).total_seconds())
        yield it
    finally:
        await engine.close()
        await store.close()
