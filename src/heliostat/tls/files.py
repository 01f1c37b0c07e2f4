"""Where the files of :mod:`.authority` are, for those who only name them."""

from __future__ import annotations

from pathlib import Path


def authority_file(home: Path) -> Path:
    """The certificate of the server's own authority: what clients need to trust the server."""
    return home.absolute() / "tls" / "ca.pem"
