"""Log files listed as an object store lists a bucket (EMR contract, sections 5.4, 6.4 and 8).

A key is the whole name of a file, without a leading slash. With a delimiter, keys that share the text up to its first
occurrence after the prefix are one entry, a directory. Entries are in the order of their names, a directory's being that
shared text; a page begins strictly after the marker and has at most ``max_keys`` of them, directories included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from heliostat.domain.ids import WorkspaceId
from heliostat.domain.jobs import folder_of

from ..errors import invalid
from .clusters import Json, milliseconds

DEFAULT_KEYS = 100
LARGEST_KEYS = 1000


@dataclass(frozen=True)
class Object:
    """A stored file."""

    key: str
    size: int
    modified_at: datetime


@dataclass(frozen=True)
class Entry:
    """One row of a listing."""

    key: str
    """Of a directory: with the delimiter at its end."""
    is_directory: bool
    size: int
    """0 for a directory."""
    modified_at: datetime
    """Of a directory: of the newest below it."""

    def shown(self) -> Json:
        """One of ``objectList[]``."""
        return {
            "name": self.key.rstrip("/").rpartition("/")[2],
            "path": f"/{self.key}",
            "isDir": self.is_directory,
            "size": self.size,
            "timeModified": milliseconds(self.modified_at),
        }


@dataclass(frozen=True)
class Page:
    entries: tuple[Entry, ...]
    next_marker: str | None
    """The last entry's name, if there are more."""


def list_objects(objects: Iterable[Object], prefix: str, delimiter: str, marker: str, max_keys: int) -> Page:
    """The page after ``marker``. ``objects`` in any order, no two with one key; an empty delimiter makes no directories."""
    chosen = sorted((row for row in objects if row.key.startswith(prefix)), key=lambda row: row.key)
    entries: list[Entry] = []
    for entry in _entries(chosen, len(prefix), delimiter):
        if entry.key <= marker:
            continue
        if len(entries) == max_keys:
            return Page(tuple(entries), entries[-1].key)
        entries.append(entry)
    return Page(tuple(entries), None)


def _entries(objects: list[Object], start: int, delimiter: str) -> Iterator[Entry]:
    """Every entry once, in the order of names: keys of one directory stand together, as they begin alike."""
    directory: Entry | None = None
    for row in objects:
        cut = row.key.find(delimiter, start) if delimiter else -1
        if directory is not None and row.key.startswith(directory.key):
            newest = max(directory.modified_at, row.modified_at)
            directory = Entry(directory.key, True, 0, newest)
            continue
        if directory is not None:
            yield directory
            directory = None
        if cut < 0:
            yield Entry(row.key, False, row.size, row.modified_at)
        else:
            directory = Entry(row.key[: cut + len(delimiter)], True, 0, row.modified_at)
    if directory is not None:
        yield directory


def root_of(workspace: WorkspaceId, owner: str) -> str:
    """What all keys of a job, of one run of a cluster, or of all runs of a cluster begin with."""
    folder = folder_of(workspace, owner)
    whole_cluster = owner.startswith("ray-") and owner.count("-") == 1
    return f"{folder.removesuffix('/')}-" if whole_cluster else folder


def checked_prefix(text: str, root: str) -> str:
    """A prefix that a client gave, below ``root``: a shorter beginning of that means all of it. Raises EmrError."""
    prefix = key_of(text, "prefix")
    if root.startswith(prefix):
        return root
    if not prefix.startswith(root):
        raise invalid("prefix", f"must begin with {root}")
    return prefix


def checked_path(text: str, root: str) -> str:
    """The key of a path that a client gave, below ``root``. Raises EmrError."""
    key = key_of(text, "path")
    if not key.startswith(root):
        raise invalid("path", f"must begin with {root}")
    return key


def key_of(text: str, field: str) -> str:
    """A key or the beginning of one, as written with or without a leading slash. Raises EmrError."""
    if ".." in text.split("/"):
        raise invalid(field, "must not hold '..'")
    return text.removeprefix("/")
