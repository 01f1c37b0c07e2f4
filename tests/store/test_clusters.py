"""Clusters: names, pages, what is active, what is gone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from heliostat.domain.errors import AlreadyExists, InvalidRequest, NotFound
from heliostat.domain.ids import PrincipalId, new_cluster_id
from heliostat.domain.records import Cluster, Instance
from heliostat.domain.spec import NodeShape
from heliostat.domain.states import State, Wanted
from heliostat.store import Store, Transaction

from .samples import AWAY, HOME, NOW, a_cluster, a_spec, an_instance, make_workspaces, seen


async def test_comes_back_as_it_was_written(store: Store, other: Store) -> None:
    await make_workspaces(store)
    cluster = replace(a_cluster(), started_at=NOW + timedelta(hours=1), modified=True)
    await store.write(lambda tx: tx.clusters.add(cluster))
    for opened in (store, other, store):
        assert await opened.read(lambda tx: tx.clusters.get(HOME, cluster.id)) == cluster
        assert await opened.read(lambda tx: tx.clusters.find(cluster.id)) == cluster
        assert await opened.read(lambda tx: tx.clusters.find_any(cluster.id)) == cluster
        assert await opened.read(lambda tx: tx.clusters.by_name(HOME, cluster.spec.name)) == cluster
        assert await opened.write(lambda tx: tx.clusters.lock(cluster.id)) == cluster
    assert await store.read(lambda tx: tx.clusters.get(AWAY, cluster.id)) is None
    assert await store.read(lambda tx: tx.clusters.by_name(AWAY, cluster.spec.name)) is None
    assert await store.read(lambda tx: tx.clusters.find(new_cluster_id())) is None


async def test_save_replaces_everything_and_other_servers_see_it(store: Store, other: Store) -> None:
    await make_workspaces(store)
    cluster = a_cluster()
    await store.write(lambda tx: tx.clusters.add(cluster))
    await other.read(lambda tx: tx.clusters.get(HOME, cluster.id))
    changed = replace(
        cluster,
        spec=replace(a_spec("renamed"), head=NodeShape("other", cluster.spec.head.cpu, 2 << 30)),
        generation=2,
        wanted=Wanted.RUNNING,
        state=State.STARTING,
        message="waits for its turn",
        modified=True,
        instance=an_instance(cluster).id,
        modifier=PrincipalId("2"),
        modifier_name="otto",
        modified_at=NOW + timedelta(days=1),
        started_at=NOW + timedelta(days=2),
    )

    def change(tx: Transaction) -> None:
        assert tx.clusters.lock(cluster.id) == cluster
        tx.clusters.save(changed)

    await store.write(change)
    assert await store.read(lambda tx: tx.clusters.get(HOME, cluster.id)) == changed
    assert await other.read(lambda tx: tx.clusters.get(HOME, cluster.id)) == changed


async def test_a_rolled_back_save_is_never_seen(store: Store) -> None:
    await make_workspaces(store)
    cluster = a_cluster()
    await store.write(lambda tx: tx.clusters.add(cluster))

    def fail(tx: Transaction) -> None:
        tx.clusters.save(replace(cluster, message="never"))
        assert tx.clusters.get(HOME, cluster.id) == replace(cluster, message="never")
        raise LookupError

    with pytest.raises(LookupError):
        await store.write(fail)
    assert await store.read(lambda tx: tx.clusters.get(HOME, cluster.id)) == cluster


async def test_names_are_unique_among_the_undeleted_of_a_workspace(store: Store) -> None:
    await make_workspaces(store)
    first, second = a_cluster("one"), a_cluster("two")
    await store.write(lambda tx: (tx.clusters.add(first), tx.clusters.add(second)))
    with pytest.raises(AlreadyExists, match="cluster named 'one'"):
        await store.write(lambda tx: tx.clusters.add(a_cluster("one")))
    with pytest.raises(AlreadyExists, match="cluster named 'one'"):
        await store.write(lambda tx: tx.clusters.save(replace(second, spec=a_spec("one"))))
    await store.write(lambda tx: tx.clusters.add(a_cluster("one", workspace=AWAY)))
    await store.write(lambda tx: tx.clusters.save(first))

    gone = replace(first, deleted_at=NOW, wanted=Wanted.DELETED)
    await store.write(lambda tx: tx.clusters.save(gone))
    again = a_cluster("one")
    await store.write(lambda tx: tx.clusters.add(again))
    await store.write(lambda tx: tx.clusters.save(replace(gone, message="still going")))
    found = await store.read(lambda tx: tx.clusters.by_name(HOME, "one"))
    assert found == again


async def test_the_transaction_stays_usable_after_a_name_clash(store: Store) -> None:
    await make_workspaces(store)
    await store.write(lambda tx: tx.clusters.add(a_cluster("one")))
    spare = a_cluster("one-2")

    def work(tx: Transaction) -> None:
        with pytest.raises(AlreadyExists):
            tx.clusters.add(a_cluster("one"))
        tx.clusters.add(spare)

    await store.write(work)
    assert await store.read(lambda tx: tx.clusters.find(spare.id)) == spare


async def test_of_concurrent_creates_of_one_name_one_wins(store: Store, other: Store) -> None:
    await make_workspaces(store)
    contenders = [a_cluster("one") for _ in range(8)]
    results = await asyncio.gather(
        *(
            opened.write(lambda tx, cluster=cluster: tx.clusters.add(cluster))
            for opened, cluster in zip((store, other) * 4, contenders, strict=True)
        ),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["AlreadyExists"] * 7 + ["NoneType"]
    assert await store.read(lambda tx: tx.clusters.count(HOME)) == 1


async def test_deleted_ones_are_hidden_until_they_are_purged(store: Store) -> None:
    await make_workspaces(store)
    cluster = a_cluster()
    instance = an_instance(cluster)
    gone = replace(cluster, deleted_at=NOW, wanted=Wanted.DELETED)
    await store.write(lambda tx: (tx.clusters.add(cluster), tx.instances.add(instance), tx.clusters.save(gone)))
    assert await store.read(lambda tx: tx.clusters.get(HOME, cluster.id)) is None
    assert await store.read(lambda tx: tx.clusters.get_with_instance(HOME, cluster.id)) is None
    assert await store.read(lambda tx: tx.clusters.find(cluster.id)) is None
    assert await store.read(lambda tx: tx.clusters.page(HOME, limit=10)) == []
    assert await store.read(lambda tx: tx.clusters.count(HOME)) == 0
    assert await store.read(lambda tx: tx.clusters.find_any(cluster.id)) == gone
    assert await store.write(lambda tx: tx.clusters.lock(cluster.id)) == gone
    assert await store.read(lambda tx: tx.clusters.active()) == [cluster.id]

    await store.write(lambda tx: tx.clusters.purge(cluster.id))
    assert await store.write(lambda tx: tx.clusters.lock(cluster.id)) is None
    assert await store.read(lambda tx: tx.instances.get(instance.id)) is None
    assert await store.read(lambda tx: tx.clusters.active()) == []
    with pytest.raises(NotFound):
        await store.write(lambda tx: tx.clusters.save(cluster))


async def test_pages_are_newest_first_and_complete(store: Store) -> None:
    await make_workspaces(store)
    clusters = [a_cluster(f"c{number}", age=timedelta(seconds=number // 3)) for number in range(10)]
    for cluster in [*clusters, a_cluster("elsewhere", workspace=AWAY)]:
        await store.write(lambda tx, cluster=cluster: tx.clusters.add(cluster))
    expected = sorted(clusters, key=lambda cluster: (cluster.created_at, cluster.id), reverse=True)

    assert await store.read(lambda tx: tx.clusters.page(HOME, limit=100)) == expected
    assert await store.read(lambda tx: tx.clusters.page(HOME, limit=4, offset=3)) == expected[3:7]
    assert await store.read(lambda tx: tx.clusters.page(HOME, limit=4, offset=20)) == []
    walked, before = [], None
    while page := await store.read(lambda tx: tx.clusters.page(HOME, limit=3, before=before)):  # noqa: B023
        walked += page
        before = page[-1].id
    assert walked == expected
    with pytest.raises(InvalidRequest, match="first page"):
        await store.read(lambda tx: tx.clusters.page(HOME, limit=3, before=new_cluster_id()))


async def test_pages_can_be_narrowed(store: Store) -> None:
    await make_workspaces(store)
    names = ["Train-A", "train_b", "trainxb", "serve"]
    for name in names:
        state = State.RUNNING if name == "serve" else State.STOPPED
        cluster = replace(a_cluster(name), state=state)
        await store.write(lambda tx, cluster=cluster: tx.clusters.add(cluster))

    async def found(**narrowed: object) -> set[str]:
        page = await store.read(lambda tx: tx.clusters.page(HOME, limit=9, **narrowed))
        assert await store.read(lambda tx: tx.clusters.count(HOME, **narrowed)) == len(page)
        return {cluster.spec.name for cluster in page}

    assert await found(name_contains="TRAIN") == {"Train-A", "train_b", "trainxb"}
    assert await found(name_contains="n_b") == {"train_b"}
    assert await found(name_contains="%") == set()
    assert await found(states=[State.RUNNING, State.ERROR]) == {"serve"}
    assert await found(states=[]) == set()
    assert await found(states=[State.STOPPED], name_contains="serve") == set()


async def test_clusters_come_with_their_present_run(store: Store, other: Store) -> None:
    await make_workspaces(store)
    resting, running = a_cluster("resting"), a_cluster("running", age=timedelta(seconds=1))
    instance = seen(an_instance(running))
    earlier = an_instance(running)
    running = replace(running, instance=instance.id)
    await store.write(lambda tx: (tx.clusters.add(resting), tx.clusters.add(running)))
    await store.write(lambda tx: (tx.instances.add(earlier), tx.instances.add(instance)))
    for opened in (store, other, store):
        pairs = await opened.read(lambda tx: tx.clusters.page_with_instances(HOME, limit=10))
        assert pairs == [(resting, None), (running, instance)]
        pairs = await opened.read(lambda tx: tx.clusters.page_with_instances(HOME, limit=10, name_contains="run"))
        assert pairs == [(running, instance)]
        assert await opened.read(lambda tx: tx.clusters.get_with_instance(HOME, resting.id)) == (resting, None)
        assert await opened.read(lambda tx: tx.clusters.get_with_instance(HOME, running.id)) == (running, instance)
    assert pairs[0][1] is not None
    assert pairs[0][1].submit_token.reveal() == instance.submit_token.reveal()
    assert pairs[0][1].ray_token.reveal() == instance.ray_token.reveal()


async def test_more_clusters_than_a_statement_takes_parameters(store: Store, other: Store) -> None:
    await make_workspaces(store)
    clusters = [a_cluster(f"c{number}") for number in range(1100)]
    await store.write(lambda tx: [tx.clusters.add(cluster) for cluster in clusters])
    page = await other.read(lambda tx: tx.clusters.page(HOME, limit=2000))
    assert {cluster.id for cluster in page} == {cluster.id for cluster in clusters}


async def test_active_is_all_that_is_not_at_rest(store: Store) -> None:
    """Over the whole product of states, wishes, and no run, a run or an ended run."""
    await make_workspaces(store)
    active = set()
    for number, (state, wanted, run) in enumerate(product(State, Wanted, ["none", "live", "ended"])):
        cluster = replace(a_cluster(f"c{number}"), state=state, wanted=wanted)
        instance = replace(an_instance(cluster), ended_at=NOW if run == "ended" else None)

        def add(tx: Transaction, cluster: Cluster = cluster, instance: Instance = instance, run: str = run) -> None:
            tx.clusters.add(cluster)
            if run != "none":
                tx.instances.add(instance)

        await store.write(add)
        if state is not State.STOPPED or wanted is not Wanted.STOPPED or run == "live":
            active.add(cluster.id)
    found = await store.read(lambda tx: tx.clusters.active())
    assert set(found) == active
    assert len(found) == len(active) == 43
