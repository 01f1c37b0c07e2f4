"""What the method on projects does: a workspace as a project of the vendor's Resource Manager (Vertex contract, section 3.3)."""

from __future__ import annotations

from heliostat.domain.records import Workspace
from heliostat.services import Services

from .call import Call, Json
from .names import ProjectName, is_project_id, parse_project


class ProjectCalls:
    """All raise HeliostatError or, for a malformed name, InvalidName."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def get(self, call: Call, request: Json) -> Json:
        """The project with this number, id or name, as version 3 of the Resource Manager shows it."""
        name = parse_project(request.get("name", ""))
        return write_project(await self._services.directory.project(call.caller, name.project))


def project_id(workspace: Workspace) -> str:
    """The id that a workspace has as a project."""
    return workspace.name if is_project_id(workspace.name) else workspace.id


def write_project(workspace: Workspace) -> Json:
    """Version 3's message."""
    return {
        "name": str(ProjectName(str(workspace.number))),
        "projectId": project_id(workspace),
        "state": "ACTIVE",
        "displayName": workspace.name,
        "createTime": _instant(workspace),
    }


def as_version_1(project: Json) -> Json:
    """The same as version 1 shows it, which some of the vendor's libraries still ask for."""
    return {
        "projectNumber": project["name"].removeprefix("projects/"),
        "projectId": project["projectId"],
        "lifecycleState": project["state"],
        "name": project["displayName"],
        "createTime": project["createTime"],
    }


def _instant(workspace: Workspace) -> str:
    return workspace.created_at.isoformat().replace("+00:00", "Z")
