"""Who may do what: every endpoint of a workspace against every role."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from heliostat.domain.job_states import JobStatus
from heliostat.domain.records import Role

from .support import House, package

READ, WRITE, OWN, ADMIN = Role.VIEWER, Role.EDITOR, Role.OWNER, None
ENDPOINTS: list[tuple[str, str, Any, Role | None]] = [
    ("GET", "/v1/workspaces/{ws}", None, READ),
    ("GET", "/v1/workspaces/{ws}/queues", None, READ),
    ("GET", "/v1/workspaces/{ws}/queues/root_queue", None, READ),
    ("GET", "/v1/workspaces/{ws}/usage?by=cluster", None, READ),
    ("GET", "/v1/workspaces/{ws}/network-services", None, READ),
    ("GET", "/v1/metrics/targets?workspace={ws}", None, READ),
    ("GET", "/v1/workspaces/{ws}/clusters", None, READ),
    ("GET", "/v1/workspaces/{ws}/clusters/demo", None, READ),
    ("GET", "/v1/workspaces/{ws}/clusters/{id}", None, READ),
    ("GET", "/v1/workspaces/{ws}/clusters/demo/nodes", None, READ),
    ("GET", "/v1/workspaces/{ws}/clusters/demo/events", None, READ),
    ("GET", "/v1/workspaces/{ws}/clusters/demo/events?follow=true&seconds=0.01", None, READ),
    ("GET", "/v1/workspaces/{ws}/clusters/demo/watch?seconds=0.01", None, READ),
    ("GET", "/v1/workspaces/{ws}/clusters/demo/why", None, READ),
    ("GET", "/v1/workspaces/{ws}/jobs", None, READ),
    ("GET", "/v1/workspaces/{ws}/jobs/{job}", None, READ),
    ("GET", "/v1/workspaces/{ws}/jobs/train", None, READ),
    ("GET", "/v1/workspaces/{ws}/jobs/{job}/events", None, READ),
    ("GET", "/v1/workspaces/{ws}/jobs/{job}/events?follow=true&seconds=0.01", None, READ),
    ("GET", "/v1/workspaces/{ws}/jobs/{job}/watch?seconds=0.01", None, READ),
    ("GET", "/v1/workspaces/{ws}/jobs/{job}/why", None, READ),
    ("GET", "/v1/workspaces/{ws}/jobs/{job}/logs", None, WRITE),
    ("GET", "/v1/workspaces/{ws}/jobs/{job}/logs/a.log", None, WRITE),
    ("GET", "/v1/workspaces/{ws}/jobs/{job}/logs/driver?follow=true&seconds=0.01", None, WRITE),
    ("GET", "/v1/workspaces/{ws}/clusters/demo/logs", None, WRITE),
    ("GET", "/v1/workspaces/{ws}/clusters/demo/logs/{id}-00000000/raylet.out", None, WRITE),
    ("GET", "/v1/workspaces/{ws}/clusters/demo/logs/{id}-00000000/raylet.out?follow=true", None, WRITE),
    ("GET", "/v1/workspaces/{ws}/packages/{sha}", None, WRITE),
    ("GET", "/v1/workspaces/{ws}/secrets", None, WRITE),
    ("PUT", "/v1/workspaces/{ws}/secrets", {"group": "db", "key": "password", "value": "x"}, WRITE),
    ("DELETE", "/v1/workspaces/{ws}/secrets?group=db&key=password", None, WRITE),
    ("POST", "/v1/workspaces/{ws}/jobs", {"entrypoint": "true"}, WRITE),
    ("POST", "/v1/workspaces/{ws}/jobs/{job}/cancel", None, WRITE),
    ("DELETE", "/v1/workspaces/{ws}/jobs/{ended}", None, WRITE),
    ("POST", "/v1/workspaces/{ws}/clusters", {"name": "new", "start": False}, WRITE),
    ("PATCH", "/v1/workspaces/{ws}/clusters/demo", {"description": "x"}, WRITE),
    ("POST", "/v1/workspaces/{ws}/clusters/{id}/start", None, WRITE),
    ("POST", "/v1/workspaces/{ws}/clusters/{id}/stop", None, WRITE),
    ("DELETE", "/v1/workspaces/{ws}/clusters/{id}?stop=true", None, WRITE),
    ("POST", "/v1/workspaces/{ws}/queues", {"name": "spare"}, OWN),
    ("PATCH", "/v1/workspaces/{ws}/queues/root_queue", {"description": "x"}, OWN),
    ("DELETE", "/v1/workspaces/{ws}/queues/spare", None, OWN),
    ("PUT", "/v1/workspaces/{ws}/roles/robot", {"role": "viewer"}, OWN),
    ("DELETE", "/v1/workspaces/{ws}/roles/robot", None, OWN),
    ("POST", "/v1/workspaces", {"name": "second"}, ADMIN),
    ("POST", "/v1/keys", {"principal": "robot"}, ADMIN),
    ("GET", "/metrics", None, ADMIN),
]


@pytest.mark.parametrize("role", [None, *Role], ids=lambda role: role or "none")
async def test_each_role_may_what_it_may_and_nothing_else(house: House, role: Role | None) -> None:
    made = await house.create(start=False)
    await house.principal("robot", None)
    job, ended = (await house.submit(name="train"))["id"], (await house.submit())["id"]
    await house.becomes(ended, status=JobStatus.SUCCEEDED, settled=True, ended_at=datetime.now(UTC))
    await house.writes(job, "a.log", b"text")
    await house.writes(f"{made['id']}-00000000", "raylet.out", b"text", complete=True)
    sha = await package(house, {"a.py": b"pass"})
    client = await house.principal("eve", role)
    for method, pattern, body, needs in ENDPOINTS:
        path = pattern.format(ws=house.workspace, id=made["id"], job=job, ended=ended, sha=sha)
        answer = await client.request(method, path, json=body)
        if needs is not ADMIN and role is None:
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, path, answer.text)
        elif needs is ADMIN or role is None or not role.includes(needs):
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, path, answer.text)
        else:
            assert answer.status_code < 300, (method, path, answer.text)


async def test_without_a_role_a_workspace_cannot_be_told_from_one_that_is_not_there(house: House) -> None:
    await house.create(start=False)
    client = await house.principal("eve", None)
    real = (await client.get(house.clusters)).json()
    absent = (await client.get("/v1/workspaces/w-0000000000000000/clusters")).json()
    assert real["detail"].replace(house.workspace, "") == absent["detail"].replace("w-0000000000000000", "")
    assert (await client.get("/v1/workspaces")).json()["workspaces"] == []
    assert (await client.get("/v1/me")).json()["workspaces"] == []


async def test_viewers_do_not_get_the_token_that_runs_code(house: House) -> None:
    await house.create()
    up = await house.until("demo", "Running")
    viewer = await house.principal("eve", Role.VIEWER)
    answers = [await viewer.get(f"{house.clusters}/demo")]
    answers.append(await viewer.get(f"{house.clusters}/demo/watch", params={"seconds": 0.01}))
    for answer in answers:
        assert up["endpoints"]["submit_token"] not in answer.text
        assert '"submit_token":null' in answer.text
    editor = await house.principal("bob", Role.EDITOR)
    seen = (await editor.get(f"{house.clusters}/demo")).json()
    assert seen["endpoints"]["submit_token"] == up["endpoints"]["submit_token"]


async def test_viewers_see_that_there_are_environment_variables_and_not_what_they_hold(house: House) -> None:
    secret = "s3cret"
    shape = {"env": {"AWS_SECRET_ACCESS_KEY": secret}, "ray_start_params": f"""--resources='{{"{secret}": 1}}'"""}
    tolerance = {"enabled": True, "redis_url": f"redis://:{secret}@h", "redis_username": "ray"}
    made = await house.create(head=shape, workers=[shape], fault_tolerance=tolerance, start=False)
    viewer, editor = await house.principal("eve", Role.VIEWER), await house.principal("bob", Role.EDITOR)
    for path in ("demo", "demo/watch?seconds=0.01"):
        for _ in range(2):  # also when it was written for somebody else just before
            assert secret in (await editor.get(f"{house.clusters}/{path}")).text
            assert secret not in (await viewer.get(f"{house.clusters}/{path}")).text
    spec = (await viewer.get(f"{house.clusters}/demo")).json()["spec"]
    for part in (spec["head"], spec["workers"][0]):
        assert (part["env"], part["ray_start_params"]) == ({"AWS_SECRET_ACCESS_KEY": "******"}, "******")
    assert spec["fault_tolerance"] == {"enabled": True, "redis_url": "******", "redis_username": "ray"}
    assert (await editor.get(f"{house.clusters}/demo")).json()["spec"] == made["spec"]


async def test_lists_hold_no_secret_for_anybody(house: House) -> None:
    secret = "s3cret"
    shape = {"env": {"AWS_SECRET_ACCESS_KEY": secret}, "ray_start_params": f"""--resources='{{"{secret}": 1}}'"""}
    tolerance = {"enabled": True, "redis_url": f"redis://:{secret}@h", "redis_password": secret}
    await house.create(head=shape, workers=[shape], fault_tolerance=tolerance)
    up = await house.until("demo", "Running")
    listed = (await house.admin.get(house.clusters)).text
    for text in (secret, up["endpoints"]["submit_token"], "hlp_"):
        assert text not in listed
    for path in ("events", "why", "nodes"):
        assert secret not in (await house.admin.get(f"{house.clusters}/demo/{path}")).text


async def test_a_role_that_is_taken_ends_at_once(house: House) -> None:
    client = await house.principal("eve", Role.EDITOR)
    assert (await client.get(house.clusters)).status_code == 200
    await house.admin.delete(f"/v1/workspaces/{house.workspace}/roles/eve")
    assert (await client.get(house.clusters)).status_code == 404


async def test_keys(house: House) -> None:
    eve = await house.principal("eve", Role.VIEWER)
    own = (await eve.post("/v1/keys", json={"description": "laptop", "lifetime_seconds": 3600})).json()
    assert own["key"]["kind"] == "token" and own["secret"].startswith("hlt_") and own["key"]["expires_at"] is not None
    pair = (await eve.post("/v1/keys", json={"kind": "access_key"})).json()
    assert pair["key"]["id"].startswith("HELI") and pair["key"]["expires_at"] is None
    listed = (await eve.get("/v1/keys")).json()["keys"]
    assert {row["id"] for row in listed} >= {own["key"]["id"], pair["key"]["id"]}
    assert own["secret"] not in str(listed) and pair["secret"] not in str(listed)
    everybodys = (await house.admin.get("/v1/keys")).json()["keys"]
    assert len(everybodys) > len(listed)

    laptop = house.client(own["secret"])
    assert (await laptop.get("/v1/me")).json()["name"] == "eve"
    assert (await eve.delete(f"/v1/keys/{own['key']['id']}")).status_code == 204
    assert (await laptop.get("/v1/me")).status_code == 401

    others = next(row["id"] for row in everybodys if row["id"] not in {mine["id"] for mine in listed})
    assert (await eve.delete(f"/v1/keys/{others}")).status_code == 404
    assert (await house.admin.delete(f"/v1/keys/{pair['key']['id']}")).status_code == 204


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"kind": "password"}, "kind"),
        ({"lifetime_seconds": 0}, "lifetime_seconds"),
        ({"principal": "a b"}, "principal"),
        ({"principal": ""}, "principal"),
        ({"lifetime": 3}, "lifetime"),
    ],
)
async def test_bad_keys(house: House, body: Any, path: str) -> None:
    answer = await house.admin.post("/v1/keys", json=body)
    assert (answer.status_code, answer.json()["path"]) == (422, path)


async def test_workspaces_are_made_listed_and_paged(house: House) -> None:
    made = [(await house.admin.post("/v1/workspaces", json={"name": f"team-{n}"})).json() for n in range(4)]
    assert all(row["role"] == "owner" for row in made)
    listed, token = [], None
    while True:
        params = {"limit": 2, **({"page_token": token} if token else {})}
        page = (await house.admin.get("/v1/workspaces", params=params)).json()
        listed += page["workspaces"]
        token = page["next_page_token"]
        if token is None:
            break
    assert {row["id"] for row in listed} == {house.workspace, *(row["id"] for row in made)}
    assert [row["name"] for row in (await house.admin.get("/v1/workspaces?name=team-3")).json()["workspaces"]] == [
        "team-3"
    ]
    again = await house.admin.post("/v1/workspaces", json={"name": "team-0"})
    assert (again.status_code, again.json()["code"]) == (409, "already_exists")
    queues = (await house.admin.get(f"/v1/workspaces/{made[0]['id']}/queues")).json()["queues"]
    assert [row["name"] for row in queues] == ["root_queue"]


async def test_releases(house: House) -> None:
    house.world.releases_missing["ray-1.0.0"] = "install Python 3.12"
    rows = (await house.admin.get("/v1/releases")).json()["releases"]
    assert [row["name"] for row in rows if row["default"]] == [house.services.installation.catalogue.default]
    assert next(row["problem"] for row in rows if row["name"] == "ray-1.0.0") == "install Python 3.12"
    for text in (rows[2]["name"], rows[2]["display"]):
        assert (await house.admin.get(f"/v1/releases/{text}")).json() == rows[2]
    assert (await house.admin.post("/v1/releases/ray-1.3.1/prepare")).status_code == 202
    refused = await house.admin.post("/v1/releases/ray-1.0.0/prepare")
    assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
