"""Which network file systems a spec may name: limits, each error with its native path.

Nothing is said here of whether they are there; that is the engine's to find (:class:`~heliostat.domain.engine.Finding`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from .errors import InvalidSpec, MissingField
from .spec import NFS_ROOT, NfsMount

MAX_NFS_MOUNTS = 32
MAX_PATH = 1024
MAX_MOUNT_POINT = 255
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def mount_errors(mounts: Sequence[NfsMount]) -> Iterator[InvalidSpec]:
    """Every error of them."""
    if len(mounts) > MAX_NFS_MOUNTS:
        yield InvalidSpec("nfs_mounts", f"at most {MAX_NFS_MOUNTS} mounts, given {len(mounts)}")
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        path = f"nfs_mounts[{index}]"
        yield from _server(f"{path}.server", mount.server)
        yield from _export(f"{path}.path", mount.path)
        yield from _mount_point(f"{path}.mount_point", mount.mount_point)
        if mount.mount_point in seen:
            yield InvalidSpec(f"{path}.mount_point", f"a second mount at {mount.mount_point!r}; they must be unique")
        seen.add(mount.mount_point)


def _server(path: str, server: str) -> Iterator[InvalidSpec]:
    if not server:
        yield MissingField(path)
    elif not _HOST.fullmatch(server) and not _is_address(server):
        yield InvalidSpec(path, f"{server[:80]!r} is not a host name or an address")


def _is_address(text: str) -> bool:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return bool(ip_address(bare))
    except ValueError:
        return False


def _export(path: str, export: str) -> Iterator[InvalidSpec]:
    if not export:
        yield MissingField(path)
    elif not export.startswith("/"):
        yield InvalidSpec(path, f"{export[:80]!r} must be absolute: begin it with '/'")
    elif ".." in export.split("/"):
        yield InvalidSpec(path, "must not have '..' in it")
    elif len(export) > MAX_PATH or _CONTROL.search(export):
        yield InvalidSpec(path, f"must have at most {MAX_PATH} characters, none of them a control character")


def _mount_point(path: str, point: str) -> Iterator[InvalidSpec]:
    if not point:
        yield MissingField(path)
    elif point.startswith("/"):
        yield InvalidSpec(path, f"{point[:80]!r} must be relative: nodes see it below {NFS_ROOT}")
    elif {"", ".", ".."} & set(point.split("/")):
        yield InvalidSpec(path, "must be names with single slashes in between, none of them '.' or '..'")
    elif len(point) > MAX_MOUNT_POINT or _CONTROL.search(point):
        yield InvalidSpec(path, f"must have at most {MAX_MOUNT_POINT} characters, none of them a control character")
