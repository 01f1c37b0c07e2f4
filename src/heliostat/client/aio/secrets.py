"""``client.secrets``: values that jobs get, and that nobody can read back."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

from .. import protocol
from ..decode import decode
from ..models import SecretInfo

if TYPE_CHECKING:
    from .client import AsyncClient


class AsyncSecrets:
    """Secrets of the client's workspace, each known by a group, a key and, where there are several, a version.

    All of it takes an editor. Any call may raise what :mod:`heliostat.client.errors` lists.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def set(self, group: str, key: str, value: str, *, version: str = "") -> SecretInfo:
        """Make it or replace its value: text of at most 64 KiB."""
        body = {"group": group, "key": key, "version": version, "value": value}
        path = await self._client.in_workspace("/secrets")
        return decode(SecretInfo, await self._client.send(protocol.put(path, body)))

    async def list(self, group: str | None = None) -> builtins.list[SecretInfo]:
        """Names, and who has set them when; of one group, or all."""
        path = await self._client.in_workspace("/secrets")
        answer = await self._client.send(protocol.get(path, group=group))
        return [decode(SecretInfo, row) for row in answer["secrets"]]

    async def delete(self, group: str, key: str, *, version: str = "") -> None:
        """Attempts of jobs that begin afterwards and ask for it fail. Raises NotFound."""
        path = await self._client.in_workspace("/secrets")
        await self._client.send(protocol.delete(path, group=group, key=key, version=version or None))
