"""Admission to queues: how many starts per second are let in, with SQLite and with PostgreSQL.

* *pass*: 1,000 runs wait for one queue, and there comes to be room for all, or for ten at a time. Counted is the work of
  admission alone: reading who waits, deciding, storing what is granted.
* *start to admitted*: 1,000 clusters of a head and a group of workers are started through the use cases, eight calls at a
  time, while the control loop looks after all of them on the simulated engine. Their queue has a limit, and room for all.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import structlog
import support  # noqa: F401  (finds the tests, whose PostgreSQL is used)

from heliostat.control.admission import Admission
from heliostat.control.clock import SystemClock
from heliostat.control.work import Work, WorkSettings
from heliostat.domain.ids import ClusterId, InstanceId, PrincipalId, WorkspaceId, new_workspace_id
from heliostat.domain.installation import Installation
from heliostat.domain.quantities import GIB
from heliostat.domain.quota import HEAD, Charge, Claim, Phase
from heliostat.domain.records import Amount, Queue, Workspace
from heliostat.domain.spec import ClusterSpec, NodeShape, WorkerGroup
from heliostat.engines.simulated import SimulatedEngine
from heliostat.ray_api.simulated import SimulatedRay
from heliostat.services import Caller, Services
from heliostat.storage.folder import FolderStorage
from heliostat.store import Store, StoreSettings, Transaction
from tests.postgres import start

RUNS = 1000
CALLS = 8
AT_ONCE = 10
TURNS = 50


def main() -> list[dict[str, object]]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    rows = []
    for name in ("sqlite", "postgresql"):
        with tempfile.TemporaryDirectory(prefix="heliostat-bench-") as folder, database(name, folder) as urls:
            rows += [asyncio.run(passes(name, urls("passes"), Path(folder), most)) for most in (RUNS, AT_ONCE)]
            rows.append(asyncio.run(starts(name, urls("starts"), Path(folder))))
    return rows


@contextlib.contextmanager
def database(name: str, folder: str) -> Iterator[Callable[[str], str]]:
    """Gives a function that makes a new database and returns its URL."""
    if name == "sqlite":
        numbers = iter(range(100))
        yield lambda purpose: f"sqlite:///{folder}/{purpose}-{next(numbers)}.db"
        return
    with tempfile.TemporaryDirectory(prefix="hs-pg-") as place:
        server = start(Path(place))
        made = iter(range(100))

        def new(purpose: str) -> str:
            database = f"{purpose}_{next(made)}"
            server.execute(f"CREATE DATABASE {database}")
            return server.url(database)

        try:
            yield new
        finally:
            server.stop()


# --- the pass alone -------------------------------------------------------------------------------------------------------


async def passes(name: str, url: str, folder: Path, most: int) -> dict[str, object]:
    """Admission of 1,000 that wait, ``most`` at a time."""
    store = await Store.open(StoreSettings(url, folder / "key"))
    workspace, clock = new_workspace_id(), SystemClock()
    limit = Amount(Decimal(3 * most))

    def prepare(tx: Transaction) -> None:
        tx.workspaces.add(Workspace(workspace, "default", clock.now()))
        tx.queues.add(Queue(workspace, "root_queue", clock.now(), maximum=limit))
        tx.claims.change([(None, claim) for number in range(RUNS) for claim in _claims(workspace, number)], clock.now())

    def give_back(tx: Transaction) -> int:
        held = tx.claims.holders(workspace, None, limit=2 * most)
        tx.claims.change([(claim, None) for claim in held], clock.now())
        return len(held) // 2

    await store.write(prepare)
    admission = Admission(store, clock, lambda cluster: None)
    admitted, took, cpu, turns = 0, 0.0, 0.0, 0
    while admitted < RUNS and turns < TURNS:
        began, used = time.perf_counter(), time.process_time()
        await admission.reconcile(workspace)
        took += time.perf_counter() - began
        cpu += time.process_time() - used
        turns += 1
        admitted += await store.write(give_back)
    await store.close()
    what = f"{most} at a time" if most < RUNS else "all at once"
    return {
        "what": f"pass, {RUNS} waiting, {what}",
        "database": name,
        "per_second": round(admitted / took),
        "ms_per_pass": round(took / turns * 1000, 1),
        "cpu_ms_per_pass": round(cpu / turns * 1000, 1),
    }


def _claims(workspace: WorkspaceId, number: int) -> list[Claim]:
    """Of a head and two workers that wait."""
    run, now = f"ray-{number:016}-a", SystemClock().now() + timedelta(microseconds=number)
    head = Claim(
        InstanceId(run), HEAD, workspace, ClusterId(f"ray-{number:016}"), "root_queue", PrincipalId("1"),
        Charge(1000, GIB), 1, 0, 0, now, Phase.STARTING, now,
    )  # fmt: skip
    return [head, replace(head, group="g", wanted=2)]


# --- from the call --------------------------------------------------------------------------------------------------------


async def starts(name: str, url: str, folder: Path) -> dict[str, object]:
    """1,000 starts through the use cases, with the loop at work."""
    store = await Store.open(StoreSettings(url, folder / "key"))
    engine, clock, storage = SimulatedEngine(), SystemClock(), FolderStorage(folder / "storage")
    await engine.open()
    settings = WorkSettings(shared=name == "postgresql")
    work = Work(store, engine, storage, SimulatedRay(engine.world), Installation(), clock, folder / "scratch", settings)
    services = Services.build(store, Installation(), engine, clock, work.clusters.wake, work.tools, work.queues.wake)
    made = await services.identity.first_start("ann")
    assert made is not None
    caller, workspace = Caller(await services.identity.by_token(made.token.reveal())), made.workspace
    most = Amount(Decimal(3 * RUNS))
    await services.queues.edit(caller, workspace, "root_queue", lambda queue: replace(queue, maximum=most))
    shape = NodeShape("root_queue", Decimal(1), GIB)
    spec = ClusterSpec("s", "ray-1.3.1", shape, (WorkerGroup("g", shape, 2),))
    ids = [
        (await services.clusters.create(caller, workspace, replace(spec, name=f"s-{number}"))).id
        for number in range(RUNS)
    ]
    task = asyncio.create_task(work.run())
    began, used = time.perf_counter(), time.process_time()

    async def share(part: int) -> None:
        for id in ids[part::CALLS]:
            await services.clusters.start(caller, workspace, id)

    await asyncio.gather(*(share(part) for part in range(CALLS)))
    asked = time.perf_counter() - began
    while await store.read(lambda tx: tx.claims.anyone_lacks(workspace)):  # noqa: ASYNC110 (the database tells no news)
        await asyncio.sleep(0.002)
    took, used = time.perf_counter() - began, time.process_time() - used
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await work.close()
    await engine.close()
    await store.close()
    await storage.close()
    return {
        "what": f"{RUNS} starts to admitted",
        "database": name,
        "per_second": round(RUNS / took),
        "asked_s": round(asked, 2),
        "admitted_s": round(took, 2),
        "cpu_ms_per_start": round(used / RUNS * 1000, 2),
    }


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    for row in main():
        print(row)
