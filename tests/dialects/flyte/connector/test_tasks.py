"""Tasks from their creation to their end, as a propeller sees them (Flyte contract, sections 4.4, 5.4 and 8)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest

from heliostat.dialects.flyte.runs import Phase
from heliostat.engines.simulated_jobs import Script

from .conftest import Serve
from .propeller import Propeller, Served, template, write_error, write_outputs

Code = grpc.StatusCode


async def test_a_task_that_succeeds(propeller: Propeller) -> None:
    meta = await propeller.create()
    assert meta == json.dumps({"v": 1, "id": json.loads(meta)["id"]}, separators=(",", ":")).encode()
    first = await propeller.get(meta)
    assert first.phase in (Phase.QUEUED, Phase.INITIALIZING, Phase.RUNNING)
    dashboard = first.log_links[0]
    assert dashboard.name == "Ray dashboard" and dashboard.ShowWhilePending and "token" not in dashboard.uri
    running = await propeller.until(meta, Phase.RUNNING)
    assert running.custom_info["heliostatJobId"] == json.loads(meta)["id"]
    assert running.log_links == first.log_links
    write_outputs(propeller.prefix(), o0=3)
    propeller.job(meta).finish(0)
    done = await propeller.until(meta, Phase.SUCCEEDED)
    assert not done.HasField("outputs") and not done.HasField("agent_error")
    assert done.custom_info["rayStatus"] == "SUCCEEDED"


async def test_a_task_is_created_once_however_often_it_is_asked_for(propeller: Propeller) -> None:
    first = await propeller.running()
    assert await propeller.create() == first
    others = {
        await propeller.create(propeller.request(attempt=1)),
        await propeller.create(propeller.request(node="n1")),
    }
    for index in ("0", "1"):
        names = {"BATCH_JOB_ARRAY_INDEX_VAR_NAME": "FLYTE_K8S_ARRAY_INDEX", "FLYTE_K8S_ARRAY_INDEX": index}
        meta = await propeller.running(propeller.request(**names))
        assert propeller.job(meta).submission.runtime_env["env_vars"]["FLYTE_K8S_ARRAY_INDEX"] == index
        others.add(meta)
    assert len(others) == 4 and first not in others
    assert set(propeller.world.job_starts.values()) == {1}
    env = propeller.job(first).submission.runtime_env["env_vars"]
    assert env["FLYTE_INTERNAL_EXECUTION_ID"] == propeller.execution and env["FLYTE_FAIL_ON_ERROR"] == "true"


async def test_creation_is_fast(propeller: Propeller) -> None:
    """Well below what a propeller waits for; the bound here is for a machine that does other things, too."""
    await propeller.create()
    since = time.perf_counter()
    for number in range(20):
        await propeller.create(propeller.request(node=f"n{number + 1}"))
    assert (time.perf_counter() - since) / 20 < 0.2


async def test_at_once_the_same_task_many_times(propeller: Propeller) -> None:
    metas = await asyncio.gather(*(propeller.create() for _ in range(8)))
    assert len(set(metas)) == 1


async def test_another_server_knows_what_one_before_it_has_acknowledged(serve: Serve) -> None:
    async with serve() as one:
        meta = await one.running()
    async with serve() as two:
        assert (await two.get(meta)).phase == Phase.RUNNING
        assert await two.create() == meta
        two.job(meta).finish(0)
    async with serve() as three:  # the job may have ended without anybody looking
        write_outputs(three.prefix(), o0=1)
        await three.until(meta, Phase.SUCCEEDED)


async def test_what_is_no_task_of_ours(propeller: Propeller) -> None:
    gone = await propeller.get(b'{"v":1,"id":"rj-0000000000000000"}')
    assert (gone.phase, gone.message) == (Phase.RETRYABLE_FAILED, "job not found")
    later = await propeller.get(b'{"v":7,"id":"rj-0000000000000000","more":{}}')
    assert later.phase == Phase.RETRYABLE_FAILED
    for meta in (b"", b"\xff", b"[]", b'{"v":1}', b'{"id":3}', b"[" * 100_000):
        assert (await propeller.get(meta)).phase == Phase.FAILED
        await propeller.delete(meta)
    await propeller.delete(b'{"v":1,"id":"rj-0000000000000000"}')


async def test_a_task_that_is_deleted_is_aborted_and_may_be_deleted_again(propeller: Propeller) -> None:
    meta = await propeller.running()
    await propeller.delete(meta)
    await propeller.delete(meta)
    done = await propeller.until(meta, Phase.ABORTED)
    assert "cancelled" in done.message
    await propeller.delete(meta)
    assert (await propeller.get(meta)).phase == Phase.ABORTED
    assert await propeller.create() == meta


async def test_a_task_that_is_deleted_before_its_cluster_is_up(propeller: Propeller) -> None:
    propeller.world.start_seconds = 1e6
    meta = await propeller.create()
    await propeller.until(meta, Phase.INITIALIZING)
    await propeller.delete(meta)
    await propeller.until(meta, Phase.ABORTED)
    await propeller.eventually(lambda: _instances(propeller), lambda left: not left)


async def test_a_task_waits_for_room_in_its_queue(propeller: Propeller) -> None:
    headers = {"authorization": f"Bearer {propeller.up.token}"}
    async with httpx.AsyncClient(base_url=propeller.up.url, headers=headers) as http:
        place = f"/v1/workspaces/{propeller.up.workspace}/queues/root_queue"
        answer = await http.patch(place, json={"maximum": {"cpu": 3}})
        assert answer.status_code == 200, answer.text
        first = await propeller.running()
        second = await propeller.create(propeller.request(node="n1"))
        waiting = await propeller.until(second, Phase.WAITING_FOR_RESOURCES)
        assert "root_queue" in waiting.message
        await propeller.delete(first)
        await propeller.until(second, Phase.RUNNING)


async def test_a_failed_task_is_known_by_what_it_wrote(propeller: Propeller) -> None:
    """Also when its exit code says nothing, and when it declares no outputs: the propeller does not look then."""
    variants = [(code, names, again) for code in (0, 1) for names in (("o0",), ()) for again in (False, True)]

    async def fails(node: str, exit_code: int, outputs: tuple[str, ...], recoverable: bool) -> None:
        meta = await propeller.running(propeller.request(template(outputs=outputs), node=node))
        write_error(propeller.prefix(node), recoverable=recoverable)
        propeller.job(meta).finish(exit_code)
        done = await propeller.until(meta, Phase.FAILED, Phase.RETRYABLE_FAILED)
        assert done.phase == (Phase.RETRYABLE_FAILED if recoverable else Phase.FAILED)
        assert done.message == "[USER:ValueError] boom"
        error = done.agent_error
        assert (error.code, error.kind, error.origin) == ("USER:ValueError", recoverable, 1)

    await asyncio.gather(*(fails(f"n{number}", *variant) for number, variant in enumerate(variants)))


async def test_a_task_that_could_not_write_why_it_failed_may_be_tried_again(propeller: Propeller) -> None:
    propeller.world.job_behaviour = lambda submission: Script(running_looks=None, output="the last words\n")
    meta = await propeller.running()
    propeller.job(meta).finish(1, "the last words")
    done = await propeller.until(meta, Phase.RETRYABLE_FAILED)
    assert done.message.startswith("[RayJobFailed]")
    assert done.message.endswith(
        "the end of its log:\nthe last words"
    )  # not the command, with which Ray begins the log


async def test_a_cluster_that_cannot_come_up_is_told_of(propeller: Propeller) -> None:
    missing = {"flyte-1.3.1": "no Python 3.11 here"}
    propeller.world.releases_missing.update(missing)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await propeller.create()
    assert caught.value.code() is Code.FAILED_PRECONDITION and "no Python 3.11 here" in caught.value.details()


async def test_declared_outputs_that_are_not_there(propeller: Propeller) -> None:
    meta = await propeller.running()
    void = await propeller.running(propeller.request(template(outputs=()), node="n1"))
    propeller.job(meta).finish(0)
    propeller.job(void).finish(0)
    done = await propeller.until(meta, Phase.SUCCEEDED, Phase.RETRYABLE_FAILED)
    assert (done.phase, done.agent_error.code) == (Phase.RETRYABLE_FAILED, "OutputsNotFound")
    await propeller.until(void, Phase.SUCCEEDED)


async def test_a_place_that_nobody_here_can_read_leaves_the_exit_code(propeller: Propeller) -> None:
    request = propeller.request()
    request.output_prefix = "nosuchscheme://bucket/o"
    meta = await propeller.running(request)
    propeller.job(meta).finish(0)
    done = await propeller.until(meta, Phase.SUCCEEDED)
    assert "nosuchscheme" in done.message


async def test_what_is_wrong_is_named(propeller: Propeller) -> None:
    def labelled(request: Any) -> None:
        request.template.metadata.metadata.labels.update({"heliostat/cluster": "nothere"})

    def huge(request: Any) -> None:
        request.template.custom["rayCluster"]["workerGroupSpec"][0].update({"replicas": 1e5})

    def node(request: Any) -> Any:
        return request.task_execution_metadata.task_execution_id.node_execution_id

    wrong: list[tuple[Callable[[Any], object], Code, str]] = [
        (
            lambda request: setattr(node(request).execution_id, "name", "x" * 2000),
            Code.INVALID_ARGUMENT,
            "execution_id: has",
        ),
        (lambda request: setattr(node(request), "node_id", "x" * 2000), Code.INVALID_ARGUMENT, "node_id: has"),
        (
            lambda request: setattr(request, "output_prefix", "s3://b/" + "x" * 4000),
            Code.INVALID_ARGUMENT,
            "output_prefix: has",
        ),
        (lambda request: request.template.ClearField("type"), Code.INVALID_ARGUMENT, "template.type"),
        (lambda request: setattr(request.template, "type", "spark"), Code.NOT_FOUND, "task type: spark"),
        (lambda request: setattr(request.template, "type", "python-task"), Code.NOT_FOUND, "task type: python-task"),
        (lambda request: request.template.ClearField("container"), Code.INVALID_ARGUMENT, "template"),
        (
            lambda request: request.template.custom.update({"ttlSecondsAfterFinished": "x"}),
            Code.INVALID_ARGUMENT,
            "custom",
        ),
        (lambda request: setattr(request, "output_prefix", ""), Code.INVALID_ARGUMENT, "output_prefix"),
        (labelled, Code.NOT_FOUND, "heliostat/cluster"),
        (huge, Code.INVALID_ARGUMENT, "template.custom.rayCluster"),
    ]
    for change, code, told in wrong:
        request = propeller.request()
        change(request)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await propeller.create(request)
        assert caught.value.code() is code and told in caught.value.details(), caught.value.details()


async def test_a_task_can_name_its_cluster(propeller: Propeller) -> None:
    headers = {"authorization": f"Bearer {propeller.up.token}"}
    async with httpx.AsyncClient(base_url=propeller.up.url, headers=headers) as http:
        place = f"/v1/workspaces/{propeller.up.workspace}/clusters"
        spec = {"start": False, "name": "mine", "release": "flyte-1.3.1", "head": {"cpu": 1, "memory": "1Gi"}}
        made = await http.post(place, json=spec)
        assert made.status_code in (200, 201), made.text
        task = template(labels={"heliostat/cluster": "mine"})
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await propeller.create(propeller.request(task))
        assert caught.value.code() is Code.FAILED_PRECONDITION and "start it first" in caught.value.details()
        await http.post(f"{place}/{made.json()['id']}/start")
        seen = await propeller.get(await propeller.running(propeller.request(task)))
        assert seen.custom_info["clusterName"] == "mine"


async def test_tasks_that_want_the_same_share_a_cluster(serve: Serve) -> None:
    async with serve(Served({"reuse_idle_seconds": 600})) as propeller:
        metas = await asyncio.gather(*(propeller.create(propeller.request(node=f"n{index}")) for index in range(4)))
        names = {(await propeller.until(meta, Phase.RUNNING)).custom_info["clusterName"] for meta in metas}
        assert len(names) == 1 and names.pop().startswith("flyte-")
        larger = {"rayCluster": {"workerGroupSpec": [{"groupName": "w", "replicas": 2.0}]}}
        await propeller.running(propeller.request(template(custom=larger), node="n8"))
        alone = template(labels={"heliostat/reuse-idle": "0"})
        await propeller.running(propeller.request(alone, node="n9"))
        assert len(propeller.world.instances) == 3


async def _instances(propeller: Propeller) -> list[Any]:
    return list(propeller.world.instances)
