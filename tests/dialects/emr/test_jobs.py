"""Jobs through the door: what is submitted comes back as written, wrong bodies and queries name the path."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliostat.dialects.emr import EmrSettings
from heliostat.dialects.emr.errors import EmrError
from heliostat.dialects.emr.translate import jobs
from heliostat.dialects.emr.translate.submission import parse_bytes, read_job
from heliostat.domain.engine import Volume
from heliostat.domain.ids import JobId
from heliostat.domain.installation import Installation
from heliostat.domain.job_states import JobClusterState, JobStatus
from heliostat.domain.jobs import Code, EntrypointResources, Job, Usage
from heliostat.domain.records import Role
from heliostat.engines.simulated import SimulatedEngine
from heliostat.services import Caller, JobView, JobWish, Services
from heliostat.store import Store, StoreSettings
from heliostat.testing.clock import ManualClock
from heliostat.testing.tools import job_tools

from .door import Door
from .job_bodies import FULL, JOBS, NODE, SCRAMBLED

PLACE = Installation(volumes={"vol-1": Volume("vol-1", "/tmp")})
SMALL: dict[str, Any] = {"entrypoint": "python main.py", "headSpec": NODE}
UNLIMITED = EmrSettings(reads_per_second=None, writes_per_second=None)


def wish(**fields: object) -> JobWish:
    return read_job(json.dumps(SMALL | fields).encode(), PLACE)


async def submitted(door: Door, **fields: object) -> str:
    status, body = await door.post(door.jobs, SMALL | fields)
    assert status == 200, body
    return str(body["submissionId"])


async def stored(door: Door, store: Store, job: str) -> Job:
    found = await store.read(lambda tx: tx.jobs.get(door.first.workspace, JobId(job)))
    assert found is not None
    return found


# --- there and back --------------------------------------------------------------------------------------------------


async def test_every_field_comes_back_as_written(door: Door) -> None:
    job = await submitted(door, **FULL)
    status, body = await door.ask(f"{door.jobs}/{job}")
    assert status == 200
    expected = came_back(FULL)
    assert {key: body[key] for key in expected} == expected
    constant = {
        "submissionId": job, "status": "Submitted", "clusterState": "Submitted", "message": "accepted",
        "creatorName": "ann", "submitTime": 1767225600000, "duration": 0, "cuHours": 0.0, "backoffLimit": 0,
        "dashboardUrlExtra": [], "logBucketName": "logs",
        "logPath": f"{door.first.workspace}/ray/logs/{job}_default/",
    }  # fmt: skip
    assert {key: body[key] for key in constant} == constant
    assert set(body) == {*expected, *constant, "requestId"}
    assert isinstance(body["cuHours"], float) and None not in body.values()


async def test_a_job_that_says_little_shows_the_defaults(door: Door) -> None:
    job = await submitted(door)
    _, body = await door.ask(f"{door.jobs}/{job}")
    shown = {
        "name": job, "submissionMode": "HTTPMode", "shutdownAfterJobFinishes": True, "ttlSecondsAfterFinished": 0,
        "workerSpecs": [], "tags": [], "displayReleaseVersion": PLACE.catalogue.default_release.display,
        "headSpec": NODE | {"replica": 1, "enableAutoScaling": False},
    }  # fmt: skip
    assert {key: body[key] for key in shown} == shown
    absent = {"activeDeadlineSeconds", "runtimeEnvJson", "metadataJson", "entrypointNumCpus", "entrypointNumGpus"}
    absent |= {"entrypointMemory", "entrypointResources", "extraParam", "workingDir", "networkServiceName", "volumeIds"}
    absent |= {"startTime", "endTime", "dashboardUrl", "guHours", "taskBizId"}
    assert not absent & set(body)
    _, listed = await door.ask(door.jobs)
    row = listed["rayJobs"][0]
    assert row.pop("resourceQueue") == "root_queue"
    assert row == {key: body[key] for key in row}
    assert set(row) == {
        "submissionId", "name", "status", "clusterState", "creatorName", "submitTime", "duration", "cuHours",
    }  # fmt: skip


async def test_every_field_means_what_it_says(door: Door, store: Store) -> None:
    spec = (await stored(door, store, await submitted(door, **FULL))).spec
    assert spec.runtime_env == {"pip": ["requests==2.26.0"], "env_vars": {"KEY": "VALUE"}}
    assert spec.code == Code(
        "https://code.example/job.zip?key=k", ("https://b/a.json", "https://b/c.json"), "https://b/r.txt"
    )
    assert (spec.metadata, spec.tags) == ({"owner": "alice"}, {"z": "1", "a": ""})
    assert spec.resources == EntrypointResources(1.5, 0.0, 4 << 30, {"fpu": 1.0})
    assert (spec.deadline, spec.ttl, spec.shutdown_after_finish) == (timedelta(hours=1), timedelta(seconds=60), False)
    cluster = spec.cluster_spec
    assert (cluster.network_service, cluster.volumes) == ("loopback", ("vol-1",))
    assert cluster.autoscaling.enabled and cluster.head.memory == 8 << 30
    [group] = cluster.workers
    assert (group.name, group.replicas, group.max_replicas, group.shape.memory) == ("g1", 2, 10, 4 << 30)


async def test_fields_that_jobs_do_not_have_are_not_looked_at(door: Door, store: Store) -> None:
    head = NODE | {"env": "not an assignment", "rayStartParams": "--head", "gftEnabled": True, "new": 1}
    job = await submitted(door, headSpec=head, workerSpec=[{"env": 7, "extraParam": "["}], taskBizId=["x"])
    spec = (await stored(door, store, job)).spec.cluster_spec
    assert (spec.head.env, spec.head.ray_start_params, spec.fault_tolerance) == ({}, "", None)


async def test_a_working_directory_in_the_runtime_environment_stays_where_it_was_written(
    door: Door, store: Store
) -> None:
    text = '{"working_dir": "https://x/y.zip"}'
    job = await submitted(door, runtimeEnvJson=text)
    assert (await stored(door, store, job)).spec.code.working_dir == "https://x/y.zip"
    _, body = await door.ask(f"{door.jobs}/{job}")
    assert (body["runtimeEnvJson"], body.get("workingDir")) == (text, None)


async def test_a_job_from_another_door_is_written_out(door: Door) -> None:
    caller = Caller(await door.services.identity.by_token(door.first.token.reveal()))
    other = replace(
        wish(), runtime_env={"pip": ["x"]}, metadata={"a": "b"}, code=Code("https://x/y.zip", ("s3://a/b", "s3://a/c")),
        resources=EntrypointResources(0.5, None, 3 << 29, {"fpu": 2.0}),
    )  # fmt: skip
    job = await door.services.jobs.submit(caller, door.first.workspace, other)
    _, body = await door.ask(f"{door.jobs}/{job.id}")
    shown = {
        "runtimeEnvJson": '{"pip":["x"]}', "metadataJson": '{"a":"b"}', "entrypointNumCpus": "0.5",
        "entrypointMemory": "1.5Gi", "entrypointResources": '{"fpu":2.0}', "submissionMode": "HTTPMode",
        "workingDir": "https://x/y.zip", "extraParam": '{"userDefinedFiles":"s3://a/b,s3://a/c"}',
    }  # fmt: skip
    assert {key: body[key] for key in shown} == shown


async def test_viewers_see_no_value_that_may_be_a_secret(door: Door) -> None:
    identity, workspace = door.services.identity, door.first.workspace
    admin = Caller(await identity.by_token(door.first.token.reveal()))
    made = await identity.create_token(admin, principal="vera")
    await identity.grant(admin, workspace, "vera", Role.VIEWER)
    extra = {"userDefinedFiles": "https://s3cret/a,https://s3cret/b", "other": "s3cret"}
    job = await submitted(
        door, runtimeEnvJson='{"env_vars": {"KEY": "s3cret"}, "pip": ["https://s3cret/x"]}',
        workingDir="https://x/y.zip?token=s3cret", extraParam=json.dumps(extra), metadataJson='{"owner": "alice"}',
    )  # fmt: skip
    vera = door.bearer() | {"x-acs-bearer-token": made.token.reveal()}
    status, _, body = await door.send("GET", f"{door.jobs}/{job}", vera)
    assert status == 200 and "s3cret" not in json.dumps(body)
    assert json.loads(body["runtimeEnvJson"]) == {"env_vars": {"KEY": "******"}, "pip": "******"}
    assert json.loads(body["extraParam"]) == {"userDefinedFiles": "******,******"}
    assert (body["workingDir"], body["metadataJson"]) == ("******", '{"owner":"alice"}')
    assert (await door.send("GET", door.jobs, vera))[0] == 200
    for method, path in (
        ("POST", door.jobs),
        ("POST", f"{door.jobs}/{job}/cancel"),
        ("GET", door.logs(job) + "/logs"),
        ("GET", door.logs(job) + "/log"),
    ):
        status, _, refused = await door.send(method, path, vera)
        assert (status, refused["Code"]) == (403, "Forbidden.RAM"), path


def came_back(body: dict[str, Any]) -> dict[str, Any]:
    """What of a body GetRayJob must show, and how."""
    expected = {key: value for key, value in body.items() if key != "workerSpec" and value not in ("", [])}
    expected["headSpec"] = {"replica": 1, "enableAutoScaling": False} | body["headSpec"]
    groups = []
    for number, group in enumerate(body.get("workerSpec", []), start=1):
        of_head = {key: body["headSpec"][key] for key in ("queueName", "cpu", "memory")}
        shown = of_head | {"groupName": f"WorkerGroup{number}", "replica": 1} | group
        if "cpu" not in group:
            shown["cpu"] = plain_cpu(body["headSpec"]["cpu"])
        if "memory" not in group:
            shown["memory"] = plain_memory(body["headSpec"]["memory"])
        shown.pop("workerType", None)
        groups.append(shown)
    return expected | {"workerSpecs": groups, "tags": body.get("tags", [])}


def plain_cpu(text: str) -> str:
    return f"{float(text):g}"


def plain_memory(text: str) -> str:
    number = float(text.rstrip("GiBM"))
    return f"{number / 1024 if text.endswith('Mi') else number:g}Gi"


class Stage:
    """A door on a loop of its own, for tests that Hypothesis repeats."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.store = self.run(
            Store.open(StoreSettings(url=f"sqlite:///{folder / 'h.db'}", master_key=folder / "key")),
        )
        services = Services.build(
            self.store, PLACE, SimulatedEngine(), ManualClock(), lambda cluster: None, job_tools(folder)
        )
        first = self.run(services.identity.first_start("ann"))
        self.door = Door(services, first, UNLIMITED)

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.run(self.store.close())
        self.loop.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("jobs"))
    yield made
    made.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=JOBS)
