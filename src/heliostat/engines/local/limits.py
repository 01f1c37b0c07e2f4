"""What this machine has, and how much of it the object stores of nodes may take.

Ray's CPU and ``memory`` resources are bookkeeping and stay as the user asked for. The object store is real memory in
/dev/shm that Ray takes as it needs it, so its size is capped: all stores together to a part of the machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from heliostat.domain.engine import GroupPlan

from .nfs import Mounted

MEBIBYTE = 1 << 20
STORE_MINIMUM = 80 * MEBIBYTE
"""Ray refuses stores below 75 MiB."""

HEAD_BYTES = 450 * MEBIBYTE
WORKER_BYTES = 180 * MEBIBYTE
"""What Ray's own processes of a node take at rest, before any of the user's code."""

STORE_SHARE = 0.3
"""Of a node's memory, where the user says nothing: Ray's own default."""

MEMORY_SHARE = 0.5
"""Of the machine's memory, for all object stores together."""

SHARED_MEMORY_SHARE = 0.9
"""Of /dev/shm, for the same."""

KEPT_FREE = 0.05
"""Of the machine's memory, which starting nodes leave alone: above 95 % Ray ends its own tasks for want of memory."""


@dataclass(frozen=True)
class Machine:
    """What clusters can have here, with the limits of a container taken into account."""

    cores: float
    memory_bytes: int
    shared_memory_bytes: int
    gpus: int = 0
    mounts: Mapping[str, Mounted] = field(default_factory=dict)
    """What there is below :data:`~heliostat.domain.spec.NFS_ROOT`, as far as it was looked for."""

    @property
    def store_bytes(self) -> int:
        """For all object stores together."""
        return int(min(self.memory_bytes * MEMORY_SHARE, self.shared_memory_bytes * SHARED_MEMORY_SHARE))


def wanted_store(memory_bytes: int, ray_params: dict[str, object]) -> int:
    """The object store that a node asks for, in bytes."""
    said = ray_params.get("object_store_memory")
    return said if isinstance(said, int) else int(memory_bytes * STORE_SHARE)


def grant_stores(wanted: Sequence[int], machine: Machine, taken: int) -> list[int]:
    """What new nodes get of what they want when ``taken`` bytes are promised already: all, or equal shares of it.

    Never less than Ray's minimum: stores are filled as they are used, so a little too much promised is harmless.
    """
    total = sum(wanted)
    room = max(0, machine.store_bytes - taken)
    factor = 1.0 if total <= room else room / total
    return [max(STORE_MINIMUM, int(size * factor)) for size in wanted]


def wanted_stores(groups: Sequence[GroupPlan]) -> list[int]:
    return [wanted_store(group.memory_bytes, dict(group.ray_params)) for group in groups]


def bytes_at_rest(kind: str) -> int:
    """What a node of a kind (``head`` or ``worker``) takes before any of the user's code."""
    return HEAD_BYTES if kind == "head" else WORKER_BYTES


def free_memory() -> int:
    """Bytes that starting nodes may take now, on this machine and within a container's limit. May be negative."""
    figures = _meminfo()
    free, total = figures["MemAvailable"], figures["MemTotal"]
    for folder in _cgroups("memory"):
        for most, used, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit, taken = _text(folder / most), _text(folder / used)
            if limit.isdecimal() and taken.isdecimal() and int(limit) < figures["MemTotal"]:
                reclaimable = re.search(rf"^{cache} (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
                free = min(free, int(limit) - int(taken) + (int(reclaimable[1]) if reclaimable else 0))
                total = min(total, int(limit))
    return free - int(total * KEPT_FREE)


def read_machine() -> Machine:
    """Look at this machine."""
    cores = float(len(os.sched_getaffinity(0)))
    memory = _meminfo()["MemTotal"]
    for folder in _cgroups("cpu"):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if quota.isdecimal() and period.isdecimal():
            cores = min(cores, int(quota) / int(period))
        quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal():
            cores = min(cores, int(quota) / int(period))
    for folder in _cgroups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _text(folder / name)
            if limit.isdecimal():
                memory = min(memory, int(limit))
    shared = os.statvfs("/dev/shm") if Path("/dev/shm").is_dir() else None
    return Machine(cores, memory, shared.f_blocks * shared.f_frsize if shared else 0, _gpus())


def _meminfo() -> dict[str, int]:
    """The kernel's figures in bytes, by its names."""
    rows = re.findall(r"^(\w+): +(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    figures = {name: int(size) * 1024 for name, size in rows}
    if not {"MemTotal", "MemAvailable"} <= figures.keys():
        raise OSError("/proc/meminfo names no MemTotal or no MemAvailable")
    return figures


def _cgroups(controller: str) -> list[Path]:
    """The folders of this process's control groups that may limit it, innermost first (v1 and v2)."""
    folders = []
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = Path("/sys/fs/cgroup") / controllers if controllers else Path("/sys/fs/cgroup")
        inner = root / path.lstrip("/")
        folders += [inner, *(parent for parent in inner.parents if parent.is_relative_to(root))]
    return folders


def _gpus() -> int:
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
