"""Making the package that Ray gets as a job's working directory, out of a zip from anywhere and single files.

Ray unpacks a zip from a remote URL without its only top-level folder, and one from its own package store (``gcs://``) as it
is. We always use the store, and so take that folder away here, by Ray's rule: exactly one folder at the top and no file,
``__MACOSX`` not counted (``get_top_level_dir_from_compressed_package`` in ``ray/_private/runtime_env/packaging.py``).

What Ray would skip without a word, or write where it should not, is refused. The same content leads to the same bytes.
"""

from __future__ import annotations

import errno
import hashlib
import io
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from .fetch import CodeUnavailable
from .files import replacing

MAX_UNPACKED = 4 << 30
MAX_ENTRIES = 100_000
MAX_DIRECTORY_BYTES = 16 << 20
"""Of a zip's list of contents, which is read as a whole."""
PIECE_BYTES = 1 << 20
MAC_FOLDER = "__MACOSX"

_TIME = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


@dataclass(frozen=True)
class _Entry:
    """A file of the package to be, or an empty folder."""

    size: int
    mode: int
    zipped: zipfile.ZipInfo | None = None
    path: Path | None = None


def bundle(
    working_dir_zip: Path | None,
    files: Sequence[tuple[str, Path]],
    target: Path,
    *,
    strip: bool,
    max_unpacked: int = MAX_UNPACKED,
) -> str:
    """Write the package of a zip and of files laid beside its contents, all or nothing; its SHA-256 in hex. Blocking.

    ``strip`` takes the only top-level folder away: for zips from elsewhere, not for a folder that we packed ourselves. A file
    replaces one of the zip with its name. Raises CodeUnavailable when something is wrong with the zip or a file's name.
    """
    with _opened(working_dir_zip) as archive:
        entries = _of_zip(archive, strip, max_unpacked) if archive else {}
        _lay(files, entries, max_unpacked)
        _check_names(entries)
        with replacing(target) as file:
            _write(archive, entries, file)
            file.flush()
            return _sha256(file)


def check_zip(path: Path, max_unpacked: int = MAX_UNPACKED) -> None:
    """Whether a zip may become a working directory as it is. Raises CodeUnavailable. Blocking, reads the list only."""
    with _opened(path) as archive:
        if archive:
            _check_names(_of_zip(archive, False, max_unpacked))


class _Bounded(io.BufferedReader):
    """A file that is not read in one go beyond measure: the size of a zip's list of contents is what the zip says."""

    def read(self, size: int | None = -1, /) -> bytes:
        limit = MAX_DIRECTORY_BYTES + 1
        data = super().read(limit if size is None or size < 0 else min(size, limit))
        if len(data) == limit:
            raise CodeUnavailable(f"the zip has a list of contents of more than {MAX_DIRECTORY_BYTES >> 20} MiB")
        return data


@contextmanager
def _opened(path: Path | None) -> Iterator[zipfile.ZipFile | None]:
    if path is None:
        yield None
        return
    try:
        with _Bounded(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, ValueError) as error:
        raise CodeUnavailable(f"the working directory is no intact zip: {error}") from error
    except NotImplementedError as error:
        raise CodeUnavailable(f"the zip is packed in a way that cannot be read here: {error}") from error
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # bz2's data errors, and places that a broken zip names
            raise CodeUnavailable("the working directory is no intact zip") from error
        raise CodeUnavailable(f"the package cannot be made now: {error.strerror}", later=True) from error


def _of_zip(archive: zipfile.ZipFile, strip: bool, max_unpacked: int) -> dict[str, _Entry]:
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise CodeUnavailable(f"the zip has {len(infos)} entries; at most {MAX_ENTRIES} are unpacked")
    if sum(info.file_size for info in infos) > max_unpacked:
        raise CodeUnavailable(f"the zip has more than {max_unpacked >> 20} MiB unpacked")
    found: dict[str, _Entry] = {}
    for info in infos:
        name = _name(info)
        _check_kind(info)
        if info.is_dir():
            found.setdefault(f"{name}/", _Entry(0, 0o755))
        else:  # of two with a name the later one counts, as in any unzip
            found[name] = _Entry(info.file_size, 0o755 if info.external_attr >> 16 & 0o111 else 0o644, zipped=info)
    found.pop("/", None)
    return _stripped(found) if strip else found


