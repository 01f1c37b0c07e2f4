"""The operations on queues and on what was used of them (EMR contract, section 9).

Two of them name their workspace in the body, so that role and existence are looked at here, before anything else in it.
"""

from __future__ import annotations

from heliostat.domain.errors import Forbidden, InvalidRequest
from heliostat.domain.ids import WorkspaceId
from heliostat.domain.records import Role
from heliostat.services import Services

from .call import Call, Operation
from .translate import queues
from .translate.clusters import Json
from .translate.fields import Fields

CAPITAL = "RequestId"
"""How the answers of some operations spell their ``requestId``."""


class QueueOperations:
    def __init__(self, services: Services) -> None:
        self._services = services
        self.by_name = {
            "ListWorkspaceQueues": Operation(self.list_workspace_queues, Role.VIEWER),
            "CreateWorkspaceQueue": Operation(self.create_workspace_queue, Role.OWNER),
            "EditWorkspaceQueue": Operation(self.edit_workspace_queue, Role.OWNER, CAPITAL),
            "DeleteWorkspaceQueue": Operation(self.delete_workspace_queue, Role.OWNER, CAPITAL),
            "ListQueueTopJobs": Operation(self.list_queue_top_jobs, Role.VIEWER),
            "GetCuHours": Operation(self.get_cu_hours, Role.VIEWER),
        }

    async def list_workspace_queues(self, call: Call) -> Json:
        views = await self._services.queues.list(call.caller, call.workspace)
        wanted = call.filter("environment")
        role = call.caller.principal.role_in(call.workspace) or Role.VIEWER
        rows = [
            queues.queue(view, self._services.installation, role)
            for view in views
            if wanted is None or wanted in queues.environments(view)
        ]
        return {"queues": rows, "maxResults": len(rows), "totalCount": len(rows)}

    async def create_workspace_queue(self, call: Call) -> Json:
        fields = Fields.body(call.request.body)
        workspace, name = await self._place(call, fields, "CreateWorkspaceQueue")
        services = self._services
        wish = queues.read_new(fields, workspace, name, services.installation.gpus, services.clock.now())
        try:
            await services.queues.create(call.caller, workspace, wish)
        except InvalidRequest as error:
            raise queues.told(error) from error
        return {}

    async def edit_workspace_queue(self, call: Call) -> Json:
        fields = Fields.body(call.request.body)
        workspace, name = await self._place(call, fields, "EditWorkspaceQueue")
        change = queues.read_change(fields, self._services.installation.gpus)
        try:
            await self._services.queues.edit(call.caller, workspace, name, change)
        except InvalidRequest as error:
            raise queues.told(error) from error
        return {}

    async def delete_workspace_queue(self, call: Call) -> Json:
        await self._services.queues.delete(call.caller, call.workspace, call.ids["queueName"])
        return {}

    async def list_queue_top_jobs(self, call: Call) -> Json:
        count, name = queues.top_count(call.request.parameters), call.ids["queueName"]
        holders = await self._services.queues.holders(call.caller, call.workspace, name)
        return {"queueTopJobs": queues.top_jobs(name, holders, count)}

    async def get_cu_hours(self, call: Call) -> Json:
        since, until = queues.span(call.request.parameters)
        name = call.ids["queue"]
        await self._services.queues.get(call.caller, call.workspace, name)
        report = await self._services.usage.usage(call.caller, call.workspace, since=since, until=until, queue=name)
        return {"data": {"cuHours": f"{report.total.total.cu:.6f}".rstrip("0").rstrip(".")}}

    async def _place(self, call: Call, fields: Fields, action: str) -> tuple[WorkspaceId, str]:
        """The workspace and the queue of a body, for an owner of the workspace."""
        named = fields.text("workspaceId")
        if named:
            await self._services.directory.workspace(call.caller, WorkspaceId(named))
            if not call.caller.may(WorkspaceId(named), Role.OWNER):
                raise Forbidden(f"do {action}", call.caller.principal.name, Role.OWNER)
        return queues.place_and_name(fields)
