"""Projects and domains, as clients ask for them: each workspace of the caller's is a project of its name."""

from __future__ import annotations

from flyteidl.admin import project_pb2 as projects
from flyteidl.admin import version_pb2 as versions

from heliostat.domain.ids import WorkspaceId
from heliostat.services import Caller, Services
from heliostat.version import VERSION

from ..places import Places
from .listing import check_sort, filters_of, limit_of
from .lists import token_of
from .references import LONGEST, check_name

DOMAINS = ("development", "staging", "production")


class ProjectCalls:
    """Methods raise FlyteError and HeliostatError."""

    def __init__(self, services: Services, places: Places) -> None:
        self._directory = services.directory
        self._places = places

    async def list_projects(self, caller: Caller, request: projects.ProjectListRequest) -> projects.Projects:
        check_sort(request.sort_by, ("created_at", "updated_at"), ascending=False)
        filters = filters_of(request.filters, ("name", "identifier", "id"))
        limit = limit_of(request.limit)
        after = WorkspaceId(token_of(request.token)) or None
        rows = await self._directory.workspaces(caller, limit=limit, after=after)
        fitting = [row for row in rows if all(one.fits(row.name) for one in filters)]
        token = rows[-1].id if len(rows) == limit else ""
        return projects.Projects(projects=[_project(row.name) for row in fitting], token=token)

    async def get_project(self, caller: Caller, request: projects.ProjectGetRequest) -> projects.Project:
        check_name(request.id, "id", LONGEST["project"])
        await self._places.workspace(caller, request.id, DOMAINS[0], "id")
        return _project(request.id)

    async def get_domains(self, caller: Caller, request: projects.GetDomainRequest) -> projects.GetDomainsResponse:
        return projects.GetDomainsResponse(domains=_domains())

    async def get_version(self, caller: Caller, request: versions.GetVersionRequest) -> versions.GetVersionResponse:
        return versions.GetVersionResponse(
            control_plane_version=versions.Version(Build="heliostat", Version=VERSION, BuildTime="")
        )


def _project(name: str) -> projects.Project:
    return projects.Project(id=name, name=name, domains=_domains(), state=projects.Project.ACTIVE)


def _domains() -> list[projects.Domain]:
    return [projects.Domain(id=name, name=name) for name in DOMAINS]
