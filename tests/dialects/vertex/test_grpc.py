"""The gRPC transport on a whole server: all methods of both versions, statuses with details, and who is let in."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.testing.harness import running

from .conftest import NEVER, OPERATIONS, PROJECTS, WAITER, Door, body

Code = grpc.StatusCode
Json = dict[str, Any]


async def refused(door: Door, method: str, request: Json, **options: Any) -> tuple[Any, str, Json]:
    """Code, message and the details' first one of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.call(method, request, **options)
    error = caught.value
    trailers = dict(error.trailing_metadata())
    status = door.codecs["v1"].decode("Status", trailers["grpc-status-details-bin"])
    assert (status["code"], status["message"]) == (error.code().value[0], error.details())
    assert status["details"][0]["metadata"]["requestId"] == trailers["x-request-id"]
    return error.code(), error.details(), status["details"][0]


def creation(door: Door, id: str, **more: Any) -> Json:
    return {"parent": door.parent, "persistentResourceId": id, "persistentResource": body(**more)}


def test_the_dialect_does_not_load_grpc_before_anybody_speaks_it() -> None:
    code = "import sys, heliostat.dialects.vertex.app; print('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_a_resource_from_its_creation_to_its_end(door: Door, version: Any) -> None:
    made = await door.call("CreatePersistentResource", creation(door, "c1"), version=version)
    assert f".{version}." in made["metadata"]["@type"]
    name = {"name": door.name("c1")}
    assert (await door.call("GetPersistentResource", name, version=version))["name"] == name["name"]
    done = await door.call("WaitOperation", {"name": made["name"], "timeout": "20s"}, service=OPERATIONS)
    assert done["response"]["state"] == "RUNNING" and f".{version}." in done["response"]["@type"]
    shown = await door.call("GetPersistentResource", name, version=version)
    shown["resourcePools"][1]["replicaCount"] = "2"
    update = {"persistentResource": shown, "updateMask": "resourcePools.replicaCount"}
    for request, method in ((update, "Update"), (name, "Reboot"), (name, "Delete")):
        begun = await door.call(f"{method}PersistentResource", request, version=version)
        done = await door.call("WaitOperation", {"name": begun["name"]}, service=OPERATIONS)
        assert done["done"] and "error" not in done, done
        assert await door.call("GetOperation", {"name": begun["name"]}, service=OPERATIONS) == done
    code, message, _ = await refused(door, "GetPersistentResource", name, version=version)
    assert (code, message) == (Code.NOT_FOUND, f'The PersistentResource "{door.name("c1")}" is not found.')


async def test_operations_are_listed_and_forgotten(door: Door) -> None:
    made = await door.call("CreatePersistentResource", creation(door, "c1"))
    await door.call("WaitOperation", {"name": made["name"]}, service=OPERATIONS)
    short = f"{door.parent}/operations/{made['name'].rpartition('/')[2]}"
    assert (await door.call("GetOperation", {"name": short}, service=OPERATIONS))["name"] == made["name"]
    for owner in (door.parent, door.name("c1")):
        listed = await door.call("ListOperations", {"name": owner, "filter": "done=true"}, service=OPERATIONS)
        assert [row["name"] for row in listed["operations"]] == [made["name"]]
        assert await door.call("ListOperations", {"name": owner, "filter": "done=false"}, service=OPERATIONS) == {}
    assert await door.call("CancelOperation", {"name": made["name"]}, service=OPERATIONS) == {}
    assert await door.call("DeleteOperation", {"name": made["name"]}, service=OPERATIONS) == {}
    code, _, _ = await refused(door, "GetOperation", {"name": made["name"]}, service=OPERATIONS)
    assert code is Code.NOT_FOUND


async def test_the_project_lookup(door: Door) -> None:
    for name in ("projects/default", f"projects/{door.project}", f"projects/{door.up.workspace}"):
        shown = await door.call("GetProject", {"name": name}, service=PROJECTS)
        assert (shown["name"], shown["projectId"], shown["state"]) == (f"projects/{door.project}", "default", "ACTIVE")
    one = await refused(door, "GetProject", {"name": "projects/nobodys"}, service=PROJECTS)
    assert one[0] is Code.PERMISSION_DENIED


