"""Uploads from the asking to the stored file, and every way in which one is refused; what is read by a run's name."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from flyteidl.admin import node_execution_pb2, task_execution_pb2
from flyteidl.core import literals_pb2
from flyteidl.service import dataproxy_pb2

from heliostat.dialects.flyte.admin import transfers

from .conftest import Door

Code = grpc.StatusCode
DATA = b"an archive" * 1000
MD5 = hashlib.md5(DATA).digest()


def asked(**more: Any) -> Any:
    values = {"project": "p", "domain": "d", "filename": "fast.tar.gz", "content_md5": MD5}
    return dataproxy_pb2.CreateUploadLocationRequest(**{**values, **more})


def headers(md5: bytes = MD5) -> dict[str, str]:
    return {"content-md5": base64.b64encode(md5).decode(), "authorization": ""}


def stored(native_url: str) -> Path:
    assert native_url.startswith("/")  # flytekit's FlyteFile takes no file://
    return Path(native_url)


async def test_a_file_is_uploaded(door: Door) -> None:
    place = await door.call("CreateUploadLocation", asked())
    again = await door.call("CreateUploadLocation", asked())
    assert place.native_url == again.native_url and place.native_url.endswith(f"/p/d/{MD5.hex()}/fast.tar.gz")
    assert place.signed_url.startswith(f"{door.up.url}/flyte/upload/") and "?" not in place.signed_url
    assert not stored(place.native_url).exists()
    for _ in range(2):
        answer = await door.http.put(place.signed_url, content=DATA, headers=headers())
        assert answer.status_code == 200, answer.text
        assert stored(place.native_url).read_bytes() == DATA
    assert not list(door.services.data.scratch.glob("upload-*"))
    assert (await door.http.get(place.signed_url)).status_code == 405


async def test_a_file_without_a_digest_gets_a_place_of_its_own(door: Door) -> None:
    request = asked(content_md5=b"", filename="", filename_root="frame")
    one, other = [await door.call("CreateUploadLocation", request) for _ in range(2)]
    assert one.native_url != other.native_url and "/frame/" in one.native_url
    assert (await door.http.put(one.signed_url, content=b"x")).status_code == 200
    assert stored(one.native_url).read_bytes() == b"x"


async def test_files_of_one_folder_stay_together_and_as_they_are(door: Door) -> None:
    place = await door.call("CreateUploadLocation", asked(filename_root="ROOT", filename="a.csv"))
    assert place.native_url.endswith("/p/d/ROOT/a.csv")
    other = hashlib.md5(b"other").digest()
    rival = await door.call("CreateUploadLocation", asked(filename_root="ROOT", filename="a.csv", content_md5=other))
    assert (await door.http.put(place.signed_url, content=DATA, headers=headers())).status_code == 200
    answer = await door.http.put(rival.signed_url, content=b"other", headers=headers(other))
    assert answer.status_code == 409 and stored(place.native_url).read_bytes() == DATA
    code, _ = await door.refused(
        "CreateUploadLocation", asked(filename_root="ROOT", filename="a.csv", content_md5=other)
    )
    assert code is Code.ALREADY_EXISTS
    await door.call("CreateUploadLocation", asked(filename_root="ROOT", filename="a.csv"))


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"project": ""}, "project"),
        ({"domain": "x\n"}, "domain"),
        ({"content_md5": b"short"}, "content_md5"),
        ({"filename": ".."}, "filename"),
        ({"filename_root": "."}, "filename_root"),
        ({"filename": "x" * 300}, "filename"),
        ({"filename": "é" * 150}, "filename"),
    ],
)
async def test_places_that_are_refused(door: Door, changed: dict[str, Any], path: str) -> None:
    code, message = await door.refused("CreateUploadLocation", asked(**changed))
    assert code is Code.INVALID_ARGUMENT and message.startswith(f"{path}:"), message


async def test_names_cannot_leave_their_folder(door: Door) -> None:
    place = await door.call(
        "CreateUploadLocation", asked(filename="../../x y/%2e#.gz", filename_root="a/../b", content_md5=b"")
    )
    root = door.services.data.root.removeprefix("file://")
    assert place.native_url == f"{root}/uploads/{door.up.workspace}/p/d/a_.._b/.._.._x y__2e_.gz"
    assert (await door.http.put(place.signed_url, content=b"1")).status_code == 200
    assert stored(place.native_url).read_bytes() == b"1"


async def test_bodies_that_are_refused(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    place = await door.call("CreateUploadLocation", asked())
    free = await door.call("CreateUploadLocation", asked(content_md5=b"", filename_root="free"))
    large = b"x" * (door.settings.max_upload_bytes + 1)

    async def pieces() -> Any:
        for start in range(0, len(large), 1 << 16):
            yield large[start : start + (1 << 16)]

    for url, content, md5, status, says in (
        (place.signed_url, b"other", MD5, 400, "another MD5"),
        (place.signed_url, DATA[:-1], MD5, 400, "another MD5"),
        (place.signed_url, b"other", hashlib.md5(b"other").digest(), 400, "not the one"),
        (place.signed_url, DATA, b"short", 400, "16 bytes"),
        (free.signed_url, DATA, hashlib.md5(b"other").digest(), 400, "another MD5"),
        (free.signed_url, large, b"", 413, "1 MiB"),
        (free.signed_url, pieces(), b"", 413, "1 MiB"),
        (place.signed_url[:-1] + "A", DATA, MD5, 403, "not made by this server"),
        (place.signed_url.rpartition("/")[0] + "/", DATA, MD5, 403, "not made by this server"),
        (place.signed_url.replace("/upload/", "/data/"), DATA, MD5, 405, "GET"),
    ):
        given = headers(md5) if md5 else {}
        answer = await door.http.put(url, content=content, headers=given)
        assert answer.status_code == status and says in answer.text, (answer.status_code, answer.text)
    assert not stored(place.native_url).exists() and not stored(free.native_url).exists()
    assert not list(door.services.data.scratch.glob("upload-*"))


async def test_a_client_that_stalls_or_goes(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    place = await door.call("CreateUploadLocation", asked())
    path = urlsplit(place.signed_url).path
    transfer = transfers.Transfers(door.services, b"a key for uploads", 1 << 20)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    first = [{"type": "http.request", "body": DATA[:10], "more_body": True}]

    async def going() -> Any:
        return first.pop() if first else {"type": "http.disconnect"}

    scope = {"type": "http", "method": "PUT", "headers": []}
    await transfer(scope, going, send, "put", path.rpartition("/")[2])
    assert sent == [] and not stored(place.native_url).exists()
    assert not list(door.services.data.scratch.glob("upload-*"))


async def test_a_stranger_cannot_hold_a_connection_by_a_drop_now_and_then(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "DRAIN_SECONDS", 0.05)
    transfer = transfers.Transfers(door.services, b"a key for uploads", 1 << 20)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def drops() -> Any:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async with asyncio.timeout(5):
        await transfer({"type": "http", "method": "PUT", "headers": []}, drops, send, "put", "no-permit")
    assert sent[0]["status"] == 403


async def test_a_permit_ends_with_its_time_and_its_owners_role(door: Door) -> None:
    editor = await door.robot("editor", "editor")
    viewer = await door.robot("viewer", "viewer")
    request = asked(project="default")
    assert (await door.refused("CreateUploadLocation", request, token=viewer))[0] is Code.PERMISSION_DENIED
    place = await door.call("CreateUploadLocation", request, token=editor)
    await door.http.delete(f"/v1/workspaces/{door.up.workspace}/roles/editor")
    answer = await door.http.put(place.signed_url, content=DATA, headers=headers())
    assert answer.status_code == 403 and "no longer" in answer.text
    request.expires_in.seconds = 0
    assert (await door.refused("CreateUploadLocation", request))[0] is Code.INVALID_ARGUMENT
    request.expires_in.seconds = 1
    place = await door.call("CreateUploadLocation", request)
    permit = transfers.permits.read(place.signed_url.rpartition("/")[2], b"a key for uploads")
    assert permit is not None
    late = transfers.permits.issue(
        transfers.permits.Permit(**{**vars(permit), "expires_at": door.services.clock.now()}), b"a key for uploads"
    )
    answer = await door.http.put(f"{door.up.url}/flyte/upload/{late}", content=DATA, headers=headers())
    assert answer.status_code == 403 and "was good until" in answer.text


def literal(number: int) -> Any:
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(integer=number)))


async def test_what_a_run_read_and_wrote_is_read_by_its_name(door: Door) -> None:
    values = literals_pb2.LiteralMap(literals={"o0": literal(7)})
    door.runs.answers["GetNodeExecutionData"] = node_execution_pb2.NodeExecutionGetDataResponse(full_outputs=values)
    answer = await door.call("GetData", dataproxy_pb2.GetDataRequest(flyte_url="flyte://v1/p/d/run/n0/o"))
    assert answer.literal_map == values and door.runs.asked[-1].id.execution_id.name == "run"
    one = await door.call("GetData", dataproxy_pb2.GetDataRequest(flyte_url="flyte://v1/p/d/run/n0/o/o0"))
    assert one.literal == literal(7)
    root = door.services.data.root
    await door.services.data.write(f"{root}/data/large.pb", values.SerializeToString())
    large = node_execution_pb2.NodeExecutionGetDataResponse()
    large.outputs.url, large.outputs.bytes = f"{root}/data/large.pb", 9
    door.runs.answers["GetNodeExecutionData"] = large
    assert (await door.call("GetData", dataproxy_pb2.GetDataRequest(flyte_url="flyte://v1/p/d/run/n0/o"))) == answer
    for url, code in (
        ("flyte://v1/p/d/run/n0/o/o9", Code.NOT_FOUND),
        ("flyte://v1/p/d/run/n0/1/i", Code.NOT_FOUND),
        ("flyte://v1/p/d/run/n0/x", Code.INVALID_ARGUMENT),
        ("s3://bucket", Code.INVALID_ARGUMENT),
    ):
        assert (await door.refused("GetData", dataproxy_pb2.GetDataRequest(flyte_url=url)))[0] is code, url


async def test_a_deck_is_shown_by_a_link(door: Door) -> None:
    attempts = [task_execution_pb2.TaskExecution() for _ in range(2)]
    attempts[1].id.retry_attempt = 1
    door.runs.answers["ListTaskExecutions"] = task_execution_pb2.TaskExecutionList(task_executions=attempts)
    request = dataproxy_pb2.GetDataRequest(flyte_url="flyte://v1/p/d/run/n0/d")
    assert (await door.refused("GetData", request))[0] is Code.NOT_FOUND
    folder = f"{door.services.data.root}/data/{door.up.workspace}/p/d/run/n0/1"
    await door.services.data.write(f"{folder}/deck.html", b"<h1>deck</h1>")
    answer = await door.call("GetData", request)
    link = answer.pre_signed_urls.signed_url[0]
    page = await door.http.get(link, headers={"authorization": ""})
    assert page.text == "<h1>deck</h1>" and "sandbox" in page.headers["content-security-policy"]
    assert (await door.http.put(link.replace("/data/", "/upload/"), content=b"x")).status_code == 403
    other = dataproxy_pb2.CreateDownloadLinkRequest(artifact_type=dataproxy_pb2.ARTIFACT_TYPE_DECK)
    other.node_execution_id.node_id = "n0"
    run = other.node_execution_id.execution_id
    run.project, run.domain, run.name = "p", "d", "run"
    found = await door.call("CreateDownloadLink", other)
    assert (await door.http.get(found.pre_signed_urls.signed_url[0])).text == "<h1>deck</h1>"
    run.project = "default"
    await door.services.data.write(folder.replace("/p/d/", "/default/d/") + "/deck.html", b"<h1>deck</h1>")
    shown = await door.call("CreateDownloadLink", other, token=await door.robot("viewer", "viewer"))
    assert (await door.http.get(shown.pre_signed_urls.signed_url[0])).text == "<h1>deck</h1>"
    await door.http.delete(f"/v1/workspaces/{door.up.workspace}/roles/viewer")
    assert (await door.http.get(shown.pre_signed_urls.signed_url[0])).status_code == 403
