"""Which client a call without one uses: one for the whole process, made at the first such call. Written by hand."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import Client

_lock = threading.Lock()
_default: Client | None = None


def chosen(client: Client | None) -> Client:
    """``client``, or the process's default one."""
    return default_client() if client is None else client


def default_client() -> Client:
    """The client of ``heliostat.Cluster.create(...)``, with the credentials that are found (see ``credentials``)."""
    global _default
    from .client import Client

    with _lock:
        if _default is None:
            _default = Client()
        return _default


def set_default_client(client: Client | None) -> None:
    """Use this client from now on where none is given; None = look for credentials again at the next call."""
    global _default
    with _lock:
        _default = client
