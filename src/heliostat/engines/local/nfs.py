"""Network file systems that users ask for, and what of them is on this machine.

Nodes are processes without the right to mount, so all that they can have is what the machine's operator has mounted. Whether
it is there is read from the kernel's table of mounts, and no file on a network is ever touched: one whose server hangs would
hang whoever asks. A name is followed directory by directory for as long as it stays on a local file system.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from heliostat.domain.engine import Finding, Verdict
from heliostat.domain.spec import NFS_ROOT, NfsMount

LOCAL = frozenset(
    ("btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "squashfs", "tmpfs", "vfat", "xfs", "zfs")
)
"""File systems that answer at once. What is not known to be one is not asked."""
NFS = frozenset({"nfs", "nfs4"})
MAX_LINKS = 40
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """A row of the kernel's table."""

    kind: str
    source: str


@dataclass(frozen=True)
class Mounted:
    """What nodes find at a mount point; there is no such thing where they would find nothing."""

    mount: str = ""
    """Where the mount is that it belongs to; empty for a directory of the machine itself."""
    source: str = ""
    """``server:path`` of an NFS mount."""


def look(points: Iterable[str], root: str = NFS_ROOT) -> dict[str, Mounted]:
    """What there is at those mount points below ``root``. Quick, whatever hangs."""
    mounts = read_mounts(_table())
    found = {point: _find(f"{root}/{point}", mounts) for point in points}
    return {point: mounted for point, mounted in found.items() if mounted is not None}


def read_mounts(table: str) -> dict[str, Mount]:
    """The mounts in the text of ``/proc/self/mountinfo``, by place; of several at one place the topmost."""
    mounts = {}
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        place, rest = before.split(" ")[4:5], after.split(" ")
        if place and len(rest) >= 2:
            mounts[_plain(place[0])] = Mount(rest[0], _plain(rest[1]))
    return mounts


def finding(path: str, wanted: NfsMount, seen: Mapping[str, Mounted]) -> Finding:
    """What becomes of a mount that a spec asks for."""
    place = f"{NFS_ROOT}/{wanted.mount_point}"
    there = seen.get(wanted.mount_point)
    if there is None:
        made = shlex.quote(place)
        command = f"mkdir -p {made} && mount -t nfs {shlex.quote(_export(wanted))} {made}"
        return Finding(
            path,
            Verdict.IGNORED,
            f"there is no {place} on this machine, and nodes may not mount anything; its operator can: {command}",
        )
    if not there.mount:
        text = f"nothing is mounted: {place} is a directory of the machine itself, which is used as it is"
    elif there.mount != place:
        text = f"the machine's own mount at {there.mount} is used, as it is; it is not looked whether that has {place}"
    else:
        text = "the machine's own mount is used, as it is"
    if there.source and there.source.rstrip("/") != _export(wanted).rstrip("/"):
        text += f" (it is of {there.source})"
    return Finding(path, Verdict.MAPPED, text)


def _table() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text(errors="replace")
    except OSError:
        return ""


def _find(path: str, mounts: Mapping[str, Mount]) -> Mounted | None:
    """Follows the path as the kernel would, up to the first mount that may not answer."""
    rest, here, links = path.split("/")[::-1], "/", 0
    while rest:
        name = rest.pop()
        if name in ("", "."):
            continue
        if name == "..":
            here = here.rpartition("/")[0] or "/"
            continue
        place = f"{here.rstrip('/')}/{name}"
        mount = mounts.get(place)
        if mount is not None and mount.kind not in LOCAL:
            return Mounted(place, mount.source if mount.kind in NFS else "")
        try:
            mode = os.lstat(place).st_mode
            if stat.S_ISLNK(mode):
                links += 1
                target = str(Path(place).readlink())
                rest += target.split("/")[::-1]
                here = "/" if target.startswith("/") else here
            elif stat.S_ISDIR(mode):
                here = place
            else:
                return None
        except (OSError, ValueError):
            return None
        if links > MAX_LINKS:
            return None
    return Mounted(here if here in mounts and here != "/" else "")


def _export(mount: NfsMount) -> str:
    bare = ":" in mount.server and not mount.server.startswith("[")
    return f"[{mount.server}]:{mount.path}" if bare else f"{mount.server}:{mount.path}"


def _plain(text: str) -> str:
    r"""Without the kernel's escapes: ``\040`` is a space."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)
