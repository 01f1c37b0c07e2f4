"""Who is at the other end of a gRPC connection, as far as the connection itself tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Peer:
    """One connection. Kept by the door for as long as it is open, so that others can hold it by a weak reference."""

    address: str = ""
    """Where it comes from, for records."""
    server_name: str = ""
    """The host name that the client asked TLS for, in lower case; ``""`` without one. It proves nothing."""


PeerOf = Callable[[str], Peer]
"""gRPC's name of a connection (``context.peer()``) -> who it is; a Peer without anything when it has gone."""
