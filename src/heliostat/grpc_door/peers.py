"""Who is at the other end of a gRPC connection, as far as the connection itself tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(eq=False)
class Peer:
    """One connection."""

    address: str = ""
    """Where it comes from, for records."""
    server_name: str = ""
    """The host name that the client asked TLS for, in lower case; ``""`` without one. It proves nothing."""
    open: bool = True
    """Until the door has seen its end."""


PeerOf = Callable[[str], Peer]
"""gRPC's name of a connection (``context.peer()``) -> who it is; a Peer without anything when it has gone."""
