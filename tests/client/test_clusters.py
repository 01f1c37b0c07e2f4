"""The whole SDK against a running server: what a user types, synchronously and asynchronously."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator

import pytest

import heliostat
from heliostat.client import (
    AlreadyExists,
    ClusterFailed,
    Conflict,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    NotRunning,
    Progress,
    WorkerGroup,
)
from heliostat.client.models import ClusterInfo
from heliostat.testing.harness import HarnessServer


@pytest.fixture
def name(client: heliostat.Client) -> Iterator[str]:
    """A fresh name; its cluster is deleted afterwards."""
    chosen = f"c-{secrets.token_hex(4)}"
    yield chosen
    for cluster in client.clusters.list(name=chosen):
        cluster.delete(stop=True)


def test_what_the_front_page_shows(server: HarnessServer, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELIOSTAT_HOME", str(server.home))
    reports: list[Progress] = []
    cluster = heliostat.Cluster.create(name, workers=2, cpu=1, memory="1Gi").wait(on_progress=reports.append)
    assert cluster.state == "Running"
    assert cluster.dashboard_url.startswith(f"http://c-{cluster.id}.")
    assert cluster.job_url == server.url and len(cluster.submit_token) == 32
    assert reports[-1].state == "Running" and reports[-1].nodes_up == reports[-1].nodes_wanted == 3
    assert [node.kind for node in cluster.nodes()] == ["head", "worker", "worker"]
    assert "StartRequested" in [event.reason for event in cluster.events()]
    assert name in cluster.why().summary
    first = cluster.instance_id
    assert cluster.stop(wait=True).state == "Stopped"
    assert cluster.start(wait=True).instance_id != first
    cluster.delete(stop=True, wait=True)
    with pytest.raises(NotFound):
        heliostat.Cluster.get(cluster.id)


async def test_the_same_asynchronously(server: HarnessServer, name: str) -> None:
    async with heliostat.AsyncClient(server.url, server.token, server.workspace) as client:
        cluster = await (await client.clusters.create(name, workers=2)).wait()
        assert cluster.state == "Running" and len(await cluster.nodes()) == 3
        assert [row.id async for row in client.clusters.list(name=name)] == [cluster.id]
        await cluster.update(description="x")
        assert (await heliostat.AsyncCluster.get(name, client=client)).info.description == "x"
        await cluster.stop(wait=True)
        await cluster.delete(wait=True)
        with pytest.raises(NotFound):
            await cluster.refresh()
        with pytest.raises(TypeError, match="client"):
            await heliostat.AsyncCluster.get(name)


def test_reading_an_address_of_a_stopped_cluster_says_why_there_is_none(client: heliostat.Client, name: str) -> None:
    cluster = client.clusters.create(name, start=False)
    assert cluster.endpoints is None
    for attribute in ("dashboard_url", "job_url", "submit_token"):
        with pytest.raises(NotRunning, match="is Stopped"):
            getattr(cluster, attribute)


def test_update_and_scale(client: heliostat.Client, name: str) -> None:
    cluster = client.clusters.create(name, workers=[WorkerGroup(name="a"), WorkerGroup(name="b")], start=False)
    cluster.update(description="x", labels={"team": "search"}, autoscaling=False)
    assert (cluster.generation, cluster.info.description, cluster.spec["labels"]) == (2, "x", {"team": "search"})
    cluster.scale(4, group="b")
    assert [row["replicas"] for row in cluster.spec["workers"]] == [1, 4]
    with pytest.raises(InvalidRequest, match="a, b"):
        cluster.scale(4)
    cluster.update(labels={"team": None})
    assert cluster.spec["labels"] == {}


def test_a_wait_raises_the_cause(server: HarnessServer, client: heliostat.Client, name: str) -> None:
    server.world.failing[name] = "the head ended: no space left on device"
    with pytest.raises(ClusterFailed, match="no space left on device"):
        client.clusters.create(name).wait(deadline=20)


def test_a_wait_ends_at_its_deadline(client: heliostat.Client, name: str) -> None:
    cluster = client.clusters.create(name, start=False)
    since = time.monotonic()
    with pytest.raises(ClusterFailed, match="wanted stopped"):
        cluster.wait()
    with pytest.raises(DeadlineExceeded, match="not Error"):
        cluster.wait("Error", deadline=0.5)
    assert 0.4 < time.monotonic() - since < 10


def test_a_wait_ends_when_the_cluster_is_deleted_by_another(client: heliostat.Client, name: str) -> None:
    cluster = client.clusters.create(name, start=False)
    other = threading.Timer(0.3, lambda: client.clusters.delete(cluster.id))
    other.start()
    with pytest.raises(ClusterFailed, match="deleted"):
        cluster.wait("Error", deadline=20)
    other.join()
    with pytest.raises(NotFound):
        cluster.delete(wait=True)


def test_idempotency_and_conflicts(client: heliostat.Client, name: str) -> None:
    key = secrets.token_hex(8)
    first = client.clusters.create(name, idempotency_key=key)
    assert client.clusters.create(name, idempotency_key=key).id == first.id
    with pytest.raises(AlreadyExists):
        client.clusters.create(name)
    first.wait()
    with pytest.raises(Conflict):
        first.start()
    with pytest.raises(Conflict):
        first.stop(instance=f"{first.id}-00000000")


def test_lists_go_over_pages(client: heliostat.Client, name: str) -> None:
    made = [client.clusters.create(f"{name}-{number}", start=False).id for number in range(5)]
    assert [row.id for row in client.clusters.list(name=name)] == made[::-1]
    assert [row.id for row in client.clusters.list(name=name, limit=2)] == made[:2:-1]
    assert [row.id for row in client.clusters.list(name=name, state="Running")] == []
    listed = next(iter(client.clusters.list(name=name)))
    assert listed.info.findings is None
    with pytest.raises(NotRunning, match="refresh"):
        _ = listed.job_url
    assert "env" in listed.refresh().spec["head"]


def test_watch_and_follow_see_what_happens(client: heliostat.Client, name: str) -> None:
    cluster = client.clusters.create(name, start=False)
    states = []
    for seen in cluster.watch(seconds=20):
        states.append(seen.state)
        if seen.state == "Stopped":
            seen.start()
        if seen.state == "Running":
            break
    assert states[0] == "Stopped" and states[-1] == "Running"
    reasons = []
    for event in cluster.follow_events(after=0):
        reasons.append(event.reason)
        if event.reason == "Running":
            break
    assert reasons == ["Created", "StartRequested", "Running"]


def test_everything_else_there_is(server: HarnessServer, client: heliostat.Client) -> None:
    me = client.me()
    assert me.admin and client.workspace() in {row.id for row in me.workspaces}
    assert client.version().api == "v1"
    assert any(row.default for row in client.releases.list())
    assert client.releases.prepare("ray-1.3.1") == client.releases.get("ray-1.3.1")
    assert [row.name for row in client.queues.list()] == ["root_queue"]
    assert [row.name for row in client.network_services.list()] == ["loopback"]
    second = client.workspaces.create(f"w-{secrets.token_hex(4)}")
    assert client.workspaces.get(second.id) == second
    assert second in client.workspaces.list(name=second.name)

    made = client.keys.create(principal=f"robot-{secrets.token_hex(4)}", lifetime_seconds=60)
    robot = next(row for row in client.keys.list() if row.id == made.key.id)
    assert robot == made.key
    assert made.secret not in repr(made)
    with heliostat.Client(server.url, made.secret) as other:
        assert other.me().workspaces == ()
        with pytest.raises(InvalidRequest, match="yours are: none"):
            list(other.clusters.list())
        name = other.me().name
        client.workspaces.grant(name, "viewer", workspace=second.id)
        assert list(other.clusters.list()) == []
        assert other.workspace() == second.id
        client.workspaces.revoke(name, workspace=second.id)
        with pytest.raises(NotFound):
            list(other.clusters.list())
        client.keys.revoke(made.key.id)
        with pytest.raises(heliostat.HeliostatError, match="revoked"):
            other.me()


@pytest.mark.parametrize("odd", ["..", ".", "a/b", "../..", "50%", "ä ?"])
def test_odd_names_are_names_and_no_paths(client: heliostat.Client, odd: str) -> None:
    for call in (client.clusters.get, client.clusters.delete, client.clusters.nodes):
        with pytest.raises(NotFound, match="cluster"):
            call(odd)
    made = client.clusters.create(odd, start=False)
    assert client.clusters.get(odd).id == made.id
    client.clusters.delete(odd)


def test_an_empty_name_names_nothing(client: heliostat.Client) -> None:
    with pytest.raises(InvalidRequest, match="must not be empty"):
        client.clusters.get("")


def test_two_workspaces_and_none_named_is_told_with_the_choices(
    server: HarnessServer, client: heliostat.Client
) -> None:
    second = client.workspaces.create(f"w-{secrets.token_hex(4)}")
    with heliostat.Client(server.url, server.token) as unsure, pytest.raises(InvalidRequest, match=second.id):
        list(unsure.clusters.list())


def test_secrets_do_not_show_in_a_repr(client: heliostat.Client, name: str) -> None:
    cluster = client.clusters.create(name).wait()
    info: ClusterInfo = cluster.info
    assert cluster.submit_token not in repr(info) + repr(cluster) + repr(client.credentials)


def test_a_running_cluster_is_changed_planned_and_restarted(client: heliostat.Client, name: str) -> None:
    cluster = client.clusters.create(name, workers=1, idle_stop_after="30m", priority=3).wait()
    plan = cluster.plan({"workers": [{"name": "workers", "replicas": 2}], "head": {"cpu": 2}})
    assert plan.restart and {row.path: row.effect for row in plan.changes}["workers[workers].replicas"] == "in_place"
    assert cluster.refresh().generation == plan.generation == 1
    cluster.scale(2)
    assert not cluster.modified and cluster.info.instance is not None
    [group] = cluster.info.instance.groups
    assert (group.name, group.wanted) == ("workers", 2)
    with pytest.raises(Conflict, match="another change came between"):
        cluster.update(expected_generation=1, description="late")
    first = cluster.instance_id
    cluster.update(head={"cpu": 2})
    assert cluster.modified
    assert not cluster.restart(rolling=True, wait=True).modified and cluster.instance_id == first
    assert cluster.restart(wait=True).instance_id != first
    same = client.clusters.apply({**cluster.spec})
    assert same.generation == cluster.generation
    assert client.clusters.plan(dict(cluster.spec)).action == "nothing"
