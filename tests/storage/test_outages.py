"""Storage that does not answer, hangs, is full or gone for a while; what opening one demands."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from heliostat.domain.errors import NotReady, Unavailable
from heliostat.storage.folder import INCOMING, INCOMING_SECONDS, FolderStorage
from heliostat.storage.objects import ObjectStorage
from heliostat.storage.open import open_storage

KEY = "w-1/log"


async def test_a_folder_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    root, away = tmp_path / "storage", tmp_path / "away"
    storage = FolderStorage(root)
    await storage.append(KEY, 0, b"one")
    root.rename(away)
    for call in (
        storage.append(KEY, 3, b"two"), storage.append("w-2/log", 0, b"two"), storage.read(KEY, 0, 3), storage.delete(KEY),
        storage.put_file("w-1/p", tmp_path / "away/w-1/log"), storage.get_file("w-1/p", tmp_path / "copy"),
    ):  # fmt: skip
        with pytest.raises(Unavailable, match="storage: No such file"):
            await call
    assert not root.exists()
    away.rename(root)
    await storage.append(KEY, 3, b"two")
    assert await storage.read(KEY, 0, 10) == b"onetwo"
    await storage.close()


async def test_folders_and_files_are_the_servers_alone(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "a/b")
    (tmp_path / "source").write_bytes(b"x")
    await storage.append(KEY, 0, b"one")
    await storage.put_file("w-1/p/q", tmp_path / "source")
    for path in (tmp_path / "a").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    await storage.delete(KEY)
    await storage.delete("w-1/p/q")
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == [INCOMING]
    await storage.close()


async def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = FolderStorage(tmp_path / "storage")
    await storage.append(KEY, 0, b"one")
    with monkeypatch.context() as patch:

        def full(file: int, data: bytes, offset: int) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(os, "pwrite", full)
        with pytest.raises(Unavailable, match=r"storage: No space left on device"):
            await storage.append(KEY, 3, b"two")
    assert await storage.read(KEY, 0, 10) == b"one"
    await storage.append(KEY, 3, b"two")
    assert await storage.read(KEY, 0, 10) == b"onetwo"
    await storage.close()


async def test_what_a_crash_left_of_a_put_is_removed_in_time(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "storage")
    (tmp_path / "source").write_bytes(b"x")
    incoming = tmp_path / "storage" / INCOMING
    incoming.mkdir(parents=True)
    for name, age in (("old", INCOMING_SECONDS + 60), ("new", 60)):
        (incoming / name).write_bytes(b"half")
        os.utime(incoming / name, (time.time() - age,) * 2)
    await storage.put_file("w-1/p", tmp_path / "source")
    assert [path.name for path in incoming.iterdir()] == ["new"]
    with pytest.raises(ValueError, match="not a storage key"):
        await storage.read(f"{INCOMING}/new", 0, 1)
    await storage.close()


class Hanging:
    """A driver whose writes of one key wait until they are let go."""

    def __init__(self, files: Any, part: str) -> None:
        self._files = files
        self._part = part
        self.go_on = threading.Event()
        self.done: list[bytes] = []

    def pipe_file(self, path: str, data: bytes) -> None:
        if self._part in path:
            self.go_on.wait(30)
            self.done.append(data)
        self._files.pipe_file(path, data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)


async def test_a_write_that_hangs_blocks_nobody_else_and_is_never_overtaken(tmp_path: Path) -> None:
    storage = ObjectStorage(f"file://{tmp_path}/storage", {"auto_mkdir": True}, seconds=0.1)
    hanging = storage._files = Hanging(storage._files, "slow")
    with pytest.raises(Unavailable, match=r"did not answer within 0\.1 seconds"):
        await storage.append("w-1/slow", 0, b"one")
    with pytest.raises(Unavailable, match="did not answer"):
        await storage.append("w-1/slow", 0, b"one and two")
    storage._workers._seconds = 30  # whatever the machine's speed; the hanging one still hangs
    await asyncio.gather(*(storage.append(f"w-1/{number}", 0, b"quick") for number in range(30)))
    assert await storage.read("w-1/slow", 0, 10) == b""
    hanging.go_on.set()
    await storage.close()
    assert hanging.done == [b"one", b"one and two"]


async def test_a_caller_that_goes_leaves_the_order_as_it_is(tmp_path: Path) -> None:
    storage = ObjectStorage(f"file://{tmp_path}/storage", {"auto_mkdir": True})
    hanging = storage._files = Hanging(storage._files, "slow")
    first = asyncio.create_task(storage.append("w-1/slow", 0, b"one"))
    await asyncio.sleep(0)
    first.cancel()
    second = asyncio.create_task(storage.append("w-1/slow", 0, b"1"))
    hanging.go_on.set()
    await second
    assert hanging.done == [b"one", b"1"]
    assert await storage.read("w-1/slow", 0, 10) == b"1"
    await storage.close()


async def test_a_service_that_does_not_answer_is_told_without_its_secrets() -> None:
    options = {
        "key": "access", "secret": "between-us-only", "endpoint_url": "http://127.0.0.1:1",
        "config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 1},
    }  # fmt: skip
    storage = open_storage("s3://logs/prefix", Path("unused"), {"s3": options})
    with pytest.raises(Unavailable, match="s3://logs/prefix cannot be used now") as raised:
        await storage.append(KEY, 0, b"one")
    assert "between-us" not in str(raised.value)
    await storage.close()


async def test_a_bucket_that_is_not_there(s3_options: dict[str, Any]) -> None:
    storage = ObjectStorage("s3://no-such-bucket/prefix", s3_options)
    with pytest.raises(Unavailable, match="no-such-bucket"):
        await storage.append(KEY, 0, b"one")
    await storage.close()


async def test_segments_are_of_four_mebibytes(s3_options: dict[str, Any]) -> None:
    storage = ObjectStorage("s3://logs/large", s3_options)
    piece = bytes(range(256)) * 4096 * 3
    for number in range(5):
        await storage.append(KEY, number * len(piece), piece)
    names = storage._files.ls(f"logs/large/{KEY}", detail=True)
    assert [row["size"] >> 20 for row in names] == [4, 4, 4, 3]
    assert [row["name"].rpartition("/")[2] for row in names] == [f"{number:08d}" for number in range(4)]
    assert await storage.read(KEY, len(piece) - 5, len(piece)) == piece[-5:] + piece[:-5]
    await storage.close()


def test_which_storage_a_setting_means(tmp_path: Path) -> None:
    assert isinstance(open_storage(None, tmp_path / "a", {}), FolderStorage)
    assert isinstance(open_storage(f"file://{tmp_path}/b%20c", tmp_path / "a", {}), FolderStorage)
    assert (tmp_path / "b c").is_dir()
    assert isinstance(open_storage("memory://x", tmp_path, {}), ObjectStorage)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("gs://bucket/logs", "pip install gcsfs"),
        ("oss://bucket/logs", "pip install ossfs"),
        ("s3://", "names no bucket"),
        ("nonsense://x", "nonsense:// cannot be opened|nonsense://x cannot be opened"),
        ("simplecache::s3://bucket", "not a storage URL"),
        ("file://elsewhere/folder", "names no folder of this machine"),
        ("webhdfs://me:mellon-friend@host/x?y=1", "."),
    ],
)
def test_what_cannot_be_opened_says_what_to_do(url: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(NotReady, match=words) as raised:
        open_storage(url, tmp_path, {"webhdfs": {"kerberos": "no", "user": 1, "kerb_kwargs": 3}})
    assert "mellon" not in str(raised.value)


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotReady, match="choose a folder"):
        open_storage(None, tmp_path / "file/storage", {})
