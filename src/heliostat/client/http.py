"""httpx without its own command line.

``import httpx`` also loads that, and with it click and rich where they are installed: 0.13 s of CPU, two thirds of the
start of each ``heliostat`` command. httpx copes with its absence, so it is made absent while httpx is loaded.
"""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

_COMMAND_LINE = "httpx._main"

if _COMMAND_LINE in sys.modules:
    import httpx as httpx
else:
    sys.modules[_COMMAND_LINE] = None  # type: ignore[assignment]  # makes an import of it fail
    try:
        import httpx as httpx
    finally:
        del sys.modules[_COMMAND_LINE]


LOOPBACK = ("localhost", "127.0.0.1", "::1")


def without_proxy(endpoint: str) -> dict[str, None]:
    """httpx's ``mounts`` for a server on this machine: proxy variables are not meant for it, whatever NO_PROXY says."""
    host = urlsplit(endpoint).hostname or ""
    return {f"all://{f'[{host}]' if ':' in host else host}": None} if host in LOOPBACK else {}
