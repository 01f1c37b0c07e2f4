"""What the methods do with roles, pages, names, races and faults; over REST where nothing is said of the transport."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import httpx
import pytest

from heliostat.domain.errors import Throttled, Unavailable
from heliostat.domain.records import Role
from heliostat.engines.simulated import World
from heliostat.services import Caller

from .conftest import OPERATIONS, WAITER, Door, body

Json = dict[str, Any]


def status_of(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["status"])


async def admin(door: Door) -> Caller:
    return Caller(await door.up.running.server.services.identity.by_token(door.up.token))


async def token_of(door: Door, name: str, role: Role | None) -> str:
    """A principal with a role in the first workspace."""
    services, caller = door.up.running.server.services, await admin(door)
    made = await services.identity.create_token(caller, principal=name)
    workspace = (await services.directory.workspaces(caller))[0]
    await services.identity.grant(caller, workspace.id, name, role)
    return made.token.reveal()


async def native(door: Door, method: str, path: str, **options: Any) -> httpx.Response:
    answer = await door.http.request(method, f"/v1/workspaces/{door.up.workspace}{path}", **options)
    assert answer.is_success, answer.text
    return answer


# --- who may ---------------------------------------------------------------------------------------------------------


async def test_roles_decide_and_who_has_none_does_not_learn_that_there_is_a_project(door: Door) -> None:
    await door.running("c1")
    viewer, stranger = await token_of(door, "vera", Role.VIEWER), await token_of(door, "stan", None)
    parent, one = f"/v1/{door.parent}/persistentResources", f"/v1/{door.name('c1')}"
    operation = (await door.rest("GET", f"{one}/operations")).json()["operations"][0]["name"]

    async def told(token: str, method: str, path: str, json: Any = None) -> int:
        answer = await door.rest(method, path, json, headers={"authorization": f"Bearer {token}"})
        return answer.status_code

    for method, path, sent, may_view in (
        ("GET", one, None, 200),
        ("GET", parent, None, 200),
        ("GET", f"/ui/{operation}", None, 200),
        ("GET", f"{one}/operations", None, 200),
        ("POST", f"{parent}?persistentResourceId=c2", body(), 403),
        ("PATCH", f"{one}?updateMask=displayName", {"displayName": "x"}, 403),
        ("POST", f"{one}:reboot", {}, 403),
        ("POST", f"/ui/{operation}:cancel", {}, 403),
        ("DELETE", f"/ui/{operation}", None, 403),
        ("DELETE", one, None, 403),
    ):
        assert await told(viewer, method, path, sent) == may_view, (method, path)
        assert await told(stranger, method, path, sent) == 403, (method, path)
    unknown = await door.rest("GET", "/v3/projects/nobodys", headers={"authorization": f"Bearer {stranger}"})
    known = await door.rest("GET", "/v3/projects/default", headers={"authorization": f"Bearer {stranger}"})
    texts = [answer.json()["error"]["message"].replace("nobodys", "default") for answer in (unknown, known)]
    assert texts[0] == texts[1]


async def test_who_loses_the_right_while_waiting_gets_what_was_seen_last(
    slow: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliostat.dialects.vertex.holding.CHECK_SECONDS", 0.0)
    token = await token_of(slow, "edith", Role.EDITOR)
    await slow.create("c1")
    headers = {"authorization": f"Bearer {token}", "x-goog-api-client": WAITER}
    reader = asyncio.create_task(slow.rest("GET", f"/v1/{slow.name('c1')}", headers=headers))

    async def held() -> int:
        return slow.up.running.server.vertex.held

    await slow.eventually(held, lambda count: count == 1)
    services = slow.up.running.server.services
    workspace = (await services.directory.workspaces(await admin(slow)))[0]
    await services.identity.grant(await admin(slow), workspace.id, "edith", None)
    slow.come_up()
    answer = await reader
    assert answer.status_code == 200 and answer.json()["state"] == "PROVISIONING"


# --- pages -----------------------------------------------------------------------------------------------------------


async def test_pages_are_in_a_stable_order_and_their_tokens_stay_with_the_list(door: Door) -> None:
    for number in range(5):
        await door.create(f"c{number}", workers=0)
    parent, token, seen = f"/v1/{door.parent}/persistentResources", "", []
    while True:
        page = (await door.rest("GET", parent, params={"pageSize": 2, "pageToken": token})).json()
        seen += [row["name"].rpartition("/")[2] for row in page["persistentResources"]]
        if not page.get("nextPageToken"):
            break
        token = page["nextPageToken"]
        await door.create(f"d{len(seen)}", workers=0)  # what comes later shifts nothing
    assert seen == ["c4", "c3", "c2", "c1", "c0"]
    operations = await door.rest("GET", f"/ui/{door.parent}/operations", params={"pageToken": token})
    assert status_of(operations) == "INVALID_ARGUMENT"
    caller = await admin(door)
    await door.up.running.server.services.directory.create_workspace(caller, "second")
    other = "/v1/projects/second/locations/us-central1/persistentResources"
    assert status_of(await door.rest("GET", other, params={"pageToken": token})) == "INVALID_ARGUMENT"
    assert (await door.rest("GET", other)).json() == {}


async def test_pages_of_operations(door: Door) -> None:
    for number in range(3):
        await door.create(f"c{number}", workers=0)
    token, seen = "", []
    while True:
        path = f"/ui/{door.parent}/operations"
        page = (await door.rest("GET", path, params={"pageSize": 1, "pageToken": token})).json()
        seen += [row["name"].split("/")[5] for row in page["operations"]]
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert seen == ["c2", "c1", "c0"]


async def test_a_list_reads_all_that_is_under_way_at_once(slow: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        await slow.create(f"c{number}", workers=0)
    operations = slow.up.running.server.services.operations
    asked: list[int] = []
    open_of = operations.open_of

    async def counted(caller: Any, workspace: Any, clusters: Any) -> Any:
        asked.append(len(clusters))
        return await open_of(caller, workspace, clusters)

    monkeypatch.setattr(operations, "open_of", counted)
    page = (await slow.rest("GET", f"/v1/{slow.parent}/persistentResources")).json()
    assert [row["state"] for row in page["persistentResources"]] == ["PROVISIONING"] * 4
    assert asked == [4]


# --- names -----------------------------------------------------------------------------------------------------------


async def test_clusters_of_others_go_by_their_name_or_else_by_their_id(door: Door) -> None:
    for name in ("plain", "Two Words"):
        await native(door, "POST", "/clusters", json={"name": name, "start": True})
    id = await door.cluster_id("Two Words")
    await door.until(id, "RUNNING")
    assert (await door.until("plain", "RUNNING"))["name"] == door.name("plain")
    assert (await door.get(await door.cluster_id("plain")))["name"] == door.name("plain")
    begun = (await door.rest("POST", f"/v1/{door.name(id)}:reboot", {})).json()
    assert begun["name"].startswith(f"{door.name(id)}/operations/")
    assert (await door.rest("GET", f"/ui/{begun['name']}")).status_code == 200


async def test_a_stopped_cluster_is_an_error_that_says_how_to_start_it(door: Door) -> None:
    await native(door, "POST", "/clusters", json={"name": "still", "start": False})
    shown = await door.get("still")
    assert shown["state"] == "ERROR" and "heliostat cluster start" in shown["error"]["message"]
    for method, path, sent in (
        ("POST", f"/v1/{door.name('still')}:reboot", {}),
        ("PATCH", f"/v1/{door.name('still')}?updateMask=displayName", {"displayName": "x"}),
    ):
        assert status_of(await door.rest(method, path, sent)) == "FAILED_PRECONDITION"
    assert (await door.rest("DELETE", f"/v1/{door.name('still')}")).status_code == 200


async def test_operations_belong_to_their_project_and_resource(door: Door) -> None:
    made = (await door.create("c1"))["name"]
    await door.create("c2")
    await door.up.running.server.services.directory.create_workspace(await admin(door), "second")
    number = made.rpartition("/")[2]
    id = await door.cluster_id("c1")
    for path, status in (
        (made, 200),
        (f"{door.parent}/operations/{number}", 200),
        (f"{door.name(id)}/operations/{number}", 200),
        (f"projects/default/locations/us-central1/persistentResources/c1/operations/{number}", 200),
        (f"{door.name('c2')}/operations/{number}", 404),
        (f"projects/second/locations/us-central1/persistentResources/c1/operations/{number}", 404),
        (f"projects/second/locations/us-central1/operations/{number}", 404),
    ):
        assert (await door.rest("GET", f"/ui/{path}")).status_code == status, path
        assert (await door.rest("POST", f"/v1/{path}:wait", {"timeout": "0s"})).status_code == status, path


async def test_a_create_that_is_cancelled_takes_its_resource_along(slow: Door) -> None:
    made = await slow.create("c1")
    assert (await slow.rest("DELETE", f"/ui/{made['name']}")).json()["error"]["status"] == "FAILED_PRECONDITION"
    assert (await slow.rest("POST", f"/v1/{made['name']}:cancel", {})).json() == {}
    done = (await slow.rest("GET", f"/ui/{made['name']}")).json()
    assert done["done"] and done["error"]["code"] == 1
    path = f"/v1/{slow.name('c1')}"
    await slow.eventually(lambda: slow.rest("GET", path), lambda answer: answer.status_code == 404)
    assert (await slow.rest("GET", f"/ui/{made['name']}")).json()["done"]
    await slow.create("c1")  # the id is free again


async def test_waiting_ends_with_its_time(slow: Door) -> None:
    made = await slow.create("c1")
    seen = (await slow.rest("POST", f"/v1/{made['name']}:wait", {"timeout": "0.1s"})).json()
    assert "done" not in seen
    waiting = asyncio.create_task(slow.call("WaitOperation", {"name": made["name"]}, service=OPERATIONS))
    slow.come_up()
    assert (await waiting)["done"]


# --- states and races ------------------------------------------------------------------------------------------------


async def test_only_what_runs_can_be_changed(slow: Door, world: World) -> None:
    await slow.create("c1")
    one = f"/v1/{slow.name('c1')}"
    change = ("PATCH", f"{one}?updateMask=displayName", {"displayName": "x"})
    reboot = ("POST", f"{one}:reboot", {})
    for request in (change, reboot):
        assert status_of(await slow.rest(*request)) == "FAILED_PRECONDITION"
    slow.come_up()
    await slow.until("c1", "RUNNING")
    assert (await slow.rest(*reboot)).status_code == 200
    assert (await slow.get("c1"))["state"] == "REBOOTING"
    for request in (change, reboot):
        assert status_of(await slow.rest(*request)) == "FAILED_PRECONDITION"
    world.linger = 1_000_000
    assert (await slow.rest("DELETE", one)).status_code == 200
    assert (await slow.get("c1"))["state"] == "STOPPING"
    assert status_of(await slow.rest("DELETE", one)) == "FAILED_PRECONDITION"
    made = await slow.rest("POST", f"/v1/{slow.parent}/persistentResources?persistentResourceId=c1", body())
    assert status_of(made) == "ALREADY_EXISTS"
    world.linger = 0
    for instance in world.instances.values():
        instance.dying = min(instance.dying, 1)


async def test_two_changes_at_once_are_told_apart(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    await door.running("c1")
    clusters = door.up.running.server.services.clusters
    door.world.start_seconds = 1e6
    update = clusters.update

    async def overtaken(*arguments: Any, **options: Any) -> Any:
        monkeypatch.undo()
        other = await door.rest("POST", f"/v1/{door.name('c1')}:reboot", {})
        assert other.status_code == 200
        return await update(*arguments, **options)

    monkeypatch.setattr(clusters, "update", overtaken)
    path = f"/v1/{door.name('c1')}?updateMask=displayName"
    answer = await door.rest("PATCH", path, {"displayName": "x"})
    assert (answer.status_code, status_of(answer)) == (409, "ABORTED")


async def test_a_change_of_nothing_is_done_at_once(door: Door) -> None:
    await door.running("c1", workers=2)
    shown = await door.get("c1")
    answer = await door.rest("PATCH", f"/v1/{door.name('c1')}?updateMask=resourcePools.replicaCount", shown)
    assert answer.json()["done"] and answer.json()["response"]["state"] == "RUNNING"


async def test_what_can_never_fit_is_told_at_once(door: Door) -> None:
    path = f"/v1/workspaces/{door.up.workspace}/queues/root_queue"
    assert (await door.http.patch(path, json={"maximum": {"cpu": 2}})).is_success
    parent = f"/v1/{door.parent}/persistentResources"
    answer = await door.rest("POST", f"{parent}?persistentResourceId=big", body(8))
    assert (answer.status_code, status_of(answer)) == (429, "RESOURCE_EXHAUSTED")
    assert (await door.rest("GET", parent)).json() == {}


# --- faults ----------------------------------------------------------------------------------------------------------


async def test_a_bug_shows_nothing_but_the_request(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*arguments: Any, **options: Any) -> Any:
        raise KeyError("a secret")

    monkeypatch.setattr(door.up.running.server.services.clusters, "list", broken)
    answer = await door.rest("GET", f"/v1/{door.parent}/persistentResources")
    assert (answer.status_code, status_of(answer)) == (500, "INTERNAL")
    assert "secret" not in answer.text and answer.headers["x-request-id"] in answer.text
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.call("ListPersistentResources", {"parent": door.parent})
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Unavailable("the database does not answer"), 503, grpc.StatusCode.UNAVAILABLE),
        (Throttled(1500), 429, grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
async def test_what_will_pass_says_so(
    door: Door, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: Any
) -> None:
    async def busy(*arguments: Any, **options: Any) -> Any:
        raise error

    monkeypatch.setattr(door.up.running.server.services.clusters, "list", busy)
    answer = await door.rest("GET", f"/v1/{door.parent}/persistentResources")
    assert answer.status_code == status
    assert answer.headers.get("retry-after") == ("2" if status == 429 else None)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.call("ListPersistentResources", {"parent": door.parent})
    assert caught.value.code() is code
