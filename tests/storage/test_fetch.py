"""Fetching code over TLS, from buckets and from folders; what is refused, and what is said about it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
import trustme
from aiohttp import web

from heliostat.domain.errors import InvalidSpec, Retry
from heliostat.storage.fetch import CodeUnavailable, FetchPolicy, check_url, fetch

CONTENT = os.urandom(3 << 20)


@dataclass
class Site:
    address: str
    policy: FetchPolicy
    asked: list[str | None]
    """What each request was authorised with."""
    hanging: asyncio.Event


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    authority = trustme.CA()
    asked: list[str | None] = []
    hanging = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Authorization"))
        match request.match_info["name"]:
            case "code.zip":
                return web.Response(body=CONTENT)
            case "unsized":
                response = web.StreamResponse()
                await response.prepare(request)
                for start in range(0, len(CONTENT), 100_000):
                    await response.write(CONTENT[start : start + 100_000])
                return response
            case "cut":
                response = web.StreamResponse(headers={"Content-Length": str(len(CONTENT))})
                await response.prepare(request)
                await response.write(CONTENT[:1000])
                assert request.transport is not None
                request.transport.close()
                return response
            case "slow":
                response = web.StreamResponse()
                await response.prepare(request)
                await response.write(b"begin")
                hanging.set()
                await asyncio.sleep(30)
                return response
            case "there":
                raise web.HTTPFound("/code.zip?token=second-token")
            case "plain":
                raise web.HTTPFound("http://127.0.0.1:1/code.zip")
            case "file":
                raise web.HTTPFound("file:///etc/passwd")
            case "round":
                raise web.HTTPFound("/round")
            case status if status.isdecimal():
                return web.Response(status=int(status), text="the body says secret things")
        raise web.HTTPNotFound

    app = web.Application()
    app.router.add_get("/{name}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    tcp = web.TCPSite(runner, "localhost", 0, ssl_context=server)
    await tcp.start()
    port = runner.addresses[0][1]
    client = ssl.create_default_context()
    authority.configure_trust(client)
    yield Site(f"https://localhost:{port}", FetchPolicy(tls=client), asked, hanging)
    await runner.cleanup()


async def refused(url: str, target: Path, policy: FetchPolicy, limit: int | None = None) -> CodeUnavailable:
    with pytest.raises(CodeUnavailable) as raised:
        await fetch(url, target, policy, limit)
    assert not list(target.parent.iterdir()), "something was left"
    return raised.value


@pytest.mark.parametrize("name", ["code.zip", "unsized", "there"])
async def test_a_file_over_tls(site: Site, tmp_path: Path, name: str) -> None:
    await fetch(f"{site.address}/{name}", tmp_path / "code.zip", site.policy)
    assert (tmp_path / "code.zip").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["code.zip"]


async def test_a_user_in_the_url_is_sent_and_never_shown(site: Site, tmp_path: Path) -> None:
    url = site.address.replace("://", "://me:mellon@")
    await fetch(f"{url}/code.zip", tmp_path / "code.zip", site.policy)
    assert site.asked == ["Basic bWU6bWVsbG9u"]
    (tmp_path / "code.zip").unlink()
    error = await refused(f"{url}/404?token=open-sesame#mellon", tmp_path / "code.zip", site.policy)
    assert str(error) == f"{site.address.replace('://', '://****@')}/404?**** does not exist (HTTP 404)"


@pytest.mark.parametrize(
    ("name", "words", "retry"),
    [
        ("404", "does not exist", Retry.NEVER),
        ("410", "does not exist", Retry.NEVER),
        ("401", "may not be read", Retry.NEVER),
        ("403", "may not be read", Retry.NEVER),
        ("400", "answered with HTTP 400", Retry.NEVER),
        ("204", "answered with HTTP 204", Retry.NEVER),
        ("429", "answered with HTTP 429", Retry.LATER),
        ("500", "answered with HTTP 500", Retry.LATER),
        ("503", "answered with HTTP 503", Retry.LATER),
        ("cut", "cannot be fetched now", Retry.LATER),
        ("plain", "leads to an address that is not https", Retry.NEVER),
        ("file", "leads to an address that is not https", Retry.NEVER),
        ("round", "more than 5 times", Retry.NEVER),
    ],
)
async def test_what_goes_wrong_over_tls(site: Site, tmp_path: Path, name: str, words: str, retry: Retry) -> None:
    error = await refused(f"{site.address}/{name}", tmp_path / "code.zip", site.policy)
    assert words in str(error)
    assert error.retry is retry
    assert "secret things" not in str(error)


@pytest.mark.parametrize("name", ["code.zip", "unsized"])
async def test_too_much_is_refused(site: Site, tmp_path: Path, name: str) -> None:
    for policy, limit in ((site.policy, 3 << 20), (replace(site.policy, max_bytes=3 << 20), None)):
        await fetch(f"{site.address}/{name}", tmp_path / "code.zip", policy, limit)
        (tmp_path / "code.zip").unlink()
    error = await refused(f"{site.address}/{name}", tmp_path / "code.zip", site.policy, 2 << 20)
    assert "has more than 2 MiB" in str(error)
    assert error.retry is Retry.NEVER


async def test_a_server_whose_certificate_nobody_signed(site: Site, tmp_path: Path) -> None:
    error = await refused(f"{site.address}/code.zip", tmp_path / "code.zip", FetchPolicy())
    assert "its certificate is not trusted" in str(error)
    assert error.retry is Retry.NEVER
    assert not site.asked


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    error = await refused("https://127.0.0.1:1/code.zip", tmp_path / "code.zip", FetchPolicy())
    assert "cannot be fetched now" in str(error)
    assert error.retry is Retry.LATER


async def test_a_server_that_falls_silent(site: Site, tmp_path: Path) -> None:
    error = await refused(f"{site.address}/slow", tmp_path / "code.zip", replace(site.policy, silence_seconds=0.2))
    assert "did not answer within 0.2 seconds" in str(error)
    assert error.retry is Retry.LATER


async def test_a_deadline_for_the_whole(site: Site, tmp_path: Path) -> None:
    policy = replace(site.policy, seconds=0.3, silence_seconds=1)
    with pytest.raises(CodeUnavailable, match=r"took more than 0\.3 seconds") as raised:
        await fetch(f"{site.address}/slow", tmp_path / "code.zip", policy)
    assert raised.value.retry is Retry.LATER
    await nothing_left(tmp_path)


async def test_a_caller_that_goes_leaves_nothing(site: Site, tmp_path: Path) -> None:
    policy = replace(site.policy, silence_seconds=0.5)
    task = asyncio.create_task(fetch(f"{site.address}/slow", tmp_path / "code.zip", policy))
    await site.hanging.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await nothing_left(tmp_path)


async def nothing_left(folder: Path) -> None:
    """The thread notices within the time that a connection may be silent."""
    async with asyncio.timeout(10):
        while list(folder.iterdir()):
            await asyncio.sleep(0.02)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """An allowed folder with a file, a link out of it and one within it, beside a folder that is not allowed."""
    (tmp_path / "open/deep").mkdir(parents=True)
    (tmp_path / "open/deep/my code.zip").write_bytes(CONTENT)
    (tmp_path / "open/inner.zip").symlink_to("deep/my code.zip")
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed/code.zip").write_bytes(b"secret")
    (tmp_path / "open/outer.zip").symlink_to(tmp_path / "closed/code.zip")
    (tmp_path / "open/out").symlink_to(tmp_path / "closed")
    os.mkfifo(tmp_path / "open/pipe")
    (tmp_path / "fetched").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", ["deep/my%20code.zip", "deep/my code.zip", "inner.zip", "deep/../inner.zip"])
async def test_a_file_below_an_allowed_folder(folders: Path, name: str) -> None:
    policy = FetchPolicy(allowed_folders=(folders / "open",))
    for host in ("", "localhost"):
        url = f"file://{host}{folders}/open/{name}"
        check_url(url, policy, "code.working_dir")
        await fetch(url, folders / "fetched/code.zip", policy)
        assert (folders / "fetched/code.zip").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "name",
    ["closed/code.zip", "open/../closed/code.zip", "open/%2e%2e/closed/code.zip", "open/outer.zip", "open/out/code.zip", "open",
     "openly/code.zip", "closed/none", "open/a%00b"],
)  # fmt: skip
async def test_a_file_elsewhere_is_refused_at_submission(folders: Path, name: str) -> None:
    policy = FetchPolicy(allowed_folders=(folders / "open",))
    with pytest.raises(InvalidSpec, match=r"^code\.working_dir: is not below a folder .* code_folders"):
        check_url(f"file://{folders}/{name}", policy, "code.working_dir")
    error = await refused(f"file://{folders}/{name}", folders / "fetched/code.zip", policy)
    assert "code_folders" in str(error)


async def test_a_link_made_after_the_check_leads_nowhere(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = FetchPolicy(allowed_folders=(folders / "open",))
    real = os.open

    def late(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "deep":
            (folders / "open/deep").rename(folders / "moved")
            (folders / "open/deep").symlink_to(folders / "closed")
        return real(path, flags, mode, dir_fd=dir_fd)

    (folders / "open/deep/code.zip").write_bytes(b"good")
    monkeypatch.setattr(os, "open", late)
    error = await refused(f"file://{folders}/open/deep/code.zip", folders / "fetched/code.zip", policy)
    assert "cannot be read" in str(error)


@pytest.mark.parametrize(
    ("name", "words"), [("none.zip", "does not exist"), ("pipe", "no plain file"), ("deep", "no plain file")]
)
async def test_what_goes_wrong_in_a_folder(folders: Path, name: str, words: str) -> None:
    policy = FetchPolicy(allowed_folders=(folders / "open",))
    error = await refused(f"file://{folders}/open/{name}", folders / "fetched/code.zip", policy)
    assert words in str(error)
    assert error.retry is Retry.NEVER
    (folders / "open/deep/my code.zip").chmod(0o600)
    assert "has more than 5 bytes" in str(
        await refused(f"file://{folders}/open/inner.zip", folders / "fetched/code.zip", policy, 5)
    )


async def test_an_object_in_a_bucket(s3_options: dict[str, Any], tmp_path: Path) -> None:
    fsspec.filesystem("s3", skip_instance_cache=True, **s3_options).pipe_file("logs/code.zip", CONTENT)
    policy = FetchPolicy(options={"s3": s3_options})
    check_url("s3://logs/code.zip", policy, "code.working_dir")
    await fetch("s3://logs/code.zip", tmp_path / "code.zip", policy)
    assert (tmp_path / "code.zip").read_bytes() == CONTENT
    (tmp_path / "code.zip").unlink()
    for url in ("s3://logs/none.zip", "s3://no-such-bucket/code.zip"):
        error = await refused(url, tmp_path / "code.zip", policy)
        assert "does not exist" in str(error)
        assert error.retry is Retry.NEVER
    assert "more than 1 MiB" in str(await refused("s3://logs/code.zip", tmp_path / "code.zip", policy, 1 << 20))


async def test_a_bucket_that_does_not_answer(tmp_path: Path) -> None:
    options = {
        "key": "access", "secret": "between-us-only", "endpoint_url": "http://127.0.0.1:1",
        "config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 1},
    }  # fmt: skip
    error = await refused("s3://logs/code.zip", tmp_path / "code.zip", FetchPolicy(options={"s3": options}))
    assert error.retry is Retry.LATER
    assert "between-us" not in str(error)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://host/code.zip", "not encrypted"),
        ("HTTP://host/code.zip", "not encrypted"),
        ("ftp://host/code.zip", "begins with one of https://, s3://, gs://, oss://, file://"),
        ("code.zip", "begins with one of"),
        ("", "begins with one of"),
        ("/etc/passwd", "begins with one of"),
        ("https:code.zip", "begins with one of"),
        ("https:///code.zip", "names no host"),
        ("https://host:99999/code.zip", "is not a URL"),
        ("https://[::1/code.zip", "is not a URL"),
        ("https://host/" + "a" * 5000, "at most 4096 characters"),
        ("https://host/a\nb", "control characters"),
        (" https://host/", "control characters"),
        ("file:///etc/passwd", r"not allowed on this server; .* code_folders in the table \[jobs\] of config.toml"),
        ("file://host/etc/passwd", "file of the server's machine"),
        ("s3://bucket", "a bucket and an object"),
        ("s3://bucket/folder/", "a bucket and an object"),
        ("s3:///code.zip", "a bucket and an object"),
        ("s3://bucket/x::file:///etc/passwd", "not a chain"),
        ("gs://bucket/code.zip", "pip install gcsfs"),
        ("oss://bucket/code.zip", "pip install ossfs"),
    ],
)
async def test_what_can_never_be_fetched_is_refused_before_anything_starts(
    url: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidSpec, match=words) as raised:
        check_url(url, FetchPolicy(), "code.files[0]")
    assert raised.value.path == "code.files[0]"
    with pytest.raises(CodeUnavailable, match=words):
        await fetch(url, tmp_path / "code.zip", FetchPolicy())


def test_the_drivers_that_are_said_to_be_missing_are_missing() -> None:
    """The cases above would prove nothing otherwise."""
    assert not importlib.util.find_spec("gcsfs")
    assert not importlib.util.find_spec("ossfs")
