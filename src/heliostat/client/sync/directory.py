"""``client.releases``, ``client.workspaces`` and ``client.network_services``: what there is to choose from.

Derived from ``aio/directory.py`` by ``python -m heliostat.client.derive``: change that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import protocol
from ..decode import decode
from ..models import NetworkService, Release, Workspace

if TYPE_CHECKING:
    from .client import Client


class Releases:
    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> list[Release]:
        """The whole catalogue, in its own order."""
        answer = self._client.send(protocol.get("/v1/releases"))
        return [decode(Release, row) for row in answer["releases"]]

    def get(self, release: str) -> Release:
        """By name, display text or Ray version."""
        return decode(Release, self._client.send(protocol.get(f"/v1/releases/{protocol.segment(release)}")))

    def prepare(self, release: str) -> Release:
        """Begin to build its environment ahead of the first start; ask ``get`` how far it is."""
        request = protocol.post(f"/v1/releases/{protocol.segment(release)}/prepare", repeatable=True)
        return decode(Release, self._client.send(request))


class Workspaces:
    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self, *, name: str | None = None) -> list[Workspace]:
        """Those that you have a role in; ``name`` is a part of the name."""
        found: list[Workspace] = []
        token = None
        while True:
            answer = self._client.send(protocol.get("/v1/workspaces", name=name, page_token=token))
            found += [decode(Workspace, row) for row in answer["workspaces"]]
            token = answer.get("next_page_token")
            if not token:
                return found

    def get(self, workspace: str) -> Workspace:
        """By id."""
        return decode(Workspace, self._client.send(protocol.get(f"/v1/workspaces/{protocol.segment(workspace)}")))

    def create(self, name: str) -> Workspace:
        """A new workspace with its ``root_queue``; for installation admins."""
        return decode(Workspace, self._client.send(protocol.post("/v1/workspaces", {"name": name})))

    def grant(self, principal: str, role: str, *, workspace: str | None = None) -> None:
        """Give a principal (by name) the role ``viewer``, ``editor`` or ``owner``; takes an owner."""
        self._client.send(protocol.put(self._role(principal, workspace), {"role": role}))

    def revoke(self, principal: str, *, workspace: str | None = None) -> None:
        """Take a principal's role."""
        self._client.send(protocol.delete(self._role(principal, workspace)))

    def _role(self, principal: str, workspace: str | None) -> str:
        place = workspace or self._client.workspace()
        return f"/v1/workspaces/{protocol.segment(place)}/roles/{protocol.segment(principal)}"


class NetworkServices:
    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> list[NetworkService]:
        """The networks that a cluster may name."""
        answer = self._client.send(protocol.get(self._client.in_workspace("/network-services")))
        return [decode(NetworkService, row) for row in answer["network_services"]]