def test_any_valid_body_comes_back_field_for_field(stage: Stage, body: dict[str, Any]) -> None:
    door = stage.door
    status, made = stage.run(door.post(door.jobs, body))
    assert status == 200, made
    status, shown = stage.run(door.ask(f"{door.jobs}/{made['submissionId']}"))
    assert status == 200
    expected = came_back(body)
    assert {key: shown.get(key) for key in expected} == expected


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=SCRAMBLED)
def test_no_body_does_worse_than_a_client_error(stage: Stage, body: dict[str, Any]) -> None:
    door = stage.door
    status, answer = stage.run(door.post(door.jobs, body))
    assert status in (200, 400, 404), answer
    if status == 200:
        assert stage.run(door.ask(f"{door.jobs}/{answer['submissionId']}"))[0] == 200


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_a_client_error(data: bytes) -> None:
    with pytest.raises(EmrError):
        read_job(data, PLACE)


# --- refusals --------------------------------------------------------------------------------------------------------

BAD: list[tuple[dict[str, object], str]] = [
    ({"entrypoint": 7}, "entrypoint"),
    ({"entrypoint": "e" * 70000}, "entrypoint"),
    ({"name": ""}, "name"),
    ({"name": "n" * 65}, "name"),
    ({"headSpec": []}, "headSpec"),
    ({"headSpec": NODE | {"queueName": "nope"}}, "headSpec.queueName"),
    ({"headSpec": NODE | {"cpu": "0"}}, "headSpec.cpu"),
    ({"workerSpec": [{}, None]}, "workerSpec[1]"),
    ({"workerSpec": [{}, {"queueName": "nope"}]}, "workerSpec[1].queueName"),
    ({"workerSpec": [{"minReplica": 3, "maxReplica": 2}]}, "workerSpec[0].minReplica"),
    ({"displayReleaseVersion": "ray-9.0.0"}, "displayReleaseVersion"),
    ({"networkServiceName": "nope"}, "networkServiceName"),
    ({"volumeIds": ["vol-1", "vol-2"]}, "volumeIds[1]"),
    ({"runtimeEnvJson": "{"}, "runtimeEnvJson"),
    ({"runtimeEnvJson": "[]"}, "runtimeEnvJson"),
    ({"runtimeEnvJson": {}}, "runtimeEnvJson"),
    ({"runtimeEnvJson": 7}, "runtimeEnvJson"),
    ({"runtimeEnvJson": '{"env_vars": []}'}, "runtimeEnvJson.env_vars"),
    ({"runtimeEnvJson": '{"env_vars": {"A": 1}}'}, "runtimeEnvJson.env_vars.A"),
    ({"runtimeEnvJson": '{"working_dir": "."}'}, "runtimeEnvJson.working_dir"),
    ({"runtimeEnvJson": '{"working_dir": "s3://a"}', "workingDir": "s3://b"}, "runtimeEnvJson.working_dir"),
    ({"workingDir": "refused://x"}, "workingDir"),
    ({"workingDir": "package://x"}, "workingDir"),
    ({"metadataJson": '"x"'}, "metadataJson"),
    ({"metadataJson": '{"owner": 1}'}, "metadataJson.owner"),
    ({"metadataJson": '{"owner": "\\u0000"}'}, "metadataJson"),
    ({"entrypointNumCpus": "many"}, "entrypointNumCpus"),
    ({"entrypointNumCpus": "-1"}, "entrypointNumCpus"),
    ({"entrypointNumGpus": True}, "entrypointNumGpus"),
    ({"entrypointMemory": "much"}, "entrypointMemory"),
    ({"entrypointMemory": "9" * 30}, "entrypointMemory"),
    ({"entrypointResources": '{"fpu": "1"}'}, "entrypointResources.fpu"),
    ({"entrypointResources": '{"fpu": true}'}, "entrypointResources.fpu"),
    ({"entrypointResources": '{"fpu": -1}'}, "entrypointResources.fpu"),
    ({"entrypointResources": '{"CPU": 1}'}, "entrypointResources.CPU"),
    ({"submissionMode": "httpmode"}, "submissionMode"),
    ({"activeDeadlineSeconds": 0}, "activeDeadlineSeconds"),
    ({"activeDeadlineSeconds": 10**18}, "activeDeadlineSeconds"),
    ({"activeDeadlineSeconds": "soon"}, "activeDeadlineSeconds"),
    ({"ttlSecondsAfterFinished": -1}, "ttlSecondsAfterFinished"),
    ({"ttlSecondsAfterFinished": 10**17}, "ttlSecondsAfterFinished"),
    ({"shutdownAfterJobFinishes": "yes"}, "shutdownAfterJobFinishes"),
    ({"tags": {"a": "b"}}, "tags"),
    ({"tags": [{"key": str(number)} for number in range(21)]}, "tags"),
    ({"tags": [{"key": ""}]}, "tags[0].key"),
    ({"tags": [{"key": "a"}, {"key": "a"}]}, "tags[1].key"),
    ({"tags": [{"key": "k" * 129}]}, "tags[0].key"),
    ({"tags": [{"key": "k", "value": "v" * 129}]}, "tags[0].value"),
    ({"extraParam": "{"}, "extraParam"),
    ({"extraParam": '{"userDefinedFiles": []}'}, "extraParam.userDefinedFiles"),
    ({"extraParam": '{"userDefinedFiles": "s3://a, refused://b"}'}, "extraParam.userDefinedFiles[1]"),
    ({"extraParam": '{"userRequirementsFile": "refused://b"}'}, "extraParam.userRequirementsFile"),
    ({"clusterId": "ray-1"}, "headSpec"),
    ({"clusterId": "ray-1", "headSpec": {}}, "headSpec"),
    ({"clusterId": "ray-1", "headSpec": None, "workerSpec": [{}]}, "workerSpec"),
    ({"clusterId": "ray-1", "headSpec": None, "displayReleaseVersion": "ray-1.0.0"}, "displayReleaseVersion"),
    ({"clusterId": "ray-1", "headSpec": None, "networkServiceName": "nope"}, "networkServiceName"),
    ({"clusterId": "ray-1", "headSpec": None, "volumeIds": ["vol-2"]}, "volumeIds[0]"),
]
MISSING: list[tuple[dict[str, object], str]] = [
    ({"entrypoint": None}, "entrypoint"),
    ({"entrypoint": ""}, "entrypoint"),
    ({"entrypoint": " "}, "entrypoint"),
    ({"headSpec": None}, "headSpec"),
    ({"headSpec": {}}, "headSpec.queueName"),
    ({"headSpec": {"queueName": "root_queue", "cpu": "1"}}, "headSpec.memory"),
    ({"headSpec": NODE | {"enableAutoScaling": True}, "workerSpec": [{"maxReplica": 2}]}, "workerSpec[0].minReplica"),
    ({"tags": [{"value": "v"}]}, "tags[0].key"),
]


