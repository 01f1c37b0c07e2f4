"""Jobs on real Ray: a user of the vendor's SDK submits one with a cluster of its own, follows it, and reads its log when the
cluster is gone; then one on an existing cluster, which is cancelled."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliostat.engines.local import LocalEngine, LocalSettings
from heliostat.testing.harness import threaded
from tests.environments import Ready

from .conftest import configure
from .sdk import Driver, Sdk, fetch, until

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(290)]
RAY, RELEASE = "2.60.0", "ray-1.3.1"
NODE = {"queueName": "root_queue", "cpu": "1", "memory": "1Gi"}
FINAL = ("Succeeded", "Failed", "Cancelled", "Timeout")
SECONDS = 150
PROGRAM = """
import os, ray
ray.init()
@ray.remote
def double(number):
    return 2 * number
print("metadata", os.environ["GREETING"], sum(ray.get([double.remote(number) for number in range(5)])), flush=True)
for number in range(2000):
    print("line", number)
"""


@pytest.fixture
def client(driver: Driver, ray_environments: Ready) -> Iterator[tuple[Sdk, Path]]:
    """The SDK on a server with the local engine, and a folder that jobs may take their code from."""
    environment = ray_environments[RAY]
    with tempfile.TemporaryDirectory(prefix="hsemr") as folder:
        configure(Path(folder))
        settings = LocalSettings(
            Path(folder) / "local", ready_environment=lambda release: environment if release.ray == RAY else None
        )
        with threaded(Path(folder), engine=LocalEngine(settings)) as server:
            sdk = Sdk.for_server(driver, server)
            try:
                yield sdk, Path(folder) / "code"
            finally:
                for row in sdk("ListRayJob", pageSize=100)["rayJobs"]:
                    sdk("CancelRayJob", row["submissionId"])
                    until(lambda job=row: sdk.job(job["submissionId"]), lambda body: body["status"] in FINAL, 60)
                for row in sdk("ListRayCluster", pageSize=100)["rayClusters"]:
                    sdk.remove(row["clusterId"])


def test_a_job_with_a_cluster_of_its_own_and_one_that_is_cancelled(client: tuple[Sdk, Path]) -> None:
    sdk, code = client
    (code / "program.py").write_text(PROGRAM)
    job = sdk.submit(
        "python program.py && cat a.json", displayReleaseVersion=RELEASE, headSpec=NODE,
        workerSpec=[NODE | {"groupName": "g1", "memory": "512Mi"}],
        runtimeEnvJson=json.dumps({"env_vars": {"GREETING": "hello"}}), workingDir=f"file://{code}/job.zip",
        extraParam=json.dumps({"userDefinedFiles": f"file://{code}/program.py,file://{code}/a.json"}),
        activeDeadlineSeconds=SECONDS, metadataJson='{"owner": "alice"}',
    )  # fmt: skip
    seen: list[str] = []

    def look() -> dict[str, object]:
        body: dict[str, object] = sdk.job(job)
        if body["status"] not in seen:
            seen.append(str(body["status"]))
        return body

    done = until(look, lambda body: body["status"] in FINAL, SECONDS)
    assert done["status"] == "Succeeded", done["message"]
    order = ["Submitted", "Pending", "Running", "Succeeded"]
    assert seen == [status for status in order if status in seen] and {"Pending", "Running"} <= set(seen)
    gone = until(lambda: sdk.job(job), lambda body: body["clusterState"] == "Deleted", 60)
    assert gone["cuHours"] > 0 and gone["endTime"] > gone["startTime"] > gone["submitTime"]
    assert "dashboardUrl" not in gone

    folder = gone["logPath"]
    listed = sdk("ListRayLogs", job, bucketName=gone["logBucketName"], prefix="/" + folder, delimiter="/")
    assert listed["code"] == "1000000"
    [row] = [row for row in listed["data"]["objectList"] if row["name"] == f"{job}_driver.log"]
    opened = sdk("GetRayLog", job, bucketName=gone["logBucketName"], path=row["path"])
    assert opened["code"] == "1000000"
    url = opened["data"]["accessUrl"]
    status, kind, text = fetch(url)
    assert (status, kind.partition(";")[0], len(text)) == (200, "text/plain", row["size"])
    assert b"metadata hello 20\n" in text
    assert text.count(b"line ") == 2000 and text.rstrip().endswith(b"{}")
    assert fetch(url, Range="bytes=100-199") == (206, kind, text[100:200])
    assert fetch(url, Range="bytes=-10") == (206, kind, text[-10:])

    cluster = sdk.create("for jobs", displayReleaseVersion=RELEASE, headSpec=NODE, workerSpec=[])
    sdk("StartRayCluster", cluster)
    assert (
        until(lambda: sdk.get(cluster), lambda body: body["state"] in ("Running", "Error"), SECONDS)["message"] == "ok"
    )
    endless = sdk.submit("echo begun; sleep 1000", clusterId=cluster)
    running = sdk.status(endless, "Running", *FINAL, seconds=60)
    assert (running["status"], running["clusterState"]) == ("Running", "Running")
    assert running["dashboardUrl"]
    assert sdk("CancelRayJob", endless)["success"] is True
    cancelled = sdk.status(endless, *FINAL, seconds=60)
    assert cancelled["status"] == "Cancelled"
    assert sdk("CancelRayJob", endless)["success"] is False
    assert sdk.get(cluster)["state"] == "Running"
    path = f"{cancelled['logPath']}{endless}_driver.log"
    url = until(lambda: sdk("GetRayLog", endless, path=path), lambda body: body["code"] == "1000000")["data"][
        "accessUrl"
    ]
    assert b"begun" in until(lambda: fetch(url)[2], lambda text: b"begun" in text)
