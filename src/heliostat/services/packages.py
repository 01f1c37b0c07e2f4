"""Uploaded code: zips known by their SHA-256, kept once per workspace however often they are used."""

from __future__ import annotations

import asyncio
import hashlib
import re
import tempfile
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

from heliostat.domain.errors import InvalidRequest, Retry, Unavailable
from heliostat.domain.ids import WorkspaceId
from heliostat.domain.records import Role
from heliostat.storage import Storage
from heliostat.storage.bundle import check_zip
from heliostat.storage.fetch import CodeUnavailable
from heliostat.store import Store, Transaction

from .caller import Caller, authorise
from .seams import Clock

_SHA256 = re.compile(r"[0-9a-f]{64}")


class PackageService:
    """The use cases on packages. Every method may raise NotFound (workspace), Forbidden and InvalidRequest."""

    def __init__(self, store: Store, storage: Storage, clock: Clock, scratch: Path, max_bytes: int) -> None:
        self._store = store
        self._storage = storage
        self._clock = clock
        self._scratch = scratch
        self.max_bytes = max_bytes

    async def size(self, caller: Caller, workspace: WorkspaceId, sha256: str) -> int | None:
        """Bytes of a package; None when it has to be uploaded. Notes that it is wanted, so that it stays."""
        _check(sha256)

        def work(tx: Transaction) -> int | None:
            authorise(tx, caller, workspace, Role.EDITOR, "upload code")
            tx.packages.used(workspace, sha256, self._clock.now())
            return tx.packages.size(workspace, sha256)

        return await self._store.write(work)

    async def put(self, caller: Caller, workspace: WorkspaceId, sha256: str, pieces: AsyncIterator[bytes]) -> int:
        """Store a package; its size in bytes. Raises InvalidRequest when it is too large, is not what it says it is, or
        could not become a working directory."""
        _check(sha256)
        await self._store.read(lambda tx: authorise(tx, caller, workspace, Role.EDITOR, "upload code"))
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._scratch, prefix="package-") as file:
            digest, size = hashlib.sha256(), 0
            async for piece in pieces:
                size += len(piece)
                if size > self.max_bytes:
                    raise InvalidRequest(
                        f"has more than {self.max_bytes >> 20} MiB; leave data out (.rayignore), or put it where the "
                        "cluster can read it",
                        path="package",
                    )
                digest.update(piece)
                await asyncio.to_thread(file.write, piece)
            await asyncio.to_thread(file.flush)
            if digest.hexdigest() != sha256:
                raise InvalidRequest("is not what arrived: its SHA-256 is another one; upload it again", path="package")
            if not await asyncio.to_thread(zipfile.is_zipfile, file.name):
                raise InvalidRequest("is not a zip", path="package")
            try:
                await asyncio.to_thread(check_zip, Path(file.name))
            except CodeUnavailable as error:
                if error.retry is Retry.LATER:
                    raise Unavailable(error.message) from error
                raise InvalidRequest(error.message, path="package") from error
            await self._storage.put_file(package_key(workspace, sha256), Path(file.name))

        def work(tx: Transaction) -> None:
            authorise(tx, caller, workspace, Role.EDITOR, "upload code")
            tx.packages.add(workspace, sha256, size, self._clock.now())

        await self._store.write(work)
        return size


def package_key(workspace: WorkspaceId, sha256: str) -> str:
    """Where a package is in the storage."""
    return f"{workspace}/packages/{sha256}.zip"


def _check(sha256: str) -> None:
    if not _SHA256.fullmatch(sha256):
        raise InvalidRequest("must be the SHA-256 of the package, 64 lower-case hex digits", path="sha256")
