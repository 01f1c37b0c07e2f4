"""The job operations through the unmodified SDK: sync and async, http and https, key pair and bearer token."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from heliostat.testing.harness import HarnessServer

from .conftest import Way, http_ways, https_ways, sqlite_only
from .sdk import HEAD, WORKER, Json, Sdk, SdkError, fetch, until

FINAL = ("Succeeded", "Failed", "Cancelled", "Timeout")


@pytest.fixture
def cluster(sdk: Sdk) -> Iterator[str]:
    """A running cluster."""
    made = sdk.create("for jobs")
    sdk("StartRayCluster", made)
    sdk.state(made, "Running")
    yield made
    sdk.remove(made)


@pytest.fixture
def slow_starts(server: HarnessServer) -> Iterator[None]:
    """No cluster comes up meanwhile."""
    server.world.start_seconds = 3600
    yield
    server.world.start_seconds = 0


def logs(sdk: Sdk, job: str, **request: Any) -> Any:
    body = sdk("ListRayLogs", job, **request)
    assert (body["code"], body["message"]) == ("1000000", "ok")
    return body["data"]


def driver_log(sdk: Sdk, job: str, holds: str) -> Json:
    """The row of the driver's log once that is complete."""
    rows = until(
        lambda: logs(sdk, job)["objectList"],
        lambda rows: any(row["name"] == f"{job}_driver.log" and row["size"] >= len(holds) for row in rows),
    )
    return dict(next(row for row in rows if row["name"] == f"{job}_driver.log"))


def refusal(sdk: Sdk, operation: str, *path: str, **request: Any) -> SdkError:
    with pytest.raises(SdkError) as refused:
        sdk(operation, *path, **request)
    return refused.value


@http_ways
def test_the_whole_life_of_a_job(way: Way) -> None:
    whole_life(way)


@https_ways
@sqlite_only
def test_the_whole_life_of_a_job_over_https(way: Way) -> None:
    whole_life(way)


def whole_life(way: Way) -> None:
    sdk, server, ca = way.sdk, way.server, way.ca
    made = sdk("SubmitRayJob", entrypoint="echo hello", headSpec=HEAD, workerSpec=[WORKER], name=f"{way.name} life")
    assert set(made) == {"requestId", "submissionId"}
    job = made["submissionId"]
    assert re.fullmatch(r"rj-[a-z0-9]+", job)
    done = sdk.status(job, *FINAL)
    assert done["status"] == "Succeeded", done["message"]
    gone = until(lambda: sdk.job(job), lambda body: body["clusterState"] == "Deleted")
    assert gone["endTime"] >= gone["startTime"] >= gone["submitTime"] > 1.7e12
    assert isinstance(gone["cuHours"], float) and isinstance(gone["duration"], int)
    assert "dashboardUrl" not in gone, "there is no history view"

    listed = sdk("ListRayJob", submissionId=job, name=f"{way.name} life")
    [row] = listed["rayJobs"]
    assert (listed["totalCount"], row["status"], row["name"]) == (1, "Succeeded", f"{way.name} life")
    assert row["resourceQueue"] == "root_queue"
    assert sdk("CancelRayJob", job)["success"] is False

    found = driver_log(sdk, job, "hello\n")
    assert found["path"] == f"/{gone['logPath']}{job}_driver.log"
    data = logs(sdk, job, bucketName=gone["logBucketName"], prefix="/" + gone["logPath"], delimiter="/")
    assert [entry["name"] for entry in data["objectList"] if not entry["isDir"]] == [f"{job}_driver.log"]
    opened = sdk("GetRayLog", job, bucketName=gone["logBucketName"], path=found["path"])
    assert (opened["code"], set(opened["data"])) == ("1000000", {"accessUrl"})
    url = opened["data"]["accessUrl"]
    assert url.startswith(f"{'https' if ca else 'http'}://127.0.0.1:{server.port}/v1/log-tickets/")
    status, kind, text = fetch(url, ca)
    assert (status, kind.partition(";")[0]) == (200, "text/plain") and b"hello\n" in text
    assert fetch(url, ca, Range="bytes=2-5") == (206, kind, text[2:6])
    other = url[:-2] + ("BB" if url.endswith("AA") else "AA")
    assert fetch(other, ca)[0] in (403, 404), "another ticket opens nothing"