@pytest.mark.parametrize(("fields", "path"), BAD)
def test_bad_bodies(stage: Stage, fields: dict[str, object], path: str) -> None:
    status, answer = stage.run(stage.door.post(stage.door.jobs, SMALL | fields))
    assert (status, answer["Code"]) == (400, "InvalidParameter"), answer
    assert answer["Message"].startswith(f"{path}: ")


@pytest.mark.parametrize(("fields", "path"), MISSING)
def test_needed_fields(stage: Stage, fields: dict[str, object], path: str) -> None:
    status, answer = stage.run(stage.door.post(stage.door.jobs, SMALL | fields))
    assert (status, answer["Code"]) == (400, "MissingParameter"), answer
    assert answer["Message"].startswith(f"{path}: ")


def test_no_value_of_a_variable_is_in_an_error(stage: Stage) -> None:
    for text in (
        '{"env_vars": {"PIN": 48151623}}',
        '{"env_vars": {"PIN": 48151623}',
        '{"env_vars": {"PIN": "48151623\\u0000"}}',
    ):
        status, answer = stage.run(stage.door.post(stage.door.jobs, SMALL | {"runtimeEnvJson": text}))
        assert status == 400 and "48151623" not in json.dumps(answer)


async def test_a_bad_body_leaves_nothing(door: Door) -> None:
    assert (await door.post(door.jobs, SMALL | {"workingDir": "refused://x"}))[0] == 400
    assert (await door.ask(door.jobs))[1] | {"requestId": ""} == {"requestId": "", "totalCount": 0, "rayJobs": []}


