"""Queues in EMR's words, without a network: units, what is kept, which place an error names."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from heliostat.dialects.emr import EmrSettings
from heliostat.dialects.emr.translate import queues
from heliostat.domain.installation import BUILT_IN_GPUS
from heliostat.domain.quantities import GIB
from heliostat.domain.records import Amount, Queue, Role
from heliostat.services import Caller, Services

from .door import Door

NEW = "/api/v1/workspaces/queues"
EDIT = f"{NEW}/action/edit"


@pytest.fixture
async def door(services: Services) -> Door:
    """Without limits of rates: here one test asks a lot."""
    first = await services.identity.first_start("ann")
    assert first is not None
    return Door(services, first, EmrSettings(reads_per_second=None, writes_per_second=None))


def body(door: Door, **fields: Any) -> dict[str, Any]:
    return {"workspaceId": door.first.workspace, "workspaceQueueName": "q"} | fields


async def stored(door: Door, name: str = "q") -> Queue:
    ann = Caller(await door.services.identity.by_token(door.first.token.reveal()))
    return (await door.services.queues.get(ann, door.first.workspace, name)).queue


def units(number: int | None, gpu: int | None = None) -> Amount:
    return Amount(gpu=gpu) if number is None else Amount(Decimal(number), number * 4 * GIB, gpu)


UNITS: list[tuple[Any, ...]] = [
    (None, units(None), units(None)),
    ({}, units(None), units(None)),
    ({"cu": 4, "maxCu": 16}, units(4), units(16)),
    ({"cu": 4}, units(4), units(4)),
    ({"cu": "4", "maxCu": "4"}, units(4), units(4)),
    ({"maxCu": 16, "gpu": 2}, units(None), units(16, gpu=2)),
    ({"cu": 0, "maxCu": 16}, units(None), units(16)),
    ({"gpu": 0, "gpuMachineNum": 0}, units(None), units(None, gpu=0)),
]


async def test_a_unit_is_a_core_with_4_gib(door: Door) -> None:
    for number, (resources, minimum, maximum) in enumerate(UNITS):
        status, answer = await door.post(NEW, body(door, workspaceQueueName=f"q{number}", resourceSpec=resources))
        assert (status, set(answer)) == (200, {"requestId"}), answer
        made = await stored(door, f"q{number}")
        assert (made.minimum, made.maximum) == (minimum, maximum), resources


async def test_an_edit_keeps_what_it_does_not_name(door: Door) -> None:
    await door.post(NEW, body(door, description="old", resourceSpec={"cu": 2, "maxCu": 8}, preheat=True))
    status, answer = await door.post(EDIT, body(door, description="new", environments=["dev"]))
    assert (status, set(answer)) == (200, {"RequestId"})
    made = await stored(door)
    assert (made.description, made.minimum, made.maximum) == ("new", units(2), units(8))
    await door.post(EDIT, body(door, resourceSpec={"maxCu": 4}))
    assert ((await stored(door)).minimum, (await stored(door)).maximum) == (units(None), units(4))
    path = f"/api/v1/workspaces/{door.first.workspace}/queues"
    shown = {row["queueName"]: row for row in (await door.ask(path))[1]["queues"]}["q"]
    assert (shown["preheat"], shown["environments"], json.loads(shown["maxResource"])["memory"]) == (
        True,
        ["dev"],
        "16Gi",
    )
    assert [row["queueName"] for row in (await door.ask(path, environment="production"))[1]["queues"]] == ["root_queue"]


BAD: list[tuple[Any, ...]] = [
    ("workspaceQueueName", {"workspaceQueueName": "no good"}),
    ("workspaceQueueName", {"workspaceQueueName": 7}),
    ("resourceSpec", {"resourceSpec": []}),
    ("resourceSpec.cu", {"resourceSpec": {"cu": -1}}),
    ("resourceSpec.maxCu", {"resourceSpec": {"maxCu": 0}}),
    ("resourceSpec.maxCu", {"resourceSpec": {"cu": 2, "maxCu": 1}}),
    ("resourceSpec.gpu", {"resourceSpec": {"gpu": "half"}}),
    ("resourceSpec.cu", {"resourceSpec": {"cu": 99}}),
    ("gpuSpec[0]", {"gpuSpec": ["a typewriter"]}),
    ("gpuSpec[0]", {"gpuSpec": ["NVIDIA_TESLA_T4-2"]}),
    ("queueCategory", {"queueCategory": "cpu"}),
    ("paymentType", {"paymentType": "later"}),
    ("preheat", {"preheat": "yes"}),
    ("description", {"description": "x" * 2000}),
    ("instanceId", {"instanceId": "x" * 300}),
]


async def test_a_queue_lists_no_names_that_only_another_dialect_has(door: Door, services: Services) -> None:
    await door.post(NEW, body(door))
    ann = Caller(await services.identity.by_token(door.first.token.reveal()))
    view = await services.queues.get(ann, door.first.workspace, "q")
    shown = queues.queue(view, services.installation, Role.OWNER)
    assert shown["gpuSpec"] == [gpu.name for gpu in BUILT_IN_GPUS]
    assert "NVIDIA_TESLA_T4-2" in services.installation.gpus


async def test_bad_bodies_name_the_path(door: Door) -> None:
    root = body(door, workspaceQueueName="root_queue", resourceSpec={"maxCu": 50})
    assert (await door.post(EDIT, root))[0] == 200
    for path, fields in BAD:
        status, answer = await door.post(NEW, body(door, **fields))
        assert (status, answer["Code"]) == (400, "InvalidParameter"), fields
        assert answer["Message"].startswith(f"{path}: "), fields


async def test_an_edit_names_its_path_too(door: Door) -> None:
    await door.post(NEW, body(door))
    status, answer = await door.post(EDIT, body(door, environments=["dev", "moon"]))
    assert (status, answer["Message"].startswith("environments[1]: ")) == (400, True)


async def test_what_the_body_must_name(door: Door) -> None:
    for path in (NEW, EDIT):
        for missing in ("workspaceId", "workspaceQueueName"):
            status, answer = await door.post(path, {key: value for key, value in body(door).items() if key != missing})
            assert (status, answer["Code"], answer["Message"]) == (400, "MissingParameter", f"{missing}: is required")
        status, answer = await door.post(path, body(door, workspaceId="w-0000000000000000", description=7))
        assert (status, answer["Code"]) == (404, "ResourceNotFound")


@pytest.mark.parametrize(("role", "status"), [(Role.EDITOR, 403), (Role.OWNER, 200)])
async def test_owners_alone_change_queues(door: Door, services: Services, role: Role, status: int) -> None:
    ann = Caller(await services.identity.by_token(door.first.token.reveal()))
    made = await services.identity.create_token(ann, principal="eve")
    await services.identity.grant(ann, door.first.workspace, "eve", role)
    headers = {"x-acs-version": "2023-08-08", "x-acs-bearer-token": made.token.reveal()}
    place = f"/api/v1/workspaces/{door.first.workspace}/queues"
    for method, path, sent in (("POST", NEW, body(door)), ("POST", EDIT, body(door)), ("DELETE", f"{place}/q", None)):
        data = b"" if sent is None else json.dumps(sent).encode()
        seen, _, answer = await door.send(method, path, headers, data)
        assert (seen, answer.get("Code")) == (status, None if status == 200 else "Forbidden.RAM"), answer
    allowed = (await door.send("GET", place, headers))[2]["queues"][0]["allowActions"]
    names = [row["displayName"] for row in allowed]
    assert ("EditWorkspaceQueue" in names, "DeleteWorkspaceQueue" in names) == (role is Role.OWNER, False)
    assert "CreateRayCluster" in names and allowed[0]["actionArn"].startswith(
        f"acs:emr::{door.first.workspace}:action/"
    )


BAD_TIMES: list[tuple[Any, ...]] = [
    ({}, "MissingParameter", "startTime"),
    ({"startTime": "2026-01-01 00:00:00"}, "MissingParameter", "endTime"),
    ({"startTime": "2026-01-01", "endTime": "2026-01-02 00:00:00"}, "InvalidParameter", "startTime"),
    ({"startTime": "2026-01-03 00:00:00", "endTime": "2026-01-02 00:00:00"}, "InvalidParameter", "startTime"),
    ({"startTime": "2026-01-01 00:00:00", "endTime": "2026-02-01 00:00:01"}, "InvalidParameter", "endTime"),
    ({"startTime": "0001-01-01 00:00:00", "endTime": "2026-02-01 00:00:01"}, "InvalidParameter", "startTime"),
]


async def test_bad_times_name_the_path(door: Door) -> None:
    place = f"/api/v1/workspaces/{door.first.workspace}/metric/cuHours/root_queue"
    for query, code, path in BAD_TIMES:
        status, answer = await door.ask(place, **query)
        assert (status, answer["Code"], answer["Message"].partition(":")[0]) == (400, code, path), query
