"""``why``: each state is explained with who asked for it, what is in the way and what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from heliostat.domain.ids import NodeId
from heliostat.domain.records import Activity, Cluster
from heliostat.domain.spec import ClusterSpec, Lifetime
from heliostat.services import Explanation
from heliostat.services.cluster_steps import stop

from .conftest import Office, spec


async def why(office: Office, cluster: Cluster) -> Explanation:
    ann = await office.caller("ann")
    return await office.services.clusters.why(ann, office.workspace, cluster.id)


async def test_never_started(office: Office) -> None:
    made = await office.services.clusters.create(await office.caller("ann"), office.workspace, spec())
    said = await why(office, made)
    assert said.summary == "one is stopped: nobody has started it yet." and said.remedy == "Start it."
    assert any("ann: Created: created with 3 nodes" in line for line in said.evidence)


async def test_starting(office: Office) -> None:
    office.world.start_seconds = 3600
    made = await office.services.clusters.create(await office.caller("ann"), office.workspace, spec(), start=True)
    asked = f"{office.clock.now():%Y-%m-%d %H:%M:%S}"
    said = await why(office, made)
    assert said.summary == f"one is starting (step queued) since ann asked for it at {asked}."
    for _ in range(3):
        await office.reconciler.reconcile(made.id)
    said = await why(office, made)
    assert "(step head)" in said.summary
    assert any("node" in line and "is starting" in line for line in said.evidence)
    assert any(line.startswith("step head took") and "so far" in line for line in said.evidence)


async def test_running_and_modified(office: Office) -> None:
    made = await office.running()
    said = await why(office, made)
    assert "one is running since ann asked for it" in said.summary
    assert said.summary.endswith("3 of 3 nodes are alive.") and not said.remedy

    def grown(old: ClusterSpec) -> ClusterSpec:
        head = replace(old.head, cpu=old.head.cpu * 2)
        return replace(old, head=head, workers=(replace(old.workers[0], replicas=4),))

    await office.services.clusters.update(await office.caller("ann"), office.workspace, made.id, grown)
    said = await why(office, made)
    assert "restart the cluster to apply it" in said.remedy
    assert "3 of 5 nodes" in said.summary, "the workers are asked for at once"


async def test_failed(office: Office) -> None:
    office.world.failing["one"] = "no such package: ray==9"
    made = await office.running()
    said = await why(office, made)
    assert said.summary == "one failed: no such package: ray==9"
    assert "start it again" in said.remedy
    assert any("Failed: no such package" in line for line in said.evidence)


async def test_lost_its_head(office: Office) -> None:
    made = await office.running()
    assert made.instance is not None
    head = next(node for node in office.world.instances[made.instance].nodes.values() if node.kind == "head")
    office.engine.kill(NodeId(head.node))
    await office.settle(made.id)
    said = await why(office, made)
    assert "cannot be brought back" in said.summary
    assert any("HeadLost" in line for line in said.evidence)


async def test_stopping_and_stopped(office: Office) -> None:
    made = await office.running()
    await office.services.clusters.stop(await office.caller("editor"), office.workspace, made.id)
    assert "one is stopping since editor asked for it" in (await why(office, made)).summary
    await office.settle(made.id)
    said = await why(office, made)
    assert said.summary.startswith("one is stopped since editor asked for it at ") and not said.remedy


async def test_stopped_long_ago_is_not_called_never_started(office: Office) -> None:
    ann, clusters = await office.caller("ann"), office.services.clusters
    made = await office.running()
    await clusters.stop(ann, office.workspace, made.id)
    await office.settle(made.id)
    for number in range(51):
        await clusters.update(
            ann, office.workspace, made.id, lambda old, number=number: replace(old, description=str(number))
        )
    assert (await why(office, made)).summary == "one is stopped."


async def test_why_a_running_cluster_is_not_idle_and_when_it_will_be_stopped(office: Office) -> None:
    made = await office.running()
    since = office.clock.now()

    async def seen(activity: Activity | None, lifetime: Lifetime) -> list[str]:
        run, record = await office.run_of(made.id), await office.stored(made.id)
        await office.store.write(lambda tx: tx.instances.save(replace(run, activity=activity)))
        spec = replace(record.spec, lifetime=lifetime)
        await office.store.write(lambda tx: tx.clusters.save(replace(record, spec=spec)))
        return [line for line in (await why(office, made)).evidence if line.startswith(("it is", "nothing", "whether"))]

    half_an_hour, day = Lifetime(idle_stop_seconds=1800), Lifetime(max_seconds=86_400)
    assert await seen(None, Lifetime()) == ["whether anything goes on is not known yet"]
    assert await seen(Activity(("3 tasks are running", "1 driver is connected")), half_an_hour) == [
        "it is not idle: 3 tasks are running",
        "it is not idle: 1 driver is connected",
        "it is stopped when it has been idle for 30m",
    ]
    office.clock.advance(minutes=5)
    stops = f"{since + timedelta(minutes=30):%Y-%m-%d %H:%M:%S} UTC"
    assert await seen(Activity((), since), half_an_hour) == [
        f"it is idle since {since:%Y-%m-%d %H:%M:%S} UTC (5m): nothing goes on",
        f"nothing has gone on since {since:%Y-%m-%d %H:%M:%S} UTC: it is stopped at {stops} unless it is used before",
    ]
    told = await seen(Activity(("1 actor is alive",)), day)
    assert len(told) == 2 and told[1].endswith("whatever goes on: max_lifetime is 1d")


@pytest.mark.parametrize("reason", ["IdleStopped", "LifetimeOver"])
async def test_a_cluster_that_was_stopped_by_itself_says_so(office: Office, reason: str) -> None:
    made = await office.running()
    now = office.clock.now()
    await office.store.write(lambda tx: stop(tx, made, "heliostat", now, reason, "stopped: nothing has gone on"))
    being = (await why(office, made)).summary
    assert being == "one was stopped: nothing has gone on; its processes and folders are being removed."
    await office.settle(made.id)
    assert (await why(office, made)).summary == "one was stopped: nothing has gone on."
