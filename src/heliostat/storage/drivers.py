"""fsspec's drivers: which are there, what to install for one that is not, and opening one."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import fsspec

from heliostat.domain.errors import NotReady
from heliostat.domain.masking import hidden, of_settings

PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "oss": "ossfs"}
"""The package of a scheme's driver, also the name of its module."""


def missing(scheme: str) -> str | None:
    """The package that is to be installed for a scheme of :data:`PACKAGES`; None when it is there."""
    package = PACKAGES[scheme]
    return None if importlib.util.find_spec(package) else package


def opened(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:  # fsspec has no types; options are the driver's
    """The file system of a URL and the URL's path in it, without caches of its own. Blocking. Raises NotReady."""
    scheme, separator, rest = url.partition("://")
    shown = hidden(url)
    if not separator or "::" in url:
        raise NotReady(f"not a storage URL: {shown!r}; give a folder or a URL like s3://bucket/heliostat")
    if scheme in PACKAGES and not rest.strip("/"):
        raise NotReady(f"{shown} names no bucket; give one as in {scheme}://bucket/heliostat")
    if scheme in PACKAGES and (package := missing(scheme)):
        raise NotReady(f"{scheme}:// needs a driver that is not installed here: pip install {package}")
    try:
        files, path = fsspec.core.url_to_fs(url, skip_instance_cache=True, use_listings_cache=False, **options)
    except ImportError as error:
        raise NotReady(f"{scheme}:// needs a driver that is not installed here: {error}") from error
    except Exception as error:  # drivers have errors of many libraries
        cause = hidden(f"{type(error).__name__}: {error}", of_settings(options))
        raise NotReady(f"{shown} cannot be opened: {cause}; check the URL and the storage options") from error
    return files, path