FULL: Json = {
    "name": "every field, 作业",
    "entrypoint": "echo 'ein Büschel'",
    "displayReleaseVersion": "ray-1.0.0 (Ray 2.47.1, Python 3.12)",
    "headSpec": {
        "queueName": "root_queue",
        "cpu": "2.0",
        "memory": "8GB",
        "gpuSpec": "ecs.gn6i-c4g1.xlarge",
        "enableAutoScaling": True,
        "idleTimeoutSeconds": 90,
        "displayReleaseVersion": "ray-1.0.0 (Ray 2.47.1, Python 3.12)",
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
            "gpuSpec": "ecs.gn7i-c8g1.2xlarge",
            "displayReleaseVersion": "ray-1.0.1 (Ray 2.47.1, Python 3.11)",
        }
    ],
    "runtimeEnvJson": '{ "env_vars": {"KEY": "VALUE"} }',
    "metadataJson": '{"owner":  "alice"}',
    "entrypointNumCpus": "1.0",
    "entrypointNumGpus": "0",
    "entrypointMemory": "1GiB",
    "entrypointResources": '{"fpu":  1}',
    "submissionMode": "HTTPMode",
    "activeDeadlineSeconds": 3600,
    "shutdownAfterJobFinishes": True,
    "ttlSecondsAfterFinished": 60,
    "networkServiceName": "loopback",
    "volumeIds": ["vol-1234567890"],
    "tags": [{"key": "jobname", "value": "test"}, {"key": "a", "value": ""}],
}


@pytest.mark.usefixtures("slow_starts")
def test_every_field_comes_back(sdk: Sdk, server: HarnessServer) -> None:
    code = f"file://{server.home}/code"
    extra = {"userDefinedFiles": f"{code}/a.json", "userRequirementsFile": f"{code}/requirements.txt"}
    sent = FULL | {"workingDir": f"{code}/job.zip", "extraParam": json.dumps(extra)}
    job = sdk.submit(**sent)
    body = sdk.status(job, "Pending")
    [group] = sent["workerSpec"]
    expected = {key: value for key, value in sent.items() if key != "workerSpec"} | {
        "headSpec": sent["headSpec"] | {"replica": 1},
        "workerSpecs": [{key: value for key, value in group.items() if key != "workerType"}],
        "backoffLimit": 0,
        "dashboardUrlExtra": [],
        "logBucketName": "logs",
        "logPath": f"{server.workspace}/ray/logs/{job}_default/",
        "submissionId": job,
    }
    assert {key: body.get(key) for key in expected} == expected
    living = {"requestId", "status", "clusterState", "creatorName", "submitTime", "duration", "cuHours", "message"}
    told = {key for key, value in body.items() if value is not None} - {"guHours"}  # there once its GPUs were had
    assert told == {*expected, *living}
    [row] = sdk("ListRayJob", submissionId=job)["rayJobs"]
    assert set(row) == {*living, "submissionId", "name", "resourceQueue"} - {"requestId", "message"}
    sdk("CancelRayJob", job)
    sdk.status(job, "Cancelled")


def test_code_and_requirements_reach_the_job(sdk: Sdk, server: HarnessServer) -> None:
    code = f"file://{server.home}/code"
    extra = {"userDefinedFiles": f"{code}/a.json", "userRequirementsFile": f"{code}/requirements.txt"}
    job = sdk.submit("sleep 1000", workingDir=f"{code}/job.zip", extraParam=json.dumps(extra))
    sdk.status(job, "Running")
    environment = server.world.job(job).submission.runtime_env
    assert environment["working_dir"].startswith("gcs://") and "six" in json.dumps(environment["pip"])
    assert sdk("CancelRayJob", job)["success"] is True
    sdk.status(job, "Cancelled")


