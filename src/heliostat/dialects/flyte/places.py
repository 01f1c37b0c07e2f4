"""Where Flyte's projects and domains are here: each pair in one workspace.

In this order: what the operator wrote for the pair, a workspace named ``<project>-<domain>``, one named like the project, the
operator's default, and at last the oldest workspace in which the caller may run jobs, or, for who may do so nowhere, the oldest
in which the caller has any role. Names count only where the caller has a role: a workspace of others is to the caller as if it
were not there.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from heliostat.domain.ids import WorkspaceId
from heliostat.domain.records import Role, Workspace
from heliostat.services import Caller, Services
from heliostat.services.directory import ProjectRefused

from .errors import NOT_FOUND, PERMISSION_DENIED, FlyteError, invalid
from .settings import FlyteSettings

_PAGE = 200
LONGEST_NAME = 200
"""Characters of a project's or domain's name."""


class Places:
    def __init__(self, services: Services, settings: FlyteSettings) -> None:
        self._directory = services.directory
        self._settings = settings

    async def workspace(self, caller: Caller, project: str, domain: str, path: str = "") -> Workspace:
        """The workspace of a pair. ``path`` is where the request names it. Raises FlyteError."""
        for field, text in (("project", project), ("domain", domain)):
            if len(text) > LONGEST_NAME:
                raise invalid(f"{path}.{field}".lstrip("."), f"has more than {LONGEST_NAME} characters")
        written = self._written(project, domain)
        if written is not None:
            return await self._named(caller, written, f"of {project}/{domain} ([flyte.workspaces])")
        for name in (f"{project}-{domain}", project):
            found = await self._find(caller, name) if name.strip("-") else None
            if found is not None:
                return found
        if self._settings.workspace is not None:
            return await self._named(caller, self._settings.workspace, "of Flyte's projects ([flyte] workspace)")
        return await self._oldest(caller, project, domain)

    def _written(self, project: str, domain: str) -> str | None:
        pair = f"{project}/{domain}"
        exact = self._settings.workspaces.get(pair)
        if exact is not None:
            return exact
        rows = self._settings.workspaces.items()
        return next((name for pattern, name in rows if "*" in pattern and fnmatchcase(pair, pattern)), None)

    async def _named(self, caller: Caller, name: str, whose: str) -> Workspace:
        found = await self._find(caller, name)
        if found is None:
            raise FlyteError(
                PERMISSION_DENIED,
                f"the workspace {name!r} {whose} does not exist, or {caller.principal.name} has no role in it; ask an owner for "
                f"one: heliostat workspace grant {caller.principal.name} editor",
            )
        return found

    async def _find(self, caller: Caller, name: str) -> Workspace | None:
        try:
            return await self._directory.project(caller, name)
        except ProjectRefused:
            return None

    async def _oldest(self, caller: Caller, project: str, domain: str) -> Workspace:
        oldest: Workspace | None = None
        seen: Workspace | None = None
        after: WorkspaceId | None = None
        while True:
            page = await self._directory.workspaces(caller, limit=_PAGE, after=after)
            oldest = next((row for row in reversed(page) if caller.may(row.id, Role.EDITOR)), oldest)
            seen = page[-1] if page else seen
            if len(page) < _PAGE:
                break
            after = page[-1].id
        oldest = oldest or seen
        if oldest is None:
            raise FlyteError(
                NOT_FOUND,
                f"there is no workspace for {project}/{domain} in which {caller.principal.name} has a role; make one named "
                f"{project}-{domain} (heliostat workspace create), or name one in [flyte.workspaces]",
            )
        return oldest
