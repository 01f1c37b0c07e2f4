"""``client.keys``: credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import protocol
from ..decode import decode
from ..models import Key, NewKey

if TYPE_CHECKING:
    from .client import AsyncClient


class AsyncKeys:
    """API tokens (``kind="token"``) and access key pairs for the EMR SDK (``kind="access_key"``)."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def create(
        self,
        kind: str = "token",
        *,
        principal: str | None = None,
        description: str = "",
        lifetime_seconds: int | None = None,
    ) -> NewKey:
        """A key for yourself or, as an admin, for another principal (made if it does not exist). Shown this once."""
        body = {"kind": kind, "principal": principal, "description": description, "lifetime_seconds": lifetime_seconds}
        body = {name: value for name, value in body.items() if value not in (None, "")}
        return decode(NewKey, await self._client.send(protocol.post("/v1/keys", body)))

    async def list(self) -> list[Key]:
        """Your keys; an admin sees everybody's."""
        answer = await self._client.send(protocol.get("/v1/keys"))
        return [decode(Key, row) for row in answer["keys"]]

    async def revoke(self, key: str) -> None:
        """End a key at once."""
        await self._client.send(protocol.delete(f"/v1/keys/{protocol.segment(key)}"))
