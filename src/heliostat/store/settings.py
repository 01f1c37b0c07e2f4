"""What the operator may choose about the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True)
class StoreSettings:
    """Where the data is and how it is kept."""

    url: str
    """``sqlite:////absolute/path.db`` or ``postgresql://user:password@host/database``."""
    master_key: bytes | Path = field(repr=False)
    """Seals the secrets at rest: 32 random bytes, or a key file, which is made at the first start (see ``sealing``)."""
    readers: int = 3
    """Threads, each with a connection of its own, for reads. Reads are short; more helps only with a far database."""
    writers: int = 3
    """The same for writes on PostgreSQL. SQLite always has exactly one."""
    patience: timedelta = timedelta(seconds=15)
    """How long a transaction waits for a lock, and goes on after clashes with others, before ``Unavailable``."""
    survive_power_loss: bool = False
    """SQLite only. False: an acknowledged write survives any crash of the process, and a crash of the whole machine may
    lose the last moments. True: it survives that too, for one disk flush (often milliseconds) per write."""
    cached_objects: int = 4096
    """Clusters and instances kept decoded, each a few kilobytes."""