def _name(info: zipfile.ZipInfo) -> str:
    """The name without ``./`` and a last slash."""
    name = info.filename
    shown = repr(name[:100])
    if "\\" in name or any(ord(character) < 32 for character in name):
        raise CodeUnavailable(
            f"the zip has an entry {shown}: names must be written with / and without control characters"
        )
    if name.startswith("/") or name[1:2] == ":":
        raise CodeUnavailable(f"the zip has an entry {shown}: names must be relative, without a disk")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise CodeUnavailable(f"the zip has an entry {shown}: it would be written outside of the working directory")
    if any(len(part.encode(errors="surrogatepass")) > 255 for part in parts):
        raise CodeUnavailable(f"the zip has an entry {shown}...: a name has more than 255 bytes")
    if not parts and not info.is_dir():
        raise CodeUnavailable("the zip has a file without a name")
    return "/".join(parts)


def _check_kind(info: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise CodeUnavailable(f"the zip has a symbolic link, {info.filename!r}; pack the file itself (zip without -y)")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise CodeUnavailable(f"the zip has something that is neither file nor folder, {info.filename!r}")
    if info.flag_bits & 1:
        raise CodeUnavailable("the zip is encrypted")


def _stripped(entries: dict[str, _Entry]) -> dict[str, _Entry]:
    kept = {name: entry for name, entry in entries.items() if not name.startswith(f"{MAC_FOLDER}/")}
    tops = {name.partition("/")[0] for name in kept}
    if len(tops) != 1 or any("/" not in name for name in kept):
        return entries
    [top] = tops
    return {name.removeprefix(f"{top}/"): entry for name, entry in kept.items() if name != f"{top}/"}


def _lay(files: Sequence[tuple[str, Path]], entries: dict[str, _Entry], max_unpacked: int) -> None:
    seen = set()
    for name, path in files:
        if not name or "/" in name or "\\" in name or name in (".", "..") or any(ord(letter) < 32 for letter in name):
            raise CodeUnavailable(f"{name!r} cannot be the name of a file in the working directory")
        if name in seen:
            raise CodeUnavailable(f"two files have the name {name!r}; one would replace the other")
        seen.add(name)
        entries[name] = _Entry(path.stat().st_size, 0o644, path=path)
    if sum(entry.size for entry in entries.values()) > max_unpacked:
        raise CodeUnavailable(f"the working directory has more than {max_unpacked >> 20} MiB")


def _check_names(entries: dict[str, _Entry]) -> None:
    """No name may be a file's and a folder's, nor a disk's. Folders that are not empty need no entry and lose theirs."""
    above: set[str] = set()
    for name in entries:
        if name[1:2] == ":":  # some versions of Ray would leave it out
            raise CodeUnavailable(f"{name!r} begins with the name of a disk")
        folder = name.rstrip("/").rpartition("/")[0]
        while folder and folder not in above:
            above.add(folder)
            folder = folder.rpartition("/")[0]
    for name in list(entries):
        if name in above or f"{name}/" in entries:
            raise CodeUnavailable(f"{name!r} is a file and a folder at once")
        if name.endswith("/") and name[:-1] in above:
            del entries[name]


def _write(archive: zipfile.ZipFile | None, entries: dict[str, _Entry], file: BinaryIO) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package:
        for name in sorted(entries):
            entry = entries[name]
            info = zipfile.ZipInfo(name, _TIME)
            info.create_system = _UNIX
            info.file_size = entry.size
            info.compress_type = zipfile.ZIP_STORED if name.endswith("/") else zipfile.ZIP_DEFLATED
            kind = stat.S_IFDIR if name.endswith("/") else stat.S_IFREG
            info.external_attr = (kind | entry.mode) << 16 | (0x10 if name.endswith("/") else 0)
            with package.open(info, "w") as inner:
                if entry.path is not None:
                    with entry.path.open("rb") as content:
                        _copy(content, inner, entry.size, name)
                elif entry.zipped is not None and archive is not None:
                    with archive.open(entry.zipped) as content:
                        _copy(content, inner, entry.size, name)


def _copy(content: IO[bytes], inner: IO[bytes], size: int, name: str) -> None:
    done = 0
    while piece := content.read(PIECE_BYTES):
        done += len(piece)
        if done > size:
            raise CodeUnavailable(f"{name!r} has more bytes than the zip says")
        inner.write(piece)
    if done != size:
        raise CodeUnavailable(f"{name!r} has fewer bytes than the zip says")


def _sha256(file: BinaryIO) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()