class TestLife:
    def test_success_and_failure(self, sdk: Sdk, cluster: str) -> None:
        good, bad = (sdk.submit(text, clusterId=cluster) for text in ("echo fine", "echo broken; exit 3"))
        assert sdk.status(good, *FINAL)["status"] == "Succeeded"
        failed = sdk.status(bad, *FINAL)
        assert failed["status"] == "Failed" and failed["message"]
        assert sdk.get(cluster)["state"] == "Running", "an existing cluster stays"

    def test_cancel_on_an_existing_cluster(self, sdk: Sdk, cluster: str) -> None:
        job = sdk.submit("sleep 1000", clusterId=cluster)
        running = sdk.status(job, "Running")
        assert running["clusterState"] == "Running"
        assert running["dashboardUrl"].startswith("http") and "endTime" not in running
        [row] = sdk("ListRayJob", submissionId=job)["rayJobs"]
        assert row["dashboardUrl"]
        answer = sdk.raw("CancelRayJob", sdk.workspace, job, request={})
        assert (answer.status, answer.body["success"]) == (200, True)
        assert sdk.status(job, *FINAL)["status"] == "Cancelled"
        assert sdk("CancelRayJob", job)["success"] is False
        assert sdk.get(cluster)["state"] == "Running"

    @pytest.mark.usefixtures("slow_starts")
    def test_pending_then_cancelled(self, sdk: Sdk) -> None:
        job = sdk.submit("echo never")
        pending = until(lambda: sdk.job(job), lambda body: body["clusterState"] == "Pending")
        assert (pending["status"], pending["duration"]) == ("Pending", 0)
        assert not {"startTime", "dashboardUrl"} & set(pending)
        assert job not in json.dumps(sdk("ListRayCluster", pageSize=100)), "temporary clusters are not listed"
        assert sdk("CancelRayJob", job)["success"] is True
        done = sdk.status(job, "Cancelled")
        assert until(lambda: sdk.job(job), lambda body: body["clusterState"] == "Deleted")["endTime"] == done["endTime"]

    @pytest.mark.usefixtures("slow_starts")
    def test_the_deadline_counts_the_making_of_the_cluster(self, sdk: Sdk) -> None:
        job = sdk.submit("echo never", activeDeadlineSeconds=1)
        assert sdk.status(job, *FINAL)["status"] == "Timeout"

    def test_a_kept_cluster_goes_when_the_job_is_cancelled(self, sdk: Sdk) -> None:
        job = sdk.submit("echo done", shutdownAfterJobFinishes=False)
        assert sdk.status(job, *FINAL)["clusterState"] == "Running"
        assert sdk("CancelRayJob", job)["success"] is True
        body = until(lambda: sdk.job(job), lambda body: body["clusterState"] == "Deleted")
        assert body["status"] == "Succeeded"


def test_clusters_that_take_no_jobs(sdk: Sdk, server: HarnessServer) -> None:
    def code() -> tuple[int, str]:
        refused = refusal(sdk, "SubmitRayJob", entrypoint="echo", clusterId=cluster)
        return refused.status_code, refused.code

    cluster = "ray-0000000000000000"
    assert code() == (404, "ResourceNotFound")
    cluster = sdk.create("takes no jobs")
    assert code() == (409, "OperationDenied")
    server.world.start_seconds = 3600
    try:
        sdk("StartRayCluster", cluster)
        assert code() == (409, "OperationDenied")
    finally:
        server.world.start_seconds = 0
    sdk.remove(cluster)
    assert code() == (404, "ResourceNotFound")


