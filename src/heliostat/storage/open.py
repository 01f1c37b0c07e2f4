"""Which storage a setting means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from heliostat.domain.errors import NotReady, Unavailable

from .base import Storage
from .folder import FolderStorage
from .objects import ObjectStorage


def open_storage(
    url: str | None,
    folder: Path,
    options: Mapping[str, Mapping[str, Any]],  # by scheme; each driver's own
) -> Storage:
    """The storage at a URL of fsspec; None = the given folder. Blocking.

    Raises NotReady when a folder cannot be written to or a driver is missing. A service that does not answer just now is no
    reason to refuse: that passes, and whoever uses the storage tries again.
    """
    if url is not None:
        scheme = url.partition("://")[0]
        if scheme != "file":
            return ObjectStorage(url, options.get(scheme, {}))
        parts = urlsplit(url)
        folder = Path(unquote(parts.path))
        if parts.netloc not in ("", "localhost") or not folder.is_absolute():
            raise NotReady(f"{url!r} names no folder of this machine; write file:///folder")
    storage = FolderStorage(folder)
    try:
        storage.open()
    except Unavailable as error:
        raise NotReady(f"{error}; choose a folder that the server may write to") from error
    return storage
