"""Every kind of storage, empty: a folder, objects in memory and in a folder, and a real S3 driver against moto's server."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from heliostat.storage import Storage
from heliostat.storage.folder import FolderStorage
from heliostat.storage.objects import ObjectStorage

SMALL = 7
"""Bytes of a segment where many are wanted."""


@pytest.fixture(scope="session")
def s3_options() -> Iterator[dict[str, Any]]:
    """Options of the driver for an S3 service of our own, with the bucket ``logs``."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"key": "access", "secret": "between-us-only", "endpoint_url": f"http://{host}:{port}"}
    fsspec.filesystem("s3", skip_instance_cache=True, **options).mkdir("logs")
    yield options
    server.stop()


Make = Callable[[], Storage]


@pytest.fixture(params=["folder", "memory", "files", pytest.param("s3", marks=pytest.mark.slow)])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    """Opens the storage under test; once more what a restarted server opens."""
    opened: list[Storage] = []
    name = uuid.uuid4().hex
    options = request.getfixturevalue("s3_options") if request.param == "s3" else {}

    def open_it() -> Storage:
        storage: Storage
        match request.param:
            case "folder":
                storage = FolderStorage(tmp_path / "storage")
            case "memory":
                storage = ObjectStorage(f"memory://{name}", {}, segment=SMALL)
            case "files":
                storage = ObjectStorage(f"file://{tmp_path}/storage", {"auto_mkdir": True}, segment=SMALL)
            case _:
                storage = ObjectStorage(f"s3://logs/{name}", options, segment=SMALL)
        opened.append(storage)
        return storage

    yield open_it
    for storage in opened:
        await storage.close()


@pytest.fixture
def storage(make: Make) -> Storage:
    return make()
