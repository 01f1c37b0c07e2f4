"""Ports for nodes, reserved where nobody else looks for one.

They come from a range on 127.0.0.1 that lies outside the kernel's ephemeral ports (an outgoing connection could take one
of those between our test and Ray's bind), outside Ray Client's 10001 and 23000-23999, and each is tried by binding it.
The book is kept in memory only: the instances' records name every port in use and fill it again at the start of a server.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Collection, Iterable
from pathlib import Path

from heliostat.domain.errors import Unavailable

EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
FIRST, LAST = 20000, 65535
AVOIDED = (range(23000, 24000), range(10001, 10002))


class PortBook:
    """Which ports are promised to nodes."""

    def __init__(self, ephemeral: range | None = None, seed: int | None = None) -> None:
        self._candidates = candidates(ephemeral if ephemeral is not None else ephemeral_ports())
        self._taken: set[int] = set()
        self._random = random.Random(seed)

    def claim(self, ports: Iterable[int]) -> None:
        """Note ports that nodes of an earlier server run use."""
        self._taken.update(ports)

    def reserve(self, names: Collection[str]) -> dict[str, int]:
        """One free port for each name. Raises Unavailable when there are not enough."""
        start = self._random.randrange(len(self._candidates))
        order = self._candidates[start:] + self._candidates[:start]
        found: list[int] = []
        for port in order:
            if len(found) == len(names):
                break
            if port not in self._taken and is_free(port):
                found.append(port)
        if len(found) < len(names):
            raise Unavailable("no free port is left on 127.0.0.1 for another node; stop a cluster and try again")
        self._taken.update(found)
        return dict(zip(names, found, strict=True))

    def release(self, ports: Iterable[int]) -> None:
        self._taken.difference_update(ports)


def ephemeral_ports() -> range:
    """What the kernel gives to outgoing connections."""
    first, last = EPHEMERAL_RANGE.read_text().split()
    return range(int(first), int(last) + 1)


def candidates(ephemeral: range) -> list[int]:
    """Usable ports, ascending; those of the ephemeral range only where it leaves almost nothing else."""
    usable = [port for port in range(FIRST, LAST + 1) if not any(port in avoided for avoided in AVOIDED)]
    outside = [port for port in usable if port not in ephemeral]
    return outside if len(outside) >= 500 else usable


def is_free(port: int) -> bool:
    """Whether nobody has it, on any address: the wildcard collides with each. Nothing listens for the test."""
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
