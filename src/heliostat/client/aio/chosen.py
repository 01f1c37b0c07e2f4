"""Which client a call without one uses: in asynchronous code there is none, since a client belongs to its event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import AsyncClient


def chosen(client: AsyncClient | None) -> AsyncClient:
    """``client``, which must be given."""
    if client is None:
        raise TypeError("asynchronous calls need their client: AsyncCluster.create(..., client=client)")
    return client