async def test_clusters_that_take_no_jobs(door: Door) -> None:
    async def refusal(cluster: str) -> tuple[int, str]:
        status, body = await door.post(door.jobs, {"entrypoint": "x", "clusterId": cluster})
        return status, body["Code"]

    assert await refusal("ray-0000000000000000") == (404, "ResourceNotFound")
    _, made = await door.post(door.clusters, {"name": "stopped", "headSpec": NODE})
    assert await refusal(made["clusterId"]) == (409, "OperationDenied")
    await door.post(f"{door.clusters}/{made['clusterId']}/start", {})
    assert await refusal(made["clusterId"]) == (409, "OperationDenied"), "it is still Starting"


async def test_unknown_jobs_and_workspaces(door: Door) -> None:
    nowhere = "/api/v1/workspaces/w-0000000000000000/rayJob"
    for path in (f"{door.jobs}/rj-nope", f"{nowhere}/rj-nope", nowhere, door.jobs + "/"):
        status, body = await door.ask(path)
        assert (status, body["Code"]) == (404, "ResourceNotFound"), path
    for path, sent in ((f"{door.jobs}/rj-nope/cancel", None), (nowhere, SMALL), (nowhere, {"entrypoint": 7})):
        status, body = await door.post(path, sent)
        assert (status, body["Code"]) == (404, "ResourceNotFound"), path