async def test_every_refusal_has_its_code_and_details(door: Door) -> None:
    await door.running("c1")
    update = {"persistentResource": {"name": door.name("c1")}, "updateMask": "state"}
    many = creation(door, "c2", workers=100_000)
    for method, request, code in (
        ("CreatePersistentResource", creation(door, "c1"), Code.ALREADY_EXISTS),
        ("CreatePersistentResource", creation(door, "No"), Code.INVALID_ARGUMENT),
        ("CreatePersistentResource", {"parent": door.parent, "persistentResourceId": "c2"}, Code.INVALID_ARGUMENT),
        ("CreatePersistentResource", many, Code.INVALID_ARGUMENT),
        ("CreatePersistentResource", {}, Code.INVALID_ARGUMENT),
        ("UpdatePersistentResource", {}, Code.INVALID_ARGUMENT),
        ("UpdatePersistentResource", update, Code.INVALID_ARGUMENT),
        ("GetPersistentResource", {"name": "c1"}, Code.INVALID_ARGUMENT),
        ("DeletePersistentResource", {"name": door.name("c9")}, Code.NOT_FOUND),
        ("RebootPersistentResource", {"name": door.name("c9")}, Code.NOT_FOUND),
        ("ListPersistentResources", {"parent": "projects/x/locations/l"}, Code.PERMISSION_DENIED),
        ("ListPersistentResources", {"parent": door.parent, "pageSize": -1}, Code.INVALID_ARGUMENT),
    ):
        found, message, info = await refused(door, method, request)
        assert found is code, (method, message)
        assert info["@type"].endswith("ErrorInfo") and info["reason"]


async def test_nobody_gets_anything(door: Door) -> None:
    method, request = "CreatePersistentResource", creation(door, "c1")
    for token in ("hlt_unknown", "ya29.real", "x"):
        assert (await refused(door, method, request, token=token))[0] is Code.UNAUTHENTICATED
    code, message, _ = await refused(door, method, request, metadata=(("authorization", "Bearer x"),))
    assert code is Code.UNAUTHENTICATED and "several" in message
    call = door.channel.unary_unary(f"/{PROJECTS}/GetProject")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"")
    assert caught.value.code() is Code.UNAUTHENTICATED
    assert await door.call("ListPersistentResources", {"parent": door.parent}) == {}


async def test_what_is_no_method_and_no_message(door: Door) -> None:
    own = (("authorization", f"Bearer {door.up.token}"),)
    base = "/google.cloud.aiplatform.v1beta1.PersistentResourceService"
    for path, data, code in (
        ("/google.cloud.aiplatform.v1beta1.JobService/CreateCustomJob", b"", Code.UNIMPLEMENTED),
        (f"{base}/Nothing", b"", Code.UNIMPLEMENTED),
        ("/google.cloud.aiplatform.v1beta1.Operations/GetOperation", b"", Code.UNIMPLEMENTED),
        (f"{base}/GetPersistentResource", b"\xff\xff\xff", Code.INVALID_ARGUMENT),
        (f"{base}/GetPersistentResource", b"\x0a\x02\xff\xfe", Code.INVALID_ARGUMENT),
        (f"{base}/GetPersistentResource", b"x" * (2 << 20), Code.RESOURCE_EXHAUSTED),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await door.channel.unary_unary(path)(data, metadata=own)
        assert caught.value.code() is code, path
    stream = door.channel.stream_unary(f"{base}/GetPersistentResource")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream(iter(()), metadata=own)
    assert caught.value.code() is Code.INVALID_ARGUMENT


async def test_a_waiter_is_held_and_leaves_nothing_when_it_goes(slow: Door) -> None:
    await slow.create("c1")
    name = {"name": slow.name("c1")}
    tag = (("x-goog-api-client", WAITER),)
    assert (await slow.call("GetPersistentResource", name))["state"] == "PROVISIONING"
    held = slow.up.running.server.vertex

    async def count() -> int:
        return held.held

    readers = [asyncio.create_task(slow.call("GetPersistentResource", name, metadata=tag)) for _ in range(3)]
    await slow.eventually(count, lambda number: number == 3)
    readers[0].cancel()
    await slow.eventually(count, lambda number: number == 2)
    early = await slow.call("GetPersistentResource", name, metadata=tag, seconds=0.8)
    assert early["state"] == "PROVISIONING"  # before its own deadline, instead of none at all
    slow.come_up()
    assert [(await reader)["state"] for reader in readers[1:]] == ["RUNNING"] * 2
    assert held.held == 0


async def test_a_server_that_stops_answers_who_waits_on_either_transport(tmp_path: Path) -> None:
    world = World(start_seconds=NEVER)
    async with running(tmp_path, world=world, engine=SimulatedEngine(world), tls_port=-1) as up:
        own = {"authorization": f"Bearer {up.token}", "x-goog-api-client": WAITER}
        http = httpx.AsyncClient(base_url=up.url, headers=own, timeout=20)
        channel = grpc.aio.insecure_channel(up.url.removeprefix("http://"))
        door = Door(up, world, SimulatedEngine(world), http, "default", channel)
        await door.create("c1")
        name = {"name": door.name("c1")}
        tag = (("x-goog-api-client", WAITER),)
        one = asyncio.create_task(door.call("GetPersistentResource", name, metadata=tag))
        other = asyncio.create_task(door.rest("GET", f"/v1/{door.name('c1')}"))

        async def count() -> int:
            return up.running.server.vertex.held

        await door.eventually(count, lambda number: number == 2)
    assert (await one)["state"] == "PROVISIONING"
    answer = await other
    assert answer.status_code == 200 and answer.json()["state"] == "PROVISIONING"
    await http.aclose()
    await channel.close()
