"""The REST transport on a whole server: routes, spellings, envelopes, and what is refused before anything is done."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from heliostat.dialects.vertex.rest import BODY_LIMIT
from heliostat.engines.simulated import World

from .conftest import NEVER, WAITER, Door, body

LATEST = "$alt=json;enum-encoding=int"


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """Its code and status, after a look at the envelope."""
    inner = answer.json()["error"]
    assert inner["code"] == answer.status_code
    assert inner["details"][0]["metadata"]["requestId"] == answer.headers["x-request-id"]
    return inner["code"], inner["status"]


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_a_resource_from_its_creation_to_its_end(door: Door, version: str) -> None:
    parent = f"/{version}/{door.parent}/persistentResources"
    made = await door.rest("POST", f"{parent}?persistentResourceId=c1&{LATEST}", body(1, name="is ignored"))
    operation = made.json()
    assert made.status_code == 200
    assert operation["name"].startswith(f"{door.name('c1')}/operations/")
    assert f".{version}." in operation["metadata"]["@type"]
    assert (await door.rest("GET", f"/{version}/{door.name('c1')}")).status_code == 200  # at once

    polled = await door.eventually(
        lambda: door.rest("GET", f"/ui/{operation['name']}"), lambda answer: answer.json().get("done")
    )
    assert polled.json()["response"]["name"] == door.name("c1")
    assert polled.json()["response"]["@type"].endswith(f"aiplatform.{version}.PersistentResource")

    shown = (await door.rest("GET", f"/{version}/{door.name('c1')}?{LATEST}")).json()
    assert shown["state"] == 3
    assert (await door.get("c1"))["state"] == "RUNNING"

    shown["resourcePools"][1]["replicaCount"] = "3"
    path = f"/{version}/{door.name('c1')}?updateMask=resourcePools.replicaCount&{LATEST}"
    changed = await door.rest("PATCH", path, {key: value for key, value in shown.items() if key != "name"})
    assert changed.status_code == 200, changed.text
    seen = await door.eventually(lambda: door.get("c1"), lambda found: found["state"] == "RUNNING")
    assert seen["resourcePools"][1]["replicaCount"] == "3"

    rebooted = await door.rest("POST", f"/{version}/{door.name('c1')}:reboot", {})
    done = await door.rest("POST", f"/ui/{rebooted.json()['name']}:wait", {"timeout": "20s"})
    assert done.json()["done"] and "response" in done.json()

    deleted = await door.rest("DELETE", f"/{version}/{door.name('c1')}", headers={"content-type": "application/json"})
    assert deleted.status_code == 200
    gone = await door.eventually(
        lambda: door.rest("GET", f"/{version}/{door.name('c1')}"), lambda answer: answer.status_code == 404
    )
    assert error_of(gone) == (404, "NOT_FOUND")
    assert gone.json()["error"]["message"] == f'The PersistentResource "{door.name("c1")}" is not found.'
    last = (await door.rest("GET", f"/ui/{deleted.json()['name']}")).json()
    assert last["done"] and last["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    listed = (await door.rest("GET", f"/ui/{door.name('c1')}/operations")).json()["operations"]
    assert [row["metadata"]["@type"].rpartition(".")[2] for row in listed] == [
        "DeleteOperationMetadata",
        "RebootPersistentResourceOperationMetadata",
        "UpdatePersistentResourceOperationMetadata",
        "CreatePersistentResourceOperationMetadata",
    ]


async def test_names_in_queries_are_snake_or_camel_and_projects_numbers_or_ids(door: Door) -> None:
    for id, name, project in (
        ("c1", "persistentResourceId", door.project),
        ("c2", "persistent_resource_id", "default"),
        ("c3", "persistentResourceId", door.up.workspace),
    ):
        path = f"/v1beta1/projects/{project}/locations/europe-west4/persistentResources"
        answer = await door.rest("POST", path, body(0), params={name: id})
        assert answer.status_code == 200, answer.text
        assert answer.json()["name"].startswith(
            f"projects/{door.project}/locations/europe-west4/persistentResources/{id}/"
        )
        shown = await door.rest("GET", f"/v1/projects/{project}/locations/us-central1/persistentResources/{id}")
        assert shown.json()["name"] == door.name(id)
    for size in ("pageSize", "page_size"):
        page = (await door.rest("GET", f"/v1/{door.parent}/persistentResources?{size}=2")).json()
        assert len(page["persistentResources"]) == 2 and page["nextPageToken"]
    rest = (await door.rest("GET", f"/v1/{door.parent}/persistentResources?page_token={page['nextPageToken']}")).json()
    assert [row["name"] for row in rest["persistentResources"]] == [door.name("c1")]
    assert "nextPageToken" not in rest


async def test_a_body_may_have_integers_names_and_either_spelling(door: Door) -> None:
    pool = {
        "id": "head",
        "machine_spec": {"machine_type": "n1-standard-4", "accelerator_type": 5, "acceleratorCount": "1"},
        "replica_count": 1,
    }
    image = "europe-docker.pkg.dev/vertex-ai/training/ray-gpu.2-47.py311:latest"
    sent = {"resource_pools": [pool], "resourceRuntimeSpec": {"ray_spec": {"imageUri": image}}, "unheard": [1]}
    answer = await door.rest("POST", f"/v1/{door.parent}/persistentResources?persistentResourceId=g", sent)
    assert answer.status_code == 200, answer.text
    machine = (await door.get("g"))["resourcePools"][0]["machineSpec"]
    assert machine["acceleratorType"] == "NVIDIA_TESLA_T4"
    numbers = (await door.rest("GET", f"/v1/{door.name('g')}?%24alt=json%3Benum-encoding%3Dint")).json()
    assert numbers["resourcePools"][0]["machineSpec"]["acceleratorType"] == 5


async def test_what_is_refused_has_the_vendors_envelope(door: Door) -> None:
    parent = f"/v1beta1/{door.parent}/persistentResources"
    await door.running("c1")
    one = f"/v1beta1/{door.name('c1')}"
    requests = [
        (("POST", f"{parent}?persistentResourceId=c1", body()), (409, "ALREADY_EXISTS")),
        (("POST", parent, body()), (400, "INVALID_ARGUMENT")),
        (("POST", f"{parent}?persistentResourceId=Bad_Id", body()), (400, "INVALID_ARGUMENT")),
        (("POST", f"{parent}?persistentResourceId=ray-0123456789abcdef", body()), (400, "INVALID_ARGUMENT")),
        (("POST", f"{parent}?persistentResourceId=c2", {}), (400, "INVALID_ARGUMENT")),
        (("POST", f"{parent}?persistentResourceId=c2", []), (400, "INVALID_ARGUMENT")),
        (("POST", f"{parent}?persistentResourceId=c2", {"resourcePools": 7}), (400, "INVALID_ARGUMENT")),
        (("POST", f"{parent}?persistentResourceId=c2", body(100_000)), (400, "INVALID_ARGUMENT")),
        (("GET", f"{parent}?pageSize=-1"), (400, "INVALID_ARGUMENT")),
        (("GET", f"{parent}?pageSize=many"), (400, "INVALID_ARGUMENT")),
        (("GET", f"{parent}?pageToken=nonsense"), (400, "INVALID_ARGUMENT")),
        (("GET", f"/v1/{door.name('nobody')}"), (404, "NOT_FOUND")),
        (("PATCH", f"/v1/{door.name('nobody')}?updateMask=labels", {}), (404, "NOT_FOUND")),
        (("DELETE", f"/v1/{door.name('nobody')}"), (404, "NOT_FOUND")),
        (("POST", f"/v1/{door.name('nobody')}:reboot", {}), (404, "NOT_FOUND")),
        (("GET", f"/ui/{door.name('nobody')}/operations"), (404, "NOT_FOUND")),
        (("GET", f"/ui/{door.name('c1')}/operations/123"), (404, "NOT_FOUND")),
        (("PATCH", one, {"labels": {}}), (400, "INVALID_ARGUMENT")),
        (("PATCH", f"{one}?updateMask=network", {"network": "n"}), (400, "INVALID_ARGUMENT")),
        (("PATCH", f"{one}?updateMask=labels", {"labels": {"BAD": "x"}}), (400, "INVALID_ARGUMENT")),
        (("GET", f"/ui/{door.parent}/operations?filter=metadata.x=1"), (400, "INVALID_ARGUMENT")),
        (("GET", "/v1/projects/nobodys/locations/l/persistentResources"), (403, "PERMISSION_DENIED")),
        (("GET", f"/v1/projects/{door.project}/locations/no_where/persistentResources"), (400, "INVALID_ARGUMENT")),
        (("GET", "/v1/projects/p/customJobs"), (404, "NOT_FOUND")),
        (("PUT", one, {}), (405, "UNIMPLEMENTED")),
    ]
    for (method, path, *sent), expected in requests:
        answer = await door.rest(method, path, *sent)
        assert error_of(answer) == expected, (method, path, answer.text)


async def test_a_field_that_is_wrong_is_named_as_the_client_wrote_it(door: Door) -> None:
    path = f"/v1beta1/{door.parent}/persistentResources?persistentResourceId=c1"
    sent = body()
    sent["resourcePools"][1]["machineSpec"]["machineType"] = "unheard-of-4"
    message = (await door.rest("POST", path, sent)).json()["error"]["message"]
    assert message.startswith("resourcePools[1].machineSpec.machineType:")
    sent = body(labels={"heliostat-queue": "nowhere"})
    message = (await door.rest("POST", path, sent)).json()["error"]["message"]
    assert message.startswith("labels.heliostat-queue:"), message


async def test_bodies_that_are_none(door: Door) -> None:
    path = f"/v1beta1/{door.parent}/persistentResources?persistentResourceId=c1"
    for content, status in ((b"{", 400), (b"\xff", 400), (b"null", 400), (b'{"a":' * 5000, 400), (b" ", 400)):
        answer = await door.http.post(path, content=content)
        assert error_of(answer) == (status, "INVALID_ARGUMENT")
    answer = await door.http.post(path, content=b" " * (BODY_LIMIT + 1))
    assert error_of(answer) == (413, "INVALID_ARGUMENT")
    chunks = [b" " * 65536] * (BODY_LIMIT // 65536 + 1)

    async def stream() -> object:
        for chunk in chunks:
            yield chunk

    assert error_of(await door.http.post(path, content=stream())) == (413, "INVALID_ARGUMENT")


async def test_nobody_gets_anything_and_makes_nothing(door: Door) -> None:
    path = f"/v1beta1/{door.parent}/persistentResources"
    async with httpx.AsyncClient(base_url=door.up.url) as stranger:
        for headers in (
            {},
            {"authorization": "Bearer hlt_unknown"},
            {"authorization": "Basic YTpi"},
            {"authorization": "Bearer ya29.real"},
        ):
            answer = await stranger.post(path, json=body(), params={"persistentResourceId": "c1"}, headers=headers)
            assert error_of(answer) == (401, "UNAUTHENTICATED")
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert (await door.rest("GET", path)).json() == {}


async def test_head_and_options(door: Door) -> None:
    await door.create("c1")
    head = await door.rest("HEAD", f"/v1/{door.name('c1')}")
    assert head.status_code == 200 and not head.content
    options = await door.rest("OPTIONS", f"/v1/{door.name('c1')}")
    assert options.status_code == 200 and set(options.headers["allow"].split(", ")) == {
        "GET",
        "PATCH",
        "DELETE",
        "HEAD",
    }


async def test_projects_and_locations_for_the_vendors_libraries(door: Door) -> None:
    shown = (await door.rest("GET", f"/v3/projects/{door.project}")).json()
    assert (shown["name"], shown["projectId"], shown["state"]) == (f"projects/{door.project}", "default", "ACTIVE")
    old = (await door.rest("GET", "/v1/projects/default")).json()
    assert (old["projectNumber"], old["projectId"], old["lifecycleState"]) == (door.project, "default", "ACTIVE")
    path = "/v1/projects/-/serviceAccounts/ann@default.iam.heliostat.internal/allowedLocations"
    assert (await door.rest("GET", path)).json() == {"locations": ["us-central1"], "encodedLocations": "0x0"}
    assert (await door.rest("GET", "/v1/projects/nobodys")).status_code == 403


async def test_the_native_api_is_where_it_was(door: Door) -> None:
    assert (await door.rest("GET", "/v1/workspaces")).json()["workspaces"][0]["id"] == door.up.workspace
    assert (await door.rest("GET", "/v1/nothing")).headers["content-type"].startswith("application/problem+json")
    assert (await door.http.post("/token", data={})).json()["error"] == "invalid_request"


async def test_a_held_reader_is_answered_when_the_resource_is_up(slow: Door) -> None:
    await slow.create("c1")
    path = f"/v1beta1/{slow.name('c1')}"
    plain = await slow.rest("GET", path)
    assert plain.json()["state"] == "PROVISIONING"
    reader = asyncio.create_task(slow.rest("GET", path, headers={"x-goog-api-client": WAITER}))
    await slow.eventually(_held(slow), lambda count: count == 1)
    slow.come_up()
    answer = await reader
    assert answer.json()["state"] == "RUNNING" and "content-length" in answer.headers
    assert _count(slow) == 0


async def test_a_held_reader_that_goes_away_is_forgotten_at_once(slow: Door) -> None:
    await slow.create("c1")
    request = slow.rest("GET", f"/v1beta1/{slow.name('c1')}", headers={"x-goog-api-client": WAITER})
    reader = asyncio.create_task(request)
    await slow.eventually(_held(slow), lambda count: count == 1)
    reader.cancel()
    await slow.eventually(_held(slow), lambda count: count == 0)


async def test_a_long_wait_is_kept_alive_with_whitespace(slow: Door) -> None:
    slow.up.running.server.vertex._methods.holds._beat_seconds = 0.2
    await slow.create("c1")
    path, text = f"/v1beta1/{slow.name('c1')}", b""
    async with slow.http.stream("GET", path, headers={"x-goog-api-client": WAITER}) as answer:
        assert answer.status_code == 200 and answer.headers["transfer-encoding"] == "chunked"
        async for piece in answer.aiter_raw():
            text += piece
            if text == b"  ":
                slow.come_up()
    assert text.startswith(b"  ") and httpx.Response(200, content=text).json()["state"] == "RUNNING"


async def test_a_cluster_that_fails_or_is_deleted_is_told_to_its_waiter(slow: Door) -> None:
    await slow.create("c1")
    path = f"/v1beta1/{slow.name('c1')}"
    reader = asyncio.create_task(slow.rest("GET", path, headers={"x-goog-api-client": WAITER}))
    await slow.eventually(_held(slow), lambda count: count == 1)
    assert (await slow.rest("DELETE", path)).status_code == 200
    assert (await reader).json()["state"] == "STOPPING"


async def test_the_servers_end_answers_who_waits(tmp_path: object, world: World, slow: Door) -> None:
    assert world.start_seconds == NEVER
    await slow.create("c1")
    path = f"/v1beta1/{slow.name('c1')}"
    reader = asyncio.create_task(slow.rest("GET", path, headers={"x-goog-api-client": WAITER}))
    await slow.eventually(_held(slow), lambda count: count == 1)
    slow.up.running.server.end_streams()
    answer = await reader
    assert answer.status_code == 200 and answer.json()["state"] == "PROVISIONING"


def _count(door: Door) -> int:
    return door.up.running.server.vertex.held


def _held(door: Door):  # type: ignore[no-untyped-def]
    async def look() -> int:
        return _count(door)

    return look
