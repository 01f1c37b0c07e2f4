"""Whether messages are read as upstream reads them, with its losses (Flyte contract, section 2.3)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_scoped: ContextVar[bool | None] = ContextVar("upstream quirks", default=None)


@contextmanager
def upstream_quirks(wanted: bool = True) -> Iterator[None]:
    """Inside, ``from_flyte_idl`` reads as upstream does, or with ``wanted=False`` without loss whatever the switch says.

    It holds for the calling thread or task only.
    """
    token = _scoped.set(wanted)
    try:
        yield
    finally:
        _scoped.reset(token)


def quirks_wanted() -> bool:
    """The block's wish, else the package's switch, which is looked up each time because programs assign to it."""
    scoped = _scoped.get()
    return bool(sys.modules[__package__].STRICT_UPSTREAM_QUIRKS) if scoped is None else scoped
