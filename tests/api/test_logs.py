"""Logs: parts of them, following them while they grow and over retries, whatever breaks in between."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from heliostat.api import end_streams, log_streams, streams
from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import InstanceId, JobId, WorkspaceId
from heliostat.domain.job_states import JobStatus
from heliostat.domain.jobs import Attempt, driver_log, submission_id
from heliostat.domain.ray_jobs import Cause, RayStatus
from heliostat.domain.records import Role

from .support import House, frames, package, zipped

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
TEXT = b"one\ntwo\nthree ERROR\nfour\n"
EVENTS = {"accept": "text/event-stream"}


def attempt(job: str, number: int = 1, **fields: Any) -> Attempt:  # fields of Attempt
    named = submission_id(JobId(job), number)
    return Attempt(number, named, InstanceId("i"), "h", NOW, NOW, NOW, **{"status": RayStatus.RUNNING, **fields})


def failed(job: str, number: int = 1, *, kept: bool = True) -> Attempt:
    return attempt(
        job, number, ended_at=NOW, status=RayStatus.FAILED, cause=Cause.USER_ERROR, exit_code=1, log_complete=kept
    )


async def ends(house: House, job: str, attempts: int = 1) -> None:
    rows = tuple(failed(job, number) for number in range(1, attempts + 1))
    await house.becomes(job, status=JobStatus.FAILED, ended_at=NOW, attempts=rows, exit_code=1, message="exit code 1")


@pytest.fixture
async def job(house: House) -> str:
    """A running job without a log so far."""
    made = (await house.submit())["id"]
    await house.becomes(made, status=JobStatus.RUNNING, attempts=(attempt(made),))
    return str(made)


@pytest.fixture
async def path(house: House, job: str) -> str:
    return f"{house.jobs}/{job}/logs/driver"


class TestReading:
    async def test_files_are_listed(self, house: House, job: str) -> None:
        await house.writes(job, driver_log(JobId(job)), TEXT)
        await house.writes(job, "b.log", b"", complete=True)
        rows = (await house.admin.get(f"{house.jobs}/{job}/logs")).json()["files"]
        assert [(row["name"], row["size"], row["complete"], row["owner"]) for row in rows] == [
            ("b.log", 0, True, job), (driver_log(JobId(job)), len(TEXT), False, job),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({}, TEXT),
            ({"offset": 4}, TEXT[4:]),
            ({"offset": 999}, b""),
            ({"tail": 0}, b""),
            ({"tail": 1}, b"four\n"),
            ({"tail": 2}, b"three ERROR\nfour\n"),
            ({"tail": 4}, TEXT),
            ({"tail": 99}, TEXT),
            ({"tail": 99, "offset": 8}, b"three ERROR\nfour\n"),
            ({"grep": "ERROR"}, b"three ERROR\n"),
            ({"grep": "^t"}, b"two\nthree ERROR\n"),
            ({"grep": "^t", "tail": 2}, b"three ERROR\n"),
            ({"grep": "nothing"}, b""),
        ],
    )
    async def test_parts(
        self, house: House, job: str, path: str, query: dict[str, Any], expected: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await house.writes(job, driver_log(JobId(job)), TEXT)
        for piece in (1, 3, 1 << 20):
            monkeypatch.setattr(log_streams, "PIECE", piece)
            answer = await house.admin.get(path, params=query)
            assert (answer.status_code, answer.content) == (200, expected), piece
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            assert answer.headers["x-content-type-options"] == "nosniff"

    async def test_the_last_lines_of_a_log_without_a_final_newline(self, house: House, job: str, path: str) -> None:
        await house.writes(job, driver_log(JobId(job)), b"a\nb\nc")
        assert (await house.admin.get(path, params={"tail": 2})).content == b"b\nc"

    async def test_ranges(self, house: House, job: str, path: str) -> None:
        await house.writes(job, driver_log(JobId(job)), TEXT)
        size = len(TEXT)
        for header, status, content, told in (
            ("bytes=0-2", 206, b"one", f"bytes 0-2/{size}"),
            ("bytes=-5", 206, b"four\n", f"bytes {size - 5}-{size - 1}/{size}"),
            (f"bytes={size}-", 416, None, f"bytes */{size}"),
            ("nonsense", 200, TEXT, None),
        ):
            answer = await house.admin.get(path, headers={"range": header})
            assert (answer.status_code, answer.headers.get("content-range")) == (status, told)
            assert content is None or answer.content == content
        assert (await house.admin.get(path, headers={"range": "bytes=0-1", "if-range": '"x"'})).status_code == 200

    @pytest.mark.parametrize(
        ("name", "params", "status", "at"),
        [
            ("driver", {"grep": "("}, 422, "grep"),
            ("driver", {"tail": -1}, 422, "tail"),
            ("driver", {"offset": -1}, 422, "offset"),
            ("driver", {"attempt": 2}, 404, None),
            ("other.log", {"attempt": 1}, 422, "attempt"),
            ("other.log", {}, 404, None),
            ("../../driver", {}, 404, None),
            ("..%2F..%2Fheliostat.db", {}, 404, None),
        ],
    )
    async def test_what_cannot_be_is_told(
        self, house: House, job: str, name: str, params: dict[str, Any], status: int, at: str | None
    ) -> None:
        await house.writes(job, driver_log(JobId(job)), TEXT)
        answer = await house.admin.get(f"{house.jobs}/{job}/logs/{name}", params=params)
        assert (answer.status_code, answer.json()["path"]) == (status, at)

    async def test_names_with_folders(self, house: House, job: str) -> None:
        await house.writes(job, "nodes/a b/raylet.out", TEXT)
        for name in ("nodes/a%20b/raylet.out", "nodes%2Fa b%2Fraylet.out"):
            assert (await house.admin.get(f"{house.jobs}/{job}/logs/{name}")).content == TEXT

    async def test_of_each_attempt(self, house: House, job: str, path: str) -> None:
        await house.becomes(job, attempts=(failed(job), attempt(job, 2)))
        await house.writes(job, driver_log(JobId(job)), b"first")
        await house.writes(job, driver_log(JobId(job), 2), b"second")
        for params, expected in (({}, b"second"), ({"attempt": 1}, b"first"), ({"attempt": 2}, b"second")):
            assert (await house.admin.get(path, params=params)).content == expected

    async def test_a_log_that_has_not_begun_is_empty_and_one_that_was_removed_is_not_there(
        self, house: House, job: str, path: str
    ) -> None:
        for params in ({}, {"tail": 3}, {"grep": "x"}):
            answer = await house.admin.get(path, params=params)
            assert (answer.status_code, answer.content) == (200, b"")
        await ends(house, job)
        assert (await house.admin.get(path)).status_code == 404

    async def test_viewers_read_no_logs(self, house: House, job: str, path: str) -> None:
        viewer = await house.principal("eve", Role.VIEWER)
        assert (await viewer.get(path)).status_code == 403

    async def test_a_storage_that_does_not_answer_is_told(
        self, house: House, job: str, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await house.writes(job, driver_log(JobId(job)), TEXT)
        monkeypatch.setattr(house.tools.storage, "read", _unavailable)
        answer = await house.admin.get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


class TestFollowing:
    async def test_from_before_there_is_a_log_to_its_end(self, house: House, job: str, path: str) -> None:
        name = driver_log(JobId(job))
        async with following(house, path, headers=EVENTS) as answer:
            for part in (b"one\n", "zw\u00f6lf"[:2].encode(), "\u00f6lf\u2028\n".encode()[:1]):
                await house.writes(job, name, part)
            await house.writes(job, name, "\u00f6lf\u2028\n".encode()[1:], complete=True)
            assert not answer.done()
            await ends(house, job)
        told = frames((await answer).text)
        assert "".join(row["text"] for kind, row in told if kind == "log") == "one\nzw\u00f6lf\u2028\n"
        assert told[-1] == ("end", {"status": "Failed", "message": "exit code 1", "exit_code": 1})

    async def test_plainly(self, house: House, job: str, path: str) -> None:
        async with following(house, path) as answer:
            for number in range(5):
                await house.writes(job, driver_log(JobId(job)), b"%d\xff\n" % number)
            await ends(house, job)
        assert (await answer).content == b"".join(b"%d\xff\n" % number for number in range(5))

    async def test_every_id_is_a_place_to_go_on_from(
        self, house: House, job: str, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log_streams, "PIECE", 3)
        text = "a\u00e4\u20ac\U0001f600b\n" * 3
        await house.becomes(job, attempts=(failed(job), failed(job, 2)), status=JobStatus.FAILED, ended_at=NOW)
        for number in (1, 2):
            await house.writes(job, driver_log(JobId(job), number), text.encode(), complete=True)
        begin = {**EVENTS, "last-event-id": "1-0"}
        whole = blocks((await house.admin.get(path, params={"follow": True}, headers=begin)).text)
        assert "".join(row["text"] for _, kind, row in whole if kind == "log") == text * 2
        read = ""
        for id, kind, row in whole:
            if kind == "log":
                read += row["text"]
                answer = await house.admin.get(path, params={"follow": True}, headers={**EVENTS, "last-event-id": id})
                rest = "".join(row["text"] for kind, row in frames(answer.text) if kind == "log")
                assert read + rest == text * 2

    async def test_a_retry_goes_on_in_the_same_stream(self, house: House, job: str, path: str) -> None:
        async with following(house, path, headers=EVENTS) as answer:
            await house.writes(job, driver_log(JobId(job)), b"first\n", complete=True)
            await house.becomes(job, attempts=(failed(job),), status=JobStatus.PENDING)
            await asyncio.sleep(2 * log_streams.WAIT_SECONDS)
            assert not answer.done()
            await house.becomes(job, attempts=(failed(job), attempt(job, 2)), status=JobStatus.RUNNING)
            await house.writes(job, driver_log(JobId(job), 2), b"second\n")
            await ends(house, job, attempts=2)
        told = blocks((await answer).text)
        assert [(id, row.get("text")) for id, kind, row in told] == [
            ("1-6", "first\n"), ("2-7", "second\n"), ("", None),
        ]  # fmt: skip

    async def test_a_chosen_attempt_ends_with_its_own_log(self, house: House, job: str, path: str) -> None:
        await house.becomes(job, attempts=(failed(job), attempt(job, 2)))
        await house.writes(job, driver_log(JobId(job)), b"first\n", complete=True)
        answer = await asyncio.wait_for(house.admin.get(path, params={"follow": True, "attempt": 1}), 10)
        assert answer.content == b"first\n"

    async def test_lines_and_tail(self, house: House, job: str, path: str) -> None:
        await house.writes(job, driver_log(JobId(job)), TEXT)
        async with following(house, path, grep="o|x", tail=3) as answer:
            await house.writes(job, driver_log(JobId(job)), b"five\nsi")
            await house.writes(job, driver_log(JobId(job)), b"x\nsev")
            await ends(house, job)
        assert (await answer).content == b"two\nthree ERROR\nfour\nsix\n".replace(b"three ERROR\n", b"")

    async def test_a_job_that_never_had_a_log(self, house: House, job: str, path: str) -> None:
        await house.becomes(job, status=JobStatus.CANCELLED, attempts=(), ended_at=NOW, message="cancelled")
        for accept in ({}, EVENTS):
            answer = await asyncio.wait_for(house.admin.get(path, params={"follow": True}, headers=accept), 5)
            assert answer.status_code == 200
        assert frames(answer.text) == [("end", {"status": "Cancelled", "message": "cancelled", "exit_code": None})]

    async def test_it_waits_for_the_logs_of_a_job_that_has_ended(self, house: House, job: str, path: str) -> None:
        async with following(house, path) as answer:
            await house.becomes(job, status=JobStatus.FAILED, ended_at=NOW, attempts=(failed(job, kept=False),))
            await asyncio.sleep(2 * log_streams.WAIT_SECONDS)
            await house.writes(job, driver_log(JobId(job)), b"late\n", complete=True)
        assert (await answer).content == b"late\n"

    async def test_news_that_are_lost_cost_half_a_second(self, house: House, job: str, path: str) -> None:
        async with following(house, path) as answer:
            await house.writes(job, driver_log(JobId(job)), b"quiet\n", quietly=True)
            await ends(house, job)
        assert (await answer).content == b"quiet\n"

    async def test_a_storage_that_is_away_for_a_while_loses_nothing(
        self, house: House, job: str, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await house.writes(job, driver_log(JobId(job)), TEXT, complete=True)
        await ends(house, job)
        reading = house.tools.storage.read
        monkeypatch.setattr(house.tools.storage, "read", _unavailable)
        async with following(house, path) as answer:
            await asyncio.sleep(2 * log_streams.WAIT_SECONDS)
            monkeypatch.setattr(house.tools.storage, "read", reading)
        assert (await answer).content == TEXT

    async def test_bytes_that_the_storage_has_lost_hold_nobody_for_ever(
        self, house: House, job: str, path: str
    ) -> None:
        await house.writes(job, driver_log(JobId(job)), TEXT, complete=True)
        await ends(house, job)
        file = await house.store.read(lambda tx: tx.log_files.get(job, driver_log(JobId(job))))
        assert file is not None
        await house.tools.storage.delete(file.key)
        answer = await asyncio.wait_for(house.admin.get(path, params={"follow": True}), 5)
        assert answer.content == b""

    async def test_it_ends_with_the_role_of_its_reader(
        self, house: House, job: str, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streams, "CHECK_SECONDS", 0.0)
        client = await house.principal("eve", Role.EDITOR)
        async with following(house, path, client=client, headers=EVENTS) as answer:
            await house.admin.put(f"/v1/workspaces/{house.workspace}/roles/eve", json={"role": "viewer"})
        kind, problem = frames((await answer).text)[-1]
        assert (kind, problem["code"]) == ("error", "forbidden")

    async def test_it_ends_when_the_job_is_deleted(self, house: House, job: str, path: str) -> None:
        async with following(house, path, headers=EVENTS) as answer:
            await house.store.write(lambda tx: tx.jobs.remove(JobId(job)))
        assert frames((await answer).text)[-1] == ("gone", {})

    async def test_the_servers_end_is_no_end_of_the_log(self, house: House, job: str, path: str) -> None:
        async with following(house, path, headers=EVENTS) as answer:
            end_streams(house.app)
        assert "end" not in [kind for kind, _ in frames((await answer).text)]

    async def test_one_too_many_is_told_to_come_again(
        self, house: House, job: str, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streams, "MAX_STREAMS", 1)
        async with following(house, path) as answer:
            for accept in ({}, EVENTS):
                second = await house.admin.get(path, params={"follow": True}, headers=accept)
                assert (second.status_code, second.json()["code"]) == (429, "throttled")
            await ends(house, job)
        await answer
        assert house.app.state.shared.open_streams == 0


class TestClusters:
    async def test_every_run_keeps_its_logs(self, house: House) -> None:
        await house.create()
        up = await house.until("demo", "Running")
        run, old = up["instance"]["id"], f"{up['id']}-00000000"
        await house.writes(old, "nodes/head/raylet.out", TEXT, complete=True)
        await house.writes(run, "nodes/head/raylet.out", b"new", complete=True)
        path = f"{house.clusters}/demo/logs"
        rows = (await house.admin.get(path)).json()["files"]
        assert {row["owner"] for row in rows} == {old, run}
        chosen = (await house.admin.get(path, params={"instance": old})).json()["files"]
        assert [row["owner"] for row in chosen] == [old]
        file = f"{path}/{old}/nodes/head/raylet.out"
        assert (await house.admin.get(file, params={"tail": 1})).content == b"four\n"
        assert (await house.admin.get(file, headers={"range": "bytes=0-2"})).content == b"one"
        assert (await house.admin.get(file, params={"follow": True})).content == TEXT
        await house.admin.delete(f"{house.clusters}/demo", params={"stop": True})
        async with asyncio.timeout(10):
            while (await house.admin.get(f"{house.clusters}/{up['id']}")).status_code != 404:
                await asyncio.sleep(0.01)
        assert (await house.admin.get(f"{house.clusters}/{up['id']}/logs/{old}/nodes/head/raylet.out")).content == TEXT

    async def test_a_follower_goes_until_the_run_ends(self, house: House) -> None:
        await house.create()
        run = (await house.until("demo", "Running"))["instance"]["id"]
        path = f"{house.clusters}/demo/logs/{run}/a.log"
        assert (await house.admin.get(path, params={"follow": True})).status_code == 404
        await house.writes(run, "a.log", b"one\n")
        async with following(house, path) as answer:
            await house.writes(run, "a.log", b"two\n")
            await house.admin.post(f"{house.clusters}/demo/stop")
        assert (await answer).content == b"one\ntwo\n"

    async def test_a_run_of_another_cluster_is_not_there(self, house: House) -> None:
        made = await house.create(start=False)
        await house.create("other", start=False)
        await house.writes(f"{made['id']}-00000000", "a.log", TEXT)
        assert (await house.admin.get(f"{house.clusters}/demo/logs/{made['id']}-00000000/a.log")).status_code == 200
        assert (await house.admin.get(f"{house.clusters}/other/logs/{made['id']}-00000000/a.log")).status_code == 404


class TestTickets:
    async def test_whoever_holds_one_reads_its_file_and_nothing_else(self, house: House, job: str) -> None:
        await house.writes(job, driver_log(JobId(job)), TEXT)
        place = WorkspaceId(house.workspace)
        ticket = await house.services.logs.ticket(await house.caller(), place, job, driver_log(JobId(job)))
        nobody = house.client(None)
        answer = await nobody.get(f"/v1/log-tickets/{ticket}")
        assert (answer.status_code, answer.content) == (200, TEXT)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        part = await nobody.get(f"/v1/log-tickets/{ticket}", headers={"range": "bytes=4-6"})
        assert (part.status_code, part.content) == (206, b"two")

    @pytest.mark.parametrize("ticket", ["x", "x.y", "a" * 100, "%00", "%C3%A4.b", "..."])
    async def test_any_other_text_opens_nothing(self, house: House, ticket: str) -> None:
        answer = await house.client(None).get(f"/v1/log-tickets/{ticket}")
        assert answer.status_code in (400, 404)
        assert answer.headers["content-type"] == "application/problem+json"


class TestPackages:
    async def test_once(self, house: House) -> None:
        data = zipped({"main.py": b"print(1)", "data.bin": bytes(range(256)) * 10_000})
        sha256 = hashlib.sha256(data).hexdigest()
        path = f"/v1/workspaces/{house.workspace}/packages/{sha256}"
        assert (await house.admin.head(path)).status_code == 404
        assert (await house.admin.get(path)).json()["code"] == "not_found"
        made = await house.admin.put(path, content=data, headers={"content-type": "application/zip"})
        assert (made.status_code, made.json()) == (201, {"sha256": sha256, "size": len(data)})
        assert len(data) > 1 << 20
        assert (await house.admin.head(path)).status_code == 200
        assert (await house.admin.get(path)).json() == {"sha256": sha256, "size": len(data)}
        assert (await house.admin.put(path, content=data)).status_code == 201

    async def test_what_is_refused(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = f"/v1/workspaces/{house.workspace}/packages"
        good = zipped({"a": b"b"})
        monkeypatch.setattr(house.services.packages, "max_bytes", 1 << 20)
        for sha256, data, at in (
            ("0" * 64, good, "package"),
            ("xyz", good, "sha256"),
            (hashlib.sha256(b"text").hexdigest(), b"text", "package"),
            ("0" * 64, b"x" * (2 << 20), "package"),
        ):
            answer = await house.admin.put(f"{folder}/{sha256}", content=data)
            assert (answer.status_code, answer.json()["path"]) == (422, at)
        assert list((house.tools.scratch).glob("*")) == []
        viewer = await house.principal("eve", Role.VIEWER)
        assert (await viewer.put(f"{folder}/{'0' * 64}", content=good)).status_code == 403

    async def test_other_bodies_stay_bounded(self, house: House) -> None:
        answer = await house.admin.post(house.jobs, content=b"x" * (2 << 20))
        assert answer.status_code == 413
        assert await package(house, {"a": b"b"})


@asynccontextmanager
async def following(
    house: House, path: str, *, client: httpx.AsyncClient | None = None, headers: Any = None, **params: Any
) -> AsyncIterator[asyncio.Task[httpx.Response]]:
    """A follower that has begun; at the end of the block it must come to its own end."""
    call = (client or house.admin).get(path, params={"follow": True, "seconds": 60, **params}, headers=headers)
    task = asyncio.create_task(call)
    async with asyncio.timeout(5):
        while not house.app.state.shared.open_streams:
            await asyncio.sleep(0.01)
            if task.done():
                raise AssertionError((await task).text)
    yield task
    await asyncio.wait_for(asyncio.shield(task), 10)


def blocks(text: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Id, kind and document of each event."""
    ids = [
        next((line[4:] for line in block.split("\n") if line.startswith("id: ")), "")
        for block in text.split("\n\n")
        if "event: " in block
    ]
    return [(id, kind, document) for id, (kind, document) in zip(ids, frames(text), strict=True)]


async def _unavailable(key: str, offset: int, size: int) -> bytes:
    raise Unavailable("the log storage does not answer")


class TestNotCollected:
    async def test_readers_and_followers_are_told_at_once(self, house: House) -> None:
        await house.create(collect_logs=False)
        job = (await house.submit(cluster="demo"))["id"]
        for place in (
            f"{house.jobs}/{job}/logs",
            f"{house.jobs}/{job}/logs/driver",
            f"{house.jobs}/{job}/logs/driver?follow=true",
            f"{house.clusters}/demo/logs",
        ):
            answer = await house.admin.get(place)
            problem = answer.json()
            assert (answer.status_code, problem["code"]) == (404, "not_collected"), place
            assert problem["detail"].startswith("log collection is switched off for this cluster"), place

    async def test_switching_it_on_is_in_place(self, house: House) -> None:
        await house.create(collect_logs=False)
        await house.until("demo", "Running")
        changed = (await house.admin.patch(f"{house.clusters}/demo", json={"collect_logs": True})).json()
        assert (changed["modified"], changed["spec"]["collect_logs"]) == (False, True)
        assert (await house.admin.get(f"{house.clusters}/demo/logs")).json() == {"files": []}
