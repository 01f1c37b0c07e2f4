"""Prometheus' service discovery: what is listed, for whom, and in which form."""

from __future__ import annotations

from typing import Any

import orjson

from heliostat.api.models.answers import MetricsTargets
from heliostat.domain.records import Role

from .support import House
from .test_openapi import exactly

PLACE = "/v1/metrics/targets"


async def listed(house: House, client: Any = None, **query: str) -> dict[str, list[tuple[str, str]]]:
    """By name of the cluster: kind and component of each target (``Any``: an HTTP client)."""
    answer = await (client or house.admin).get(PLACE, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json", "Prometheus demands it"
    found: dict[str, list[tuple[str, str]]] = {}
    for row in answer.json():
        labels = row["labels"]
        found.setdefault(labels["heliostat_cluster_name"], []).append(
            (labels["heliostat_kind"], labels["heliostat_component"])
        )
    return found


async def test_nodes_of_running_clusters_are_listed(house: House) -> None:
    assert await listed(house) == {}
    await house.create(workers=[{"name": "w", "replicas": 2}])
    await house.create("idle", start=False)
    await house.create("quiet", metrics=False)
    shown = await house.until("demo", "Running")
    await house.until("quiet", "Running")
    head = [("head", "node"), ("head", "dashboard"), ("head", "autoscaler")]
    assert await listed(house) == {"demo": [*head, ("worker", "node"), ("worker", "node")]}
    first = (await house.admin.get(PLACE)).json()[0]
    assert first["labels"] == {
        "heliostat_workspace": house.workspace,
        "heliostat_cluster": shown["id"],
        "heliostat_cluster_name": "demo",
        "heliostat_instance": shown["instance"]["id"],
        "heliostat_node": f"{shown['instance']['id']}-head-1",
        "heliostat_group": "head",
        "heliostat_kind": "head",
        "heliostat_component": "node",
        "ray_io_cluster": "demo",
    }
    rows = (await house.admin.get(PLACE)).json()
    assert len({row["targets"][0] for row in rows}) == len(rows), "one address each"
    for row in rows:
        exactly(MetricsTargets, orjson.dumps(row))
    await house.admin.post(f"{house.clusters}/demo/stop")
    await house.until("demo", "Stopped")
    assert await listed(house) == {}


async def test_switching_metrics_off_takes_a_restart(house: House) -> None:
    await house.create()
    await house.until("demo", "Running")
    answer = await house.admin.patch(f"{house.clusters}/demo", json={"metrics": False})
    assert answer.json()["modified"] is True
    assert "demo" in await listed(house), "they go on answering"
    before = answer.json()["instance"]["id"]
    await house.admin.post(f"{house.clusters}/demo/restart", json={})
    await house.when("demo", lambda row: row["state"] == "Running" and row["instance"]["id"] != before)
    assert await listed(house) == {}


async def test_everybody_sees_what_is_theirs(house: House) -> None:
    made = await house.admin.post("/v1/workspaces", json={"name": "other"})
    other = made.json()["id"]
    await house.create()
    await house.until("demo", "Running")
    answer = await house.admin.post(f"/v1/workspaces/{other}/clusters", json={"name": "far"})
    assert answer.status_code == 201
    while "far" not in await listed(house):
        pass
    viewer = await house.principal("vera", Role.VIEWER)
    stranger = await house.principal("sam", None)
    assert (await listed(house)).keys() == {"demo", "far"}
    assert (await listed(house, workspace=other)).keys() == {"far"}
    assert (await listed(house, viewer)).keys() == {"demo"}
    assert await listed(house, stranger) == {}
    assert (await viewer.get(PLACE, params={"workspace": other})).status_code == 404
    assert (await viewer.get(PLACE, params={"workspace": "w-nothing"})).status_code == 404
    assert (await house.client(None).get(PLACE)).status_code == 401
