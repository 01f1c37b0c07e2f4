"""Queues as their users find them: made, changed, removed; admission is woken; what uses them is told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

from heliostat.control.admission import Admission
from heliostat.domain.errors import AlreadyExists, Conflict, InvalidRequest, NotFound
from heliostat.domain.ids import WorkspaceId
from heliostat.domain.quantities import GIB
from heliostat.domain.records import Amount, Cluster, Queue
from heliostat.domain.spec import ClusterSpec
from heliostat.domain.states import State
from heliostat.services import Caller, QueueService, QueueView

from .conftest import BOTH, SHAPE, Office, spec


@dataclass
class Desk:
    """The use cases on queues, as an owner of the workspace calls them."""

    it: Office
    queues: QueueService
    owner: Caller
    woken: list[WorkspaceId]

    def wish(self, name: str = "q", **fields: object) -> Queue:
        return replace(Queue(self.it.workspace, name, self.it.clock.now()), **fields)  # type: ignore[arg-type]

    async def create(self, name: str = "q", **fields: object) -> QueueView:
        return await self.queues.create(self.owner, self.it.workspace, self.wish(name, **fields))

    async def get(self, name: str = "q") -> QueueView:
        return await self.queues.get(self.owner, self.it.workspace, name)

    async def edit(self, name: str = "q", **fields: object) -> QueueView:
        def change(old: Queue) -> Queue:
            return replace(old, **fields)  # type: ignore[arg-type]

        return await self.queues.edit(self.owner, self.it.workspace, name, change)

    async def delete(self, name: str = "q") -> None:
        await self.queues.delete(self.owner, self.it.workspace, name)

    async def cluster(self, name: str, queue: str = "q", workers: int = 1, *, start: bool = True) -> Cluster:
        shape = replace(SHAPE, queue=queue)
        plain = spec(name, workers)
        wish: ClusterSpec = replace(
            plain, head=shape, workers=tuple(replace(group, shape=shape) for group in plain.workers)
        )
        return await self.it.services.clusters.create(self.owner, self.it.workspace, wish, start=start)

    async def admit(self) -> None:
        await Admission(self.it.store, self.it.clock, lambda cluster: None).reconcile(self.it.workspace)


@pytest.fixture
async def desk(office: Office) -> Desk:
    woken: list[WorkspaceId] = []
    queues = QueueService(office.store, office.clock, woken.append)
    return Desk(office, queues, await office.caller("owner"), woken)


def cores(number: int) -> Amount:
    return Amount(Decimal(number), number * GIB, number)


@BOTH
async def test_a_queue_from_its_creation_to_its_end(desk: Desk) -> None:
    made = await desk.create(maximum=cores(8), minimum=cores(2), priority=5, backfill=False, description="for us")
    assert (made.queue.creator, made.waiting, made.notes) == (desk.owner.principal.id, 0, ())
    assert made.used == made.queue.held == Amount(Decimal(0), 0, 0)
    assert await desk.get() == made
    assert [row.queue.name for row in await desk.queues.list(desk.owner, desk.it.workspace)] == ["q", "root_queue"]
    changed = await desk.edit(maximum=cores(4), priority=0)
    assert (changed.queue.maximum, changed.queue.minimum) == (cores(4), cores(2))
    assert desk.woken == [desk.it.workspace] * 2
    assert (await desk.edit(priority=0)).queue == changed.queue
    assert len(desk.woken) == 2, "what changes nothing wakes nobody"
    await desk.delete()
    for call in (desk.get(), desk.edit(priority=1), desk.delete()):
        with pytest.raises(NotFound, match="queue 'q'"):
            await call


async def test_names_are_unique_and_well_formed(desk: Desk) -> None:
    await desk.create()
    for name in ("q", "root_queue"):
        with pytest.raises(AlreadyExists):
            await desk.create(name)
    with pytest.raises(InvalidRequest) as refused:
        await desk.create("no good")
    assert refused.value.path == "name"


@BOTH
async def test_guarantees_of_all_queues_fit_into_the_root(desk: Desk) -> None:
    await desk.edit("root_queue", maximum=cores(10))
    await desk.create("a", minimum=cores(6))
    with pytest.raises(InvalidRequest) as refused:
        await desk.create("b", minimum=cores(5))
    assert refused.value.path == "minimum.cpu"
    await desk.create("b", minimum=cores(4))
    with pytest.raises(InvalidRequest) as refused:
        await desk.edit("root_queue", maximum=cores(9))
    assert refused.value.path == "maximum.cpu"
    assert (await desk.get("root_queue")).queue.maximum == cores(10)


async def test_the_root_stays(desk: Desk) -> None:
    with pytest.raises(Conflict, match="stands for its whole workspace"):
        await desk.delete("root_queue")


@BOTH
async def test_figures_and_who_holds_what(desk: Desk) -> None:
    await desk.create(maximum=cores(3))
    first, second = await desk.cluster("first"), await desk.cluster("second")
    await desk.admit()
    view, root = await desk.get(), await desk.get("root_queue")
    assert view.queue.held == view.used == Amount(Decimal(2), 2 * GIB, 0)
    assert (view.waiting, root.waiting) == (1, 0)
    assert (root.queue.held.cpu, root.used.cpu) == (0, 2)
    [holder] = await desk.queues.holders(desk.owner, desk.it.workspace, "q")
    assert (holder.cluster, holder.name, holder.job, holder.nodes) == (first.id, "first", None, 2)
    assert (holder.held.milli_cpu, holder.milli_cu) == (2000, 2000)
    await desk.edit(maximum=cores(4))
    await desk.admit()
    both = await desk.queues.holders(desk.owner, desk.it.workspace, "q")
    assert sorted(row.name for row in both) == ["first", "second"]
    assert (await desk.get()).waiting == 0
    assert second.state is State.STARTING


async def test_a_limit_below_what_is_held_ends_nothing_and_says_so(desk: Desk) -> None:
    await desk.create()
    await desk.cluster("one")
    view = await desk.edit(maximum=cores(1))
    assert view.queue.held.cpu == 2
    assert "nothing is ended" in view.notes[0]
    await desk.cluster("two", workers=0)
    await desk.admit()
    assert ((await desk.get()).used.cpu, (await desk.get()).waiting) == (2, 1)


@BOTH
async def test_what_is_used_or_named_cannot_be_deleted(desk: Desk) -> None:
    await desk.create(maximum=cores(2))
    held, waits = await desk.cluster("holds"), await desk.cluster("waits")
    await desk.admit()
    with pytest.raises(Conflict, match="in use by holds, waits; stop what uses it first"):
        await desk.delete()
    for cluster in (held, waits):
        await desk.it.services.clusters.stop(desk.owner, desk.it.workspace, cluster.id)
        await desk.it.settle(cluster.id)
    with pytest.raises(Conflict, match=r"named by the definition of (waits, holds|holds, waits)"):
        await desk.delete()
    for cluster in (held, waits):
        await desk.it.services.clusters.delete(desk.owner, desk.it.workspace, cluster.id)
    await desk.delete()


async def test_an_error_names_some_clusters_and_not_all(desk: Desk) -> None:
    await desk.create()
    for number in range(7):
        await desk.cluster(f"c{number}", start=False)
    with pytest.raises(Conflict, match=r"named by the definition of (c\d, ){4}c\d and others"):
        await desk.delete()


@BOTH
async def test_what_is_held_of_an_earlier_queue_of_the_name_counts(desk: Desk) -> None:
    """A start may meet the deletion of its queue; if that is made again, it must not be given away twice."""
    await desk.create()
    made = await desk.cluster("one")
    await desk.it.store.write(lambda tx: tx.queues.delete(desk.it.workspace, "q"))
    view = await desk.create()
    assert view.queue.held == Amount(Decimal(2), 2 * GIB, 0)
    await desk.it.services.clusters.stop(desk.owner, desk.it.workspace, made.id)
    await desk.it.settle(made.id)
    assert (await desk.get()).queue.held == Amount(Decimal(0), 0, 0)