# --- lists -----------------------------------------------------------------------------------------------------------


async def test_lists_are_newest_first_paged_and_filtered(door: Door) -> None:
    clock = door.services.clock
    assert isinstance(clock, ManualClock)
    made = []
    for number in range(5):
        made.append(await submitted(door, name="even" if number % 2 == 0 else "odd"))
        clock.advance(seconds=0.0015)

    async def found(**query: object) -> tuple[int, list[str]]:
        status, body = await door.ask(door.jobs, **query)
        assert status == 200, body
        return body["totalCount"], [row["submissionId"] for row in body["rayJobs"]]

    assert await found() == (5, made[::-1])
    assert await found(pageNum=2, pageSize=2) == (5, [made[2], made[1]])
    assert await found(pageNum=4, pageSize=2) == (5, [])
    assert await found(name="odd") == (2, [made[3], made[1]])
    assert await found(name="od") == (0, [])
    assert await found(name="even", pageSize=1) == (3, [made[4]])
    assert await found(submissionId=made[2], name="even") == (1, [made[2]])
    assert await found(submissionId=made[2], name="odd") == (0, [])
    assert await found(taskBizId="TSK-" + "0" * 32) == (0, [])
    assert await found(name="", submissionId="", taskBizId="", submitTime="{}") == (5, made[::-1])
    first = 1767225600000
    for times, numbers in (
        ({"startTime": first, "endTime": first}, [0]),
        ({"startTime": first + 1}, [4, 3, 2, 1]),
        ({"endTime": first + 3}, [2, 1, 0]),
        ({"startTime": str(first + 3), "endTime": 10**18 - 1}, [4, 3, 2]),
        ({"startTime": None, "endTime": 0}, []),
    ):
        assert await found(submitTime=json.dumps(times)) == (len(numbers), [made[number] for number in numbers]), times
    _, body = await door.ask(f"{door.jobs}/{made[1]}")
    shown = body["submitTime"]
    assert await found(submitTime=json.dumps({"startTime": shown, "endTime": shown})) == (1, [made[1]])


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"pageNum": 0}, "pageNum"),
        ({"pageSize": 0}, "pageSize"),
        ({"pageSize": 101}, "pageSize"),
        ({"pageNum": "x"}, "pageNum"),
        ({"taskBizId": "x", "pageNum": 0}, "pageNum"),
        ({"submitTime": "x"}, "submitTime"),
        ({"submitTime": "[]"}, "submitTime"),
        ({"submitTime": '{"startTime":"x"}'}, "submitTime.startTime"),
        ({"submitTime": '{"endTime":-1}'}, "submitTime.endTime"),
        ({"submitTime": '{"startTime":2,"endTime":1}'}, "submitTime"),
    ],
)
def test_bad_queries(stage: Stage, query: dict[str, object], path: str) -> None:
    status, answer = stage.run(stage.door.ask(stage.door.jobs, **query))
    assert (status, answer["Code"]) == (400, "InvalidParameter")
    assert answer["Message"].startswith(f"{path}: ")