BAD_BODIES: list[tuple[Json, str, str]] = [
    ({"entrypoint": None}, "MissingParameter", "entrypoint"),
    ({"entrypoint": ""}, "MissingParameter", "entrypoint"),
    ({"headSpec": None}, "MissingParameter", "headSpec"),
    ({"headSpec": {}}, "MissingParameter", "headSpec.queueName"),
    ({"headSpec": {"queueName": "root_queue", "cpu": "1"}}, "MissingParameter", "headSpec.memory"),
    ({"name": "n" * 65}, "InvalidParameter", "name"),
    ({"name": "集" * 65}, "InvalidParameter", "name"),
    ({"headSpec": HEAD | {"queueName": "nope"}}, "InvalidParameter", "headSpec.queueName"),
    ({"workerSpec": [None]}, "InvalidParameter", "workerSpec[0]"),
    ({"workerSpec": [WORKER, WORKER]}, "InvalidParameter", "workerSpec[1].groupName"),
    ({"workerSpec": [WORKER | {"replica": 0}]}, "InvalidParameter", "workerSpec[0].replica"),
    ({"workerSpec": [WORKER | {"groupName": f"g{n}"} for n in range(51)]}, "InvalidParameter", "workerSpec"),
    ({"displayReleaseVersion": "ray-9.0.0"}, "InvalidParameter", "displayReleaseVersion"),
    ({"networkServiceName": "nope"}, "InvalidParameter", "networkServiceName"),
    ({"volumeIds": ["vol-nope"]}, "InvalidParameter", "volumeIds[0]"),
    ({"runtimeEnvJson": "no json"}, "InvalidParameter", "runtimeEnvJson"),
    ({"runtimeEnvJson": "[1]"}, "InvalidParameter", "runtimeEnvJson"),
    ({"runtimeEnvJson": '{"env_vars": {"A": 1}}'}, "InvalidParameter", "runtimeEnvJson.env_vars.A"),
    ({"metadataJson": '{"owner": 7}'}, "InvalidParameter", "metadataJson.owner"),
    ({"metadataJson": "null"}, "InvalidParameter", "metadataJson"),
    ({"entrypointNumCpus": "x"}, "InvalidParameter", "entrypointNumCpus"),
    ({"entrypointNumGpus": "-1"}, "InvalidParameter", "entrypointNumGpus"),
    ({"entrypointMemory": "x"}, "InvalidParameter", "entrypointMemory"),
    ({"entrypointResources": '{"fpu": "x"}'}, "InvalidParameter", "entrypointResources.fpu"),
    ({"submissionMode": "SomeMode"}, "InvalidParameter", "submissionMode"),
    ({"activeDeadlineSeconds": 0}, "InvalidParameter", "activeDeadlineSeconds"),
    ({"ttlSecondsAfterFinished": -1}, "InvalidParameter", "ttlSecondsAfterFinished"),
    ({"shutdownAfterJobFinishes": "no"}, "InvalidParameter", "shutdownAfterJobFinishes"),
    ({"tags": [{"key": str(n), "value": ""} for n in range(21)]}, "InvalidParameter", "tags"),
    ({"tags": [{"key": "a"}, {"key": "a"}]}, "InvalidParameter", "tags[1].key"),
    ({"workingDir": "ftp://host/x.zip"}, "InvalidParameter", "workingDir"),
    ({"workingDir": "file:///etc/x.zip"}, "InvalidParameter", "workingDir"),
    ({"extraParam": "["}, "InvalidParameter", "extraParam"),
    (
        {"extraParam": '{"userDefinedFiles": "ftp://x/y"}'},
        "InvalidParameter",
        "extraParam.userDefinedFiles[0]",
    ),
    (
        {"extraParam": '{"userRequirementsFile": "file:///etc/passwd"}'},
        "InvalidParameter",
        "extraParam.userRequirementsFile",
    ),
    ({"clusterId": "ray-0000000000000000"}, "InvalidParameter", "headSpec"),
    (
        {"clusterId": "ray-0000000000000000", "headSpec": None, "workerSpec": [WORKER]},
        "InvalidParameter",
        "workerSpec",
    ),
    (
        {"clusterId": "ray-0000000000000000", "headSpec": None, "displayReleaseVersion": "ray-1.0.0"},
        "InvalidParameter",
        "displayReleaseVersion",
    ),
]


@pytest.mark.parametrize(("fields", "code", "path"), BAD_BODIES)
def test_bad_bodies(sdk: Sdk, fields: Json, code: str, path: str) -> None:
    before = sdk("ListRayJob")["totalCount"]
    refused = refusal(sdk, "SubmitRayJob", **{"entrypoint": "echo", "headSpec": HEAD} | fields)
    assert (refused.status_code, refused.code) == (400, code)
    assert f"400, {path}: " in refused.message
    assert sdk("ListRayJob")["totalCount"] == before


@pytest.mark.usefixtures("slow_starts")
@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_lists(sdk: Sdk, flavour: str) -> None:
    sdk = replace(sdk, flavour=flavour)
    name = f"{flavour} list 1*~"
    made = [sdk.submit("echo", name=name if number % 2 == 0 else f"{name}+") for number in range(5)]
    times = [sdk.job(job)["submitTime"] for job in made]

    def found(**query: Any) -> tuple[int, list[str]]:
        body = sdk("ListRayJob", **query)
        return body["totalCount"], [row["submissionId"] for row in body["rayJobs"]]

    assert found(pageSize=5)[1] == made[::-1]
    assert found(pageNum=2, pageSize=2)[1] == [made[2], made[1]]
    assert found(name=name) == (3, [made[4], made[2], made[0]])
    assert found(name=name, pageSize=1, pageNum=3) == (3, [made[0]])
    assert found(name=name, pageSize=1, pageNum=4) == (3, [])
    assert found(submissionId=made[1]) == (1, [made[1]])
    assert found(taskBizId="TSK-" + "0" * 32) == (0, [])
    exactly = {"startTime": times[1], "endTime": times[3]}
    within = [job for job, at in zip(made, times, strict=True) if times[1] <= at <= times[3]][::-1]
    assert found(submitTime=exactly) == (len(within), within)
    assert found(submitTime={"endTime": 1}) == (0, [])
    assert found(submitTime={}, name=name)[0] == 3
    for query, path in (
        ({"pageNum": 0}, "pageNum"),
        ({"pageSize": 0}, "pageSize"),
        ({"pageSize": 101}, "pageSize"),
        ({"submitTime": {"startTime": "x"}}, "submitTime.startTime"),
        ({"submitTime": {"startTime": 2, "endTime": 1}}, "submitTime"),
    ):
        refused = refusal(sdk, "ListRayJob", **query)
        assert (refused.status_code, refused.code) == (400, "InvalidParameter")
        assert f"400, {path}: " in refused.message
    for job in made:
        sdk("CancelRayJob", job)
    for job in made:
        sdk.status(job, "Cancelled")


