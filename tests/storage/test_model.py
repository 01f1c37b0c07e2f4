"""Any run of appends, failures and restarts leaves a log as a plain row of bytes would be."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from heliostat.domain.errors import Unavailable
from heliostat.storage import Storage
from heliostat.storage.folder import FolderStorage
from heliostat.storage.objects import ObjectStorage

from .conftest import SMALL

KEY = "w-1/log"
WRITES = {"pipe_file", "rm_file"}

STEPS = st.lists(
    st.tuples(
        st.floats(0, 1),  # where, as a share of what is there
        st.binary(max_size=30),
        st.booleans(),  # a restart before
        st.none() | st.tuples(st.integers(0, 4), st.booleans()),  # a failure at which driver call, after its effect
    ),
    max_size=15,
)


class Flaky:
    """A driver that fails once: at one of its calls to come, before or after that took effect."""

    def __init__(self, files: Any) -> None:
        self._files = files
        self.armed: tuple[int, bool] | None = None

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            fails = False
            if self.armed is not None:
                left, after = self.armed
                self.armed = None if left == 0 else (left - 1, after)
                fails = left == 0
                if fails and not after:
                    raise ConnectionResetError("the service went away")
            result = getattr(self._files, name)(*args, **kwargs)
            if fails:
                raise ConnectionResetError("the answer was lost")
            return result

        return call


async def check(storage: Storage, model: bytes) -> None:
    assert await storage.read(KEY, 0, 10_000) == model
    for offset in range(0, len(model) + 2, 3):
        assert await storage.read(KEY, offset, 10) == model[offset : offset + 10]


@settings(deadline=None)
@given(STEPS)
def test_objects(steps: list[tuple[float, bytes, bool, tuple[int, bool] | None]]) -> None:
    url = f"memory://{uuid.uuid4().hex}"

    def opened() -> tuple[ObjectStorage, Flaky]:
        storage = ObjectStorage(url, {}, segment=SMALL, remembered_bytes=20)
        flaky = Flaky(storage._files)
        storage._files = flaky
        return storage, flaky

    async def run() -> None:
        model = b""
        storage, flaky = opened()
        for share, data, restart, failure in steps:
            if restart:
                await storage.close()
                storage, flaky = opened()
            offset = int(share * len(model))
            flaky.armed = failure
            try:
                await storage.append(KEY, offset, data)
            except Unavailable:
                flaky.armed = None
                before = await storage.read(KEY, 0, offset)
                assert before == model[:offset], "bytes before the offset were lost"
                await storage.append(KEY, offset, data)
            flaky.armed = None
            model = model[:offset] + data
            await check(storage, model)
        await storage.delete(KEY)
        await check(storage, b"")
        await storage.close()

    asyncio.run(run())


@settings(deadline=None)
@given(STEPS)
def test_a_folder(steps: list[tuple[float, bytes, bool, tuple[int, bool] | None]]) -> None:
    async def run(folder: Path) -> None:
        model = b""
        storage = FolderStorage(folder)
        for share, data, restart, failure in steps:
            if restart:
                await storage.close()
                storage = FolderStorage(folder)
            offset = int(share * len(model))
            for _ in range(2 if failure else 1):
                await storage.append(KEY, offset, data)
            model = model[:offset] + data
            await check(storage, model)
        await storage.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder) / "storage"))
