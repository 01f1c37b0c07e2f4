"""Packs a folder of code into a zip, the same bytes for the same files: names, content and executable bits count, times
and owners do not.

What git would not take is left out: whatever the ``.gitignore`` files name, in the folder, below it, and above it up to
the top of the repository that it is part of; likewise ``.rayignore`` files, and every ``.git``. Links are followed where
they lead to something inside the folder, else they are left out, and told.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from .errors import InvalidRequest
from .ignoring import Pattern, parse, verdict

MAX_BYTES = 100 << 20
IGNORE_FILES = (".gitignore", ".rayignore")
_ALWAYS_OUT = frozenset({".git"})
_TIME = (1980, 1, 1, 0, 0, 0)
_PIECE = 1 << 20
_NAMED = 5


@dataclass(frozen=True)
class Packed:
    """A zip on this machine. ``close`` removes it, if it was made for the purpose."""

    path: Path
    sha256: str
    size: int
    """Bytes of the zip."""
    files: int
    content_bytes: int
    """Bytes of the files in it."""
    left_out: tuple[str, ...] = ()
    """Links that lead outside or nowhere."""
    _temporary: bool = field(default=True, repr=False)

    def close(self) -> None:
        if self._temporary:
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> Packed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Found:
    """What of a folder is packed."""

    files: tuple[tuple[str, Path], ...]
    """Name in the zip and where it is, in the order of the zip."""
    left_out: tuple[str, ...]


def packed_from(path: str | Path, excludes: Sequence[str] = ()) -> Packed:
    """A folder, packed, or a zip as it is. Raises InvalidRequest with the path ``working_dir``."""
    place = Path(path).expanduser()
    return pack_zip(place) if place.suffix.lower() == ".zip" and place.is_file() else pack(place, excludes)


def pack(folder: str | Path, excludes: Sequence[str] = (), max_bytes: int = MAX_BYTES) -> Packed:
    """A zip of a folder. Raises InvalidRequest with the path ``working_dir``."""
    root = Path(folder).expanduser().absolute()
    if not root.is_dir():
        raise InvalidRequest(f"{folder} is no folder; name one, a .zip, or a URL", path="working_dir")
    found = collect(root, excludes)
    if not found.files:
        raise InvalidRequest(
            f"there is nothing to pack in {folder}: it is empty, or all is ignored", path="working_dir"
        )
    handle, name = tempfile.mkstemp(prefix="heliostat-", suffix=".zip")
    zip_path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            content = _write(file, found, folder, max_bytes)
        return Packed(zip_path, _digest(zip_path), zip_path.stat().st_size, len(found.files), content, found.left_out)
    except BaseException:
        zip_path.unlink(missing_ok=True)
        raise


def pack_zip(path: str | Path, max_bytes: int = MAX_BYTES) -> Packed:
    """A zip that is there already, as it is. Raises InvalidRequest."""
    place = Path(path).expanduser()
    try:
        with zipfile.ZipFile(place) as archive:
            rows = [row for row in archive.infolist() if not row.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise InvalidRequest(f"{path} cannot be read as a zip: {error}", path="working_dir") from None
    size = place.stat().st_size
    if size > max_bytes:
        raise _too_large(path, max_bytes, sorted(((row.compress_size, row.filename) for row in rows), reverse=True))
    content = sum(row.file_size for row in rows)
    return Packed(place, _digest(place), size, len(rows), content, _temporary=False)


def collect(root: Path, excludes: Sequence[str] = ()) -> Found:
    """The files of a folder that are packed."""
    walk = _Walk(root, excludes)
    files = sorted(walk.files(), key=lambda row: os.fsencode(row[0]))
    return Found(tuple(files), tuple(sorted(walk.left_out)))


@dataclass(frozen=True)
class _Rules:
    """The ignore files that count in a folder, by kind; of one kind the innermost that says something decides.

    Paths are relative to the top: the folder that is packed, or the repository that it is part of.
    """

    kinds: tuple[tuple[tuple[bytes, tuple[Pattern, ...]], ...], ...] = ((),) * (len(IGNORE_FILES) + 1)
    """Per kind, outermost first: the folder of the file (empty or ending with a slash), and its patterns."""

    def ignore(self, path: str, *, folder: bool) -> bool:
        return any(_verdict(levels, os.fsencode(path), folder) for levels in self.kinds)

    def within(self, folder: Path, prefix: str) -> _Rules:
        """Those that count in a folder: these, and its own."""
        return self.plus([_content(folder / name) for name in IGNORE_FILES], prefix)

    def plus(self, found: Sequence[bytes], prefix: str) -> _Rules:
        """``found``: one file per kind."""
        if not any(found):
            return self
        kinds = list(self.kinds)
        for number, content in enumerate(found):
            if content:
                kinds[number] = (*kinds[number], (os.fsencode(prefix), parse(content)))
        return _Rules(tuple(kinds))


def _verdict(levels: Sequence[tuple[bytes, tuple[Pattern, ...]]], path: bytes, folder: bool) -> bool:
    for prefix, patterns in reversed(levels):
        said = verdict(patterns, path.removeprefix(prefix), folder)
        if said is not None:
            return said
    return False


def _content(file: Path) -> bytes:
    try:
        return b"" if file.is_symlink() else file.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return b""
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}", path="working_dir") from None


def _rules_above(root: Path) -> tuple[_Rules, str]:
    """What the repository around ``root`` ignores in it, without its own files; and where it is below the top.

    A folder that the repository ignores as a whole was named on purpose: then only its own files count.
    """
    top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)
    rules, prefix = _Rules(), ""
    folder = top
    for part in root.relative_to(top).parts:
        rules = rules.within(folder, prefix)
        folder /= part
        if rules.ignore(prefix + part, folder=True):
            return _Rules(), ""
        prefix += f"{part}/"
    return rules, prefix


class _Walk:
    """Goes through a folder, into whatever is not ignored."""

    def __init__(self, root: Path, excludes: Sequence[str]) -> None:
        self._root = root
        self._real_root = root.resolve()
        self._rules, self._prefix = _rules_above(root)
        self._rules = self._rules.plus([*(b"" for _ in IGNORE_FILES), os.fsencode("\n".join(excludes))], self._prefix)
        self.left_out: list[str] = []

    def files(self) -> Iterator[tuple[str, Path]]:
        """Name in the zip and where it is."""
        yield from self._below(self._root, "", self._rules, (self._real_root,))

    def _below(self, folder: Path, name: str, rules: _Rules, entered: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
        """``entered``: the real folders on the way, which a link must not lead back to."""
        rules = rules.within(folder, self._prefix + name)
        for entry in _entries(folder):
            if entry.name in _ALWAYS_OUT:
                continue
            path, own = folder / entry.name, name + entry.name
            mode, real = self._kind(path, entry, own, entered)
            if stat.S_ISDIR(mode) and not rules.ignore(self._prefix + own, folder=True):
                yield from self._below(path, f"{own}/", rules, (*entered, real))
            elif stat.S_ISREG(mode) and not rules.ignore(self._prefix + own, folder=False):
                yield own, path

    def _kind(self, path: Path, entry: os.DirEntry[str], name: str, entered: tuple[Path, ...]) -> tuple[int, Path]:
        """Mode and real place of what an entry stands for; 0 when it is left out."""
        if not entry.is_symlink():
            mode = entry.stat(follow_symlinks=False).st_mode
            return mode, entered[-1] / entry.name
        try:
            real = path.resolve(strict=True)
            mode = real.stat().st_mode
        except (OSError, RuntimeError):
            real, mode = self._real_root.parent, 0
        inside = real.is_relative_to(self._real_root)
        if not inside or real in entered or _ALWAYS_OUT.intersection(real.relative_to(self._real_root).parts):
            self.left_out.append(name)
            return 0, real
        return mode, real


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError as error:
        raise InvalidRequest(f"{folder} cannot be read: {error.strerror}", path="working_dir") from None


def _write(file: BinaryIO, found: Found, folder: str | Path, max_bytes: int) -> int:
    """Write the zip; bytes of the files in it."""
    content = 0
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, path in found.files:
            content += _add(archive, name, path)
            if file.tell() > max_bytes:
                raise _too_large(folder, max_bytes, _largest(found))
    if file.tell() > max_bytes:
        raise _too_large(folder, max_bytes, _largest(found))
    return content


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> int:
    row = zipfile.ZipInfo(name, _TIME)
    row.compress_type = zipfile.ZIP_DEFLATED
    row.create_system = 3  # Unix, wherever it is made: else the bits of the mode are not read
    size = 0
    try:
        name.encode()
        with path.open("rb") as source:
            executable = os.fstat(source.fileno()).st_mode & stat.S_IXUSR
            row.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
            with archive.open(row, "w", force_zip64=os.fstat(source.fileno()).st_size >= 1 << 31) as target:
                while piece := source.read(_PIECE):
                    size += len(piece)
                    target.write(piece)
    except UnicodeEncodeError:
        raise InvalidRequest(f"{name!r} is no name in UTF-8; rename it or ignore it", path="working_dir") from None
    except OSError as error:
        raise InvalidRequest(f"{name} cannot be read: {error.strerror}", path="working_dir") from None
    return size


def _largest(found: Found) -> list[tuple[int, str]]:
    return sorted(((path.stat().st_size, name) for name, path in found.files), reverse=True)


def _too_large(folder: str | Path, max_bytes: int, largest: Sequence[tuple[int, str]]) -> InvalidRequest:
    named = ", ".join(f"{name} ({_megabytes(size)})" for size, name in largest[:_NAMED])
    return InvalidRequest(
        f"{folder} is more than {_megabytes(max_bytes)} when packed; the largest files are {named}. Name what is not "
        "needed in .rayignore, or put data where the cluster can read it",
        path="working_dir",
    )


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB" if size >= 1 << 20 else f"{size / 1024:.1f} KiB"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