def test_unknown_jobs(sdk: Sdk) -> None:
    for operation in ("GetRayJob", "CancelRayJob", "ListRayLogs"):
        refused = refusal(sdk, operation, "rj-nope")
        assert (refused.status_code, refused.code) == (404, "ResourceNotFound"), operation
    path = f"{sdk.workspace}/ray/logs/rj-nope_default/x.log"
    assert refusal(sdk, "GetRayLog", "rj-nope", path=path).code == "ResourceNotFound"
    for operation in ("SubmitRayJob", "ListRayJob"):
        assert refusal(sdk, operation, "w-0000000000000000").code == "ResourceNotFound"
    for operation in ("GetRayJob", "CancelRayJob", "ListRayLogs", "GetRayLog"):
        assert refusal(sdk, operation, "w-0000000000000000", "rj-nope").code == "ResourceNotFound", operation
        assert refusal(sdk, operation, "").status_code == 404, operation


class TestLogs:
    @pytest.fixture
    def job(self, sdk: Sdk) -> str:
        job = sdk.submit("echo one")
        sdk.status(job, "Succeeded")
        driver_log(sdk, job, "one\n")
        until(lambda: sdk.job(job), lambda body: body["clusterState"] == "Deleted")
        return job

    @pytest.mark.parametrize("flavour", ["sync", "async"])
    def test_pages_of_every_size_make_the_same_list(self, sdk: Sdk, job: str, flavour: str) -> None:
        sdk = replace(sdk, flavour=flavour)
        for delimiter in ("", "/"):
            whole = logs(sdk, job, delimiter=delimiter)["objectList"]
            assert whole
            for size in range(1, len(whole) + 2):
                found, query = [], {"maxKeys": size, "delimiter": delimiter}
                while True:
                    data = logs(sdk, job, **query)
                    found += data["objectList"]
                    if not data["isTruncated"]:
                        break
                    query["marker"] = data["nextMarker"]
                assert found == whole

    def test_bad_queries(self, sdk: Sdk, job: str) -> None:
        folder = sdk.job(job)["logPath"]
        for operation, request, code in (
            ("ListRayLogs", {"maxKeys": 0}, "InvalidParameter"),
            ("ListRayLogs", {"maxKeys": 1001}, "InvalidParameter"),
            ("ListRayLogs", {"prefix": "w-1/ray/logs/rj-1_default/"}, "InvalidParameter"),
            ("ListRayLogs", {"prefix": f"/{folder}../"}, "InvalidParameter"),
            ("ListRayLogs", {"bucketName": "other"}, "ResourceNotFound"),
            ("GetRayLog", {}, "MissingParameter"),
            ("GetRayLog", {"path": "/etc/passwd"}, "InvalidParameter"),
            ("GetRayLog", {"path": f"{folder}../x"}, "InvalidParameter"),
            ("GetRayLog", {"path": f"{folder}x", "bucketName": "other"}, "ResourceNotFound"),
        ):
            assert refusal(sdk, operation, job, **request).code == code, (operation, request)

    def test_a_file_that_is_not_there_raises_nothing(self, sdk: Sdk, job: str) -> None:
        body = sdk("GetRayLog", job, path=sdk.job(job)["logPath"] + "never.log")
        assert body["code"] == "1040004" and "never.log" in body["message"]
        assert not body.get("data")

    def test_a_store_that_is_down_raises_nothing(self, sdk: Sdk, job: str, server: HarnessServer) -> None:
        folder = server.home / "storage"
        folder.rename(server.home / "elsewhere")
        try:
            body = sdk("GetRayLog", job, path=f"{sdk.job(job)['logPath']}{job}_driver.log")
        finally:
            (server.home / "elsewhere").rename(folder)
        assert body["code"] == "1050000" and body["message"]

    def test_logs_of_clusters(self, sdk: Sdk, cluster: str) -> None:
        assert logs(sdk, cluster)["bucketName"] == "logs"
        assert isinstance(logs(sdk, sdk.get(cluster)["instanceId"])["objectList"], list)
