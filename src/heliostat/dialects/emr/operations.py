"""The operations on clusters and what is looked up for them, and the table of all operations.

Those on jobs are in :mod:`job_operations`, those on queues in :mod:`queue_operations`.
"""

from __future__ import annotations

from dataclasses import replace

import orjson

from heliostat.dialects.bodies import kind_of
from heliostat.domain.ids import InstanceId, WorkspaceId
from heliostat.domain.records import Role, Workspace
from heliostat.domain.spec import masked
from heliostat.services import Caller, Services

from .call import DEFAULT_PAGE, LARGEST_PAGE, Call, Operation
from .errors import invalid
from .job_operations import JobOperations
from .queue_operations import QueueOperations
from .translate import discovery
from .translate.clusters import Json, Writer
from .translate.fields import Fields
from .translate.spec import read_wish

LONGEST_CLIENT_TOKEN = 128
_ROWS = 500


class Operations:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._writer = Writer()
        reads = {
            "ListWorkspaces": self.list_workspaces,
            "GetWorkspace": self.get_workspace,
            "ListReleaseVersions": self.list_release_versions,
            "ListNetworkServices": self.list_network_services,
            "ListRayCluster": self.list_ray_cluster,
            "GetRayCluster": self.get_ray_cluster,
        }
        writes = {
            "CreateRayCluster": self.create_ray_cluster,
            "UpdateRayCluster": self.update_ray_cluster,
            "DeleteRayCluster": self.delete_ray_cluster,
            "StartRayCluster": self.start_ray_cluster,
            "StopRayCluster": self.stop_ray_cluster,
        }
        self.by_name = {
            **{name: Operation(perform, Role.VIEWER) for name, perform in reads.items()},
            **{name: Operation(perform, Role.EDITOR) for name, perform in writes.items()},
            **JobOperations(services).by_name,
            **QueueOperations(services).by_name,
        }

    # --- clusters ----------------------------------------------------------------------------------------------------

    async def create_ray_cluster(self, call: Call) -> Json:
        installation = self._services.installation
        spec = read_wish(call.request.body, installation.catalogue).create(installation.catalogue)
        start = installation.emr_starts_clusters
        cluster = await self._services.clusters.create(call.caller, call.workspace, spec, start=start)
        return {"clusterId": cluster.id}

    async def update_ray_cluster(self, call: Call) -> Json:
        wish = read_wish(call.request.body, self._services.installation.catalogue)
        cluster = await self._services.clusters.update(call.caller, call.workspace, call.cluster, wish.change)
        return {"clusterId": cluster.id}

    async def list_ray_cluster(self, call: Call) -> Json:
        size, offset = call.page()
        views = await self._services.clusters.list(call.caller, call.workspace, limit=size, offset=offset)
        links, principal = self._services.access.links, call.caller.principal
        summary = self._writer.summary
        return {"rayClusters": [summary(view, links(principal, view.cluster, view.instance)) for view in views]}

    async def get_ray_cluster(self, call: Call) -> Json:
        view = await self._services.clusters.get(call.caller, call.workspace, call.cluster)
        if not call.caller.may(call.workspace, Role.EDITOR):
            view = replace(view, cluster=replace(view.cluster, spec=masked(view.cluster.spec)))
        links = self._services.access.links(call.caller.principal, view.cluster, view.instance)
        return self._writer.detail(view, links)

    async def delete_ray_cluster(self, call: Call) -> Json:
        await self._services.clusters.delete(call.caller, call.workspace, call.cluster)
        return {}

    async def start_ray_cluster(self, call: Call) -> Json:
        fields = Fields.body(call.request.body)
        token = fields.text("clientToken") or None
        if token is not None and len(token) > LONGEST_CLIENT_TOKEN:
            raise fields.error("clientToken", f"must have at most {LONGEST_CLIENT_TOKEN} characters")
        await self._services.clusters.start(call.caller, call.workspace, call.cluster, client_token=token)
        return {}

    async def stop_ray_cluster(self, call: Call) -> Json:
        named = Fields.body(call.request.body).text("instanceId")
        instance = InstanceId(named) if named else None
        await self._services.clusters.stop(call.caller, call.workspace, call.cluster, instance=instance)
        return {}

    # --- discovery ---------------------------------------------------------------------------------------------------

    async def list_workspaces(self, call: Call) -> Json:
        size = call.number("maxResults", DEFAULT_PAGE, LARGEST_PAGE)
        tags = _tag_filter(call.request.parameters.get("tag", ""))
        found = await self._workspaces(call.caller, call.request.parameters.get("name") or None)
        state, group = call.filter("state"), call.filter("resourceGroupId")
        if group is not None or state not in (None, discovery.RUNNING.lower()):
            found = []
        found = [row for row in found if all(_has_tag(row, key, value) for key, value in tags)]
        page = found[_position(found, call.request.parameters.get("nextToken", "")) :][:size]
        region = self._services.installation.region
        body: Json = {
            "workspaces": [discovery.workspace(row, region) for row in page],
            "maxResults": size,
            "totalCount": len(found),
        }
        if page and page[-1] is not found[-1]:
            body["nextToken"] = page[-1].id
        return body

    async def get_workspace(self, call: Call) -> Json:
        record = await self._services.directory.workspace(call.caller, call.workspace)
        return {"workspace": discovery.workspace_detail(record, self._services.installation.region)}

    async def list_release_versions(self, call: Call) -> Json:
        named = call.request.parameters.get("workspaceId")
        if named:
            await self._services.directory.workspace(call.caller, WorkspaceId(named))
        rows = [discovery.release(view) for view in await self._services.directory.releases(call.caller)]
        if call.filter("serviceFilter") == "spark":
            rows = []
        for parameter, key in (("releaseType", "type"), ("releaseVersionStatus", "state")):
            wanted = call.filter(parameter)
            rows = [row for row in rows if wanted in (None, str(row[key]).lower())]
        version = call.request.parameters.get("releaseVersion")
        if version:
            rows = [row for row in rows if version in (row["releaseVersion"], row["displayReleaseVersion"])]
        return {"releaseVersions": rows, "maxResults": len(rows), "totalCount": len(rows)}

    async def list_network_services(self, call: Call) -> Json:
        rows = await self._services.directory.network_services(call.caller, call.workspace)
        shown = [discovery.network_service(row, call.workspace) for row in rows]
        return {"networkServices": shown, "maxResults": len(shown), "totalCount": len(shown)}

    async def _workspaces(self, caller: Caller, name: str | None) -> list[Workspace]:
        """All that the caller may see: the reply counts them."""
        found: list[Workspace] = []
        while True:
            after = found[-1].id if found else None
            rows = await self._services.directory.workspaces(caller, limit=_ROWS, after=after, name_contains=name)
            found += rows
            if len(rows) < _ROWS:
                return found


def _position(found: list[Workspace], token: str) -> int:
    """Where the page after ``token`` begins. Raises EmrError for a token that this list never gave."""
    if not token:
        return 0
    position = next((index for index, row in enumerate(found, start=1) if row.id == token), None)
    if position is None:
        raise invalid("nextToken", "is not from an earlier page of this list; begin again without it")
    return position


def _tag_filter(text: str) -> list[tuple[str, str | None]]:
    """``[{"key": ..., "value": ...}]`` as JSON text; a value may be missing. Raises EmrError."""
    if not text:
        return []
    try:
        rows = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise invalid("tag", f"is not valid JSON: {error}") from None
    if not isinstance(rows, list):
        raise invalid("tag", f"must be a JSON array, not {kind_of(rows)}")
    tags = []
    for index, row in enumerate(rows):
        fields = Fields(row, f"tag[{index}]")
        key = fields.text("key")
        if key is not None:
            tags.append((key, fields.text("value")))
    return tags


def _has_tag(workspace: Workspace, key: str, value: str | None) -> bool:
    return key in workspace.tags and value in (None, workspace.tags[key])
