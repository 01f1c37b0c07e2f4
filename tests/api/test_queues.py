"""Queues and usage over HTTP: what a body means, and which place an error names."""

from __future__ import annotations

from typing import Any

import pytest

from .support import House

NOTHING = {"cpu": None, "memory": None, "gpu": None}


def queues(house: House, name: str = "") -> str:
    return f"/v1/workspaces/{house.workspace}/queues" + (f"/{name}" if name else "")


async def test_a_queue_is_made_changed_and_removed(house: House) -> None:
    wish = {
        "name": "research", "description": "for us", "minimum": {"cpu": "500m"}, "priority": 7, "backfill": False,
        "maximum": {"cpu": 16, "memory": "64Gi", "gpu": 2},
    }  # fmt: skip
    answer = await house.admin.post(queues(house), json=wish)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["minimum"] == {"cpu": "0.5", "memory": None, "gpu": None}
    assert made["maximum"] == {"cpu": "16", "memory": "64Gi", "gpu": 2}
    assert made["held"] == made["used"] == {"cpu": "0", "memory": "0Gi", "gpu": 0}
    assert (made["priority"], made["backfill"], made["waiting"], made["notes"]) == (7, False, 0, [])
    assert (await house.admin.get(queues(house, "research"))).json() == made | {"holders": []}
    listed = (await house.admin.get(queues(house))).json()["queues"]
    assert listed[0] == made and listed[1]["name"] == "root_queue"

    patch = {"maximum": {"cpu": 32, "gpu": None}, "minimum": None, "backfill": None}
    headers = {"content-type": "application/merge-patch+json"}
    changed = (await house.admin.patch(queues(house, "research"), json=patch, headers=headers)).json()
    assert changed["maximum"] == {"cpu": "32", "memory": "64Gi", "gpu": None}
    assert (changed["minimum"], changed["backfill"], changed["priority"]) == (NOTHING, True, 7)
    closed = (await house.admin.patch(queues(house, "research"), json={"maximum": {"cpu": 0, "gpu": 0}})).json()
    assert closed["maximum"] == {"cpu": "0", "memory": "64Gi", "gpu": 0}
    gone = await house.admin.delete(queues(house, "research"))
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await house.admin.get(queues(house, "research"))).status_code == 404


async def test_who_holds_a_queue_and_what_was_used(house: House) -> None:
    await house.admin.post(queues(house), json={"name": "q"})
    made = await house.create(head={"cpu": 2, "memory": "1Gi", "queue": "q"})
    await house.until("demo", "Running")
    shown = (await house.admin.get(queues(house, "q"))).json()
    assert shown["used"]["cpu"] == "2"
    [holder] = shown["holders"]
    assert (holder["cluster"], holder["name"], holder["nodes"], holder["held"]["memory"]) == (
        made["id"],
        "demo",
        1,
        "1Gi",
    )
    refused = await house.admin.delete(queues(house, "q"))
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "demo" in refused.json()["detail"]
    await house.admin.post(f"{house.clusters}/demo/stop")
    await house.until("demo", "Stopped")
    usage = (await house.admin.get(f"/v1/workspaces/{house.workspace}/usage?by=queue&by=cluster&cluster=demo")).json()
    [row] = usage["rows"]
    assert (row["queue"], row["cluster"], row["cluster_name"], row["principal"]) == ("q", made["id"], "demo", None)
    assert usage["total"]["total"] == row["total"]
    assert row["total"]["cpu_hours"] == pytest.approx(row["total"]["node_hours"] * 2, abs=1e-5)


BAD: list[tuple[str, str, Any, str]] = [
    ("POST", "", {}, "name"),
    ("POST", "", {"name": "no good"}, "name"),
    ("POST", "", {"name": "q", "maximum": {"cpu": "many"}}, "maximum.cpu"),
    ("POST", "", {"name": "q", "maximum": {"memory": "8Qi"}}, "maximum.memory"),
    ("POST", "", {"name": "q", "maximum": {"gpu": 0.5}}, "maximum.gpu"),
    ("POST", "", {"name": "q", "maximum": {"cpus": 1}}, "maximum.cpus"),
    ("POST", "", {"name": "q", "minimum": {"cpu": 2}, "maximum": {"cpu": 1}}, "minimum.cpu"),
    ("POST", "", {"name": "q", "priority": 1001}, "priority"),
    ("PATCH", "root_queue", {"name": "other"}, "name"),
    ("PATCH", "root_queue", {"description": "x" * 2000}, "description"),
]


async def test_bad_bodies_name_the_path(house: House) -> None:
    for method, name, body, path in BAD:
        answer = await house.admin.request(method, queues(house, name), json=body)
        assert (answer.status_code, answer.json()["path"]) == (422, path), answer.text


BAD_QUESTIONS: list[tuple[Any, ...]] = [
    ("by=colour", "by[0]"),
    ("by=queue&by=queue", "by[1]"),
    ("since=yesterday", "since"),
    ("since=2026-01-01T00:00:00", "since"),
    ("since=0001-01-01T00:00:00%2B14:00", "since"),
    ("until=9999-12-31T23:59:59-14:00", "until"),
    ("since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "since"),
    ("cluster=nope", "cluster"),
]


async def test_bad_questions_about_usage_name_the_path(house: House) -> None:
    for query, path in BAD_QUESTIONS:
        answer = await house.admin.get(f"/v1/workspaces/{house.workspace}/usage?{query}")
        assert (answer.status_code in (404, 422), answer.json()["path"]) == (True, path), answer.text
