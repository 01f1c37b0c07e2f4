"""ListRayLogs and GetRayLog on stored files, with a log store that works, loses files, fails, or is slow."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from heliostat.dialects.emr import job_operations
from heliostat.domain.errors import NOT_COLLECTED, NotFound, Unavailable
from heliostat.domain.ids import JobId, WorkspaceId
from heliostat.domain.jobs import LogFile, driver_log
from heliostat.services import JobTools, LogService
from heliostat.store import Store

from .door import Door
from .job_bodies import NODE

CLUSTER = "ray-0123456789abcdef"
RUN = f"{CLUSTER}-aaaaaaaa"


class Shelf:
    """Puts log files where a collector would."""

    def __init__(self, store: Store, tools: JobTools, workspace: WorkspaceId, now: datetime) -> None:
        self._store = store
        self._storage = tools.storage
        self._workspace = workspace
        self._now = now

    async def put(self, owner: str, name: str, data: bytes = b"hello\n", *, stored: bool = True) -> str:
        """Its key."""
        file = LogFile(owner, self._workspace, name, len(data), len(data), self._now)
        if stored and data:
            await self._storage.append(file.key, 0, data)
        assert await self._store.write(lambda tx: tx.log_files.add(file))
        return file.key


@pytest.fixture
def shelf(store: Store, tools: JobTools, door: Door) -> Shelf:
    return Shelf(store, tools, door.first.workspace, door.services.clock.now())


@pytest.fixture
async def job(door: Door) -> str:
    _, made = await door.post(door.jobs, {"entrypoint": "python main.py", "headSpec": NODE})
    return str(made["submissionId"])


async def listed(door: Door, owner: str, **query: object) -> Any:
    """The ``data`` of ListRayLogs."""
    status, body = await door.ask(door.logs(owner) + "/logs", **query)
    assert (status, body["code"], body["message"]) == (200, "1000000", "ok"), body
    return body["data"]


def paths(data: Any) -> list[str]:
    return [row["path"] for row in data["objectList"]]


async def test_a_list_as_its_users_ask_for_it(door: Door, shelf: Shelf, job: str) -> None:
    driver = await shelf.put(job, driver_log(JobId(job)), b"12345")
    node = await shelf.put(job, "nodes/n1/raylet.out")
    await shelf.put("rj-another", "x.log")
    _, shown = await door.ask(f"{door.jobs}/{job}")
    folder = f"{door.first.workspace}/ray/logs/{job}_default/"
    assert shown["logPath"] == folder
    data = await listed(
        door, job, bucketName=shown["logBucketName"], prefix="/" + shown["logPath"], delimiter="/", maxKeys=5
    )
    at = 1767225600000
    assert data == {
        "bucketName": "logs", "prefix": "/" + folder, "delimiter": "/", "marker": "", "maxKeys": 5,
        "isTruncated": False, "objectList": [
            {"name": "nodes", "path": f"/{folder}nodes/", "isDir": True, "size": 0, "timeModified": at},
            {"name": f"{job}_driver.log", "path": "/" + driver, "isDir": False, "size": 5, "timeModified": at},
        ],
    }  # fmt: skip
    everything = await listed(door, job)
    assert paths(everything) == ["/" + node, "/" + driver]
    assert (everything["prefix"], everything["delimiter"], everything["maxKeys"]) == (folder, "", 100)
    assert paths(await listed(door, job, prefix=folder + "nodes/", delimiter="/")) == [f"/{folder}nodes/n1/"]
    assert paths(await listed(door, job, prefix=folder + "none/")) == []


@pytest.mark.parametrize("slash", ["", "/"])
async def test_pages(door: Door, shelf: Shelf, job: str, slash: str) -> None:
    keys = [await shelf.put(job, f"{letter}.log") for letter in "abcde"]
    first = await listed(door, job, maxKeys=2)
    assert (first["isTruncated"], first["nextMarker"]) == (True, keys[1])
    second = await listed(door, job, maxKeys=2, marker=slash + first["nextMarker"])
    assert (paths(second), second["marker"]) == ([f"/{key}" for key in keys[2:4]], slash + keys[1])
    last = await listed(door, job, maxKeys=2, marker=slash + second["nextMarker"])
    assert (paths(last), last["isTruncated"], "nextMarker" in last) == (["/" + keys[4]], False, False)
    assert len(paths(await listed(door, job, maxKeys=1000))) == 5


async def test_clusters_and_their_runs(door: Door, shelf: Shelf) -> None:
    first = await shelf.put(RUN, "nodes/n1/raylet.out")
    other = await shelf.put(f"{CLUSTER}-bbbbbbbb", "nodes/n1/raylet.out")
    await shelf.put("ray-fedcba9876543210-cccccccc", "nodes/n1/raylet.out")
    assert paths(await listed(door, RUN)) == ["/" + first]
    assert paths(await listed(door, CLUSTER)) == ["/" + first, "/" + other]
    logs = f"{door.first.workspace}/ray/logs/"
    top = await listed(door, CLUSTER, prefix=logs, delimiter="/")
    assert paths(top) == [f"/{logs}{RUN}/", f"/{logs}{CLUSTER}-bbbbbbbb/"]
    for owner in (RUN, CLUSTER):
        assert (await door.ask(door.logs(owner) + "/log", path=first))[1]["code"] == "1000000"
    assert (await door.ask(door.logs(RUN) + "/log", path=other))[0] == 400


async def test_an_access_url_opens_this_one_file(door: Door, shelf: Shelf, job: str) -> None:
    await shelf.put(job, "other.log")
    key = await shelf.put(job, "a b/driver é.log", b"0123456789")
    for path in (key, "/" + key):
        status, body = await door.ask(door.logs(job) + "/log", bucketName="logs", path=path)
        assert (status, body["code"], set(body["data"])) == (200, "1000000", {"accessUrl"})
        start, slash, ticket = body["data"]["accessUrl"].rpartition("/")
        assert start + slash == f"{door.services.installation.gateway_url}/v1/log-tickets/"
        file = await door.services.logs.redeem(ticket)
        assert (file.key, await door.services.logs.read(file, 2, 3)) == (key, b"234")


async def test_what_cannot_be_had(
    door: Door, shelf: Shelf, job: str, tools: JobTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = f"{door.first.workspace}/ray/logs/{job}_default/"

    async def code_of(path: str) -> str:
        status, body = await door.ask(door.logs(job) + "/log", path=path)
        assert status == 200 and body["message"] and body["requestId"] and "data" not in body, body
        return str(body["code"])

    key = await shelf.put(job, "driver.log")
    lost = await shelf.put(job, "lost.log", stored=False)
    assert await code_of(folder + "never.log") == "1040004"
    assert await code_of(folder) == "1040004", "a directory"
    assert await code_of(lost) == "1040004", "gone from the store"
    empty = await shelf.put(job, "empty.log", b"")
    assert (await door.ask(door.logs(job) + "/log", path=empty))[1]["code"] == "1000000"

    async def down(*args: object) -> bytes:
        raise Unavailable("the bucket does not answer")

    monkeypatch.setattr(tools.storage, "read", down)
    assert await code_of(key) == "1050000"

    async def never(*args: object) -> bytes:
        await asyncio.Event().wait()
        return b""

    monkeypatch.setattr(tools.storage, "read", never)
    monkeypatch.setattr(job_operations, "STORE_SECONDS", 0.01)
    assert await code_of(key) == "1050000"


async def test_a_database_that_is_down_is_no_matter_of_codes(
    door: Door, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*args: object) -> None:
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(LogService, "files", down)
    status, body = await door.ask(door.logs(job) + "/logs")
    assert (status, body["Code"]) == (503, "ServiceUnavailable")


@pytest.mark.parametrize(
    ("end", "query", "status", "code", "says"),
    [
        ("/logs", {"maxKeys": 0}, 400, "InvalidParameter", "maxKeys: "),
        ("/logs", {"maxKeys": 1001}, 400, "InvalidParameter", "maxKeys: "),
        ("/logs", {"maxKeys": "x"}, 400, "InvalidParameter", "maxKeys: "),
        ("/logs", {"prefix": "w-elsewhere/"}, 400, "InvalidParameter", "prefix: "),
        ("/logs", {"prefix": "/.."}, 400, "InvalidParameter", "prefix: "),
        ("/logs", {"marker": "../x"}, 400, "InvalidParameter", "marker: "),
        ("/logs", {"prefix": "\0"}, 400, "InvalidParameter", "prefix: "),
        ("/logs", {"bucketName": "other"}, 404, "ResourceNotFound", "bucket"),
        ("/log", {"bucketName": "other", "path": "FOLDERx"}, 404, "ResourceNotFound", "bucket"),
        ("/log", {}, 400, "MissingParameter", "path: "),
        ("/log", {"path": ""}, 400, "MissingParameter", "path: "),
        ("/log", {"path": "/etc/passwd"}, 400, "InvalidParameter", "path: "),
        ("/log", {"path": "FOLDER../x"}, 400, "InvalidParameter", "path: "),
    ],
)
async def test_bad_log_queries(
    door: Door, job: str, end: str, query: dict[str, str], status: int, code: str, says: str
) -> None:
    folder = f"{door.first.workspace}/ray/logs/{job}_default/"
    given = {name: str(value).replace("FOLDER", folder) for name, value in query.items()}
    found, body = await door.ask(door.logs(job) + end, **given)
    assert (found, body["Code"]) == (status, code)
    assert body["Message"].startswith(says)


@pytest.mark.parametrize("owner", ["rj-nope", "ray-0000000000000000", "ray-0000000000000000-aaaaaaaa", "x", "%2e%2e"])
async def test_unknown_owners(door: Door, owner: str) -> None:
    status, body = await door.ask(door.logs(owner) + "/logs")
    assert (status, body["Code"]) == (404, "ResourceNotFound")


async def test_logs_of_another_workspace(door: Door, shelf: Shelf, job: str) -> None:
    key = await shelf.put(job, "driver.log")
    path = f"/api/interactive/v1/workspace/w-0000000000000000/ray/{job}"
    for end in ("/logs", "/log"):
        status, body = await door.ask(path + end, path=key)
        assert (status, body["Code"]) == (404, "ResourceNotFound"), end


async def test_a_ticket_has_an_end(door: Door, shelf: Shelf, job: str) -> None:
    key = await shelf.put(job, "driver.log")
    _, body = await door.ask(door.logs(job) + "/log", path=key)
    ticket = body["data"]["accessUrl"].rpartition("/")[2]
    clock: Any = door.services.clock
    clock.advance(seconds=timedelta(hours=1).total_seconds() - 1)
    assert (await door.services.logs.redeem(ticket)).key == key
    clock.advance(seconds=2)
    status_of_another = await door.ask(door.logs(job) + "/log", path=key)
    assert status_of_another[1]["data"]["accessUrl"].rpartition("/")[2] != ticket
    with pytest.raises(NotFound, match="expired"):
        await door.services.logs.redeem(ticket)


async def test_a_log_that_was_not_to_be_collected(door: Door, job: str, store: Store) -> None:
    place, now = door.first.workspace, door.services.clock.now()
    file = LogFile(job, place, driver_log(JobId(job)), 0, 0, now, True, NOT_COLLECTED)
    await store.write(lambda tx: tx.log_files.add(file))
    [path] = paths(await listed(door, job))
    _, body = await door.ask(door.logs(job) + "/log", path=path)
    assert body["code"] != "1000000" and NOT_COLLECTED in body["message"]
