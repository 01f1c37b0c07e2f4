"""Use cases on uploaded code: what is kept is what was named, and nothing else leaves a trace."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from heliostat.domain.errors import Forbidden, InvalidRequest, NotFound
from heliostat.domain.ids import WorkspaceId, new_workspace_id
from heliostat.services import PackageService
from heliostat.services.packages import package_key
from heliostat.storage.folder import FolderStorage

from .conftest import BOTH, Office


def zipped(name: str = "main.py", content: bytes = b"print(1)", **entry: object) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        info = zipfile.ZipInfo(name)
        for field, value in entry.items():
            setattr(info, field, value)
        archive.writestr(info, content)
    return data.getvalue()


ZIP = zipped()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Upload:
    """Bytes in pieces, as they come over the wire; counts what was asked for."""

    data: bytes
    piece: int = 16
    taken: int = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.taken < len(self.data):
            piece = self.data[self.taken : self.taken + self.piece]
            self.taken += len(piece)
            yield piece


@dataclass
class Depot:
    office: Office
    service: PackageService
    storage: FolderStorage
    scratch: Path

    async def put(self, data: bytes, sha: str | None = None, who: str = "ann", place: WorkspaceId | None = None) -> int:
        upload = aiter(Upload(data))
        return await self.service.put(
            await self.office.caller(who), place or self.office.workspace, sha or sha256(data), upload
        )

    async def size(self, sha: str, who: str = "ann", place: WorkspaceId | None = None) -> int | None:
        return await self.service.size(await self.office.caller(who), place or self.office.workspace, sha)

    async def kept(self, sha: str, place: WorkspaceId | None = None) -> bytes | None:
        """What is in the storage."""
        target = self.scratch.parent / "copy.zip"
        found = await self.storage.get_file(package_key(place or self.office.workspace, sha), target)
        return target.read_bytes() if found else None

    def clean(self) -> bool:
        return not self.scratch.exists() or not list(self.scratch.iterdir())


@pytest.fixture
def depot(office: Office, tmp_path: Path) -> Depot:
    """Takes packages of up to 1,000 bytes."""
    storage, scratch = FolderStorage(tmp_path / "storage"), tmp_path / "uploads" / "scratch"
    return Depot(office, PackageService(office.store, storage, office.clock, scratch, 1000), storage, scratch)


@BOTH
async def test_a_package_is_kept_as_it_came(depot: Depot) -> None:
    assert await depot.size(sha256(ZIP)) is None
    assert await depot.put(ZIP) == len(ZIP)
    assert await depot.size(sha256(ZIP)) == len(ZIP)
    assert await depot.kept(sha256(ZIP)) == ZIP
    assert depot.clean()
    assert depot.scratch.stat().st_mode & 0o777 == 0o700


@BOTH
async def test_the_same_twice_is_one(depot: Depot) -> None:
    await depot.put(ZIP)
    assert await depot.put(ZIP, who="editor") == len(ZIP)
    later = depot.office.clock.now().replace(year=2099)
    rows = await depot.office.store.read(lambda tx: tx.packages.unused_since(later, limit=9))
    assert rows == [(depot.office.workspace, sha256(ZIP))]


async def test_an_upload_mends_what_the_storage_has_lost(depot: Depot) -> None:
    await depot.put(ZIP)
    await depot.storage.delete(package_key(depot.office.workspace, sha256(ZIP)))
    await depot.put(ZIP)
    assert await depot.kept(sha256(ZIP)) == ZIP


@BOTH
async def test_each_workspace_has_its_own(depot: Depot) -> None:
    ann = await depot.office.caller("ann")
    other = (await depot.office.services.directory.create_workspace(ann, "other")).id
    await depot.put(ZIP)
    assert await depot.size(sha256(ZIP), place=other) is None, "that somebody else has it is told to nobody"
    assert await depot.kept(sha256(ZIP), other) is None
    await depot.put(ZIP, place=other)
    assert await depot.size(sha256(ZIP), place=other) == len(ZIP)
    assert await depot.kept(sha256(ZIP), other) == ZIP


async def test_asking_for_it_keeps_it(depot: Depot) -> None:
    await depot.put(ZIP)
    depot.office.clock.advance(days=9)
    now = depot.office.clock.now()
    await depot.size(sha256(ZIP))
    assert await depot.office.store.read(lambda tx: tx.packages.unused_since(now, limit=9)) == []


async def refused(depot: Depot, data: bytes, sha: str | None, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as raised:
        await depot.put(data, sha)
    assert raised.value.path == "package"
    assert depot.clean()
    assert await depot.kept(sha or sha256(data)) is None
    assert await depot.size(sha or sha256(data)) is None


async def test_what_is_not_what_it_says_is_refused(depot: Depot) -> None:
    await refused(depot, ZIP, sha256(ZIP + b"x"), "SHA-256 is another")
    await refused(depot, ZIP[:-1], sha256(ZIP), "SHA-256 is another")
    await refused(depot, b"", sha256(ZIP), "SHA-256 is another")


async def test_what_is_too_large_is_not_even_taken(depot: Depot) -> None:
    upload = Upload(b"x" * 100_000)
    with pytest.raises(InvalidRequest, match="has more than") as raised:
        await depot.service.put(await depot.office.caller("ann"), depot.office.workspace, sha256(ZIP), aiter(upload))
    assert raised.value.path == "package"
    assert upload.taken <= 1000 + upload.piece, "the stream is left at once"
    assert depot.clean()
    assert await depot.size(sha256(ZIP)) is None


async def test_the_largest_is_taken(depot: Depot) -> None:
    content = b"x" * (1000 - len(zipped(content=b"")))
    assert await depot.put(zipped(content=content)) == 1000
    await refused(depot, zipped(content=content + b"x"), None, "has more than")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is not a zip"),
        (b"no zip at all", "is not a zip"),
        (ZIP[: len(ZIP) // 2], "is not a zip"),
        (zipped("../main.py"), "outside of the working directory"),
        (zipped("/main.py"), "relative"),
        (zipped("link", b"/etc/passwd", external_attr=0o120777 << 16), "symbolic link"),
        (zipped("a\\b"), "written with /"),
    ],
    ids=["empty", "text", "half a zip", "above", "absolute", "link", "backslash"],
)
async def test_what_can_be_no_working_directory_is_refused_at_once(depot: Depot, data: bytes, says: str) -> None:
    await refused(depot, data, None, says)


@pytest.mark.parametrize("sha", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "../" + "0" * 61, "0" * 64 + "\n"])
async def test_a_hash_has_its_form(depot: Depot, sha: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await depot.size(sha)
    assert raised.value.path == "sha256"
    ann = await depot.office.caller("ann")
    upload = Upload(ZIP)
    with pytest.raises(InvalidRequest) as raised:
        await depot.service.put(ann, depot.office.workspace, sha, aiter(upload))
    assert raised.value.path == "sha256" and upload.taken == 0


async def test_a_broken_upload_leaves_nothing(depot: Depot) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield ZIP[:10]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await depot.service.put(await depot.office.caller("ann"), depot.office.workspace, sha256(ZIP), broken())
    assert depot.clean()
    assert await depot.size(sha256(ZIP)) is None


async def test_only_editors_upload_and_others_send_nothing(depot: Depot) -> None:
    for name, error in (("nobody", NotFound), ("viewer", Forbidden)):
        who, upload = await depot.office.caller(name), Upload(ZIP)
        with pytest.raises(error):
            await depot.service.put(who, depot.office.workspace, sha256(ZIP), aiter(upload))
        assert upload.taken == 0
        with pytest.raises(error):
            await depot.service.size(who, depot.office.workspace, sha256(ZIP))
    assert await depot.put(ZIP, who="editor") == len(ZIP)
    with pytest.raises(NotFound, match="workspace"):
        await depot.put(ZIP, place=new_workspace_id())
    assert {name for name in vars(PackageService) if not name.startswith("_")} == {"put", "size"}