# --- cancel, and how a job looks later ---------------------------------------------------------------------------------


async def test_cancel(door: Door, store: Store) -> None:
    job = await submitted(door)

    async def cancel() -> object:
        status, body = await door.post(f"{door.jobs}/{job}/cancel")
        assert (status, set(body)) == (200, {"requestId", "success"})
        return body["success"]

    assert [await cancel(), await cancel()] == [True, True]
    assert (await door.ask(f"{door.jobs}/{job}"))[1]["status"] == "Cancelling"
    record = await stored(door, store, job)
    await store.write(lambda tx: tx.jobs.save(replace(record, status=JobStatus.CANCELLED, settled=True)))
    assert await cancel() is False


async def test_a_finished_job(door: Door, store: Store) -> None:
    record = await stored(door, store, await submitted(door, headSpec=NODE | {"gpuSpec": "ecs.gn6i-c4g1.xlarge"}))
    began = record.submitted_at + timedelta(seconds=2)
    done = replace(
        record, status=JobStatus.SUCCEEDED, message="done", cluster_state=JobClusterState.DELETED, started_at=began,
        ended_at=began + timedelta(seconds=61.9), usage=Usage(cu_hours=1 / 3, gpu_hours=0.25), settled=True,
    )  # fmt: skip
    row = jobs.summary(JobView(done, None, None, done.usage), None, began + timedelta(days=1))
    assert (row["status"], row["clusterState"], row["duration"], row["cuHours"]) == (
        "Succeeded", "Deleted", 61, 0.333333,
    )  # fmt: skip
    assert (row["startTime"], row["endTime"]) == (1767225602000, 1767225663900)
    body = jobs.detail(JobView(done, None, None, done.usage), None, began)
    assert body["guHours"] == {"gpuHours": 0.25, "gpuSpec": "ecs.gn6i-c4g1.xlarge"}
    assert "dashboardUrl" not in body
    running = replace(done, status=JobStatus.RUNNING, ended_at=None)
    assert jobs.summary(JobView(running, None, None, done.usage), None, began + timedelta(seconds=5.9))["duration"] == 5


def test_digits_alone_are_bytes_for_an_entry_point() -> None:
    assert (parse_bytes("1024"), parse_bytes("4Gi"), parse_bytes("0")) == (1024, 4 << 30, 0)
    assert wish(entrypointMemory=1024, entrypointNumCpus=2).resources == EntrypointResources(2.0, None, 1024)
