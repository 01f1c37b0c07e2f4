"""Whole things at URLs: plain files, whatever fsspec has, and a real S3 driver."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from heliostat.domain.errors import InvalidRequest, Unavailable
from heliostat.services.data import DataService
from heliostat.storage.blobs import PLACES, Blobs


@pytest.fixture(params=["file", "path", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """A URL below which nothing is, and the drivers' options."""
    match request.param:
        case "file":
            return f"file://{tmp_path}/new folder%20", {}
        case "path":
            return f"{tmp_path}/new", {}
        case "memory":
            return f"memory://{uuid.uuid4().hex}", {}
    return f"s3://logs/{uuid.uuid4().hex}", {"s3": request.getfixturevalue("s3_options")}


@pytest.fixture
async def blobs(place: tuple[str, dict[str, dict[str, Any]]]) -> AsyncIterator[Blobs]:
    opened = Blobs(place[1])
    yield opened
    await opened.close()


async def test_written_and_read(blobs: Blobs, place: tuple[str, object], tmp_path: Path) -> None:
    url = f"{place[0]}/a/b c/outputs.pb"
    assert await blobs.read(url, 99) is None and await blobs.size(url) is None
    for data in (b"first", b"", b"\x00" * 50):
        await blobs.write(url, data)
        assert await blobs.read(url, 50) == data
        assert await blobs.size(url) == len(data)
    with pytest.raises(InvalidRequest, match="more than 49 bytes"):
        await blobs.read(url, 49)
    target = tmp_path / "copy"
    assert await blobs.get_file(url, target, 50) and target.read_bytes() == b"\x00" * 50
    with pytest.raises(InvalidRequest):
        await blobs.get_file(url, tmp_path / "other", 49)
    assert not (tmp_path / "other").exists()
    target.write_bytes(b"from a file")
    await blobs.put_file(f"{place[0]}/a/two", target)
    assert await blobs.read(f"{place[0]}/a/two", 99) == b"from a file"
    await blobs.remove_folder(f"{place[0]}/a")
    assert await blobs.read(url, 99) is None
    assert not await blobs.get_file(url, tmp_path / "none", 9)
    await blobs.remove_folder(f"{place[0]}/a")


async def test_what_is_no_plain_file_is_not_read(tmp_path: Path) -> None:
    blobs = Blobs({})
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(InvalidRequest, match="no plain file"):
            await blobs.read(f"file://{tmp_path}/{name}", 9)
    await blobs.close()


@pytest.mark.parametrize(
    "url",
    [
        "", "relative/path", "no://such-driver", "file://host/x", "zip::file:///x", "s3://",
        "http://127.0.0.1:9/latest/meta-data", "local:///etc/hostname", "LOCAL:///etc/hostname",
    ],
)  # fmt: skip
async def test_urls_that_lead_nowhere(url: str) -> None:
    blobs = Blobs({})
    with pytest.raises(InvalidRequest):
        await blobs.read(url, 9)
    await blobs.close()


async def test_an_operator_lets_more_schemes_in(tmp_path: Path) -> None:
    blobs = Blobs({"local": {}})
    (tmp_path / "x").write_bytes(b"1")
    assert await blobs.read(f"local://{tmp_path}/x", 9) == b"1"
    await blobs.close()


async def test_any_number_of_buckets_leaves_few_drivers_behind() -> None:
    blobs = Blobs({})
    for number in range(PLACES + 3):
        assert await blobs.read(f"memory://{uuid.uuid4().hex}-{number}/x", 9) is None
    assert len(blobs._opened) == PLACES
    await blobs.close()


async def test_a_service_that_is_down_is_named_without_its_key(tmp_path: Path) -> None:
    options = {"key": "access", "secret": "between-us-only", "endpoint_url": "http://127.0.0.1:9"}
    blobs = Blobs({"s3": {**options, "config_kwargs": {"retries": {"max_attempts": 0}}}})
    with pytest.raises(Unavailable, match=r"s3://bucket/key\?\*\*\*\* cannot be used now") as caught:
        await blobs.read("s3://bucket/key?token=hidden", 9)
    assert "between-us-only" not in str(caught.value) and "hidden" not in str(caught.value)
    await blobs.close()


async def test_only_below_the_root_is_anything_changed(tmp_path: Path) -> None:
    blobs = Blobs({})
    data = DataService(blobs, f"file://{tmp_path}/root/", tmp_path)
    await data.write(f"{data.root}/a/b", b"1")
    assert (tmp_path / "root" / "a" / "b").read_bytes() == b"1"
    for url in (
        f"file://{tmp_path}/b",
        f"{data.root}/../b",
        f"{data.root}/a//b",
        data.root,
        f"{data.root}x/y",
        "/etc/x",
    ):
        with pytest.raises(InvalidRequest, match="is not below"):
            await data.write(url, b"2")
        with pytest.raises(InvalidRequest):
            await data.remove(url)
    await data.remove(f"{data.root}/a")
    assert not (tmp_path / "root" / "a").exists()
    await blobs.close()
