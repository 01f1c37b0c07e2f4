"""Who listens where, from the kernel's socket table."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterable
from pathlib import Path

LISTEN = "0A"


def listeners(pids: Iterable[int]) -> set[tuple[str, int]]:
    """(address, port) of every TCP socket that one of these processes listens on."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    return {(address, port) for inode, address, port in _table() if inode in inodes}


def listening_ports() -> set[int]:
    """Every TCP port of this machine that somebody listens on."""
    return {port for _, _, port in _table()}


def _table() -> list[tuple[str, str, int]]:
    rows = []
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN:
                address, port = fields[1].split(":")
                rows.append((fields[9], _address(address), int(port, 16)))
    return rows


def _address(text: str) -> str:
    words = [bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8)]
    address = ipaddress.ip_address(b"".join(words))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
