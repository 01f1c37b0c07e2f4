"""What there is to choose from: workspaces, releases, networks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from heliostat.domain.errors import Forbidden, InvalidRequest, NotFound
from heliostat.domain.ids import WorkspaceId, new_workspace_id
from heliostat.domain.installation import Installation
from heliostat.domain.quota import ROOT
from heliostat.domain.records import NetworkService, Queue, Role, Workspace
from heliostat.domain.releases import Release
from heliostat.store import Store, Transaction

from .caller import Caller, authorise
from .seams import Capabilities, Clock

_NUMBER = re.compile(r"[0-9]{1,18}")
_SHOWN = 64
"""Characters of what was asked for that an error repeats."""


@dataclass(frozen=True)
class ReleaseView:
    """A release and whether it can be used on this machine."""

    release: Release
    problem: str | None
    """Why clusters of it cannot start here, with the remedy; None when they can."""
    environment: str
    """``ready``, ``building``, ``absent`` (built at the first start) or ``failed``."""
    detail: str
    default: bool


class ProjectRefused(Forbidden):
    """No such project, or none that the caller has a role in: one error for both, so that it tells nothing."""

    def __init__(self, project: str, principal: str) -> None:
        super().__init__("use this project", principal, Role.VIEWER)
        self.message = (
            f"{principal} may not use the project {project[:_SHOWN]!r}, or there is no such project (or workspace); yours are "
            "listed by: heliostat workspace list"
        )
        self.args = (self.message,)


class DirectoryService:
    def __init__(self, store: Store, installation: Installation, capabilities: Capabilities, clock: Clock) -> None:
        self._store = store
        self._installation = installation
        self._capabilities = capabilities
        self._clock = clock

    async def workspaces(
        self, caller: Caller, *, limit: int = 100, after: WorkspaceId | None = None, name_contains: str | None = None
    ) -> list[Workspace]:
        """The workspaces that the caller has a role in, newest first; ``after`` continues behind that one."""
        among = None if caller.principal.admin else set(caller.principal.roles)
        return await self._store.read(
            lambda tx: tx.workspaces.list(limit=limit, after=after, name_contains=name_contains, among=among)
        )

    async def workspace(self, caller: Caller, workspace: WorkspaceId) -> Workspace:
        return await self._store.read(lambda tx: authorise(tx, caller, workspace, Role.VIEWER, "see the workspace"))

    async def project(self, caller: Caller, text: str) -> Workspace:
        """The workspace that a client calls a project, by its number, its id or its name. Raises ProjectRefused."""

        def work(tx: Transaction) -> Workspace | None:
            named = [
                tx.workspaces.by_number(int(text)) if _NUMBER.fullmatch(text) else None,
                tx.workspaces.get(WorkspaceId(text)),
                tx.workspaces.by_name(text),
            ]
            return next((found for found in named if found is not None), None)

        found = await self._store.read(work)
        if found is None or not caller.may(found.id, Role.VIEWER):
            raise ProjectRefused(text, caller.principal.name)
        return found

    async def create_workspace(self, caller: Caller, name: str) -> Workspace:
        """A new workspace with its ``root_queue``; for installation admins. Raises AlreadyExists."""
        if not name.strip() or len(name) > 64 or any(ord(character) < 32 for character in name):
            raise InvalidRequest("must have 1 to 64 characters, none of them a control character", path="name")
        if not caller.principal.admin:
            raise Forbidden("create workspaces", caller.principal.name, "installation admin")
        record = Workspace(new_workspace_id(), name, self._clock.now(), caller.principal.id)

        def work(tx: Transaction) -> Workspace:
            tx.workspaces.add(record)
            tx.queues.add(Queue(record.id, ROOT, record.created_at, creator=caller.principal.id))
            return record

        return await self._store.write(work)

    async def network_services(self, caller: Caller, workspace: WorkspaceId) -> tuple[NetworkService, ...]:
        await self.workspace(caller, workspace)
        return self._installation.network_services

    async def releases(self, caller: Caller) -> list[ReleaseView]:
        """The whole catalogue, in its own order. ``caller`` is anybody whom we know."""
        return [await self._view(release) for release in self._installation.catalogue.releases]

    async def release(self, caller: Caller, text: str) -> ReleaseView:
        return await self._view(self._found(text))

    async def prepare(self, caller: Caller, text: str) -> ReleaseView:
        """Begin to build the release's environment ahead of the first start; the view tells how far it is.

        Raises NotReady when this machine lacks something.
        """
        release = self._found(text)
        await self._capabilities.begin_preparation(release)
        return await self._view(release)

    def _found(self, text: str) -> Release:
        release = self._installation.catalogue.find(text)
        if release is None:
            raise NotFound("release", text, "see: heliostat release list")
        return release

    async def _view(self, release: Release) -> ReleaseView:
        problem = await self._capabilities.release_problem(release)
        environment, detail = self._capabilities.preparation(release)
        default = release == self._installation.catalogue.default_release
        return ReleaseView(release, problem, environment, detail, default)
