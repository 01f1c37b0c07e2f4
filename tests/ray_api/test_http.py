"""What is made of a head's answers, with a head that the test plays."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import InstanceId
from heliostat.domain.ray_jobs import NameCount, RaySubmission
from heliostat.domain.secret import Secret
from heliostat.ray_api import Head, RayRefused, http
from heliostat.ray_api.base import SUMMARY_NAMES
from heliostat.ray_api.http import HttpRayApi

TOKEN = "f00d" * 8
PASSWORD = "correct horse battery"
JOB = RaySubmission("rj-1", "true", {"env_vars": {"PASSWORD": PASSWORD}})
TRACE = "Traceback (most recent call last):\n  File x\n"
FOUND = {"status": "PENDING", "message": None, "submission_id": "rj-1", "entrypoint": "true"}

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Played:
    """A head whose answers are set by the test, by method; what was asked is kept."""

    def __init__(self) -> None:
        self.head = Head(InstanceId("ci-1"), "", Secret(TOKEN))
        self.asked: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.answers: dict[str, Answer] = {}

    def says(self, method: str, status: int, text: str = "", json: Any = None) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, text=text) if json is None else web.json_response(json, status=status)

        self.answers[method] = answer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.raw_path))
        self.headers.append(dict(request.headers))
        self.bodies.append(await request.read())
        return await self.answers[request.method](request)


@pytest.fixture
async def played() -> AsyncIterator[Played]:
    head = Played()
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", head.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    head.head = Head(head.head.instance, f"127.0.0.1:{runner.addresses[0][1]}", head.head.token)
    yield head
    await runner.cleanup()


@pytest.fixture
async def api() -> AsyncIterator[HttpRayApi]:
    made = HttpRayApi(answer_seconds=0.5, action_seconds=0.5)
    yield made
    await made.close()


async def test_requests_carry_the_token_and_do_not_look_like_a_browsers(
    played: Played, api: HttpRayApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    played.says("GET", 404)
    assert await api.sighting(played.head, "a/b?c") is None
    assert played.asked == [("GET", "/api/jobs/a%2Fb%3Fc")]
    assert played.headers[0]["Authorization"] == f"Bearer {TOKEN}" and "Mozilla" not in played.headers[0]["User-Agent"]
    assert TOKEN not in caplog.text
    await api.sighting(Head(played.head.instance, played.head.address, None), "rj-1")
    assert "Authorization" not in played.headers[1]


@pytest.mark.parametrize("status", [400, 500])
async def test_a_failed_submission_of_a_job_that_is_there_is_a_success(
    played: Played, api: HttpRayApi, status: int
) -> None:
    played.says("POST", status, TRACE + "ValueError: Job with submission_id rj-1 already exists.")
    played.says("GET", 200, json=FOUND)
    await api.submit(played.head, JOB)
    assert [method for method, _ in played.asked] == ["POST", "GET"]


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, TRACE + f"TypeError: cannot use '{PASSWORD}'\n"),
        (422, f"cannot use '{PASSWORD}'"),
        (
            500,
            TRACE
            + f"RuntimeError: Request failed with status code 400: {TRACE}ValueError: cannot use '{PASSWORD}'\n.\n",
        ),
    ],
)
async def test_a_submission_that_can_never_work_is_refused_without_secrets(
    played: Played, api: HttpRayApi, status: int, text: str
) -> None:
    played.says("POST", status, text)
    played.says("GET", 404)
    with pytest.raises(RayRefused) as caught:
        await api.submit(played.head, JOB)
    assert caught.value.message == "cannot use '***'"


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405, 429, 500, 502, 503, 504])
async def test_whatever_else_goes_wrong_may_go_well_later(
    played: Played, api: HttpRayApi, tmp_path: Path, status: int
) -> None:
    for method in ("POST", "PUT"):
        played.says(method, status, TRACE + f"RuntimeError: {PASSWORD}")
    played.says("GET", 404)
    (tmp_path / "a.zip").write_bytes(b"PK")
    calls: list[Callable[[], Any]] = [
        lambda: api.submit(played.head, JOB),
        lambda: api.put_package(played.head, "a.zip", tmp_path / "a.zip"),
    ]
    if status != 404:
        calls.append(lambda: api.stop(played.head, "rj-1"))
    for call in calls:
        with pytest.raises(Unavailable) as caught:
            await call()
        assert PASSWORD not in str(caught.value) and TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"status": "SLEEPING"},
        {},
        {"status": "FAILED", "driver_exit_code": "x"},
        {"status": "FAILED", "end_time": "x"},
    ],
)
async def test_an_answer_that_is_not_rays_is_none(played: Played, api: HttpRayApi, document: Any) -> None:
    played.says("GET", 200, json=document)
    with pytest.raises(Unavailable):
        await api.sighting(played.head, "rj-1")
    played.says("GET", 200, "<html>")
    for call in (api.sighting(played.head, "rj-1"), api.summary(played.head, "02000000")):
        with pytest.raises(Unavailable):
            await call
    played.says("GET", 200, json={"data": {"result": document}})
    with pytest.raises(Unavailable):
        await api.summary(played.head, "02000000")


async def test_a_head_that_does_not_come_to_its_end_is_left(
    played: Played, api: HttpRayApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await answer.write(b" " * 4096)
        return answer

    played.answers["GET"] = silent
    with pytest.raises(Unavailable, match=r"within 0\.5 seconds"):
        await api.sighting(played.head, "rj-1")
    monkeypatch.setattr(http, "LARGEST_ANSWER", 1 << 20)
    played.answers["GET"] = endless
    with pytest.raises(Unavailable, match="more than 1 MiB"):
        await api.sighting(played.head, "rj-1")


async def test_a_package_is_sent_as_it_is_and_a_refusal_of_its_size_tells_what_to_do(
    played: Played, api: HttpRayApi, tmp_path: Path
) -> None:
    (tmp_path / "a.zip").write_bytes(bytes(range(256)) * 1000)
    played.says("PUT", 200)
    await api.put_package(played.head, "a.zip", tmp_path / "a.zip")
    assert played.bodies == [bytes(range(256)) * 1000] and played.headers[0]["Content-Length"] == "256000"
    played.says("PUT", 413)
    with pytest.raises(RayRefused, match="rayignore"):
        await api.put_package(played.head, "a.zip", tmp_path / "a.zip")


def summarised(rows: dict[str, Any], **fields: Any) -> dict[str, Any]:
    counted = {"node_id_to_summary": {"cluster": {"summary": rows}}}
    return {"result": True, "data": {"result": {"total": 1, "num_filtered": 0, "result": counted, **fields}}}


async def test_a_summary_keeps_the_names_with_the_most(played: Played, api: HttpRayApi) -> None:
    rows = {f"task {n}": {"type": "NORMAL_TASK", "state_counts": {"FINISHED": n}} for n in range(1, SUMMARY_NAMES + 6)}
    played.says("GET", 200, json=summarised(rows))
    summary = await api.summary(played.head, "02000000")
    assert len(summary.tasks) == len(summary.actors) == SUMMARY_NAMES and summary.truncated
    assert summary.tasks[0] == NameCount(f"task {SUMMARY_NAMES + 5}", {"FINISHED": SUMMARY_NAMES + 5})
    assert {path.partition("&timeout")[0] for _, path in played.asked} == {
        f"/api/v0/{kind}/summarize?filter_keys=job_id&filter_predicates=%3D&filter_values=02000000"
        for kind in ("tasks", "actors")
    }


@pytest.mark.parametrize("fields", [{"num_filtered": 9}, {"partial_failure_warning": "a node did not answer"}])
async def test_a_summary_of_a_part_says_so(played: Played, api: HttpRayApi, fields: dict[str, Any]) -> None:
    rows = {"f": {"type": "NORMAL_TASK", "state_counts": {"RUNNING": 2}}, "A.__init__": {
        "type": "ACTOR_CREATION_TASK", "state_counts": {"FINISHED": 1}}}  # fmt: skip
    played.says("GET", 200, json=summarised(rows, num_filtered=3))
    whole = await api.summary(played.head, "02000000")
    assert whole.tasks == (NameCount("f", {"RUNNING": 2}),) and not whole.truncated
    played.says("GET", 200, json=summarised(rows, **fields))
    assert (await api.summary(played.head, "02000000")).truncated
