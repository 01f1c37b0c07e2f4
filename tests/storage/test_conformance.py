"""What every storage does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from heliostat.domain.errors import Unavailable
from heliostat.storage import Storage
from heliostat.storage.base import BytesLost

from .conftest import Make

KEY = "w-1/ray/logs/rj-1_default/rj-1_driver.log"
MUCH = 1000


async def test_what_was_appended_is_read(storage: Storage) -> None:
    await storage.append(KEY, 0, b"one ")
    await storage.append(KEY, 4, b"two and three")
    assert await storage.read(KEY, 0, MUCH) == b"one two and three"
    assert await storage.read(KEY, 4, 3) == b"two"
    assert await storage.read(KEY, 5, 9) == b"wo and th"


async def test_a_read_beyond_the_end_gives_what_is_there(storage: Storage) -> None:
    await storage.append(KEY, 0, b"0123456789")
    assert await storage.read(KEY, 8, MUCH) == b"89"
    assert [await storage.read(KEY, offset, MUCH) for offset in (10, 11, 14, 700)] == [b""] * 4


async def test_a_key_that_is_not_there(storage: Storage, tmp_path: Path) -> None:
    assert await storage.read(KEY, 0, MUCH) == b""
    assert await storage.read(KEY, 50, MUCH) == b""
    assert not await storage.get_file("w-1/packages/none", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    await storage.delete(KEY)


async def test_an_append_may_be_repeated(storage: Storage, make: Make) -> None:
    await storage.append(KEY, 0, b"first")
    for _ in range(2):
        await storage.append(KEY, 5, b" and a second piece that is long")
    assert await storage.read(KEY, 0, MUCH) == b"first and a second piece that is long"
    again = make()
    await again.append(KEY, 5, b" and second")
    assert await again.read(KEY, 0, MUCH) == b"first and second"


@pytest.mark.parametrize("offset", [0, 3, 7, 14, 20, 21])
async def test_an_append_cuts_off_what_was_beyond(storage: Storage, make: Make, offset: int) -> None:
    whole = bytes(range(65, 86))
    for data in (b"", b"x", b"xxxxxxx"):
        await storage.append(KEY, 0, whole)
        for other in (storage, make()):
            await other.append(KEY, offset, data)
            assert await other.read(KEY, 0, MUCH) == whole[:offset] + data


async def test_an_empty_log(storage: Storage) -> None:
    await storage.append(KEY, 0, b"")
    assert await storage.read(KEY, 0, MUCH) == b""
    await storage.append(KEY, 0, b"something")
    assert await storage.read(KEY, 0, MUCH) == b"something"


@pytest.mark.parametrize(("present", "offset"), [(0, 3), (0, 7), (5, 6), (5, 7), (5, 40), (7, 8), (14, 15), (14, 21)])
async def test_lost_bytes_are_told_and_nothing_is_changed(storage: Storage, present: int, offset: int) -> None:
    content = b"0123456789abcdef"[:present]
    if present:
        await storage.append(KEY, 0, content)
    with pytest.raises(BytesLost, match=f"{KEY} were lost: .* {present} of the {offset}") as raised:
        await storage.append(KEY, offset, b"more")
    assert raised.value.present == present
    assert await storage.read(KEY, 0, MUCH) == content


async def test_a_restarted_server_goes_on(make: Make) -> None:
    wanted = b""
    for number in range(12):
        piece = f"line {number}\n".encode()[: number + 2]
        storage = make()
        await storage.append(KEY, len(wanted), piece)
        wanted += piece
    assert await make().read(KEY, 0, MUCH) == wanted


async def test_keys_do_not_disturb_each_other(storage: Storage) -> None:
    keys = [f"w-1/logs/{number}/log" for number in range(20)]
    for offset in range(0, 30, 10):
        await asyncio.gather(*(storage.append(key, offset, f"{key[-6:]:10}".encode()[:10]) for key in keys))
    for key in keys:
        assert await storage.read(key, 0, MUCH) == f"{key[-6:]:10}".encode()[:10] * 3
    await storage.delete(keys[0])
    assert await storage.read(keys[0], 0, MUCH) == b""
    assert len(await storage.read(keys[1], 0, MUCH)) == 30


async def test_a_deleted_log_is_gone_and_may_begin_anew(storage: Storage) -> None:
    await storage.append(KEY, 0, b"a log of some length")
    await storage.delete(KEY)
    assert await storage.read(KEY, 0, MUCH) == await storage.read(KEY, 8, MUCH) == b""
    with pytest.raises(BytesLost):
        await storage.append(KEY, 20, b"more")
    await storage.append(KEY, 0, b"new")
    assert await storage.read(KEY, 0, MUCH) == b"new"


async def test_files_are_put_and_got(storage: Storage, make: Make, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "copy"
    for content in (b"a package" * 100_000, b"another"):
        source.write_bytes(content)
        await storage.put_file("w-1/packages/abc", source)
        assert await make().get_file("w-1/packages/abc", target)
        assert target.read_bytes() == content
    assert target.stat().st_mode & 0o777 == 0o600
    await storage.delete("w-1/packages/abc")
    assert not await storage.get_file("w-1/packages/abc", tmp_path / "third")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "storage") == ["copy", "source"]


async def test_a_source_that_is_not_there_changes_nothing(storage: Storage, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"good")
    await storage.put_file("w-1/packages/abc", source)
    source.unlink()
    with pytest.raises(Unavailable):
        await storage.put_file("w-1/packages/abc", source)
    assert await storage.get_file("w-1/packages/abc", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"good"


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "a/../b", "..", "./a", "a\\b", "a\0b"])
async def test_what_is_no_key_is_a_bug(storage: Storage, key: str, tmp_path: Path) -> None:
    for call in (
        storage.append(key, 0, b""), storage.read(key, 0, 1), storage.put_file(key, tmp_path),
        storage.get_file(key, tmp_path / "x"), storage.delete(key),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="not a storage key"):
            await call
