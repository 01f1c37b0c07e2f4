"""``client.queues``: the shares of a workspace's capacity.

Derived from ``aio/queues.py`` by ``python -m heliostat.client.derive``: change that one.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import protocol
from ..decode import decode
from ..models import Queue

if TYPE_CHECKING:
    from .client import Client


class Queues:
    """Amounts are mappings such as ``{"cpu": 16, "memory": "64Gi", "gpu": 2}``; what is left out is not limited (of a
    maximum) or not guaranteed (of a minimum)."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> builtins.list[Queue]:
        """The queues of the client's workspace, by name."""
        answer = self._client.send(protocol.get(self._client.in_workspace("/queues")))
        return [decode(Queue, row) for row in answer["queues"]]

    def get(self, name: str) -> Queue:
        """With those that hold most of it."""
        return decode(Queue, self._client.send(protocol.get(self._path(name))))

    def create(
        self,
        name: str,
        *,
        minimum: Mapping[str, Any] | None = None,  # amounts as numbers or text
        maximum: Mapping[str, Any] | None = None,
        priority: int = 0,
        backfill: bool = True,
        description: str = "",
    ) -> Queue:
        """A new queue; takes an owner of the workspace. Raises AlreadyExists and InvalidRequest."""
        body = {
            "name": name, "minimum": dict(minimum or {}), "maximum": dict(maximum or {}), "priority": priority,
            "backfill": backfill, "description": description,
        }  # fmt: skip
        path = self._client.in_workspace("/queues")
        return decode(Queue, self._client.send(protocol.post(path, body)))

    def edit(
        self,
        name: str,
        *,
        minimum: Mapping[str, Any] | None = None,  # amounts as numbers or text
        maximum: Mapping[str, Any] | None = None,
        priority: int | None = None,
        backfill: bool | None = None,
        description: str | None = None,
    ) -> Queue:
        """Change what is given; takes an owner.

        Amounts are merged: ``maximum={"cpu": 32, "gpu": None}`` raises the cores, lifts the limit of GPUs and leaves the
        memory. A maximum below what is held ends nothing and lets nothing more in; the queue's ``notes`` say so.
        """
        given = {
            "minimum": minimum, "maximum": maximum, "priority": priority, "backfill": backfill, "description": description,
        }  # fmt: skip
        changes = {key: value for key, value in given.items() if value is not None}
        return decode(Queue, self._client.send(protocol.patch(self._path(name), changes)))

    def delete(self, name: str) -> None:
        """Raises Conflict while anything holds or waits for nodes of it, or a cluster's definition names it."""
        self._client.send(protocol.delete(self._path(name)))

    def _path(self, name: str) -> str:
        return self._client.in_workspace(f"/queues/{protocol.segment(name)}")
