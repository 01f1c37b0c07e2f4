"""Local files as all of storage handles them: private, whole or not there, and on the disk before anybody is told so."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

COPY_BYTES = 1 << 20


def make_folders(path: Path, below: Path | None = None) -> None:
    """Make a folder (0700) and those above it; not ``below`` itself and what is above that, which must be there."""
    missing = []
    while path != below and not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(path: Path) -> None:
    """Have the names in a folder on the disk."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def replacing(target: Path, folder: Path | None = None) -> Iterator[BinaryIO]:
    """A new private file that takes the place of ``target`` when the block ends well, and is gone when it does not.

    It is made in ``folder``, of the same file system; None = the target's own.
    """
    number, name = tempfile.mkstemp(dir=folder or target.parent, prefix=".", suffix=".part")
    temporary = Path(name)
    try:
        with open(number, "w+b") as file:  # noqa: PTH123 # a descriptor
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def copy(source: Path, target: Path) -> None:
    """Make ``target`` a copy, all or nothing."""
    with source.open("rb") as content, replacing(target) as file:
        shutil.copyfileobj(content, file, COPY_BYTES)
