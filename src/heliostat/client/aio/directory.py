"""``client.releases``, ``client.workspaces`` and ``client.network_services``: what there is to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import protocol
from ..decode import decode
from ..models import NetworkService, Release, Workspace

if TYPE_CHECKING:
    from .client import AsyncClient


class AsyncReleases:
    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def list(self) -> list[Release]:
        """The whole catalogue, in its own order."""
        answer = await self._client.send(protocol.get("/v1/releases"))
        return [decode(Release, row) for row in answer["releases"]]

    async def get(self, release: str) -> Release:
        """By name, display text or Ray version."""
        return decode(Release, await self._client.send(protocol.get(f"/v1/releases/{protocol.segment(release)}")))

    async def prepare(self, release: str) -> Release:
        """Begin to build its environment ahead of the first start; ask ``get`` how far it is."""
        request = protocol.post(f"/v1/releases/{protocol.segment(release)}/prepare", repeatable=True)
        return decode(Release, await self._client.send(request))


class AsyncWorkspaces:
    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def list(self, *, name: str | None = None) -> list[Workspace]:
        """Those that you have a role in; ``name`` is a part of the name."""
        found: list[Workspace] = []
        token = None
        while True:
            answer = await self._client.send(protocol.get("/v1/workspaces", name=name, page_token=token))
            found += [decode(Workspace, row) for row in answer["workspaces"]]
            token = answer.get("next_page_token")
            if not token:
                return found

    async def get(self, workspace: str) -> Workspace:
        """By id."""
        return decode(Workspace, await self._client.send(protocol.get(f"/v1/workspaces/{protocol.segment(workspace)}")))

    async def create(self, name: str) -> Workspace:
        """A new workspace with its ``root_queue``; for installation admins."""
        return decode(Workspace, await self._client.send(protocol.post("/v1/workspaces", {"name": name})))

    async def grant(self, principal: str, role: str, *, workspace: str | None = None) -> None:
        """Give a principal (by name) the role ``viewer``, ``editor`` or ``owner``; takes an owner."""
        await self._client.send(protocol.put(await self._role(principal, workspace), {"role": role}))

    async def revoke(self, principal: str, *, workspace: str | None = None) -> None:
        """Take a principal's role."""
        await self._client.send(protocol.delete(await self._role(principal, workspace)))

    async def _role(self, principal: str, workspace: str | None) -> str:
        place = workspace or await self._client.workspace()
        return f"/v1/workspaces/{protocol.segment(place)}/roles/{protocol.segment(principal)}"


class AsyncNetworkServices:
    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def list(self) -> list[NetworkService]:
        """The networks that a cluster may name."""
        answer = await self._client.send(protocol.get(await self._client.in_workspace("/network-services")))
        return [decode(NetworkService, row) for row in answer["network_services"]]
