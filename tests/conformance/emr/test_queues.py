"""Queues through the unmodified SDK: made, changed, waited for, read, removed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from .sdk import Sdk, SdkError, until

FULL: dict[str, Any] = {
    "queueCategory": "GPU",
    "resourceSpec": {"cu": 2, "maxCu": 8, "gpu": 4, "gpuMachineNum": 1},
    "gpuSpec": ["ecs.gn6i-c4g1.xlarge"],
    "paymentType": "Pre",
    "preheat": True,
    "description": "ein Büschel, 集群",
    "instanceId": "i-1",
}


def listed(sdk: Sdk, name: str) -> Any:
    return {row["queueName"]: row for row in sdk("ListWorkspaceQueues")["queues"]}[name]


def changed(sdk: Sdk, operation: str, name: str, **fields: Any) -> Any:
    """The body of an operation that names its workspace in its body."""
    request = {"workspaceId": sdk.workspace, "workspaceQueueName": name, "regionId": "nowhere"} | fields
    return sdk.raw(operation, request=request).body


def deleted(sdk: Sdk, name: str) -> bool:
    """Whether the queue could be deleted: what used it may still be going."""
    try:
        sdk("DeleteWorkspaceQueue", name, regionId="nowhere")
    except SdkError as error:
        assert error.code == "OperationDenied"
        return False
    return True


def node(queue: str) -> dict[str, str]:
    return {"queueName": queue, "cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_the_whole_life_of_a_queue(sdk: Sdk, flavour: str) -> None:
    sdk, name = replace(sdk, flavour=flavour), f"q-{flavour}"
    assert set(changed(sdk, "CreateWorkspaceQueue", name, **FULL)) == {"requestId"}
    row = listed(sdk, name)
    assert {key: row[key] for key in FULL if key != "resourceSpec"} == {
        key: value for key, value in FULL.items() if key != "resourceSpec"
    }
    assert json.loads(row["minResource"]) == {"cpu": "2", "memory": "8Gi"}
    assert json.loads(row["maxResource"]) == {"cpu": "8", "memory": "32Gi", "gpu": "4"}
    assert json.loads(row["usedResource"]) == {"cpu": "0", "memory": "0Gi"}
    assert (row["gpuMachineNum"], row["queueType"], row["queueStatus"]) == (1, "instanceChildren", "RUNNING")
    assert {"EditWorkspaceQueue", "DeleteWorkspaceQueue"} <= {action["displayName"] for action in row["allowActions"]}
    edit = {"resourceSpec": {"cu": 1, "maxCu": 2}, "environments": ["dev"], "description": "kleiner"}
    assert set(changed(sdk, "EditWorkspaceQueue", name, **edit)) == {"RequestId"}
    row = listed(sdk, name)
    assert json.loads(row["maxResource"]) == {"cpu": "2", "memory": "8Gi"}
    assert (row["description"], row["environments"], row["preheat"]) == ("kleiner", ["dev"], True)
    assert set(sdk("DeleteWorkspaceQueue", name, regionId="nowhere")) == {"RequestId"}
    with pytest.raises(SdkError) as gone:
        sdk("DeleteWorkspaceQueue", name, regionId="nowhere")
    assert (gone.value.status_code, gone.value.code) == (404, "ResourceNotFound")


def test_a_start_waits_for_its_queue_and_its_use_is_counted(sdk: Sdk) -> None:
    changed(sdk, "CreateWorkspaceQueue", "narrow", resourceSpec={"maxCu": 1})
    first, second = (sdk.create(f"narrow {n}", headSpec=node("narrow"), workerSpec=[]) for n in (1, 2))
    sdk("StartRayCluster", first)
    sdk.state(first, "Running")
    sdk("StartRayCluster", second)
    job = sdk.submit("true", headSpec=node("narrow"))
    waiting = sdk.get(second)
    assert waiting["state"] == "Starting"
    assert json.loads(listed(sdk, "narrow")["usedResource"]) == {"cpu": "1", "memory": "1Gi"}
    with pytest.raises(SdkError) as error:
        sdk("DeleteWorkspaceQueue", "narrow", regionId="nowhere")
    assert (error.value.status_code, error.value.code) == (409, "OperationDenied")
    large = sdk.create("narrow 3", headSpec=node("narrow") | {"cpu": "2"}, workerSpec=[])
    with pytest.raises(SdkError) as error:
        sdk("StartRayCluster", large)
    assert (error.value.status_code, error.value.code) == (400, "QuotaExceeded")

    top = sdk("ListQueueTopJobs", "narrow", topN=1)["queueTopJobs"]
    assert top == {
        "queueName": "narrow", "maxResults": "1", "totalCu": "1", "totalJobCount": 1,
        "jobs": [{"jobId": first, "jobType": "RayCluster", "cu": "1", "cpuCores": "1", "memoryGiB": "1"}],
    }  # fmt: skip
    changed(sdk, "EditWorkspaceQueue", "narrow", resourceSpec={"maxCu": 3})
    sdk.state(second, "Running")
    sdk.status(job, "Running", "Succeeded")
    for cluster in (first, second):
        sdk.remove(cluster)
    sdk.plain("DeleteRayCluster", large)
    sdk("CancelRayJob", job)
    now = datetime.now(UTC)
    asked = {
        "startTime": f"{now - timedelta(hours=1):%Y-%m-%d %H:%M:%S}",
        "endTime": f"{now + timedelta(hours=1):%Y-%m-%d %H:%M:%S}",
    }
    hours = sdk("GetCuHours", "narrow", **asked)["data"]["cuHours"]
    assert isinstance(hours, str) and 0 < float(hours) < 1
    assert float(sdk("GetCuHours", "root_queue", **asked)["data"]["cuHours"]) >= 0
    until(lambda: deleted(sdk, "narrow"), bool)


@pytest.mark.parametrize(
    ("operation", "path", "request_fields", "told"),
    [
        ("ListQueueTopJobs", ["nope"], {}, (404, "ResourceNotFound", "queue")),
        ("ListQueueTopJobs", ["root_queue"], {"topN": 11}, (400, "InvalidParameter", "topN")),
        ("ListQueueTopJobs", ["root_queue"], {"topN": "many"}, (400, "InvalidParameter", "topN")),
        ("DeleteWorkspaceQueue", ["root_queue"], {}, (409, "OperationDenied", "root_queue")),
        ("GetCuHours", ["root_queue"], {"endTime": "2026-01-01 00:00:00"}, (400, "MissingParameter", "startTime")),
        (
            "GetCuHours", ["nope"], {"startTime": "2026-01-01 00:00:00", "endTime": "2026-01-02 00:00:00"},
            (404, "ResourceNotFound", "queue"),
        ),
    ],
)  # fmt: skip
def test_refusals(sdk: Sdk, operation: str, path: list[str], request_fields: Any, told: tuple[int, str, str]) -> None:
    with pytest.raises(SdkError) as refused:
        sdk(operation, *path, **request_fields)
    assert (refused.value.status_code, refused.value.code) == told[:2]
    assert told[2] in refused.value.message


def test_a_second_queue_of_a_name_is_refused(sdk: Sdk) -> None:
    with pytest.raises(SdkError) as refused:
        changed(sdk, "CreateWorkspaceQueue", "root_queue")
    assert (refused.value.status_code, refused.value.code) == (409, "ResourceAlreadyExists")
