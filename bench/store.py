"""CPU of the store on SQLite: the reads and writes that are on the way of nearly every request.

``python bench/store.py`` prints CPU (user + system, all threads) and wall time per call, once for the transaction alone
in its own thread and once through the event loop, as a request pays for it.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path

from heliostat.domain.engine import Endpoints, NodeObservation, NodeState, Progress, Step
from heliostat.domain.ids import (
    NodeId,
    PrincipalId,
    new_cluster_id,
    new_instance_id,
    new_principal_id,
    new_workspace_id,
    random_text,
)
from heliostat.domain.records import Cluster, Credential, CredentialKind, Event, Instance, Principal, Role, Workspace
from heliostat.domain.secret import Secret
from heliostat.domain.spec import Autoscaling, ClusterSpec, NodeShape, WorkerGroup
from heliostat.domain.states import State, Wanted
from heliostat.store import Store, StoreSettings, Transaction

CLUSTERS = 100
NOW = datetime.now(UTC)
WORKSPACE = new_workspace_id()
CLUSTER_IDS = [new_cluster_id() for _ in range(CLUSTERS)]
ACCESS_KEY = "HELI" + random_text(20)


def cluster(number: int, principal: PrincipalId) -> tuple[Cluster, Instance]:
    """A running cluster with two worker groups and three nodes."""
    id = CLUSTER_IDS[number]
    shape = NodeShape("root_queue", Decimal(2), 8 << 30, env={"HF_TOKEN": "secret", "MODE": "training"})
    spec = ClusterSpec(
        name=f"cluster-{number}",
        release="ray-1.3.1 (Ray 2.60.0, Python 3.11)",
        head=shape,
        workers=(WorkerGroup("cpu", shape, 1), WorkerGroup("more", shape, 1, 0, 4)),
        autoscaling=Autoscaling(True, 60),
        labels={"team": "vision"},
        extras={"emr.displayName": "x"},
        spellings={"head.memory": "8GB", "workers[0].memory": "8GiB"},
    )
    created = NOW + timedelta(seconds=number)
    nodes = tuple(
        NodeObservation(NodeId(f"n{place}"), "worker", "cpu", NodeState.ALIVE, created, created, random_text(56), 4711)
        for place in range(3)
    )
    instance = Instance(
        id=new_instance_id(id),
        cluster=id,
        workspace=WORKSPACE,
        spec=spec,
        generation=1,
        created_at=created,
        submit_token=Secret(random_text(32)),
        ray_token=Secret(random_text(64)),
        running_at=created,
        nodes=nodes,
        progress=tuple(Progress(step, created, created) for step in (Step.ENVIRONMENT, Step.HEAD, Step.WORKERS)),
        endpoints=Endpoints("127.0.0.1:8265", "127.0.0.1:10001"),
    )
    record = Cluster(
        id=id,
        workspace=WORKSPACE,
        spec=spec,
        generation=1,
        wanted=Wanted.RUNNING,
        state=State.RUNNING,
        message="ok",
        modified=False,
        instance=instance.id,
        creator=principal,
        creator_name="admin",
        modifier=principal,
        modifier_name="admin",
        created_at=created,
        modified_at=created,
        started_at=created,
    )
    return record, instance


def fill(tx: Transaction) -> None:
    """A workspace with its clusters, and an access key."""
    principal = Principal(new_principal_id(), "admin", roles={WORKSPACE: Role.OWNER})
    tx.workspaces.add(Workspace(WORKSPACE, "default", NOW))
    tx.principals.add(principal)
    credential = Credential(ACCESS_KEY, CredentialKind.ACCESS_KEY, principal.id, "bench", NOW)
    tx.credentials.add_access_key(credential, Secret(random_text(32)))
    for number in range(CLUSTERS):
        record, instance = cluster(number, principal.id)
        tx.clusters.add(record)
        tx.instances.add(instance)


def many(work: Callable[[Transaction], object], times: int) -> Callable[[Transaction], tuple[float, float]]:
    """A transaction that repeats ``work`` and says how much CPU and time one took, in microseconds."""

    def run(tx: Transaction) -> tuple[float, float]:
        work(tx)
        cpu, wall = time.thread_time(), time.perf_counter()
        for _ in range(times):
            work(tx)
        return (time.thread_time() - cpu) / times * 1e6, (time.perf_counter() - wall) / times * 1e6

    return run


async def measure(store: Store, name: str, work: Callable[[Transaction], object], *, write: bool, times: int) -> None:
    """Prints one line: inside one transaction, and with a transaction for each."""
    run = store.write if write else store.read
    inside, _ = await run(many(work, times))
    for _ in range(20):
        await run(work)
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(times):
        await run(work)
    cpu, wall = (time.process_time() - cpu) / times * 1e6, (time.perf_counter() - wall) / times * 1e6
    print(f"{name:36} {inside:10.0f} {cpu:18.0f} {wall:19.0f}")


async def main() -> None:
    numbers = count()
    with tempfile.TemporaryDirectory() as folder:
        settings = StoreSettings(f"sqlite:///{folder}/heliostat.db", Path(folder) / "master.key")
        store = await Store.open(settings)
        await store.write(fill)
        await store.close()
        store = await Store.open(settings)
        begun = time.process_time()
        await store.read(lambda tx: tx.clusters.page_with_instances(WORKSPACE, limit=CLUSTERS))
        print(f"first page of {CLUSTERS}, nothing cached: {(time.process_time() - begun) * 1e6:.0f} us CPU\n")

        def change(tx: Transaction) -> None:
            number = next(numbers)
            locked = tx.clusters.lock(CLUSTER_IDS[number % CLUSTERS])
            assert locked is not None
            tx.clusters.save(replace(locked, message=f"change {number}"))
            tx.events.add(Event(locked.id, WORKSPACE, NOW, "heliostat", "Changed", "a change"))

        print(f"{'microseconds per call':36} {'CPU inside':>10} {'CPU, transaction':>18} {'wall, transaction':>19}")
        await measure(
            store,
            f"page_with_instances({CLUSTERS})",
            lambda tx: tx.clusters.page_with_instances(WORKSPACE, limit=CLUSTERS),
            write=False,
            times=500,
        )
        one = CLUSTER_IDS[50]
        await measure(store, "get", lambda tx: tx.clusters.get(WORKSPACE, one), write=False, times=2000)
        await measure(
            store,
            "get_with_instance",
            lambda tx: tx.clusters.get_with_instance(WORKSPACE, one),
            write=False,
            times=2000,
        )
        await measure(store, "access_key", lambda tx: tx.credentials.access_key(ACCESS_KEY), write=False, times=2000)
        await measure(
            store,
            "nonces.remember",
            lambda tx: tx.nonces.remember(ACCESS_KEY, f"{next(numbers)}", NOW, timedelta(minutes=15)),
            write=True,
            times=2000,
        )
        await measure(
            store,
            "leases.acquire",
            lambda tx: tx.leases.acquire("loop", "me", NOW, NOW + timedelta(minutes=1)),
            write=True,
            times=1000,
        )
        await measure(store, "lock + save + event", change, write=True, times=1000)
        await measure(store, "nothing (the way there and back)", lambda tx: None, write=False, times=2000)
        await measure(store, "nothing, written", lambda tx: None, write=True, times=2000)
        await store.close()


asyncio.run(main())
