"""All operations through the unmodified SDK: sync and async, http and https, key pair and bearer token."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from .conftest import Way, http_ways, https_ways, sqlite_only
from .sdk import HEAD, Sdk, SdkError

FULL: dict[str, Any] = {
    "displayReleaseVersion": "ray-1.0.0 (Ray 2.47.1, Python 3.12)",
    "description": "ein Büschel, 集群",
    "networkServiceName": "loopback",
    "extraParam": '{"a": 1}',
    "volumeIds": ["vol-1234567890"],
    "headSpec": {
        "queueName": "root_queue",
        "cpu": "2.0",
        "memory": "8GB",
        "gpuSpec": "ecs.gn6i-c4g1.xlarge",
        "enableAutoScaling": True,
        "idleTimeoutSeconds": 90,
        "displayReleaseVersion": "ray-1.0.0 (Ray 2.47.1, Python 3.12)",
        "env": "A=1,B=2",
        "rayStartParams": "--num-cpus=0",
        "gftEnabled": True,
        "gftConfig": {"redisUrl": "10.4.5.6:6379", "redisUsername": "default", "redisPassword": "geheim"},
    },
    "workerSpec": [
        {
            "groupName": "g1",
            "workerType": "CPU",
            "replica": 2,
            "minReplica": 1,
            "maxReplica": 10,
            "queueName": "root_queue",
            "cpu": "0.5",
            "memory": "4",
            "displayReleaseVersion": "ray-1.0.1 (Ray 2.47.1, Python 3.11)",
            "env": '{"A": "x,y"}',
            "rayStartParams": '{"num-cpus": "1"}',
        },
        {"groupName": "g2", "gpuSpec": "ecs.gn7i-c8g1.2xlarge", "minReplica": "1", "maxReplica": "1"},
    ],
}


@http_ways
def test_the_whole_life_of_a_cluster(way: Way) -> None:
    whole_life(way)


@https_ways
@sqlite_only
def test_the_whole_life_of_a_cluster_over_https(way: Way) -> None:
    whole_life(way)


def whole_life(way: Way) -> None:
    sdk, server, ca = way.sdk, way.server, way.ca
    listed = sdk.raw("ListWorkspaces", request={}).body["workspaces"]
    assert [row["workspaceId"] for row in listed] == [server.workspace]
    assert sdk("GetWorkspace")["workspace"]["workspaceStatus"] == "RUNNING"
    releases = sdk.raw("ListReleaseVersions", request={}).body["releaseVersions"]
    assert FULL["displayReleaseVersion"] in [row["displayReleaseVersion"] for row in releases]
    assert [row["queueName"] for row in sdk("ListWorkspaceQueues")["queues"]] == ["root_queue"]
    assert [row["name"] for row in sdk("ListNetworkServices")["networkServices"]] == ["loopback"]

    created = sdk.raw("CreateRayCluster", sdk.workspace, request={"name": way.name, "headSpec": HEAD})
    assert created.status == 200
    cluster = created.body["clusterId"]
    assert re.fullmatch(r"ray-[a-z0-9]{16}", cluster)
    assert sdk("ListRayCluster", pageNum=1, pageSize=1)["rayClusters"][0]["clusterId"] == cluster
    assert sdk.get(cluster)["state"] == "Stopped"
    assert sdk("UpdateRayCluster", cluster, description="ünï")["clusterId"] == cluster
    assert set(sdk("StartRayCluster", cluster, clientToken=cluster)) == {"requestId"}
    up = sdk.state(cluster, "Running")
    assert up["description"] == "ünï"
    assert up["dashboardUrl"].startswith("https://" if ca else "http://")
    assert re.fullmatch(r"[0-9a-f]{32}", up["submitToken"])
    assert up["jobUrl"] == up["jobUrlInner"] == f"{'https' if ca else 'http'}://127.0.0.1:{server.port}"
    assert set(sdk("StopRayCluster", cluster, instanceId=up["instanceId"])) == {"requestId"}
    sdk.state(cluster, "Stopped")
    deleted = sdk.raw("DeleteRayCluster", sdk.workspace, cluster)
    assert (deleted.status, set(deleted.body)) == (200, {"requestId"})
    with pytest.raises(SdkError) as gone:
        sdk.get(cluster)
    assert (gone.value.status_code, gone.value.code) == (404, "ResourceNotFound")


def test_every_field_comes_back(sdk: Sdk) -> None:
    cluster = sdk.create("every field", **FULL)
    body = sdk.get(cluster)
    expected = json.loads(json.dumps(FULL))
    expected["headSpec"] |= {"replica": 1}
    expected["headSpec"]["gftConfig"]["redisPassword"] = "******"
    expected["workerSpec"][1] |= {
        "queueName": "root_queue", "cpu": "2", "memory": "8Gi", "workerType": "GPU", "replica": 1,
        "minReplica": 1, "maxReplica": 1,
    }  # fmt: skip
    for key, value in expected.items():
        assert body[key] == value, key
    constant = {"name": "every field", "state": "Stopped", "message": "ok", "modified": False}
    assert {key: body[key] for key in constant} == constant
    assert body["creator"] == body["modifier"] == body["userId"]
    assert body["creatorName"] == body["modifierName"]
    assert isinstance(body["creator"], str)
    assert body["createTime"] == body["modifiedTime"] > 1.7e12
    assert set(body) == {
        *expected, *constant, "requestId", "clusterId", "creator", "creatorName", "modifier", "modifierName", "userId",
        "createTime", "modifiedTime", "instances",
    }  # fmt: skip
    [row] = [row for row in sdk("ListRayCluster", pageSize=100)["rayClusters"] if row["clusterId"] == cluster]
    detailed = {"displayReleaseVersion", "env", "rayStartParams", "gftEnabled", "gftConfig"}
    assert row["headSpec"] == {key: value for key, value in body["headSpec"].items() if key not in detailed}
    assert row["workerSpec"] == [
        {key: value for key, value in group.items() if key not in detailed} for group in body["workerSpec"]
    ]
    assert not {"extraParam", "volumeIds", "jobUrl", "submitToken"} & set(row)
    sdk.remove(cluster)


def test_a_running_cluster_shows_its_nodes(sdk: Sdk) -> None:
    cluster = sdk.create("nodes")
    sdk("StartRayCluster", cluster)
    body = sdk.state(cluster, "Running")
    assert re.fullmatch(rf"{cluster}-[a-z0-9]{{8}}", body["instanceId"])
    assert [(node["type"], node["phase"], node["containerState"]) for node in body["instances"]] == [
        ("Head", "Running", "Running"),
        ("Worker", "Running", "Running"),
    ]
    assert all(isinstance(node["createTime"], int) and isinstance(node["startTime"], int) for node in body["instances"])
    assert "grpcEndpoint" not in body
    [row] = [row for row in sdk("ListRayCluster")["rayClusters"] if row["clusterId"] == cluster]
    assert row["dashboardUrl"] and row["instanceId"] == body["instanceId"]
    usage = json.loads(sdk("ListWorkspaceQueues")["queues"][0]["usedResource"])
    assert (float(usage["cpu"]) >= 2, usage["memory"].endswith("Gi")) == (True, True)
    sdk.remove(cluster)


def test_lists_are_newest_first_and_paged(sdk: Sdk) -> None:
    made = [sdk.create(f"page {number}") for number in range(5)]

    def page(number: int, size: int) -> list[str]:
        return [row["clusterId"] for row in sdk("ListRayCluster", pageNum=number, pageSize=size)["rayClusters"]]

    assert page(1, 5) == made[::-1]
    assert page(2, 2) == [made[2], made[1]]
    assert page(1000, 100) == []
    assert [row["clusterId"] for row in sdk("ListRayCluster")["rayClusters"]][:5] == made[::-1]
    for cluster in made:
        sdk.remove(cluster)


@pytest.mark.parametrize(
    "request_fields",
    [{"pageNum": 0}, {"pageSize": 0}, {"pageSize": 101}, {"pageNum": -1}, {"pageNum": "x"}, {"pageNum": 10**12}],
)
def test_bad_pages(sdk: Sdk, request_fields: dict[str, Any]) -> None:
    with pytest.raises(SdkError) as refused:
        sdk("ListRayCluster", **request_fields)
    assert (refused.value.status_code, refused.value.code) == (400, "InvalidParameter")
    assert next(iter(request_fields)) in refused.value.message


class TestDiscovery:
    def test_workspaces(self, sdk: Sdk) -> None:
        def found(**filters: Any) -> Any:
            return sdk.raw("ListWorkspaces", request=filters).body

        everything = found()
        assert (everything["totalCount"], everything["maxResults"], "nextToken" in everything) == (1, 20, False)
        assert found(name="DEF")["totalCount"] == found(name="def", maxResults=1, regionId="nowhere")["totalCount"] == 1
        assert found(state="Running")["totalCount"] == found(state="RUNNING")["totalCount"] == 1
        assert found(name="other")["workspaces"] == found(state="Stopped")["workspaces"] == []
        assert found(tag=[{"key": "k"}])["totalCount"] == found(resourceGroupId="rg")["totalCount"] == 0
        for bad in ({"maxResults": 0}, {"nextToken": "w-nope"}, {"maxResults": 1000}):
            with pytest.raises(SdkError) as refused:
                found(**bad)
            assert refused.value.code == "InvalidParameter"

    def test_releases(self, sdk: Sdk) -> None:
        def names(**filters: Any) -> list[str]:
            return [
                row["releaseVersion"] for row in sdk.raw("ListReleaseVersions", request=filters).body["releaseVersions"]
            ]

        assert "ray-1.0.0" in names()
        assert names(serviceFilter="RAY") == names(serviceFilter="odd") == names(releaseType="Stable") == names()
        assert names(releaseVersionStatus="ONLINE", workspaceId=sdk.workspace) == names()
        assert names(serviceFilter="spark") == names(releaseType="Beta") == names(releaseVersionStatus="OFFLINE") == []
        assert names(releaseVersion="ray-1.0.0") == ["ray-1.0.0"]
        row = sdk.raw("ListReleaseVersions", request={"releaseVersion": "ray-1.0.0"}).body["releaseVersions"][0]
        assert row["communityVersion"] == "Ray 2.47.1"
        assert (row["type"], row["state"], row["fusion"], row["isCustom"]) == ("stable", "ONLINE", False, False)
        assert isinstance(row["cpuArchitectures"], list)
        with pytest.raises(SdkError) as refused:
            names(workspaceId="w-nope")
        assert refused.value.code == "ResourceNotFound"

    def test_queues(self, sdk: Sdk) -> None:
        [row] = sdk("ListWorkspaceQueues", environment="dev")["queues"]
        assert (row["queueName"], row["queueStatus"], row["queueType"]) == ("root_queue", "RUNNING", "instance")
        assert json.loads(row["maxResource"]) == {}, "not limited"
        assert json.loads(row["minResource"]) == {"cpu": "0", "memory": "0Gi"}
        assert set(json.loads(row["queueScope"])) == {"arch"}
        assert sdk("ListWorkspaceQueues", environment="test")["queues"] == []

    def test_network_services(self, sdk: Sdk) -> None:
        [row] = sdk("ListNetworkServices")["networkServices"]
        assert (row["type"], row["state"], row["workspaceId"]) == ("NetworkService", "running", sdk.workspace)
        assert row["networkServiceId"].startswith("ns-")

    @pytest.mark.parametrize(
        "operation", ["GetWorkspace", "ListWorkspaceQueues", "ListNetworkServices", "ListRayCluster"]
    )
    def test_unknown_workspaces(self, sdk: Sdk, operation: str) -> None:
        with pytest.raises(SdkError) as refused:
            sdk(operation, "w-0000000000000000")
        assert (refused.value.status_code, refused.value.code) == (404, "ResourceNotFound")
